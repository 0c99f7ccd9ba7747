// The gradient of a recurrence, from its last step to its first.
//
// Each row's gates become the gradients of their pre-activations, in place; then the gradients of input and
// weights are products over all steps at once. With `recompute` the steps are taken in blocks, from the last:
// the gates of a block are computed again (all its states are known, so its steps need not wait for each
// other), and its part of the products is made before the block before it is begun.
#pragma once

#include "forward.h"
#include "gradients.h"

namespace unroll::UNROLL_ISA {

constexpr index kRecomputed = 2048;  // rows and steps whose gates are computed again at once
constexpr index kList = 32 * kRows;  // rows multiplied at once where there is no order to keep

// Weights for the way back, and what all threads share.
template <class T, class C>
struct Backward {
  const Problem& p;
  const Plan& plan;
  Cut cut;
  index Hp, Rp;

  T *w_h, *w_x, *w_second, *zeros;
  T *dh, *dc, *dreset_h, *dreset_c;  // by rank
  T *own_gates, *d_output;           // by packed step: of a block, or of all
  T* sums;
  ForwardWeights<T, C> again;

  Backward(const Problem& problem, const Plan& rows) : p(problem), plan(rows) {
    Hp = p.padded();
    Rp = (p.R + 15) / 16 * 16;
    cut = cut_forward<T>(p, plan);
    if (second()) cut.by_units = false;
    if (!cut.by_units && cut.threads > p.B) cut.threads = int(p.B > 0 ? p.B : 1);
    cut.projected = false;
  }

  bool second() const { return second_panels<T, C>(p) > 0; }
  bool elman() const { return p.gates() == 1; }
  bool recomputes() const { return p.recompute && !elman(); }
  index gates_width() const { return elman() ? Hp : recomputes() ? (C::kPlanes + 1) * Hp : p.saved_width(); }

  // The first step of the block that ends before step `end`.
  index block_begin(index end) const {
    if (!recomputes()) return 0;
    index begin = end;
    while (begin > 0 && plan.offset(end) - plan.offset(begin - 1) <= kRecomputed) --begin;
    return begin == end ? end - 1 : begin;
  }

  index most_packed() const {
    if (!recomputes()) return plan.total();
    index most = 0;
    for (index end = plan.steps; end > 0; end = block_begin(end)) {
      const index packed = plan.offset(end) - plan.offset(block_begin(end));
      if (packed > most) most = packed;
    }
    return most;
  }

  UNROLL_INLINE void lay(Layout& out) {
    w_h = out.take<T>(panels_size<T>(C::kH * Hp, p.R));
    w_x = p.dx == nullptr ? nullptr : out.take<T>(panels_size<T>(C::kX * Hp, p.D));
    w_second = nullptr;
    if (p.w_hr != nullptr) w_second = out.take<T>(panels_size<T>(p.R, p.H));
    if (p.cell == unroll::Cell::gru_reset_before) w_second = out.take<T>(panels_size<T>(p.H, p.H));
    zeros = out.take<T>(p.R > Hp ? p.R : Hp);
    dh = out.take<T>(p.B * Rp);
    dc = p.c0 == nullptr ? nullptr : out.take<T>(p.B * Hp);
    dreset_h = p.dreset_h == nullptr ? nullptr : out.take<T>(p.B * Rp);
    dreset_c = p.dreset_c == nullptr ? nullptr : out.take<T>(p.B * Hp);
    own_gates = elman() || recomputes() ? out.take<T>(most_packed() * gates_width()) : nullptr;
    d_output = p.w_hr == nullptr ? nullptr : out.take<T>(most_packed() * Rp);
    sums = out.take<T>(C::kPlanes * Hp);
    if (recomputes()) again.lay(out, p);
  }

  void prepare() {
    for (index i = 0; i < p.R || i < Hp; ++i) zeros[i] = T(0);
    for (index i = 0; i < C::kPlanes * Hp; ++i) sums[i] = T(0);
    for (T* of : {dh, dreset_h}) {
      if (of != nullptr) std::memset(of, 0, p.B * Rp * sizeof(T));
    }
    for (T* of : {dc, dreset_c}) {
      if (of != nullptr) std::memset(of, 0, p.B * Hp * sizeof(T));
    }
    const T* const w_ih = static_cast<const T*>(p.w_ih);
    const T* const w_hh = static_cast<const T*>(p.w_hh);
    const index of_h = column_panels<T>(p.R), of_x = w_x == nullptr ? 0 : column_panels<T>(p.D);
    const index of_second = w_second == nullptr ? 0 : column_panels<T>(p.H);
    each(of_h + of_x + of_second, cut.threads, [&](index item) {
      if (item < of_h) {
        const PlaneRows<T, C::kH> rows{w_hh, p.R, p.H, Hp, C::kBlockH};
        pack_panel(w_h + panel_offset<T>(C::kH * Hp, item), C::kH * Hp, p.R, item, rows);
      } else if (item < of_h + of_x) {
        const PlaneRows<T, C::kX> rows{w_ih, p.D, p.H, Hp, C::kBlockX};
        pack_panel(w_x + panel_offset<T>(C::kX * Hp, item - of_h), C::kX * Hp, p.D, item - of_h, rows);
      } else {
        const bool projection = p.w_hr != nullptr;
        const T* const from = projection ? static_cast<const T*>(p.w_hr) : w_hh + 2 * p.H * p.H;
        const index K = projection ? p.R : p.H, panel = item - of_h - of_x;
        pack_panel(w_second + panel_offset<T>(K, panel), K, p.H, panel, [&](index k) { return from + k * p.H; });
      }
    });
    if (recomputes()) again.pack(p, cut.threads);
  }

  // By packed step, counted from the block's first.
  UNROLL_INLINE T* gates(index n, index rank, index n0) const {
    const index at = plan.offset(n) + rank;
    if (own_gates != nullptr) return own_gates + (at - plan.offset(n0)) * gates_width();
    return static_cast<T*>(p.saved) + at * p.saved_width();
  }
  UNROLL_INLINE T* cell(index n, index rank) const {
    T* const row = static_cast<T*>(p.saved) + (plan.offset(n) + rank) * p.saved_width();
    return p.recompute ? row : row + C::kPlanes * Hp;
  }
  UNROLL_INLINE T* projected(index n, index rank, index n0) const {  // what a projection was made of
    return recomputes() ? gates(n, rank, n0) + C::kPlanes * Hp : cell(n, rank) + Hp;
  }
};

// Ranks [first, last) on the way back.
template <class T, class C>
struct BackwardChunk {
  const Backward<T, C>* all;
  const Walk<T>* walk;
  index first, last;
  T* d_second;     // (rows, Hp): the gradient of r * h, or of what is projected
  const T** from;  // (kList or rows,)
  T** to;
  Frame<T> f;  // to compute gates again

  index rows() const { return last - first; }
  UNROLL_INLINE index list() const { return rows() > kList ? rows() : kList; }
  UNROLL_INLINE index active(index n) const {
    const index a = all->plan.active(n);
    return (a < last ? a : last) > first ? (a < last ? a : last) - first : 0;
  }

  UNROLL_INLINE void lay(Layout& out) {
    d_second = all->second() ? out.take<T>(rows() * all->Hp) : nullptr;
    from = out.take<const T*>(list());
    to = out.take<T*>(list());
    if (all->recomputes()) {
      f = all->again.frame(all->p);
      lay_rows(f, out, list());
    }
  }

  const T* c_before(index rank, index n) const {
    const Problem& p = all->p;
    if (p.c0 == nullptr) return nullptr;
    if (walk->reset(rank, n)) return walk->reset_c();
    return n > 0 ? all->cell(n - 1, rank) : static_cast<const T*>(p.c0) + all->plan.row(rank) * p.H;
  }

  // The gates of steps [begin, end): states are known, so rows and steps are all alike.
  void compute_again(index begin, index end, index begin_panel, index end_panel) {
    const Problem& p = all->p;
    f.keep = true;
    T** const no_outputs = nullptr;
    index count = 0;
    const auto flush = [&] {
      Frame<T> g = f;
      g.y = no_outputs;
      for (index panel = begin_panel; panel < end_panel; ++panel) step_panel<T, C>(g, count, panel);
      for (index panel = 0; panel < second_panels<T, C>(p); ++panel) step_second<T>(g, p, count, panel);
      count = 0;
    };
    for (index n = begin; n < end; ++n) {
      for (index k = 0; k < active(n); ++k) {
        const index rank = first + k;
        f.x[count] = walk->x(rank, n);
        f.h[count] = walk->h_before(rank, n);
        f.gates[count] = all->gates(n, rank, begin);
        if (p.c0 != nullptr) {
          f.c_before[count] = c_before(rank, n);
          f.c[count] = all->gates(n, rank, begin) + C::kPlanes * all->Hp;  // where it is not needed any more
        }
        if (p.cell == unroll::Cell::gru_reset_before) f.extra[count] = f.gates[count] + 3 * all->Hp;
        if (p.w_hr != nullptr) f.extra[count] = all->projected(n, rank, begin);
        if (++count == list()) flush();
      }
    }
    if (count > 0) flush();
  }

  // Steps [begin, end) from the last to the first; a member takes its part of the units.
  void run(index begin, index end, int member, int members, Barrier* barrier) {
    const Problem& p = all->p;
    constexpr int L = kLanes<T>;
    const index Hp = all->Hp, Rp = all->Rp, panels = column_panels<T>(p.R);
    const index begin_panel = panels * member / members, end_panel = panels * (member + 1) / members;
    const index u0 = begin_panel * kPanel * L;
    const index u1 = member + 1 == members ? Rp : end_panel * kPanel * L;
    for (index n = end; n-- > begin;) {
      const index a = active(n), later = active(n + 1);
      for (index k = 0; k < a; ++k) {
        const index rank = first + k, b = all->plan.row(rank);
        T* const dh = all->dh + rank * Rp;
        if (k >= later) start(rank, b, u0, u1);
        if (p.dy != nullptr) {
          const T* const dy = static_cast<const T*>(p.dy) + walk->time(rank, n) * p.dy_time + b * p.dy_row;
          for (index u = u0; u < u1; u += L) store(dh + u, load(dh + u) + load_first(dy + u, p.R - u));
        }
      }
      if (p.w_hr != nullptr) unproject(n, begin, a);
      for (index k = 0; k < a; ++k) back(n, begin, first + k, u0, p.w_hr == nullptr ? u1 : Hp);
      if (p.cell == unroll::Cell::gru_reset_before) back_reset(n, begin, a);
      if (barrier != nullptr) barrier->wait();
      for (index k = 0; k < a; ++k) {
        from[k] = all->gates(n, first + k, begin) + C::kFirstH * Hp;
        to[k] = all->dh + (first + k) * Rp;
      }
      multiply<T, C::kDirect>(a, from, C::kH * Hp, all->w_h, p.R, begin_panel, end_panel, to, true);
      if (p.resets == nullptr) continue;
      for (index k = 0; k < a; ++k) {
        const index rank = first + k;
        if (!walk->reset(rank, n)) continue;
        move(all->dh + rank * Rp, all->dreset_h == nullptr ? nullptr : all->dreset_h + rank * Rp, u0, u1);
        if (p.c0 == nullptr) continue;
        const index c1 = p.w_hr == nullptr ? u1 : Hp;
        move(all->dc + rank * Hp, all->dreset_c == nullptr ? nullptr : all->dreset_c + rank * Hp, u0, c1);
      }
    }
  }

  // The gradient at a row's last step is that of its final state.
  UNROLL_INLINE void start(index rank, index b, index u0, index u1) const {
    const Problem& p = all->p;
    constexpr int L = kLanes<T>;
    T* const dh = all->dh + rank * all->Rp;
    for (index u = u0; u < u1 && p.dh != nullptr; u += L) {
      store(dh + u, load_first(static_cast<const T*>(p.dh) + b * p.R + u, p.R - u));
    }
    T* const dc = all->dc + rank * all->Hp;
    const index c1 = p.w_hr == nullptr ? u1 : all->Hp;
    for (index u = u0; u < c1 && p.dc != nullptr; u += L) {
      store(dc + u, load_first(static_cast<const T*>(p.dc) + b * p.H + u, p.H - u));
    }
  }

  // The state before a border is not the one after it.
  static UNROLL_INLINE void move(T* d, T* to, index u0, index u1) {
    for (index u = u0; u < u1; u += kLanes<T>) {
      if (to != nullptr) store(to + u, load(to + u) + load(d + u));
      store(d + u, Vec<T>{});
    }
  }

  UNROLL_INLINE void back(index n, index begin, index rank, index u0, index u1) const {
    const Problem& p = all->p;
    BackRow<T> s;
    s.H = p.H, s.Hp = all->Hp, s.u0 = u0, s.u1 = u1;
    s.gates = all->gates(n, rank, begin);
    s.h_before = walk->h_before(rank, n);
    s.c_before = c_before(rank, n);
    s.c = p.c0 == nullptr ? nullptr : all->cell(n, rank);
    s.y = walk->y(rank, n);
    s.dh = p.w_hr == nullptr ? all->dh + rank * all->Rp : d_second + (rank - first) * all->Hp;
    s.dc = p.c0 == nullptr ? nullptr : all->dc + rank * all->Hp;
    C::back(s);
  }

  // From the gradient of the outputs to that of what was projected.
  void unproject(index n, index begin, index a) {
    const Problem& p = all->p;
    for (index k = 0; k < a; ++k) {
      const T* const dh = all->dh + (first + k) * all->Rp;
      T* const kept = all->d_output + (all->plan.offset(n) + first + k - all->plan.offset(begin)) * all->Rp;
      std::memcpy(kept, dh, all->Rp * sizeof(T));
      from[k] = dh;
      to[k] = d_second + k * all->Hp;
      std::memset(to[k], 0, all->Hp * sizeof(T));
    }
    multiply<T, false>(a, from, p.R, all->w_second, p.H, 0, column_panels<T>(p.H), to, true);
  }

  // Through the candidate's product to r.
  void back_reset(index n, index begin, index a) {
    const Problem& p = all->p;
    for (index k = 0; k < a; ++k) {
      from[k] = all->gates(n, first + k, begin) + 2 * all->Hp;
      to[k] = d_second + k * all->Hp;
      std::memset(to[k], 0, all->Hp * sizeof(T));
    }
    multiply<T, false>(a, from, p.H, all->w_second, p.H, 0, column_panels<T>(p.H), to, true);
    for (index k = 0; k < a; ++k) {
      BackRow<T> s{};
      s.H = p.H, s.Hp = all->Hp, s.u0 = 0, s.u1 = all->Hp;
      s.gates = all->gates(n, first + k, begin);
      s.h_before = walk->h_before(first + k, n);
      s.dh = all->dh + (first + k) * all->Rp;
      GruResetBeforeCell::back_reset(s, to[k]);
    }
  }
};

// A member's part of the products over a block's steps: gradients of the weights.
template <class T, class C>
struct WeightGradients {
  const Backward<T, C>* all;
  const Walk<T>* walk;
  const T **a, **x, **h, **reset_h, **d, **m;
  OuterProducts<T> gates, projection;
  OuterScratch<T> own, own_projection;

  UNROLL_INLINE void lay(Layout& out) {
    const Problem& p = all->p;
    static constexpr int kCandidate[] = {2}, kWhole[] = {0};
    a = out.take<const T*>(kBlock);
    x = out.take<const T*>(kBlock);
    h = out.take<const T*>(kBlock);
    reset_h = out.take<const T*>(kBlock);
    d = out.take<const T*>(kBlock);
    m = out.take<const T*>(kBlock);
    gates = {};
    gates.H = p.H, gates.apart = all->Hp, gates.planes = C::kPlanes, gates.a = a;
    gates.sums = p.db_ih == nullptr && p.db_hh == nullptr ? nullptr : all->sums;
    if (p.dw_ih != nullptr) {
      gates.products[gates.count++] = {x, p.D, C::kFirstX, C::kX, C::kBlockX, static_cast<T*>(p.dw_ih)};
    }
    if (p.dw_hh != nullptr) {
      T* const dw_hh = static_cast<T*>(p.dw_hh);
      gates.products[gates.count++] = {h, p.R, C::kFirstH, C::kH, C::kBlockH, dw_hh};
      if (p.cell == unroll::Cell::gru_reset_before) {
        gates.products[gates.count++] = {reset_h, p.H, 2, 1, kCandidate, dw_hh};
      }
    }
    projection = {};
    if (p.dw_hr != nullptr) {
      projection.H = p.R, projection.apart = all->Rp, projection.planes = 1, projection.a = d;
      projection.products[projection.count++] = {m, p.H, 0, 1, kWhole, static_cast<T*>(p.dw_hr)};
    }
    own.lay(out, gates);
    own_projection.lay(out, projection);
  }

  void run(index begin, index end, bool first, int member, int members) const {
    const Problem& p = all->p;
    index K = 0;
    const auto add = [&] {
      outer_block(gates, own, K, first, member, members);
      if (projection.count > 0) outer_block(projection, own_projection, K, first, member, members);
      K = 0;
      first = false;
    };
    for (index n = begin; n < end; ++n) {
      for (index rank = 0; rank < all->plan.active(n); ++rank) {
        a[K] = all->gates(n, rank, begin);
        x[K] = walk->x(rank, n);
        h[K] = walk->h_before(rank, n);
        reset_h[K] = a[K] + 3 * all->Hp;
        if (p.w_hr != nullptr) {
          d[K] = all->d_output + (all->plan.offset(n) + rank - all->plan.offset(begin)) * all->Rp;
          m[K] = all->projected(n, rank, begin);
        }
        if (++K == kBlock) add();
      }
    }
    if (K > 0) add();
  }
};

// The gradient of the input, for packed steps [begin, end) of a block that begins at step n0.
template <class T, class C>
void input_gradients(const Backward<T, C>& all, const Walk<T>& walk, index n, index end, index n0, index part,
                     index parts, const T** from, T** to) {
  const Problem& p = all.p;
  const index before = all.plan.offset(n), packed = all.plan.offset(end) - before;
  index at = packed * part / parts;
  const index until = packed * (part + 1) / parts;
  while (all.plan.offset(n + 1) - before <= at) ++n;
  index count = 0;
  const auto flush = [&] {
    multiply<T, false>(count, from, C::kX * all.Hp, all.w_x, p.D, 0, column_panels<T>(p.D), to, false);
    count = 0;
  };
  for (; at < until; ++at) {
    while (all.plan.offset(n + 1) - before <= at) ++n;
    const index rank = before + at - all.plan.offset(n);
    from[count] = all.gates(n, rank, n0) + C::kFirstX * all.Hp;
    to[count] = static_cast<T*>(p.dx) + walk.time(rank, n) * p.dx_time + all.plan.row(rank) * p.dx_row;
    if (++count == kList) flush();
  }
  if (count > 0) flush();
}

// What is left when all steps are done.
template <class T, class C>
void finish_backward(const Backward<T, C>& all) {
  const Problem& p = all.p;
  const bool none = all.plan.total() == 0;
  const auto clear = [](void* of, index count) {
    if (of != nullptr) std::memset(of, 0, count * sizeof(T));
  };
  if (none) {
    clear(p.dw_ih, p.gates() * p.H * p.D);
    clear(p.dw_hh, p.gates() * p.H * p.R);
    clear(p.dw_hr, p.R * p.H);
  }
  for (index rank = 0; rank < p.B; ++rank) {
    const index b = all.plan.row(rank);
    const bool still = all.plan.length(rank) == 0;  // its final state is the one it was given
    const auto out = [&](void* to, const T* gradient, const void* given, index size) {
      if (to == nullptr) return;
      T* const row = static_cast<T*>(to) + b * size;
      if (!still) {
        std::memcpy(row, gradient, size * sizeof(T));
      } else if (given != nullptr) {
        std::memcpy(row, static_cast<const T*>(given) + b * size, size * sizeof(T));
      } else {
        clear(row, size);
      }
    };
    out(p.dh0, all.dh + rank * all.Rp, p.dh, p.R);
    if (p.c0 != nullptr) out(p.dc0, all.dc + rank * all.Hp, p.dc, p.H);
    for (index t = all.plan.length(rank); t < p.T && p.dx != nullptr; ++t) {
      clear(static_cast<T*>(p.dx) + t * p.dx_time + b * p.dx_row, p.D);
    }
  }
  const auto sum = [&](void* to, const T* rows, index size, index stride) {
    if (to == nullptr) return;
    clear(to, size);
    for (index rank = 0; rank < p.B; ++rank) {
      for (index u = 0; u < size; ++u) static_cast<T*>(to)[u] += rows[rank * stride + u];
    }
  };
  sum(p.dreset_h, all.dreset_h, p.R, all.Rp);
  sum(p.dreset_c, all.dreset_c, p.H, all.Hp);
  for (int g = 0; g < p.gates(); ++g) {
    const index size = p.H * sizeof(T);
    // both biases of a gate are added to the same plane, but for the GRU's candidate
    T* const b_ih = static_cast<T*>(p.db_ih) + C::kBlockX[g < C::kX ? g : 0] * p.H;
    if (p.db_ih != nullptr) std::memcpy(b_ih, all.sums + (C::kFirstX + g) * all.Hp, size);
    T* const b_hh = static_cast<T*>(p.db_hh) + g * p.H;
    if (p.db_hh != nullptr) std::memcpy(b_hh, all.sums + (C::kFirstH + g) * all.Hp, size);
  }
}

template <class T, class C>
void backward(const Problem& p, const Plan& plan) {
  Backward<T, C> all(p, plan);
  const Scratch shared([&](Layout& out) { all.lay(out); });
  all.prepare();
  if (p.dx != nullptr) prefer_huge_pages(p.dx, std::size_t(p.T * p.B * p.D) * sizeof(T));
  const Walk<T> walk{p, plan, all.zeros};

  index bounds[kMostThreads + 1] = {0, p.B};
  const int parts = all.cut.by_units ? 1 : int(plan.cut(all.cut.threads, bounds));
  const int members = all.cut.by_units ? all.cut.threads : parts;
  const int helpers = all.cut.threads;  // of the products, which any number can share
  BackwardChunk<T, C> chunks[kMostThreads];
  WeightGradients<T, C> weights[kMostThreads];
  const Scratch own([&](Layout& out) {
    for (int k = 0; k < members || k < helpers; ++k) {
      const int part = all.cut.by_units ? 0 : k < parts ? k : 0;
      chunks[k] = {};
      chunks[k].all = &all, chunks[k].walk = &walk;
      chunks[k].first = bounds[part], chunks[k].last = bounds[part + 1];
      chunks[k].lay(out);
      weights[k].all = &all, weights[k].walk = &walk;
      weights[k].lay(out);
    }
  });
  const bool weighs = p.dw_ih != nullptr || p.dw_hh != nullptr || p.dw_hr != nullptr || p.db_ih != nullptr;

  for (index end = plan.steps; end > 0;) {
    const index begin = all.block_begin(end);
    if (all.cut.by_units) {
      team(members, [&](int member, int count, Barrier& barrier) {
        BackwardChunk<T, C>& chunk = chunks[member];
        const index panels = tile_panels<T, C>(p);
        if (all.recomputes()) {
          chunk.compute_again(begin, end, panels * member / count, panels * (member + 1) / count);
          barrier.wait();
        }
        chunk.run(begin, end, member, count, &barrier);
      });
    } else {
      each(parts, all.cut.threads, [&](index part) {
        if (all.recomputes()) chunks[part].compute_again(begin, end, 0, tile_panels<T, C>(p));
        chunks[part].run(begin, end, 0, 1, nullptr);
      });
    }
    const bool first = end == plan.steps;
    const index of_weights = weighs ? helpers : 0, of_x = p.dx == nullptr ? 0 : helpers;
    // an item's memory is its own: the item, not the thread, has a number
    each(of_weights + of_x, helpers, [&](index item) {
      if (item < of_weights) {
        weights[item].run(begin, end, first, int(item), helpers);
      } else {
        const index part = item - of_weights;
        input_gradients<T, C>(all, walk, begin, end, begin, part, helpers, chunks[part].from, chunks[part].to);
      }
    });
    end = begin;
  }
  finish_backward(all);
}

}  // namespace unroll::UNROLL_ISA

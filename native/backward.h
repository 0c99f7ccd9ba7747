// The gradient of a recurrence, from its last step to its first.
//
// First the rows' gates become gradients, then the gradients of input and weights are products over all steps at
// once. With `recompute` this is done block by block, from the last.
#pragma once

#include "backward_rows.h"
#include "weight_gradients.h"

namespace unroll::UNROLL_ISA {

// A member's part of the products over a block's steps: gradients of the weights.
template <class T, class C>
struct WeightGradients {
  const Backward<T, C>* all;
  const RowCursor<T>* walk;
  const T **a, **x, **h, **reset_h, **d, **m;
  OuterProducts<T> gates, projection;
  OuterScratch<T> own, own_projection;
  bool begun;  // the results hold something

  UNROLL_INLINE void lay(Layout& out) {
    const Args& p = all->p;
    static constexpr int kCandidate[] = {2}, kWhole[] = {0};
    a = out.take<const T*>(kBlock);
    x = out.take<const T*>(kBlock);
    h = out.take<const T*>(kBlock);
    reset_h = out.take<const T*>(kBlock);
    d = out.take<const T*>(kBlock);
    m = out.take<const T*>(kBlock);
    begun = false;
    gates = {};
    gates.H = p.H, gates.apart = all->Hp, gates.planes = C::kPlanes, gates.a = a;
    gates.sums = p.db_ih == nullptr && p.db_hh == nullptr ? nullptr : all->sums;
    if (p.dw_ih != nullptr) {
      gates.products[gates.count++] = {x, p.D, C::kFirstX, C::kX, C::kBlockX, static_cast<T*>(p.dw_ih)};
    }
    if (p.dw_hh != nullptr) {
      T* const dw_hh = static_cast<T*>(p.dw_hh);
      gates.products[gates.count++] = {h, p.R, C::kFirstH, C::kH, C::kBlockH, dw_hh};
      if (C::kSecond) {
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

  void run(index begin, index end, int member, int members) {
    const Args& p = all->p;
    index K = 0;
    const auto add = [&] {
      outer_block(gates, own, K, !begun, member, members);
      if (projection.count > 0) outer_block(projection, own_projection, K, !begun, member, members);
      K = 0;
      begun = true;
    };
    for (index n = begin; n < end; ++n) {
      for (index rank = 0; rank < all->plan.active(n); ++rank) {
        if (!all->alive(n, rank, begin)) continue;
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
void input_gradients(const Backward<T, C>& all, const RowCursor<T>& walk, index n, index end, index n0, index part,
                     index parts, const T** from, T** to) {
  const Args& p = all.p;
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
    T* const dx = static_cast<T*>(p.dx) + walk.time(rank, n) * p.dx_time + all.plan.row(rank) * p.dx_row;
    if (!all.alive(n, rank, n0)) {
      std::memset(dx, 0, p.D * sizeof(T));
      continue;
    }
    from[count] = all.gates(n, rank, n0) + C::kFirstX * all.Hp;
    to[count] = dx;
    if (++count == kList) flush();
  }
  if (count > 0) flush();
}

// What is left when all steps are done; `none`: no step had a gradient.
template <class T, class C>
void finish_backward(const Backward<T, C>& all, bool none) {
  const Args& p = all.p;
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
  // both biases of a gate are added to the same plane, but for the GRU's candidate
  const auto bias = [&](void* to, int block, int plane) {
    if (to != nullptr) std::memcpy(static_cast<T*>(to) + block * p.H, all.sums + plane * all.Hp, p.H * sizeof(T));
  };
  for (int g = 0; g < p.gates(); ++g) {
    bias(p.db_ih, C::kBlockX[g], C::kFirstX + g);
    bias(p.db_hh, g, C::kFirstH + g);
  }
}

template <class T, class C>
void backward(const Args& p, const PackedRows& plan) {
  Backward<T, C> all(p, plan);
  const Workspace shared([&](Layout& out) { all.lay(out); });
  all.prepare();
  if (p.dx != nullptr) prefer_huge_pages(p.dx, std::size_t(p.T * p.B * p.D) * sizeof(T));
  const RowCursor<T> walk{p, plan, all.zeros};

  index bounds[kMostThreads + 1] = {0, p.B};
  const int parts = all.cut.by_units ? 1 : int(plan.cut(all.cut.threads, bounds));
  const int members = all.cut.by_units ? all.cut.threads : parts;
  const int helpers = all.cut.threads;  // of the products, which any number can share
  BackwardChunk<T, C> chunks[kMostThreads];
  WeightGradients<T, C> weights[kMostThreads];
  const Workspace own([&](Layout& out) {
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
  const bool weighs =
      p.dw_ih != nullptr || p.dw_hh != nullptr || p.dw_hr != nullptr || p.db_ih != nullptr || p.db_hh != nullptr;

  for (index end = plan.steps; end > 0;) {
    const index begin = all.block_begin(end);
    std::memset(all.live, 0, std::size_t(plan.offset(end) - plan.offset(begin)));
    if (all.cut.by_units) {
      run_team(members, [&](int member, int count, Barrier& barrier) {
        BackwardChunk<T, C>& chunk = chunks[member];
        const index panels = tile_panels<T, C>(p);
        if (all.recomputes()) {
          chunk.compute_again(begin, end, panels * member / count, panels * (member + 1) / count);
          barrier.wait();
        }
        chunk.run(begin, end, member, count, &barrier);
      });
    } else {
      parallel_for(parts, all.cut.threads, [&](index part) {
        if (all.recomputes()) chunks[part].compute_again(begin, end, 0, tile_panels<T, C>(p));
        chunks[part].run(begin, end, 0, 1, nullptr);
      });
    }
    const index of_weights = weighs ? helpers : 0, of_x = p.dx == nullptr ? 0 : helpers;
    // an item's memory is its own: the item, not the thread, has a number
    parallel_for(of_weights + of_x, helpers, [&](index item) {
      if (item < of_weights) {
        weights[item].run(begin, end, int(item), helpers);
      } else {
        const index part = item - of_weights;
        input_gradients<T, C>(all, walk, begin, end, begin, part, helpers, chunks[part].from, chunks[part].to);
      }
    });
    end = begin;
  }
  finish_backward(all, !weights[0].begun);
}

}  // namespace unroll::UNROLL_ISA

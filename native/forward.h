// A recurrence from its first step to its last.
//
// Rows are cut into chunks, one for each thread, which run through all steps without waiting. Where there are
// fewer rows than would keep the threads busy, the units are cut instead, and the threads wait for each other at
// each step. The weights are packed once; the input's product is made for a block of steps at once where that
// reads the weights less often, or within each step.
#pragma once

#include "cells.h"
#include "pack_weights.h"
#include "row_cursor.h"
#include "workspace.h"

namespace unroll::UNROLL_ISA {

// A panel of the input's product, for rows whose gates are waiting for it.
template <class T, class C>
void project(const StepContext<T>& f, index rows, index panel) {
  constexpr int L = kLanes<T>;
  const int vectors = C::kColumns ? panel_vectors<T>(f.H, panel) : C::kX;
  with_constant<kPanel>(vectors, [&](auto nv) {
    constexpr int NV = decltype(nv)::value;
    const index unit = C::kColumns ? panel * kPanel * L : panel * L;
    const index apart = C::kColumns ? L : f.Hp;
    const T* const w_x = f.w_x + (C::kColumns ? panel_offset<T>(f.D, panel) : panel * f.D * NV * L);
    row_blocks<tile_rows(NV)>(rows, [&](index r, auto mr) {
      constexpr int MR = decltype(mr)::value;
      Vec<T> acc[MR][NV];
      for (int v = 0; v < NV; ++v) {
        const Vec<T> b = load(f.bias + v * apart + unit);
        for (int m = 0; m < MR; ++m) acc[m][v] = b;
      }
      product<T, 0, NV, true>(acc, f.x + r, w_x, f.D);
      for (int m = 0; m < MR; ++m) {
        for (int v = 0; v < NV; ++v) store(f.gates[r + m] + v * apart + unit, acc[m][v]);
      }
    });
  });
}

// One step of `rows` rows: a panel of its units.
template <class T, class C>
UNROLL_INLINE void step_panel(const StepContext<T>& f, index rows, index panel) {
  row_blocks<tile_rows(C::kColumns ? kPanel : C::kX)>(
      rows, [&](index r, auto mr) { C::template tile<T, decltype(mr)::value>(f, r, panel); });
}

// What comes after all units' panels: the panels of the second product.
template <class T, class C>
UNROLL_INLINE index second_panels(const Args& p) {
  if (C::kSecond) return column_panels<T>(p.H);
  return p.w_hr != nullptr ? column_panels<T>(p.R) : 0;
}

template <class T, class C>
void step_second(const StepContext<T>& f, index rows, index panel) {
  if constexpr (C::kSecond) {
    row_blocks<kRows>(rows, [&](index r, auto mr) { C::template second<T, decltype(mr)::value>(f, r, panel); });
  } else if (f.y != nullptr) {
    multiply<T, false>(rows, const_cast<const T* const*>(f.extra), f.H, f.w_second, f.R, panel, panel + 1, f.y, false);
  }
}

constexpr int kMostThreads = 256;

// How a call is cut.
struct Cut {
  int threads = 1;
  bool by_units = false;
  bool projected = false;
  index block = 1;  // steps whose input is multiplied at once
};

template <class T>
Cut cut_forward(const Args& p, const PackedRows& plan) {
  Cut cut;
  const double per_row = 2.0 * double(p.D + p.R) * p.gates() * double(p.H);
  if (per_row * double(plan.total()) > 4e5) cut.threads = p.threads < kMostThreads ? p.threads : kMostThreads;
  // A thread without a second row reads all weights for one; a step must be worth its wait.
  cut.by_units = cut.threads > 1 && p.B < 2 * cut.threads && per_row * double(p.B) > 2e5 && p.H >= 64;
  const index rows = cut.by_units ? p.B : (p.B + cut.threads - 1) / cut.threads;
  cut.projected = rows < 4 && p.D >= 4;
  if (cut.projected) cut.block = rows > 0 ? (16 * kRows + rows - 1) / rows : 1;
  return cut;
}

// Waking a thread takes longer than packing few weights.
UNROLL_INLINE int packing_threads(const Args& p, int threads) {
  return index(p.gates()) * p.H * (p.D + p.R) < (index(1) << 18) ? 1 : threads;
}

// The weights of a call as `tile` and `second` read them, and what a frame shares between rows.
template <class T, class C>
struct ForwardWeights {
  T *w_x, *w_h, *w_second, *bias, *zeros;

  UNROLL_INLINE void lay(Layout& out, const Args& p) {
    w_x = out.take<T>(tile_weights_size<T, C, C::kX>(p, p.D));
    w_h = out.take<T>(tile_weights_size<T, C, C::kH>(p, p.R));
    const index second = p.w_hr != nullptr ? p.R : p.H;
    w_second = second_panels<T, C>(p) ? out.take<T>(panels_size<T>(p.H, second)) : nullptr;
    bias = out.take<T>(C::kPlanes * p.padded());
    zeros = out.take<T>(p.R > p.padded() ? p.R : p.padded());
  }

  void pack(const Args& p, int threads) {
    const T* const w_hh = static_cast<const T*>(p.w_hh);
    pack_bias<T, C>(bias, p);
    for (index i = 0; i < p.R || i < p.padded(); ++i) zeros[i] = T(0);
    const index panels = tile_panels<T, C>(p), seconds = second_panels<T, C>(p);
    parallel_for(2 * panels + seconds, packing_threads(p, threads), [&](index item) {
      if (item < panels) {
        pack_tile_panel<T, C, C::kX>(w_x, static_cast<const T*>(p.w_ih), p.D, C::kBlockX, p, item);
      } else if (item < 2 * panels) {
        pack_tile_panel<T, C, C::kH>(w_h, w_hh, p.R, C::kBlockH, p, item - panels);
      } else if (p.w_hr != nullptr) {
        pack_transposed_panel<T>(w_second, static_cast<const T*>(p.w_hr), p.H, p.R, item - 2 * panels);
      } else {
        pack_transposed_panel<T>(w_second, w_hh + 2 * p.H * p.H, p.H, p.H, item - 2 * panels);
      }
    });
  }

  UNROLL_INLINE StepContext<T> frame(const Args& p) const {
    StepContext<T> f;
    f.D = p.D, f.H = p.H, f.R = p.R, f.Hp = p.padded();
    f.w_x = w_x, f.w_h = w_h, f.w_second = w_second, f.bias = bias;
    return f;
  }
};

// The pointers of a frame, for `rows` rows.
template <class T>
UNROLL_INLINE void lay_rows(StepContext<T>& f, Layout& out, index rows) {
  f.x = out.take<const T*>(rows);
  f.h = out.take<const T*>(rows);
  f.c_before = out.take<const T*>(rows);
  f.c = out.take<T*>(rows);
  f.y = out.take<T*>(rows);
  f.gates = out.take<T*>(rows);
  f.extra = out.take<T*>(rows);
}

// Ranks [first, last), by one thread or, cut by units, by all.
template <class T, class C>
struct ForwardChunk {
  const Args* p;
  const RowCursor<T>* walk;
  const Cut* cut;
  index first, last;
  T *c, *gates, *extra;  // each row's own, where nothing is saved

  index rows() const { return last - first; }
  UNROLL_INLINE index steps() const { return rows() > 0 ? walk->plan.length(first) : 0; }
  UNROLL_INLINE index active(index n) const {
    const index a = walk->plan.active(n);
    return (a < last ? a : last) - first;
  }

  static UNROLL_INLINE index lists(const Cut& how, index rows) { return how.projected ? how.block * rows : rows; }

  // What all threads of a chunk share.
  UNROLL_INLINE void lay(Layout& out) {
    const bool saved = p->saved != nullptr && !p->recompute;
    c = C::kTwoStates && p->saved == nullptr ? out.take<T>(rows() * p->padded()) : nullptr;
    const bool wanted = cut->projected || C::kSecond;
    const index width = C::kPlanes * p->padded();
    gates = wanted && (!saved || !C::kKeeps) ? out.take<T>(lists(*cut, rows()) * width) : nullptr;
    extra = p->w_hr != nullptr && !saved ? out.take<T>(rows() * p->padded()) : nullptr;
  }

  // Where step n's values of a row stand: among what is saved, or in this chunk's own memory.
  UNROLL_INLINE void place(const StepContext<T>& f, index k, index n) const {
    const index Hp = p->padded(), planes = C::kPlanes * Hp;
    T* const saved = p->saved == nullptr
                         ? nullptr
                         : static_cast<T*>(p->saved) + (walk->plan.offset(n) + first + k) * p->saved_width();
    if (gates != nullptr) {
      const index slot = cut->projected ? (n % cut->block) * rows() + k : k;
      f.gates[k] = gates + slot * planes;
    } else {
      f.gates[k] = saved;
    }
    if (C::kTwoStates) {
      f.c[k] = saved == nullptr ? c + k * Hp : p->recompute ? saved : saved + planes;
    }
    if (C::kSecond) {
      f.extra[k] = f.gates[k] + 3 * Hp;
    } else if (p->w_hr != nullptr) {
      f.extra[k] = extra != nullptr ? extra + k * Hp : saved + planes + Hp;
    }
  }

  void finish(index rank, const T* h, const T* c_last) const {
    const index b = walk->plan.row(rank);
    std::memcpy(static_cast<T*>(p->h) + b * p->R, h, p->R * sizeof(T));
    if (p->c != nullptr) std::memcpy(static_cast<T*>(p->c) + b * p->H, c_last, p->H * sizeof(T));
  }

  void clear_padding() const {
    for (index rank = first; rank < last; ++rank) {
      for (index t = walk->plan.length(rank); t < p->T; ++t) {
        T* const y = static_cast<T*>(p->y) + t * p->y_time + walk->plan.row(rank) * p->y_row;
        std::memset(y, 0, p->R * sizeof(T));
      }
    }
  }

  // `f` is this thread's own: its pointers hold lists() rows. It takes every `members`-th part of the panels.
  void run(StepContext<T> f, int member, int members, Barrier* barrier) const {
    const index panels = tile_panels<T, C>(*p), seconds = second_panels<T, C>(*p);
    const index begin = panels * member / members, end = panels * (member + 1) / members;
    const index begin_second = seconds * member / members, end_second = seconds * (member + 1) / members;
    f.keep = p->saved != nullptr && !p->recompute && C::kKeeps;
    f.projected = cut->projected;
    if (member == 0) clear_padding();
    for (index k = 0; k < rows(); ++k) {
      const index b = walk->plan.row(first + k);
      f.h[k] = static_cast<const T*>(p->h0) + b * p->R;
      f.c_before[k] = p->c0 == nullptr ? nullptr : static_cast<const T*>(p->c0) + b * p->H;
      if (member == 0 && walk->plan.length(first + k) == 0) finish(first + k, f.h[k], f.c_before[k]);
    }
    for (index n = 0; n < steps(); ++n) {
      if (cut->projected && n % cut->block == 0) {
        index count = 0;
        for (index m = n; m < n + cut->block && m < steps(); ++m) {
          for (index k = 0; k < active(m); ++k) place_input(f, count++, k, m);
        }
        for (index panel = begin; panel < end; ++panel) project<T, C>(f, count, panel);
      }
      const index a = active(n);
      for (index k = 0; k < a; ++k) {
        place(f, k, n);
        f.x[k] = walk->x(first + k, n);
        f.y[k] = walk->y(first + k, n);
        if (walk->reset(first + k, n)) f.h[k] = walk->reset_h(), f.c_before[k] = walk->reset_c();
      }
      for (index panel = begin; panel < end; ++panel) step_panel<T, C>(f, a, panel);
      if (seconds > 0) {
        if (barrier != nullptr) barrier->wait();
        for (index panel = begin_second; panel < end_second; ++panel) step_second<T, C>(f, a, panel);
      }
      if (barrier != nullptr) barrier->wait();
      for (index k = 0; k < a; ++k) f.h[k] = f.y[k], f.c_before[k] = f.c[k];
      if (member > 0) continue;
      for (index k = n + 1 < steps() ? active(n + 1) : 0; k < a; ++k) {
        if (walk->plan.length(first + k) == n + 1) finish(first + k, f.h[k], f.c_before[k]);
      }
    }
  }

  UNROLL_INLINE void place_input(const StepContext<T>& f, index at, index k, index n) const {
    f.x[at] = walk->x(first + k, n);
    if (gates != nullptr) {
      f.gates[at] = gates + ((n % cut->block) * rows() + k) * C::kPlanes * p->padded();
    } else {
      f.gates[at] = static_cast<T*>(p->saved) + (walk->plan.offset(n) + first + k) * p->saved_width();
    }
  }
};

// Bytes of weights packed ahead of a call, and the packing.
template <class T, class C>
std::size_t packed_bytes(const Args& p) {
  ForwardWeights<T, C> weights{};
  Layout count(nullptr);
  weights.lay(count, p);
  return std::size_t(count.used());
}

template <class T, class C>
void pack_weights(const Args& p) {
  ForwardWeights<T, C> weights{};
  Layout out(p.packed);
  weights.lay(out, p);
  weights.pack(p, p.threads);
}

template <class T, class C>
void forward(const Args& p, const PackedRows& plan) {
  const Cut cut = cut_forward<T>(p, plan);
  ForwardWeights<T, C> weights{};
  const Workspace own([&](Layout& out) {
    if (p.packed == nullptr) weights.lay(out, p);
  });
  if (p.packed == nullptr) {
    weights.pack(p, cut.threads);
  } else {
    Layout out(p.packed);
    weights.lay(out, p);
  }
  prefer_huge_pages(p.y, std::size_t(p.T * p.B * p.R) * sizeof(T));
  if (p.saved != nullptr) prefer_huge_pages(p.saved, std::size_t(plan.total() * p.saved_width()) * sizeof(T));
  const RowCursor<T> walk{p, plan, weights.zeros};

  // All memory is taken here: a thread that runs out of it could not say so.
  index bounds[kMostThreads + 1] = {0, p.B};
  const int parts = cut.by_units ? 1 : int(plan.cut(cut.threads, bounds));
  const int members = cut.by_units ? cut.threads : parts;
  ForwardChunk<T, C> chunks[kMostThreads];
  StepContext<T> frames[kMostThreads];
  const Workspace shared([&](Layout& out) {
    for (int k = 0; k < members; ++k) {
      if (k < parts) {
        chunks[k] = {&p, &walk, &cut, bounds[k], bounds[k + 1], nullptr, nullptr, nullptr};
        chunks[k].lay(out);
      }
      frames[k] = weights.frame(p);
      lay_rows(frames[k], out, ForwardChunk<T, C>::lists(cut, chunks[cut.by_units ? 0 : k].rows()));
    }
  });
  if (cut.by_units) {
    run_team(members,
             [&](int member, int count, Barrier& barrier) { chunks[0].run(frames[member], member, count, &barrier); });
  } else {
    parallel_for(parts, cut.threads, [&](index part) { chunks[part].run(frames[part], 0, 1, nullptr); });
  }
}

}  // namespace unroll::UNROLL_ISA

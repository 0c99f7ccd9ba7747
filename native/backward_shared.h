// What all threads share on the way back: packed weights, the gradients of the states, and where each step's gates are.
#pragma once

#include "forward.h"

namespace unroll::UNROLL_ISA {

constexpr index kRecomputed = 2048;  // rows and steps whose gates are computed again at once

// Weights for the way back, and what all threads share.
template <class T, class C>
struct Backward {
  const Args& p;
  const PackedRows& plan;
  Cut cut;
  index Hp, Rp;

  T *w_h, *w_x, *w_second, *zeros;
  T *dh, *dc, *dreset_h, *dreset_c;  // by rank
  T *own_gates, *d_output;           // by packed step: of a block, or of all
  std::uint8_t* live;                // likewise: whether there is a gradient
  T* sums;
  ForwardWeights<T, C> again;

  Backward(const Args& problem, const PackedRows& rows) : p(problem), plan(rows) {
    Hp = p.padded();
    Rp = (p.R + 15) / 16 * 16;
    cut = cut_forward<T>(p, plan);
    if (second()) cut.by_units = false;
    cut.projected = false;
  }

  bool second() const { return second_panels<T, C>(p) > 0; }
  bool recomputes() const { return p.recompute && C::kKeeps; }
  index gates_width() const { return !C::kKeeps ? Hp : recomputes() ? (C::kPlanes + 1) * Hp : p.saved_width(); }

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
    if (C::kSecond) w_second = out.take<T>(panels_size<T>(p.H, p.H));
    zeros = out.take<T>(p.R > Hp ? p.R : Hp);
    dh = out.take<T>(p.B * Rp);
    dc = p.c0 == nullptr ? nullptr : out.take<T>(p.B * Hp);
    dreset_h = p.dreset_h == nullptr ? nullptr : out.take<T>(p.B * Rp);
    dreset_c = p.dreset_c == nullptr ? nullptr : out.take<T>(p.B * Hp);
    own_gates = !C::kKeeps || recomputes() ? out.take<T>(most_packed() * gates_width()) : nullptr;
    d_output = p.w_hr == nullptr ? nullptr : out.take<T>(most_packed() * Rp);
    live = out.take<std::uint8_t>(most_packed());
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
    parallel_for(of_h + of_x + of_second, packing_threads(p, cut.threads), [&](index item) {
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
  UNROLL_INLINE std::uint8_t& alive(index n, index rank, index n0) const {
    return live[plan.offset(n) + rank - plan.offset(n0)];
  }
  UNROLL_INLINE T* cell(index n, index rank) const {
    T* const row = static_cast<T*>(p.saved) + (plan.offset(n) + rank) * p.saved_width();
    return p.recompute ? row : row + C::kPlanes * Hp;
  }
  UNROLL_INLINE T* projected(index n, index rank, index n0) const {  // what a projection was made of
    return recomputes() ? gates(n, rank, n0) + C::kPlanes * Hp : cell(n, rank) + Hp;
  }
};

}  // namespace unroll::UNROLL_ISA

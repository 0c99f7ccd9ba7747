// Rows on their way back: their gates become the gradients of the pre-activations, in place.
//
// With `recompute` the gates of a block of steps are computed again first: all states are known, so the block's
// steps need not wait for each other.
//
// A step of a row whose gradients of h and c are all zero is left out: its gates' gradients would be zero too. So it
// is between two outputs that a loss looks at, and before the first of them once the gradient has vanished.
#pragma once

#include "backward_shared.h"

namespace unroll::UNROLL_ISA {

constexpr index kList = 32 * kRows;  // rows multiplied at once where there is no order to keep

// Whether any of n numbers is not zero (NaN is not), or not finite.
template <bool FINITE, class T>
UNROLL_INLINE bool any(const T* of, index n) {
  constexpr index kMany = 16;
  if (!FINITE && n > 0 && *of != T(0)) return true;
  index i = 0;
  for (; i + kMany <= n; i += kMany) {
    int found = 0;
    for (index k = i; k < i + kMany; ++k) found |= FINITE ? !(of[k] - of[k] == T(0)) : of[k] != T(0);
    if (found) return true;
  }
  for (; i < n; ++i) {
    if (FINITE ? !(of[i] - of[i] == T(0)) : of[i] != T(0)) return true;
  }
  return false;
}

// Ranks [first, last) on the way back.
template <class T, class C>
struct BackwardChunk {
  const Backward<T, C>* all;
  const RowCursor<T>* walk;
  index first, last;
  T* d_second;     // (rows, Hp): the gradient of r * h, or of what is projected
  const T** from;  // (kList or rows,)
  T** to;
  index* ranks;      // (rows,): those that have a gradient
  StepContext<T> f;  // to compute gates again

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
    ranks = out.take<index>(rows());
    if (all->recomputes()) {
      f = all->again.frame(all->p);
      lay_rows(f, out, list());
    }
  }

  const T* c_before(index rank, index n) const {
    const Args& p = all->p;
    if (p.c0 == nullptr) return nullptr;
    if (walk->reset(rank, n)) return walk->reset_c();
    return n > 0 ? all->cell(n - 1, rank) : static_cast<const T*>(p.c0) + all->plan.row(rank) * p.H;
  }

  // The gates of steps [begin, end): states are known, so rows and steps are all alike.
  void compute_again(index begin, index end, index begin_panel, index end_panel) {
    const Args& p = all->p;
    f.keep = true;
    T** const no_outputs = nullptr;
    index count = 0;
    const auto flush = [&] {
      StepContext<T> g = f;
      g.y = no_outputs;
      for (index panel = begin_panel; panel < end_panel; ++panel) step_panel<T, C>(g, count, panel);
      for (index panel = 0; panel < second_panels<T, C>(p); ++panel) step_second<T, C>(g, count, panel);
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
        if (C::kSecond) f.extra[count] = f.gates[count] + 3 * all->Hp;
        if (p.w_hr != nullptr) f.extra[count] = all->projected(n, rank, begin);
        if (++count == list()) flush();
      }
    }
    if (count > 0) flush();
  }

  // Steps [begin, end) from the last to the first; a member takes its part of the units.
  void run(index begin, index end, int member, int members, Barrier* barrier) {
    const Args& p = all->p;
    constexpr int L = kLanes<T>;
    const index Hp = all->Hp, Rp = all->Rp, panels = column_panels<T>(p.R);
    const index begin_panel = panels * member / members, end_panel = panels * (member + 1) / members;
    const index u0 = begin_panel * kPanel * L;
    const index u1 = member + 1 == members ? Rp : end_panel * kPanel * L;
    for (index n = end; n-- > begin;) {
      const index a = active(n), later = active(n + 1);
      index count = 0;
      for (index k = 0; k < a; ++k) {
        const index rank = first + k, b = all->plan.row(rank);
        T* const dh = all->dh + rank * Rp;
        if (k >= later) start(rank, b, u0, u1);
        if (p.dy != nullptr) {
          const T* const dy = static_cast<const T*>(p.dy) + walk->time(rank, n) * p.dy_time + b * p.dy_row;
          for (index u = u0; u < u1; u += L) store(dh + u, load(dh + u) + load_first(dy + u, p.R - u));
        }
        if (n > begin) fetch_ahead(n - 1, begin, rank, b, u0, u1);
        if (has_gradient(rank, n, u0, u1)) {
          ranks[count++] = rank;
        } else if (barrier != nullptr) {  // another member's units may have one
          for (int g = 0; g < C::kPlanes; ++g) {
            std::memset(all->gates(n, rank, begin) + g * Hp + u0, 0, (u1 - u0) * sizeof(T));
          }
        }
      }
      for (index k = 0; k < count; ++k) __atomic_store_n(&all->alive(n, ranks[k], begin), 1, __ATOMIC_RELAXED);
      if (p.w_hr != nullptr) unproject(n, begin, count);
      for (index k = 0; k < count; ++k) back(n, begin, k, u0, p.w_hr == nullptr ? u1 : Hp);
      if constexpr (C::kSecond) back_reset(n, begin, count);
      if (barrier != nullptr) barrier->wait();
      count = 0;
      for (index k = 0; k < a; ++k) {
        if (__atomic_load_n(&all->alive(n, first + k, begin), __ATOMIC_RELAXED) == 0) continue;
        from[count] = all->gates(n, first + k, begin) + C::kFirstH * Hp;
        to[count++] = all->dh + (first + k) * Rp;
      }
      multiply<T, C::kDirect>(count, from, C::kH * Hp, all->w_h, p.R, begin_panel, end_panel, to, true);
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

  // What the step before will read: processors look ahead in ascending order only.
  UNROLL_INLINE void fetch_ahead(index n, index begin, index rank, index b, index u0, index u1) const {
    const Args& p = all->p;
    constexpr index kLine = 64 / sizeof(T);
    const index c1 = u1 < all->Hp ? u1 : all->Hp;
    const T* const dy =
        p.dy == nullptr ? nullptr : static_cast<const T*>(p.dy) + walk->time(rank, n) * p.dy_time + b * p.dy_row;
    const T* const state = !C::kKeeps ? walk->y(rank, n) : walk->h_before(rank, n);
    for (index u = u0; u < u1; u += kLine) {
      if (dy != nullptr) __builtin_prefetch(dy + u);
      if (p.c0 == nullptr) __builtin_prefetch(state + u);
    }
    if (all->own_gates != nullptr) return;
    const T* const gates = all->gates(n, rank, begin);
    for (index u = u0; u < c1; u += kLine) {
      for (index plane = 0; plane * all->Hp < all->gates_width(); ++plane)
        __builtin_prefetch(gates + plane * all->Hp + u);
    }
  }

  // Whether any gradient of units [u0, u1) is not zero, or an input, output or state is so that zero times it is NaN.
  UNROLL_INLINE bool has_gradient(index rank, index n, index u0, index u1) const {
    const Args& p = all->p;
    const index c1 = p.w_hr == nullptr ? u1 : all->Hp;
    return any<false>(all->dh + rank * all->Rp + u0, u1 - u0) ||
           (p.c0 != nullptr && any<false>(all->dc + rank * all->Hp + u0, c1 - u0)) ||
           (p.c0 != nullptr && any<true>(c_before(rank, n), p.H)) || any<true>(walk->x(rank, n), p.D) ||
           any<true>(walk->h_before(rank, n), p.R) || any<true>(walk->y(rank, n), p.R);
  }

  // The gradient at a row's last step is that of its final state.
  UNROLL_INLINE void start(index rank, index b, index u0, index u1) const {
    const Args& p = all->p;
    constexpr int L = kLanes<T>;
    T* const dh = all->dh + rank * all->Rp;
    for (index u = u0; u < u1 && p.dh != nullptr; u += L) {
      store(dh + u, load_first(static_cast<const T*>(p.dh) + b * p.R + u, p.R - u));
    }
    if (p.dc == nullptr) return;
    T* const dc = all->dc + rank * all->Hp;
    const index c1 = p.w_hr == nullptr ? u1 : all->Hp;
    for (index u = u0; u < c1; u += L) {
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

  UNROLL_INLINE void back(index n, index begin, index k, index u0, index u1) const {
    const Args& p = all->p;
    const index rank = ranks[k];
    BackRow<T> s;
    s.H = p.H, s.Hp = all->Hp, s.u0 = u0, s.u1 = u1;
    s.gates = all->gates(n, rank, begin);
    s.h_before = walk->h_before(rank, n);
    s.c_before = c_before(rank, n);
    s.c = p.c0 == nullptr ? nullptr : all->cell(n, rank);
    s.y = walk->y(rank, n);
    s.dh = p.w_hr == nullptr ? all->dh + rank * all->Rp : d_second + k * all->Hp;
    s.dc = p.c0 == nullptr ? nullptr : all->dc + rank * all->Hp;
    C::back(s);
  }

  // From the gradient of the outputs to that of what was projected.
  void unproject(index n, index begin, index count) {
    const Args& p = all->p;
    for (index k = 0; k < count; ++k) {
      const T* const dh = all->dh + ranks[k] * all->Rp;
      T* const kept = all->d_output + (all->plan.offset(n) + ranks[k] - all->plan.offset(begin)) * all->Rp;
      std::memcpy(kept, dh, all->Rp * sizeof(T));
      from[k] = dh;
      to[k] = d_second + k * all->Hp;
      std::memset(to[k], 0, all->Hp * sizeof(T));
    }
    multiply<T, false>(count, from, p.R, all->w_second, p.H, 0, column_panels<T>(p.H), to, true);
  }

  // Through the candidate's product to r.
  void back_reset(index n, index begin, index count) {
    const Args& p = all->p;
    for (index k = 0; k < count; ++k) {
      from[k] = all->gates(n, ranks[k], begin) + 2 * all->Hp;
      to[k] = d_second + k * all->Hp;
      std::memset(to[k], 0, all->Hp * sizeof(T));
    }
    multiply<T, false>(count, from, p.H, all->w_second, p.H, 0, column_panels<T>(p.H), to, true);
    for (index k = 0; k < count; ++k) {
      const index rank = ranks[k];
      BackRow<T> s{};
      s.H = p.H, s.Hp = all->Hp, s.u0 = 0, s.u1 = all->Hp;
      s.gates = all->gates(n, rank, begin);
      s.h_before = walk->h_before(rank, n);
      s.dh = all->dh + rank * all->Rp;
      C::back_reset(s, to[k]);
    }
  }
};

}  // namespace unroll::UNROLL_ISA

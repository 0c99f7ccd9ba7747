// Where each row stands at each of its steps.
#pragma once

#include "args.h"

namespace unroll::UNROLL_ISA {

template <class T>
struct RowCursor {
  const Args& p;
  const PackedRows& plan;
  const T* zeros;  // the state after a reset where none is given

  // The time of a row's n-th step.
  UNROLL_INLINE index time(index rank, index n) const { return p.reverse ? plan.length(rank) - 1 - n : n; }

  UNROLL_INLINE const T* x(index rank, index n) const {
    return static_cast<const T*>(p.x) + time(rank, n) * p.x_time + plan.row(rank) * p.x_row;
  }
  UNROLL_INLINE T* y(index rank, index n) const {
    return static_cast<T*>(p.y) + time(rank, n) * p.y_time + plan.row(rank) * p.y_row;
  }

  // Whether a border lies between the row's steps n - 1 and n, or before its first.
  UNROLL_INLINE bool reset(index rank, index n) const {
    if (p.resets == nullptr || (p.reverse && n == 0)) return false;
    const index t = p.reverse ? plan.length(rank) - n : n;
    return p.resets[t * p.resets_time + plan.row(rank) * p.resets_row] != 0;
  }

  UNROLL_INLINE const T* reset_h() const { return p.reset_h == nullptr ? zeros : static_cast<const T*>(p.reset_h); }
  UNROLL_INLINE const T* reset_c() const { return p.reset_c == nullptr ? zeros : static_cast<const T*>(p.reset_c); }

  // The state that the row's n-th step starts from.
  UNROLL_INLINE const T* h_before(index rank, index n) const {
    if (reset(rank, n)) return reset_h();
    return n > 0 ? y(rank, n - 1) : static_cast<const T*>(p.h0) + plan.row(rank) * p.R;
  }
};

}  // namespace unroll::UNROLL_ISA

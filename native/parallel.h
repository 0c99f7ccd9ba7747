// Threads for functions of one instruction set.
#pragma once

#include "problem.h"
#include "threads.h"

namespace unroll::UNROLL_ISA {

template <class F>
UNROLL_INLINE void each(index items, int threads, const F& work) {
  unroll::each(
      items, threads, [](void* data, index item) { (*static_cast<const F*>(data))(item); }, const_cast<F*>(&work));
}

template <class F>
UNROLL_INLINE void team(int threads, const F& work) {
  unroll::team(
      threads,
      [](void* data, int member, int members, Barrier& barrier) {
        (*static_cast<const F*>(data))(member, members, barrier);
      },
      const_cast<F*>(&work));
}

}  // namespace unroll::UNROLL_ISA

// Threads for functions of one instruction set.
#pragma once

#include "args.h"
#include "threads.h"

namespace unroll::UNROLL_ISA {

template <class F>
UNROLL_INLINE void parallel_for(index items, int threads, const F& work) {
  unroll::parallel_for(
      items, threads, [](void* data, index item) { (*static_cast<const F*>(data))(item); }, const_cast<F*>(&work));
}

template <class F>
UNROLL_INLINE void run_team(int threads, const F& work) {
  unroll::run_team(
      threads,
      [](void* data, int member, int members, Barrier& barrier) {
        (*static_cast<const F*>(data))(member, members, barrier);
      },
      const_cast<F*>(&work));
}

}  // namespace unroll::UNROLL_ISA

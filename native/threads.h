// Threads, and how they treat subnormal numbers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "args.h"

namespace unroll {

// The entry points of the OpenMP that PyTorch runs on, so that its threads serve the kernels too: two pools
// in one process fight for the cores. All null: each call starts threads of its own.
void set_pool(std::uintptr_t parallel, std::uintptr_t thread_num, std::uintptr_t num_threads);

// The calling thread treats subnormal numbers as zero; the mode it had is restored.
class Flushed {
 public:
#if defined(__x86_64__)
  UNROLL_INLINE Flushed() : before_(_mm_getcsr()) { _mm_setcsr(unsigned(before_) | 0x8040u); }  // FTZ and DAZ
  UNROLL_INLINE ~Flushed() { _mm_setcsr(unsigned(before_)); }
#elif defined(__aarch64__)
  UNROLL_INLINE Flushed() {
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(before_));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(before_ | (1ul << 24)));
  }
  UNROLL_INLINE ~Flushed() { __asm__ __volatile__("msr fpcr, %0" : : "r"(before_)); }
#else
  Flushed() = default;
#endif
  Flushed(const Flushed&) = delete;
  Flushed& operator=(const Flushed&) = delete;

 private:
  std::uint64_t before_ = 0;
};

// Threads that wait for each other.
class Barrier {
 public:
  explicit Barrier(int count) : count_(count) {}
  void wait();

 private:
  const int count_;
  std::atomic<int> arrived_{0};
  std::atomic<int> round_{0};
};

// work(data, item) for each of `items`, on up to `threads` threads, in any order. Subnormal numbers are
// flushed on each; the mode they had is restored.
void parallel_for(std::ptrdiff_t items, int threads, void (*work)(void* data, std::ptrdiff_t item), void* data);

// work(data, member, members, barrier) on as many threads at once as can be had, at most `threads`.
void run_team(int threads, void (*work)(void* data, int member, int members, Barrier& barrier), void* data);

}  // namespace unroll

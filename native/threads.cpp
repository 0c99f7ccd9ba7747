#include "threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <new>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace unroll {
namespace {

struct Pool {
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  int (*thread_num)() = nullptr;
  int (*num_threads)() = nullptr;
};

Pool pool;
// A child of fork() has none of its parent's threads, and GNU's OpenMP waits for them forever.
std::atomic<bool> forked{false};

void pause(int spins) {
  if (spins > 2000) {
    sched_yield();  // whoever is waited for may want this core
    return;
  }
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

using Member = std::function<void(int, int)>;

// member(k, count) for k from 0 to count - 1, all at once, where count is at most `threads`.
void together(int threads, const Member& member) {
  if (threads <= 1) {
    const Flushed flushed;
    member(0, 1);
    return;
  }
  if (pool.parallel != nullptr && !forked.load(std::memory_order_relaxed)) {
    pool.parallel(
        [](void* data) {
          const Flushed flushed;
          (*static_cast<const Member*>(data))(pool.thread_num(), pool.num_threads());
        },
        const_cast<Member*>(&member), unsigned(threads), 0);
    return;
  }
  std::vector<std::thread> others;
  std::atomic<int> count{0};  // known once it is known how many could be started
  const auto wait = [&count] {
    for (int spins = 0; count.load(std::memory_order_acquire) == 0; ++spins) pause(spins);
    return count.load(std::memory_order_relaxed);
  };
  try {
    others.reserve(threads);
    for (int k = 1; k < threads; ++k) {
      others.emplace_back([&member, &wait, k] {
        const Flushed flushed;
        member(k, wait());
      });
    }
  } catch (const std::exception&) {
    // fewer will do
  }
  count.store(int(others.size()) + 1, std::memory_order_release);
  {
    const Flushed flushed;
    member(0, int(others.size()) + 1);
  }
  for (std::thread& t : others) t.join();
}

}  // namespace

void set_pool(std::uintptr_t parallel, std::uintptr_t thread_num, std::uintptr_t num_threads) {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
  (void)registered;
  pool.parallel = reinterpret_cast<decltype(pool.parallel)>(parallel);
  pool.thread_num = reinterpret_cast<decltype(pool.thread_num)>(thread_num);
  pool.num_threads = reinterpret_cast<decltype(pool.num_threads)>(num_threads);
}

void Barrier::wait() {
  if (count_ == 1) return;
  const int round = round_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) pause(spins);
}

void parallel_for(std::ptrdiff_t items, int threads, void (*work)(void*, std::ptrdiff_t), void* data) {
  std::atomic<std::ptrdiff_t> next{0};
  together(int(std::min<std::ptrdiff_t>(items, threads)), [&](int, int) {
    for (std::ptrdiff_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < items;) work(data, i);
  });
}

void run_team(int threads, void (*work)(void*, int, int, Barrier&), void* data) {
  alignas(Barrier) unsigned char storage[sizeof(Barrier)];
  std::atomic<Barrier*> barrier{nullptr};
  together(threads, [&](int member, int members) {
    if (member == 0) barrier.store(new (storage) Barrier(members), std::memory_order_release);
    for (int spins = 0; barrier.load(std::memory_order_acquire) == nullptr; ++spins) pause(spins);
    work(data, member, members, *barrier.load(std::memory_order_relaxed));
  });
}

}  // namespace unroll

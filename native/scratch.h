// Memory for the length of a call, kept for the next one.
#pragma once

#include <cstddef>

#include "problem.h"

namespace unroll {

// At least `bytes` bytes at an address of 64; std::bad_alloc if there are none.
void* take_scratch(std::size_t bytes);
void give_scratch(void* memory);

// Fewer and cheaper page faults in memory that has not been touched yet.
void prefer_huge_pages(void* memory, std::size_t bytes);

}  // namespace unroll

namespace unroll::UNROLL_ISA {

// Laid out twice by the same code: first to count, then to hand out.
class Layout {
 public:
  explicit Layout(void* base) : base_(static_cast<char*>(base)) {}

  template <class T>
  UNROLL_INLINE T* take(index count) {
    char* const at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (count * index(sizeof(T)) + 63) / 64 * 64;
    return reinterpret_cast<T*>(at);
  }
  UNROLL_INLINE index used() const { return used_; }

 private:
  char* base_;
  index used_ = 0;
};

template <class Lay>
class Scratch {
 public:
  // lay(Layout&) hands out what is needed.
  UNROLL_INLINE explicit Scratch(const Lay& lay) {
    Layout count(nullptr);
    lay(count);
    memory_ = take_scratch(std::size_t(count.used()));
    Layout out(memory_);
    lay(out);
  }
  UNROLL_INLINE ~Scratch() { give_scratch(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

 private:
  void* memory_;
};

}  // namespace unroll::UNROLL_ISA

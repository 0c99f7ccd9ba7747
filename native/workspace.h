// Memory for the length of a call, kept for the next one.
#pragma once

#include <cstddef>

#include "args.h"

namespace unroll {

// At least `bytes` bytes at an address of 64; std::bad_alloc if there are none.
void* take_workspace(std::size_t bytes);
void give_workspace(void* memory);

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
class Workspace {
 public:
  // lay(Layout&) hands out what is needed.
  UNROLL_INLINE explicit Workspace(const Lay& lay) {
    Layout count(nullptr);
    lay(count);
    memory_ = take_workspace(std::size_t(count.used()));
    Layout out(memory_);
    lay(out);
  }
  UNROLL_INLINE ~Workspace() { give_workspace(memory_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

 private:
  void* memory_;
};

}  // namespace unroll::UNROLL_ISA

#include "workspace.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

namespace unroll {
namespace {

constexpr std::size_t kKept = std::size_t(64) << 20;  // more than this is given back at once
constexpr std::size_t kHugePage = std::size_t(2) << 20;

// Memory knows its size: it lies in front of what is handed out.
std::size_t& size_of(void* memory) { return *reinterpret_cast<std::size_t*>(static_cast<char*>(memory) - 64); }

void* begin_of(void* memory) { return static_cast<char*>(memory) - 64; }

// A calling thread's own: blocks that it gave back.
struct Kept {
  static constexpr int kBlocks = 4;
  void* blocks[kBlocks] = {};

  ~Kept() {
    for (void* b : blocks) {
      if (b != nullptr) std::free(begin_of(b));
    }
  }
};

thread_local Kept kept;

}  // namespace

void* take_workspace(std::size_t bytes) {
  void** best = nullptr;
  for (void*& b : kept.blocks) {
    if (b != nullptr && size_of(b) >= bytes && (best == nullptr || size_of(b) < size_of(*best))) best = &b;
  }
  if (best != nullptr) {
    void* const memory = *best;
    *best = nullptr;
    return memory;
  }
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  const std::size_t whole = (bytes + 64 + alignment - 1) / alignment * alignment;
  void* begin = nullptr;
  if (posix_memalign(&begin, alignment, whole) != 0) throw std::bad_alloc();
  prefer_huge_pages(begin, whole);
  void* const memory = static_cast<char*>(begin) + 64;
  size_of(memory) = whole - 64;
  return memory;
}

void give_workspace(void* memory) {
  if (size_of(memory) <= kKept) {
    // The smallest makes room: a free place counts as nothing.
    void** smallest = kept.blocks;
    for (void*& b : kept.blocks) {
      if (*smallest != nullptr && (b == nullptr || size_of(b) < size_of(*smallest))) smallest = &b;
    }
    if (*smallest == nullptr || size_of(*smallest) < size_of(memory)) {
      void* const other = *smallest;
      *smallest = memory;
      memory = other;
    }
  }
  if (memory != nullptr) std::free(begin_of(memory));
}

void prefer_huge_pages(void* memory, std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t begin = (at + kHugePage - 1) / kHugePage * kHugePage, end = (at + bytes) / kHugePage * kHugePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)memory, (void)bytes;
#endif
}

}  // namespace unroll

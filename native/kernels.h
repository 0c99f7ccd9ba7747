// The kernels of one instruction set.
#pragma once

#include "args.h"

namespace unroll {

struct Kernels {
  const char* name;
  void (*forward)(const Args&, const PackedRows&);
  void (*backward)(const Args&, const PackedRows&);
  void (*step)(const StepArgs&);
  std::size_t (*packed_bytes)(const Args&);  // of `packed`
  void (*pack)(const Args&);                 // weights and biases to `packed`
  std::size_t (*linear_bytes)(const LinearArgs&);
  void (*pack_linear)(const LinearArgs&);
  void (*linear)(const LinearArgs&);
  void (*attend)(const AttendArgs&);
  void (*top)(const TopArgs&);
  void (*cross_entropy)(const CrossEntropyArgs&);
  void (*cross_entropy_backward)(const CrossEntropyArgs&);
};

namespace portable {
extern const Kernels kKernels;
}
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}

}  // namespace unroll

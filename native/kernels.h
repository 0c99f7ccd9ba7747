// The kernels of one instruction set.
#pragma once

#include "args.h"

namespace unroll {

struct Kernels {
  const char* name;
  void (*forward)(const Args&, const PackedRows&);
  void (*backward)(const Args&, const PackedRows&);
  void (*step)(const StepArgs&);
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

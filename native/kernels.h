// The kernels of one instruction set.
#pragma once

#include "problem.h"

namespace unroll {

struct Kernels {
  const char* name;
  void (*forward)(const Problem&, const Plan&);
  void (*backward)(const Problem&, const Plan&);
  void (*step)(const StepProblem&);
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

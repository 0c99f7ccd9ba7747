// Which instruction set is used.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace unroll {

// Those built that this processor can run, best first.
std::vector<const Kernels*> runnable();

// The one in use: the best, or the one that the environment variable UNROLL_ISA names.
const Kernels& chosen();

// Another from now on; std::invalid_argument if it cannot be run here.
void choose(const std::string& name);

}  // namespace unroll

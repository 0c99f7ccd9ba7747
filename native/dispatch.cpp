#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace unroll {
namespace {

const Kernels& named(const std::string& name) {
  std::string names;
  for (const Kernels* k : runnable()) {
    if (name == k->name) return *k;
    names += std::string(names.empty() ? "" : ", ") + k->name;
  }
  throw std::invalid_argument("there is no instruction set '" + name + "' here; there are: " + names);
}

std::atomic<const Kernels*>& present() {
  static std::atomic<const Kernels*> kernels = [] {
    const char* const wanted = std::getenv("UNROLL_ISA");
    if (wanted == nullptr || *wanted == '\0') return runnable().front();
    try {
      return &named(wanted);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(std::string("UNROLL_ISA: ") + error.what());
    }
  }();
  return kernels;
}

}  // namespace

std::vector<const Kernels*> runnable() {
  std::vector<const Kernels*> found;
#ifdef UNROLL_HAVE_AVX512
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw")) {
    found.push_back(&avx512::kKernels);
  }
#endif
#ifdef UNROLL_HAVE_AVX2
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2::kKernels);
#endif
  found.push_back(&portable::kKernels);
  return found;
}

const Kernels& chosen() { return *present().load(); }

void choose(const std::string& name) { present().store(&named(name)); }

}  // namespace unroll

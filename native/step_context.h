// What the cells' arithmetic works on: packed weights, and pointers to each row's present step.
#pragma once

#include "args.h"
#include "gemm.h"

namespace unroll::UNROLL_ISA {

// A plane is one gate of all units, padded to Hp; a row's gates are its planes side by side.
template <class T>
struct StepContext {
  index D = 0, H = 0, R = 0, Hp = 0;
  const T* w_x = nullptr;       // input weights, packed for `tile`
  const T* w_h = nullptr;       // recurrent weights, packed for `tile`
  const T* w_second = nullptr;  // for `second`: the candidate's recurrent weights, or the projection
  const T* bias = nullptr;      // (planes, Hp)
  bool keep = false;            // write the gates' values where the pre-activations stood
  bool projected = false;       // the gates' rows already hold bias and input

  // By row.
  const T** x = nullptr;
  const T** h = nullptr;         // the state before the step: (R,)
  const T** c_before = nullptr;  // (H,)
  T** c = nullptr;               // (Hp,)
  T** y = nullptr;               // (R,), or null: outputs are not wanted
  T** gates = nullptr;           // (planes, Hp)
  T** extra = nullptr;           // (Hp,): r * h, or what is to be projected
};

// The accumulators before the recurrent product: bias and input, which the first N planes have.
template <class T, int N, int MR, int NV>
UNROLL_INLINE void begin(Vec<T> (&acc)[MR][NV], const StepContext<T>& f, index r, index unit, const T* w_x) {
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) {
    const Vec<T> b = load(f.bias + v * f.Hp + unit);
    const bool given = v < N && f.projected;
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) acc[m][v] = given ? load(f.gates[r + m] + v * f.Hp + unit) : b;
  }
  if (!f.projected) product<T, 0, N, true>(acc, f.x + r, w_x, f.D);
}

}  // namespace unroll::UNROLL_ISA

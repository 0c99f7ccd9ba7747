// One step of a stack of layers, with as little around it as can be.
//
// For few rows the weights are read once, as they lie: packing them would take longer than the step.
#pragma once

#include "cells.h"
#include "forward.h"
#include "threads.h"

namespace unroll::UNROLL_ISA {

constexpr index kFewRows = 5;

// The sums over all lanes of kLanes vectors, side by side.
template <class T>
UNROLL_INLINE Vec<T> sums(Vec<T> (&v)[kLanes<T>]) {
#pragma GCC unroll 8
  for (int half = kLanes<T> / 2; half > 0; half /= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < half; ++i) v[i] = interleave_low(v[i], v[i + half]) + interleave_high(v[i], v[i + half]);
  }
  return v[0];
}

// The products of `count` rows of a matrix (rows, K) with a vector.
template <class T>
UNROLL_INLINE Vec<T> dot_rows(const T* matrix, const T* vector, index K, index count) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[L] = {};
  if (count >= L) {
    index k = 0;
    for (; k + L <= K; k += L) {
      const Vec<T> x = load(vector + k);
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) acc[i] = fma<T>(load(matrix + i * K + k), x, acc[i]);
    }
    if (k < K) {
      const Vec<T> x = load_first(vector + k, K - k);
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) acc[i] = fma<T>(load_first(matrix + i * K + k, K - k), x, acc[i]);
    }
  } else {
    for (int i = 0; i < count; ++i) {
      for (index k = 0; k < K; k += L) {
        acc[i] = fma<T>(load_first(matrix + i * K + k, K - k), load_first(vector + k, K - k), acc[i]);
      }
    }
  }
  return sums<T>(acc);
}

// One row through one layer.
template <class T, class C>
void step_row(index D, const T* const* w, const T* x, const LiveRow<T>& row) {
  constexpr int L = kLanes<T>;
  const index H = row.H;
  for (index u = 0; u < H; u += L) {
    const index n = H - u;
    const auto input = [&](int gate) {
      const Vec<T> sum = dot_rows(w[0] + (gate * H + u) * D, x, D, n);
      return w[2] == nullptr ? sum : sum + load_first(w[2] + gate * H + u, n);
    };
    const auto recurrent = [&](int gate) {
      const Vec<T> sum = dot_rows(w[1] + (gate * H + u) * H, row.h, H, n);
      return w[3] == nullptr ? sum : sum + load_first(w[3] + gate * H + u, n);
    };
    C::template live<T>(input, recurrent, row, u);
  }
}

template <class T, class C>
void step(const StepArgs& p) {
  const bool few = p.B <= kFewRows && !C::kSecond && p.weights[4] == nullptr;
  const Flushed flushed;
  for (index layer = 0; layer < p.layers; ++layer) {
    const void* const* const w = p.weights + 5 * layer;
    const index at_h = layer * p.B * p.R, at_c = layer * p.B * p.H, D = layer == 0 ? p.D : p.R;
    const T* const x = layer == 0 ? static_cast<const T*>(p.x) : static_cast<const T*>(p.h_after) + at_h - p.B * p.R;
    const T* const h = static_cast<const T*>(p.h) + at_h;
    T* const h_after = static_cast<T*>(p.h_after) + at_h;
    const T* const c = p.c == nullptr ? nullptr : static_cast<const T*>(p.c) + at_c;
    T* const c_after = p.c == nullptr ? nullptr : static_cast<T*>(p.c_after) + at_c;
    if constexpr (!C::kSecond) {
      for (index b = 0; few && b < p.B; ++b) {
        LiveRow<T> row{p.H, h + b * p.R, nullptr, h_after + b * p.R, nullptr};
        if constexpr (C::kTwoStates) row.c = c + b * p.H, row.c_after = c_after + b * p.H;
        step_row<T, C>(D, reinterpret_cast<const T* const*>(w), x + b * D, row);
      }
      if (few) continue;
    }
    Args whole;
    whole.cell = p.cell, whole.is_double = p.is_double, whole.threads = p.threads;
    whole.T = 1, whole.B = p.B, whole.D = D, whole.H = p.H, whole.R = p.R;
    whole.x = x, whole.x_row = D;
    whole.w_ih = w[0], whole.w_hh = w[1], whole.b_ih = w[2], whole.b_hh = w[3], whole.w_hr = w[4];
    whole.h0 = h, whole.c0 = c;
    whole.y = p.y, whole.y_row = p.R;
    whole.h = h_after, whole.c = c_after;
    PackedRows plan;
    plan.rows = p.B, plan.steps = 1;
    forward<T, C>(whole, plan);
  }
  if (few) std::memcpy(p.y, static_cast<T*>(p.h_after) + (p.layers - 1) * p.B * p.R, p.B * p.R * sizeof(T));
}

}  // namespace unroll::UNROLL_ISA

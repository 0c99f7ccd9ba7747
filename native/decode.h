// What a decoder needs beside its recurrence, for rows whose numbers do not depend on the rows beside them: a linear
// map with packed weights, attention over rows of a shared memory, and the largest numbers of each row.
#pragma once

#include <cmath>
#include <limits>

#include "activations.h"
#include "pack_weights.h"

namespace unroll::UNROLL_ISA {

// A matrix (columns, K), laid out as `linear` reads it.
template <class T>
void pack_linear(const LinearArgs& p) {
  T* const packed = static_cast<T*>(p.packed);
  parallel_for(column_panels<T>(p.columns), p.threads, [&](index panel) {
    pack_transposed_panel<T>(packed, static_cast<const T*>(p.weight), p.K, p.columns, panel);
  });
}

// out[row] = x[row] times the matrix, plus the bias, and tanh of it if asked.
template <class T>
void linear(const LinearArgs& p) {
  constexpr int L = kLanes<T>;
  constexpr index kBlock = 96;  // rows whose x stays near while a panel is read
  const T* const x = static_cast<const T*>(p.x);
  T* const out = static_cast<T*>(p.out);
  const T* const bias = static_cast<const T*>(p.bias);
  const index panels = column_panels<T>(p.columns);
  const bool small = 2.0 * double(p.rows) * double(p.K) * double(p.columns) < 4e5;
  parallel_for(panels, small ? 1 : p.threads, [&](index panel) {
    const int vectors = panel_vectors<T>(p.columns, panel);
    const index first = panel * kPanel * L;
    for (index from = 0; from < p.rows; from += kBlock) {
      const index count = p.rows - from < kBlock ? p.rows - from : kBlock;
      const T* a[kBlock];
      T* to[kBlock];
      for (index r = 0; r < count; ++r) {
        a[r] = x + (from + r) * p.K;
        to[r] = out + (from + r) * p.columns;
      }
      multiply<T, false>(count, a, p.K, static_cast<const T*>(p.packed), p.columns, panel, panel + 1, to, false);
      if (bias == nullptr && !p.tanh) continue;
      for (index r = 0; r < count; ++r) {
        for (int v = 0; v < vectors; ++v) {
          const index at = first + v * L, n = p.columns - at;
          Vec<T> y = load_first(to[r] + at, n);
          if (bias != nullptr) y = y + load_first(bias + at, n);
          store_first(to[r] + at, p.tanh ? tanh<T>(y) : y, n);
        }
      }
    }
  });
}

template <class T>
UNROLL_INLINE T sum_of(Vec<T> v) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int half = kLanes<T> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// One row's attention: weights (S,) and context (heads * E,).
template <class T>
void attend_row(const AttendArgs& p, index row) {
  constexpr int L = kLanes<T>;
  const index b = p.owner[row], length = p.lengths == nullptr ? p.S : p.lengths[b];
  const index A = p.A, E = p.E;
  const T* const v = static_cast<const T*>(p.v);
  T* const weights = static_cast<T*>(p.weights) + row * p.S;
  T* const scratch = static_cast<T*>(p.scratch) + row * p.S;
  for (index s = 0; s < p.S; ++s) weights[s] = T(0);
  for (index head = 0; head < p.heads; ++head) {
    const T* const q = static_cast<const T*>(p.query) + row * p.heads * A + head * A;
    const T* const keys = static_cast<const T*>(p.keys) + b * p.keys_row + head * A;
    const T* const values = static_cast<const T*>(p.values) + b * p.values_row + head * E;
    T* const context = static_cast<T*>(p.context) + row * p.heads * E + head * E;
    T most = -std::numeric_limits<T>::infinity();
    for (index s = 0; s < length; ++s) {
      const T* const k = keys + s * p.keys_step;
      Vec<T> acc{};
      for (index a = 0; a < A; a += L) {
        const index n = A - a;
        if (v != nullptr) {
          acc = fma<T>(load_first(v + a, n), tanh<T>(load_first(q + a, n) + load_first(k + a, n)), acc);
        } else {
          acc = fma<T>(load_first(q + a, n), load_first(k + a, n), acc);
        }
      }
      scratch[s] = sum_of<T>(acc) * T(p.scale);
      most = scratch[s] > most || scratch[s] != scratch[s] ? scratch[s] : most;
    }
    T total = T(0);
    for (index s = 0; s < length; ++s) {
      const Exponential<T> e = exponential<T>(larger<T>(broadcast(T(-80)), broadcast(scratch[s] - most)));
      scratch[s] = fma<T>(e.scale, e.rest, e.scale)[0];
      total += scratch[s];
    }
    for (index s = 0; s < length; ++s) {
      scratch[s] /= total;
      weights[s] += scratch[s] / T(p.heads);
    }
    for (index e = 0; e < E; e += L) {
      Vec<T> acc{};
      for (index s = 0; s < length; ++s) {
        acc = fma<T>(broadcast(scratch[s]), load_first(values + s * p.values_step + e, E - e), acc);
      }
      store_first(context + e, acc, E - e);
    }
  }
}

template <class T>
void attend(const AttendArgs& p) {
  const bool small = double(p.rows) * double(p.S) * double(p.heads) * double(p.A + p.E) < 5e4;
  parallel_for(p.rows, small ? 1 : p.threads, [&](index row) { attend_row<T>(p, row); });
}

// The k largest numbers of a row, largest first and the first of equals first, with their places. NaN is never one: a
// row with fewer numbers ends in -infinity at place -1.
template <class T>
void top_row(const TopArgs& p, index row) {
  constexpr int L = kLanes<T>;
  using Bits = typename Types<T>::Bits;
  const T* const x = static_cast<const T*>(p.x) + row * p.columns;
  T* const best = static_cast<T*>(p.values) + row * p.k;
  std::int64_t* const place = p.places + row * p.k;
  for (index i = 0; i < p.k; ++i) best[i] = -std::numeric_limits<T>::infinity(), place[i] = -1;
  const auto offer = [&](index at) {
    const T value = x[at];
    if (!(value > best[p.k - 1])) return;
    index i = p.k - 1;
    for (; i > 0 && value > best[i - 1]; --i) best[i] = best[i - 1], place[i] = place[i - 1];
    best[i] = value, place[i] = at;
  };
  index at = 0;
  for (; at + 4 * L <= p.columns; at += 4 * L) {
    const Vec<T> least = broadcast(best[p.k - 1]);
    Bits any{};
    for (int v = 0; v < 4; ++v) any |= (Bits)(load(x + at + v * L) > least);
    typename Types<T>::Bit lanes[L];
    std::memcpy(lanes, &any, sizeof lanes);
    typename Types<T>::Bit found = 0;
    for (int i = 0; i < L; ++i) found |= lanes[i];
    if (found == 0) continue;
    for (index i = at; i < at + 4 * L; ++i) offer(i);
  }
  for (; at < p.columns; ++at) offer(at);
}

template <class T>
void top(const TopArgs& p) {
  const bool small = double(p.rows) * double(p.columns) < 1e5;
  parallel_for(p.rows, small ? 1 : p.threads, [&](index row) { top_row<T>(p, row); });
}

}  // namespace unroll::UNROLL_ISA

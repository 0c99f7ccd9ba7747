// The cross-entropy of a softmax over many classes, with label smoothing: one pass over the scores forwards, and one
// backwards, which turns them into their gradient in place.
#pragma once

#include <cmath>
#include <limits>

#include "activations.h"
#include "parallel.h"

namespace unroll::UNROLL_ISA {

template <class T>
UNROLL_INLINE T sum_lanes(Vec<T> v) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int half = kLanes<T> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// e^x for x <= 0; below what is a normal number it is the smallest of them, or zero where the caller flushes.
template <class T>
UNROLL_INLINE Vec<T> exp_of(Vec<T> x) {
  constexpr T limit = sizeof(T) == 8 ? T(-700) : T(-87);
  const Exponential<T> e = exponential<T>(larger<T>(broadcast(limit), x));
  return fma<T>(e.scale, e.rest, e.scale);
}

template <class T>
void cross_entropy_row(const CrossEntropyArgs& p, index row) {
  constexpr int L = kLanes<T>;
  constexpr index kBlock = 1024;  // stays near between its passes
  const T* const x = static_cast<const T*>(p.scores) + row * p.classes;
  T most = -std::numeric_limits<T>::infinity(), total = T(0), sum = T(0);
  for (index from = 0; from < p.classes; from += kBlock) {
    const index to = from + kBlock < p.classes ? from + kBlock : p.classes;
    Vec<T> high = broadcast(-std::numeric_limits<T>::infinity()), added{};
    for (index i = from; i < to; i += L) {
      const Vec<T> value = load_first(x + i, to - i);
      added = added + value;
      if (i + L <= to) high = larger<T>(high, value);  // NaN is kept
    }
    T lanes[L];
    store(lanes, high);
    T here = most;
    for (int i = 0; i < L; ++i) here = here > lanes[i] ? here : lanes[i];
    for (index i = to - (to - from) % L; i < to; ++i) here = here > x[i] ? here : x[i];
    const Vec<T> base = broadcast(here);
    Vec<T> powers{};
    index i = from;
    for (; i + L <= to; i += L) powers = powers + exp_of<T>(load(x + i) - base);
    T rest = T(0);
    if (i < to) {
      store(lanes, exp_of<T>(load_first(x + i, to - i) - base));
      for (index k = 0; k < to - i; ++k) rest += lanes[k];
    }
    const T before = most == here ? T(1) : exp_of<T>(broadcast(most - here))[0];
    total = (from == 0 ? T(0) : total * before) + sum_lanes<T>(powers) + rest;
    sum += sum_lanes<T>(added);
    most = here;
  }
  const T log_total = most + T(std::log(double(total)));
  const T nll = log_total - x[p.target[row]];
  static_cast<T*>(p.log_total)[row] = log_total;
  static_cast<T*>(p.nll)[row] = nll;
  const T smoothing = T(p.smoothing);
  static_cast<T*>(p.smoothed)[row] =
      smoothing == T(0) ? nll : (T(1) - smoothing) * nll + smoothing * (log_total - sum / T(p.classes));
}

template <class T>
void cross_entropy(const CrossEntropyArgs& p) {
  parallel_for(p.rows, p.threads, [&](index row) { cross_entropy_row<T>(p, row); });
}

// d scores = (d nll + d smoothed) softmax - smoothing / classes d smoothed, and at the target less the rest.
template <class T>
void cross_entropy_backward(const CrossEntropyArgs& p) {
  constexpr int L = kLanes<T>;
  parallel_for(p.rows, p.threads, [&](index row) {
    T* const x = static_cast<T*>(p.gradient) + row * p.classes;
    const T* const scores = static_cast<const T*>(p.scores) + row * p.classes;
    const T of_nll = p.d_nll == nullptr ? T(0) : static_cast<const T*>(p.d_nll)[row];
    const T of_smoothed = p.d_smoothed == nullptr ? T(0) : static_cast<const T*>(p.d_smoothed)[row];
    const Vec<T> base = broadcast(static_cast<const T*>(p.log_total)[row]), factor = broadcast(of_nll + of_smoothed);
    const Vec<T> less = broadcast(-of_smoothed * T(p.smoothing) / T(p.classes));
    for (index i = 0; i < p.classes; i += L) {
      const index n = p.classes - i;
      store_first(x + i, fma<T>(factor, exp_of<T>(load_first(scores + i, n) - base), less), n);
    }
    x[p.target[row]] -= of_nll + (T(1) - T(p.smoothing)) * of_smoothed;
  });
}

}  // namespace unroll::UNROLL_ISA

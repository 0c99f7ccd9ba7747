// sigmoid and tanh of vectors. In float32 they are within 2.5 units in the last place of the exact value, within 2
// with AVX-512.
#pragma once

#include "simd.h"

namespace unroll::UNROLL_ISA {

// e^x = scale * (1 + rest), where scale is a power of two and rest = e^r - 1 for |r| <= ln(2)/2.
template <class T>
struct Exponential {
  Vec<T> scale;
  Vec<T> rest;
};

// For x whose e^x is a normal number.
template <class T>
UNROLL_INLINE Exponential<T> exponential(Vec<T> x) {
  using Bits = typename Types<T>::Bits;
  constexpr bool is_double = sizeof(T) == 8;
  constexpr int mantissa = is_double ? 52 : 23;
  constexpr T shift = is_double ? T(6755399441055744.0) : T(12582912.0);  // 1.5 * 2^mantissa: adding it rounds
  constexpr T per_log2 = T(1.4426950408889634074);
  constexpr T log2_high = is_double ? T(0x1.62e42feep-1) : T(0x1.62e4p-1);
  constexpr T log2_low = is_double ? T(0x1.a39ef35793c76p-33) : T(0x1.7f7d1cp-20);

  const Vec<T> rounded = fma<T>(x, broadcast(per_log2), broadcast(shift));
  const Vec<T> n = rounded - shift;
  Vec<T> r = fma<T>(n, broadcast(-log2_high), x);
  r = fma<T>(n, broadcast(-log2_low), r);

  // e^r - 1 = r + r^2 * (1/2! + r/3! + r^2/4! + ...)
  Vec<T> p;
  if constexpr (is_double) {
    constexpr T c[] = {1.0 / 87178291200.0,
                       1.0 / 6227020800.0,
                       1.0 / 479001600.0,
                       1.0 / 39916800.0,
                       1.0 / 3628800.0,
                       1.0 / 362880.0,
                       1.0 / 40320.0,
                       1.0 / 5040.0,
                       1.0 / 720.0,
                       1.0 / 120.0,
                       1.0 / 24.0,
                       1.0 / 6.0,
                       0.5};
    p = broadcast(c[0]);
    for (int i = 1; i < 13; ++i) p = fma<T>(p, r, broadcast(c[i]));
  } else {
    constexpr T c[] = {T(1.0 / 5040.0), T(1.0 / 720.0), T(1.0 / 120.0), T(1.0 / 24.0), T(1.0 / 6.0), T(0.5)};
    p = broadcast(c[0]);
    for (int i = 1; i < 6; ++i) p = fma<T>(p, r, broadcast(c[i]));
  }
  const Vec<T> rest = fma<T>(p * r, r, r);
  const Bits bits = ((Bits)rounded - (Bits)broadcast(shift)) << mantissa;
  return {(Vec<T>)(bits + (Bits)broadcast(T(1))), rest};
}

// a / (d + lost), where `lost` is what rounding took from d, and d is from 1 to 2. A division of eight numbers takes no
// longer than what replaces it, and leaves the multipliers alone; of sixteen it takes twice as long.
template <class T>
UNROLL_INLINE Vec<T> quotient(Vec<T> a, Vec<T> d, Vec<T> lost) {
  if (kLanes<T> < 16) return a / d;
  const Vec<T> r = rough_reciprocal<T>(d), q = a * r;
  const Vec<T> rest = fma<T>(-q, lost, fma<T>(-q, d, a));
  return fma<T>(rest, r, q);
}

// 1 / (1 + e^-x), by e^-|x|.
template <class T>
UNROLL_INLINE Vec<T> sigmoid(Vec<T> x) {
  // Beyond, what is to be 0 stays at 1e-38; earlier where parts of e^x would be flushed before they are added.
  constexpr T limit = sizeof(T) == 8 ? (kFused ? T(708) : T(670)) : (kFused ? T(87) : T(70));
  using Bits = typename Types<T>::Bits;
  const Vec<T> less = (Vec<T>)((Bits)x | (Bits)broadcast(T(-0.0)));
  const Exponential<T> e = exponential<T>(larger<T>(broadcast(-limit), less));
  const Vec<T> power = fma<T>(e.scale, e.rest, e.scale), d = power + T(1);
  return quotient<T>(x < T(0) ? power : broadcast(T(1)), d, power - (d - T(1)));
}

// (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x, by e^-2|x| - 1, which is exact near zero too.
template <class T>
UNROLL_INLINE Vec<T> tanh(Vec<T> x) {
  using Bits = typename Types<T>::Bits;
  constexpr T limit = sizeof(T) == 8 ? T(40) : T(20);  // beyond, the result rounds to 1
  const Bits sign = (Bits)x & (Bits)broadcast(T(-0.0));
  const Vec<T> less = (Vec<T>)((Bits)x | (Bits)broadcast(T(-0.0)));
  const Exponential<T> e = exponential<T>(larger<T>(broadcast(-limit), less + less));
  const Vec<T> less_one = fma<T>(e.scale, e.rest, e.scale - T(1)), d = less_one + T(2);
  const Vec<T> result = quotient<T>(T(0) - less_one, d, less_one - (d - T(2)));
  return (Vec<T>)((Bits)result | sign);
}

}  // namespace unroll::UNROLL_ISA

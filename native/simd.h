// Vectors of one instruction set: the widest that the compiler was told of.
//
// Arithmetic is the compilers' own vector extension; only what it lacks is written with intrinsics.
#pragma once

#include <cstdint>
#include <cstring>

#include "args.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef UNROLL_ISA
#define UNROLL_ISA portable
#endif

namespace unroll::UNROLL_ISA {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
constexpr int kSums = 24;  // of 32 registers
#elif defined(__AVX2__)
constexpr int kBytes = 32;
constexpr int kSums = 12;  // of 16 registers
#elif defined(__aarch64__)
constexpr int kBytes = 16;
constexpr int kSums = 24;
#else
constexpr int kBytes = 16;
constexpr int kSums = 12;
#endif

constexpr int kRows = 6;  // rows of a tile

template <class T>
struct Types;

template <>
struct Types<float> {
  typedef float Vector __attribute__((vector_size(kBytes)));
  typedef float Loose __attribute__((vector_size(kBytes), aligned(4), may_alias));
  typedef std::int32_t Bits __attribute__((vector_size(kBytes)));
  using Bit = std::int32_t;
};

template <>
struct Types<double> {
  typedef double Vector __attribute__((vector_size(kBytes)));
  typedef double Loose __attribute__((vector_size(kBytes), aligned(8), may_alias));
  typedef std::int64_t Bits __attribute__((vector_size(kBytes)));
  using Bit = std::int64_t;
};

template <class T>
using Vec = typename Types<T>::Vector;

template <class T>
constexpr int kLanes = kBytes / int(sizeof(T));

template <class T>
UNROLL_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename Types<T>::Loose*>(p);
}

template <class T>
UNROLL_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename Types<T>::Loose*>(p) = v;
}

template <class T>
UNROLL_INLINE Vec<T> broadcast(T x) {
  return x - Vec<T>{};  // every lane: x - 0 keeps the sign of zero
}

// The first n lanes from memory, zero in the others; nothing behind them is touched.
template <class T>
UNROLL_INLINE Vec<T> load_first(const T* p, index n) {
  if (n >= kLanes<T>) return load(p);
  if (n <= 0) return Vec<T>{};
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p);
  } else {
    return (Vec<T>)_mm512_maskz_loadu_pd(__mmask8((1u << n) - 1), p);
  }
#else
  T lanes[kLanes<T>] = {};
  std::memcpy(lanes, p, n * sizeof(T));
  return load(lanes);
#endif
}

template <class T>
UNROLL_INLINE void store_first(T* p, Vec<T> v, index n) {
  if (n >= kLanes<T>) return store(p, v);
  if (n <= 0) return;
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), (__m512)v);
  } else {
    _mm512_mask_storeu_pd(p, __mmask8((1u << n) - 1), (__m512d)v);
  }
#else
  T lanes[kLanes<T>];
  store(lanes, v);
  std::memcpy(p, lanes, n * sizeof(T));
#endif
}

#if defined(__FMA__) || defined(__aarch64__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

// a * b + c, rounded once where the processor can.
template <class T>
UNROLL_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  } else {
    return (Vec<T>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
  }
#elif defined(__AVX2__) && defined(__FMA__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  } else {
    return (Vec<T>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
  }
#elif defined(__aarch64__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
  } else {
    return (Vec<T>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
  }
#else
  return a * b + c;
#endif
}

// 1 / x for x from 1 to 2, to 12 binary places or more.
template <class T>
UNROLL_INLINE Vec<T> rough_reciprocal(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_rcp14_ps(__mmask16(-1), (__m512)x);  // the plain one warns in GCC 12
  }
#endif
  return T(1) / x;
}

// Lane by lane `a > b ? a : b`; NaN in b is kept.
template <class T>
UNROLL_INLINE Vec<T> larger(Vec<T> a, Vec<T> b) {
  return a > b ? a : b;
}

// Rounds of interleaving turn L rows of L lanes into their transpose.
template <class V>
UNROLL_INLINE V interleave_low(V a, V b) {
  constexpr int L = sizeof(V) / sizeof(a[0]);
  if constexpr (L == 2) {
    return __builtin_shufflevector(a, b, 0, 2);
  } else if constexpr (L == 4) {
    return __builtin_shufflevector(a, b, 0, 4, 1, 5);
  } else if constexpr (L == 8) {
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  } else {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  }
}

template <class V>
UNROLL_INLINE V interleave_high(V a, V b) {
  constexpr int L = sizeof(V) / sizeof(a[0]);
  if constexpr (L == 2) {
    return __builtin_shufflevector(a, b, 1, 3);
  } else if constexpr (L == 4) {
    return __builtin_shufflevector(a, b, 2, 6, 3, 7);
  } else if constexpr (L == 8) {
    return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  } else {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
}

template <class T>
UNROLL_INLINE void transpose(Vec<T> (&v)[kLanes<T>]) {
  constexpr int L = kLanes<T>;
  for (int round = 1; round < L; round *= 2) {
    Vec<T> next[L];
    for (int i = 0; i < L / 2; ++i) {
      next[2 * i] = interleave_low(v[i], v[i + L / 2]);
      next[2 * i + 1] = interleave_high(v[i], v[i + L / 2]);
    }
    for (int i = 0; i < L; ++i) v[i] = next[i];
  }
}

}  // namespace unroll::UNROLL_ISA

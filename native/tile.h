// The one matrix product of all kernels: a tile of up to kRows rows by a panel of up to four vectors.
//
// Each element is summed over k from first to last in one register, whatever the tile's size: a row's
// result does not depend on the rows beside it, and not on how the work is cut.
#pragma once

#include <type_traits>

#include "simd.h"

namespace unroll::UNROLL_ISA {

// acc[m][FROM + v] += sum over k of a[m][k] * panel[k][v], the panel packed (K, N vectors).
template <class T, int FROM, int N, int MR, int NV>
UNROLL_INLINE void product(Vec<T> (&acc)[MR][NV], const T* const* rows, const T* panel, index K) {
  const T* a[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) a[m] = rows[m];
#pragma GCC unroll 2
  for (index k = 0; k < K; ++k) {
    Vec<T> b[N];
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v) b[v] = load(panel + v * kLanes<T>);
    panel += N * kLanes<T>;
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec<T> s = broadcast(a[m][k]);
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) acc[m][FROM + v] = fma<T>(s, b[v], acc[m][FROM + v]);
    }
  }
}

// The same for rows that are packed as well: a[k][m].
template <class T, int MR, int NV>
UNROLL_INLINE void product_packed(Vec<T> (&acc)[MR][NV], const T* a, index a_step, const T* panel, index K) {
#pragma GCC unroll 2
  for (index k = 0; k < K; ++k) {
    Vec<T> b[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) b[v] = load(panel + v * kLanes<T>);
    panel += NV * kLanes<T>;
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec<T> s = broadcast(a[m]);
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) acc[m][v] = fma<T>(s, b[v], acc[m][v]);
    }
    a += a_step;
  }
}

// Calls f(std::integral_constant<int, n>), for n from 1 to MOST.
template <int MOST, class F>
UNROLL_INLINE void with_constant(int n, const F& f) {
  if constexpr (MOST > 1) {
    if (n < MOST) return with_constant<MOST - 1>(n, f);
  }
  f(std::integral_constant<int, MOST>{});
}

// Rows [0, count) in blocks of at most kRows, of sizes that differ by one at most: f(first, size).
template <class F>
UNROLL_INLINE void row_blocks(index count, const F& f) {
  const index blocks = (count + kRows - 1) / kRows;
  index first = 0;
  for (index b = 0; b < blocks; ++b) {
    const index size = (count - first + blocks - b - 1) / (blocks - b);
    f(first, int(size));
    first += size;
  }
}

constexpr int kPanel = 4;  // vectors of a full panel of columns

template <class T>
index column_panels(index columns) {
  const index vectors = (columns + kLanes<T> - 1) / kLanes<T>;
  return (vectors + kPanel - 1) / kPanel;
}

// Vectors of a panel: four, or fewer in the last.
template <class T>
int panel_vectors(index columns, index panel) {
  const index vectors = (columns + kLanes<T> - 1) / kLanes<T>;
  const index left = vectors - panel * kPanel;
  return int(left < kPanel ? left : kPanel);
}

// Elements before a panel of K rows.
template <class T>
index panel_offset(index K, index panel) {
  return panel * K * kPanel * kLanes<T>;
}

template <class T>
index panels_size(index K, index columns) {
  return K * ((columns + kLanes<T> - 1) / kLanes<T>)*kLanes<T>;
}

// One panel of a matrix (K, columns), by rows: out[k][vectors]; columns that there are not become zero.
// `row(k)` is where row k begins, or null for zeros.
template <class T, class Row>
void pack_panel(T* out, index K, index columns, index panel, Row&& row) {
  constexpr int L = kLanes<T>;
  const int vectors = panel_vectors<T>(columns, panel);
  const index first = panel * kPanel * L;
  for (index k = 0; k < K; ++k) {
    const T* from = row(k);
    for (int v = 0; v < vectors; ++v) {
      const index at = first + v * L;
      store(out + v * L, from == nullptr ? Vec<T>{} : load_first(from + at, columns - at));
    }
    out += vectors * L;
  }
}

// kLanes rows of a matrix, each K long and `stride` apart, as columns of a panel: out[k][step]. Rows from
// `rows` on become zero.
template <class T>
void pack_transposed(T* out, index step, const T* from, index stride, index rows, index K) {
  constexpr int L = kLanes<T>;
  for (index k = 0; k < K; k += L) {
    Vec<T> v[L];
    for (int i = 0; i < L; ++i) v[i] = i < rows ? load_first(from + i * stride + k, K - k) : Vec<T>{};
    transpose<T>(v);
    for (int i = 0; i < L && k + i < K; ++i) store(out + (k + i) * step, v[i]);
  }
}

// out[row] (+)= a[row] times a matrix (K, columns) packed in panels, for the panels [first, last).
// The rows of `out` may be padded: whole vectors are written if `padded`, the columns that there are if not.
template <class T, bool ADD>
void multiply(index rows, const T* const* a, index K, const T* packed, index columns, index first, index last,
              T* const* out, bool padded) {
  constexpr int L = kLanes<T>;
  for (index p = first; p < last; ++p) {
    const int vectors = panel_vectors<T>(columns, p);
    const T* panel = packed + panel_offset<T>(K, p);
    const index column = p * kPanel * L;
    with_constant<kPanel>(vectors, [&](auto nv) {
      constexpr int NV = decltype(nv)::value;
      row_blocks(rows, [&](index r, int size) {
        with_constant<kRows>(size, [&](auto mr) {
          constexpr int MR = decltype(mr)::value;
          Vec<T> acc[MR][NV];
          for (int m = 0; m < MR; ++m) {
            for (int v = 0; v < NV; ++v) {
              const index at = column + v * L;
              const index n = padded ? L : columns - at;
              acc[m][v] = ADD ? load_first(out[r + m] + at, n) : Vec<T>{};
            }
          }
          product<T, 0, NV>(acc, a + r, panel, K);
          for (int m = 0; m < MR; ++m) {
            for (int v = 0; v < NV; ++v) {
              const index at = column + v * L;
              store_first(out[r + m] + at, acc[m][v], padded ? L : columns - at);
            }
          }
        });
      });
    });
  }
}

}  // namespace unroll::UNROLL_ISA

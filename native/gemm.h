// The one matrix product of all kernels: a tile of up to kRows rows by a panel of up to four vectors.
//
// Each element is summed over k in runs of kRun terms, each in one register, and the runs are added up from first to
// last: there are fewer roundings of large sums. The order is the same whatever the tile's
// size, so a row's result does not depend on the rows beside it, and not on how the work is cut.
#pragma once

#include <type_traits>

#include "simd.h"

namespace unroll::UNROLL_ISA {

constexpr index kRun = 64;
constexpr int kAhead = 1024;  // bytes of a panel

// Rows as pointers to each; rows packed side by side, a[k][MR].
template <class T, int MR>
struct Apart {
  const T* rows[MR];

  UNROLL_INLINE explicit Apart(const T* const* of) {
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) rows[m] = of[m];
  }
  UNROLL_INLINE T at(int m, index k) const { return rows[m][k]; }
};

template <class T, int MR>
struct Packed {
  const T* rows;

  UNROLL_INLINE explicit Packed(const T* of) : rows(of) {}
  UNROLL_INLINE T at(int m, index k) const { return rows[k * MR + m]; }
};

// Vectors of a panel that MR rows are multiplied with at once: as many as the registers hold sums for.
constexpr int at_once(int rows, int vectors) {
  const int most = kSums / rows > 0 ? kSums / rows : 1;
  const int passes = (vectors + most - 1) / most;
  return (vectors + passes - 1) / passes;
}

// acc[m][FROM + v] += sums over P runs of `count` terms from k on, for the vectors [FIRST, END) of the panel's N.
// The first run may go on from acc instead of zero. Few sums leave the multipliers waiting for each other: then several
// runs go on side by side.
template <class T, int FROM, int N, int P, int FIRST, bool GO_ON, int MR, int NV, class Rows>
UNROLL_INLINE void add_runs(Vec<T> (&acc)[MR][NV], const Rows& a, const T* panel, index k, index count) {
  constexpr int L = kLanes<T>, G = at_once(MR, N), END = FIRST + G < N ? FIRST + G : N;
  Vec<T> sum[P][MR][END - FIRST] = {};
  if constexpr (GO_ON) {
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 8
      for (int v = FIRST; v < END; ++v) sum[0][m][v - FIRST] = acc[m][FROM + v];
    }
  }
  const T* from = panel + (k * N + FIRST) * L;
#pragma GCC unroll 4
  for (index i = 0; i < count; ++i) {
    if constexpr (FIRST == 0 && G < N) {  // processors do not look ahead for every second line
#pragma GCC unroll 8
      for (int v = 0; v < N * kBytes; v += 64) __builtin_prefetch(reinterpret_cast<const char*>(from) + kAhead + v);
    }
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const T* const b = from + p * kRun * N * L;
      if constexpr (MR <= END - FIRST) {  // what there is less of is held, the other comes one by one
        Vec<T> s[MR];
#pragma GCC unroll 8
        for (int m = 0; m < MR; ++m) s[m] = broadcast(a.at(m, k + p * kRun + i));
#pragma GCC unroll 8
        for (int v = 0; v < END - FIRST; ++v) {
          const Vec<T> w = load(b + v * L);
#pragma GCC unroll 8
          for (int m = 0; m < MR; ++m) sum[p][m][v] = fma<T>(s[m], w, sum[p][m][v]);
        }
      } else {
        Vec<T> w[END - FIRST];
#pragma GCC unroll 8
        for (int v = 0; v < END - FIRST; ++v) w[v] = load(b + v * L);
#pragma GCC unroll 8
        for (int m = 0; m < MR; ++m) {
          const Vec<T> s = broadcast(a.at(m, k + p * kRun + i));
#pragma GCC unroll 8
          for (int v = 0; v < END - FIRST; ++v) sum[p][m][v] = fma<T>(s, w[v], sum[p][m][v]);
        }
      }
    }
    from += N * L;
  }
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 8
      for (int v = FIRST; v < END; ++v) {
        Vec<T>& to = acc[m][FROM + v];
        to = GO_ON && p == 0 ? sum[p][m][v - FIRST] : to + sum[p][m][v - FIRST];
      }
    }
  }
  if constexpr (END < N) add_runs<T, FROM, N, P, END, GO_ON>(acc, a, panel, k, count);
}

// acc[m][FROM + v] += sum over k of rows[m][k] * panel[k][v], the panel packed (K, N vectors). GO_ON: acc holds
// nothing yet that is itself a sum of many terms.
template <class T, int FROM, int N, bool GO_ON, int MR, int NV>
UNROLL_INLINE void product(Vec<T> (&acc)[MR][NV], const T* const* rows, const T* panel, index K) {
  constexpr int P = 2 * MR * N <= kSums ? 2 : 1;
  const Apart<T, MR> a(rows);
  index k = 0;
  if (GO_ON && P > 1 && K >= P * kRun) {
    add_runs<T, FROM, N, P, 0, GO_ON>(acc, a, panel, 0, kRun);
    k = P * kRun;
  } else if (GO_ON) {
    add_runs<T, FROM, N, 1, 0, GO_ON>(acc, a, panel, 0, K < kRun ? K : kRun);
    k = kRun;
  }
  for (; P > 1 && k + P * kRun <= K; k += P * kRun) add_runs<T, FROM, N, P, 0, false>(acc, a, panel, k, kRun);
  for (; k < K; k += kRun) add_runs<T, FROM, N, 1, 0, false>(acc, a, panel, k, K - k < kRun ? K - k : kRun);
}

// One run of any length, of packed rows.
template <class T, int MR, int NV>
UNROLL_INLINE void run_packed(Vec<T> (&acc)[MR][NV], const T* rows, const T* panel, index K) {
  add_runs<T, 0, NV, 1, 0, true>(acc, Packed<T, MR>(rows), panel, 0, K);
}

// Calls f(std::integral_constant<int, n>), for n from 1 to MOST.
template <int MOST, class F>
UNROLL_INLINE void with_constant(int n, const F& f) {
  if constexpr (MOST > 1) {
    if (n < MOST) return with_constant<MOST - 1>(n, f);
  }
  f(std::integral_constant<int, MOST>{});
}

// Rows of a tile that leave no register idle.
constexpr int tile_rows(int vectors) {
  const bool full = kRows * vectors <= kSums || vectors % (kSums / kRows) == 0;
  return full ? kRows : kSums / vectors;
}

// Rows [0, count) in blocks of at most MOST, of sizes that differ by one at most: f(first, size), where size is a
// std::integral_constant.
template <int MOST, class F>
UNROLL_INLINE void row_blocks(index count, const F& f) {
  const index blocks = (count + MOST - 1) / MOST;
  index first = 0;
  for (index b = 0; b < blocks; ++b) {
    const index size = (count - first + blocks - b - 1) / (blocks - b);
    with_constant<MOST>(int(size), [&](auto rows) { f(first, rows); });
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
      row_blocks<tile_rows(NV)>(rows, [&](index r, auto mr) {
        constexpr int MR = decltype(mr)::value;
        Vec<T> acc[MR][NV] = {};
        product<T, 0, NV, true>(acc, a + r, panel, K);
        for (int m = 0; m < MR; ++m) {
          for (int v = 0; v < NV; ++v) {
            const index n = padded ? L : columns - column - v * L;
            T* const to = out[r + m] + column + v * L;
            store_first(to, ADD ? load_first(to, n) + acc[m][v] : acc[m][v], n);
          }
        }
      });
    });
  }
}

}  // namespace unroll::UNROLL_ISA

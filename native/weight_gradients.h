// Gradients of the weights: sums over all steps of all rows of gate gradient times what it was a product with.
//
// The steps are taken in packed order, in blocks of one size; threads share the rows of the result. So the sum
// is the same for any number of threads.
#pragma once

#include "pack_weights.h"

namespace unroll::UNROLL_ISA {

constexpr index kBlock = 128;  // steps that are packed at once
constexpr index kSumRun = 16;  // a bias's gradient is summed in runs, as are the products

// (planes * H, columns) from gate gradients a (planes of H, `apart` apart) and b (columns).
template <class T>
struct OuterProduct {
  const T** b = nullptr;  // one for each step of a block
  index columns = 0;
  int first_plane = 0, planes = 0;
  const int* blocks = nullptr;  // which H rows of the result a plane becomes
  T* out = nullptr;
};

template <class T>
struct OuterProducts {
  index H = 0, apart = 0;
  int planes = 0;
  const T** a = nullptr;  // one for each step of a block
  T* sums = nullptr;      // (planes * apart), or null: a itself summed over the steps
  OuterProduct<T> products[3];
  int count = 0;

  index blocks() const { return (H + kRows - 1) / kRows; }
  index row_panels() const { return planes * blocks(); }
};

// A member's own memory.
template <class T>
struct OuterScratch {
  T* a;
  T* b[3];

  UNROLL_INLINE void lay(Layout& out, const OuterProducts<T>& o) {
    a = out.take<T>((kBlock + kLanes<T>)*kRows);
    for (int i = 0; i < o.count; ++i) b[i] = out.take<T>(panels_size<T>(kBlock, o.products[i].columns));
  }
};

// `size` columns of the rows a, side by side; and their sums, added up.
template <class T>
void pack_columns(T* out, const T* const* a, index K, index first, int size, index limit, T* sums) {
  constexpr int L = kLanes<T>;
  constexpr int kVectors = (kRows + L - 1) / L;
  Vec<T> sum[kVectors] = {};
  for (index k = 0; k < K;) {
    const index end = k + kSumRun < K ? k + kSumRun : K;
    Vec<T> run[kVectors] = {};
    for (; k < end; ++k) {
      for (int v = 0; v < kVectors; ++v) {
        const Vec<T> x = load_first(a[k] + first + v * L, limit - first - v * L);
        run[v] += x;
        store(out + k * size + v * L, x);  // what is too much is overwritten by the next
      }
    }
    for (int v = 0; v < kVectors; ++v) sum[v] += run[v];
  }
  if (sums == nullptr) return;
  T lanes[kVectors * L];
  for (int v = 0; v < kVectors; ++v) store(lanes + v * L, sum[v]);
  for (int m = 0; m < size; ++m) sums[m] += lanes[m];
}

// Rows [unit, unit + size) of a product's result, from its packed columns `a`.
template <class T>
void outer_rows(const OuterProduct<T>& product, const T* a, const T* b, index K, T* out, int size, bool first) {
  constexpr int L = kLanes<T>;
  const index columns = product.columns;
  for (index c = 0; c < column_panels<T>(columns); ++c) {
    const T* const panel = b + panel_offset<T>(kBlock, c);
    const index column = c * kPanel * L;
    with_constant<kPanel>(panel_vectors<T>(columns, c), [&](auto nv) {
      with_constant<kRows>(size, [&](auto mr) {
        constexpr int NV = decltype(nv)::value, MR = decltype(mr)::value;
        Vec<T> acc[MR][NV] = {};
        run_packed<T>(acc, a, panel, K);
        for (int m = 0; m < MR; ++m) {
          for (int v = 0; v < NV; ++v) {
            const index n = columns - column - v * L;
            T* const to = out + m * columns + column + v * L;
            store_first(to, first ? acc[m][v] : load_first(to, n) + acc[m][v], n);
          }
        }
      });
    });
  }
}

// A block of K <= kBlock steps, added to the results (or written, if it is the first): a member's share.
template <class T>
void outer_block(const OuterProducts<T>& o, const OuterScratch<T>& own, index K, bool first, int member, int members) {
  const index blocks = o.blocks(), panels = o.row_panels();
  const index begin = panels * member / members, end = panels * (member + 1) / members;
  const index limit = o.planes * o.apart;
  for (int i = 0; i < o.count; ++i) {
    const OuterProduct<T>& product = o.products[i];
    for (index c = 0; c < column_panels<T>(product.columns); ++c) {
      T* const panel = own.b[i] + panel_offset<T>(kBlock, c);
      pack_panel(panel, K, product.columns, c, [&](index k) { return product.b[k]; });
    }
  }
  for (index r = begin; r < end; ++r) {
    const index plane = r / blocks, block = r - plane * blocks;
    const index unit = o.H * block / blocks;
    const int size = int(o.H * (block + 1) / blocks - unit);
    T* const sums = o.sums == nullptr ? nullptr : o.sums + plane * o.apart + unit;
    pack_columns(own.a, o.a, K, plane * o.apart + unit, size, limit, sums);
    for (int i = 0; i < o.count; ++i) {
      const OuterProduct<T>& product = o.products[i];
      const index nth = plane - product.first_plane;
      if (nth < 0 || nth >= product.planes) continue;
      T* const out = product.out + (product.blocks[nth] * o.H + unit) * product.columns;
      outer_rows(product, own.a, own.b[i], K, out, size, first);
    }
  }
}

}  // namespace unroll::UNROLL_ISA

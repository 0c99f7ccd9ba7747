// Weights laid out as the kernels read them.
#pragma once

#include "parallel.h"
#include "step_context.h"

namespace unroll::UNROLL_ISA {

// Panels of a frame's `tile`: of the units of all gates, or of columns where there is one gate.
template <class T, class C>
UNROLL_INLINE index tile_panels(const Args& p) {
  return C::kColumns ? column_panels<T>(p.H) : p.padded() / kLanes<T>;
}

// Elements of N gates' weights (H, K) packed for `tile`.
template <class T, class C, int N>
UNROLL_INLINE index tile_weights_size(const Args& p, index K) {
  return C::kColumns ? panels_size<T>(K, p.H) : p.padded() * N * K;
}

// One panel for `tile`: out[k][gate][lane] of the weights (gates * H, K).
template <class T, class C, int N>
void pack_tile_panel(T* packed, const T* weights, index K, const int (&blocks)[N], const Args& p, index panel) {
  constexpr int L = kLanes<T>;
  if (C::kColumns) {
    const int vectors = panel_vectors<T>(p.H, panel);
    T* const out = packed + panel_offset<T>(K, panel);
    for (int v = 0; v < vectors; ++v) {
      const index unit = (panel * kPanel + v) * L;
      pack_transposed(out + v * L, vectors * L, weights + unit * K, K, p.H - unit, K);
    }
    return;
  }
  const index unit = panel * L;
  T* const out = packed + panel * K * N * L;
  for (int g = 0; g < N; ++g) {
    pack_transposed(out + g * L, N * L, weights + (blocks[g] * p.H + unit) * K, K, p.H - unit, K);
  }
}

// A panel of columns of the transpose of weights (columns, K).
template <class T>
void pack_transposed_panel(T* packed, const T* weights, index K, index columns, index panel) {
  constexpr int L = kLanes<T>;
  const int vectors = panel_vectors<T>(columns, panel);
  T* const out = packed + panel_offset<T>(K, panel);
  for (int v = 0; v < vectors; ++v) {
    const index column = (panel * kPanel + v) * L;
    pack_transposed(out + v * L, vectors * L, weights + column * K, K, columns - column, K);
  }
}

// The biases of each plane, padded: the input's and the recurrent one where both are added.
template <class T, class C>
void pack_bias(T* bias, const Args& p) {
  const index Hp = p.padded();
  const T* const b_ih = static_cast<const T*>(p.b_ih);
  const T* const b_hh = static_cast<const T*>(p.b_hh);
  for (index i = 0; i < C::kPlanes * Hp; ++i) bias[i] = T(0);
  if (b_ih == nullptr) return;
  for (int g = 0; g < C::kX; ++g) {
    for (index u = 0; u < p.H; ++u) bias[(C::kFirstX + g) * Hp + u] = b_ih[C::kBlockX[g] * p.H + u];
  }
  for (int g = 0; g < p.gates(); ++g) {
    const int plane = C::kFirstH + g;  // of r * h's candidate too, whose product is the second
    for (index u = 0; u < p.H; ++u) bias[plane * Hp + u] += b_hh[g * p.H + u];
  }
}

// The gate weights (gates * H, columns) by planes: rows of units that there are not are null.
template <class T, int N>
struct PlaneRows {
  const T* weights;
  index columns, H, Hp;
  const int (&blocks)[N];

  UNROLL_INLINE const T* operator()(index k) const {
    const index plane = k / Hp, unit = k - plane * Hp;
    return unit < H ? weights + (blocks[plane] * H + unit) * columns : nullptr;
  }
};

}  // namespace unroll::UNROLL_ISA

// The equations of one step: on a tile of rows and units forwards, on a row backwards.
//
// `tile` computes the units of one panel for rows [r, r + MR) of a frame. `back` turns a row's gates into the
// gradients of their pre-activations, in place, and dh (the gradient of h after the step, whole) into the part
// of the gradient of h before the step that does not come through the recurrent weights. `live` computes the units
// from u of one row, whose products it asks for gate by gate.
#pragma once

#include "activations.h"
#include "step_context.h"

namespace unroll::UNROLL_ISA {

// One row's step, backwards. Padded to Hp except where a length is given.
template <class T>
struct BackRow {
  index H, Hp;
  index u0, u1;       // the units that are wanted
  T* gates;           // (planes, Hp)
  const T* h_before;  // (H,)
  const T* c_before;  // (H,)
  const T* c;         // (Hp,)
  const T* y;         // (H,)
  T* dh;
  T* dc;
};

// One row's step by itself, forwards.
template <class T>
struct LiveRow {
  index H;
  const T *h, *c;  // (H,)
  T *h_after, *c_after;
};

// One step of some units, from the sums before the gates.
template <class T>
struct LstmUnits {
  Vec<T> i, f, g, o, c, h;

  UNROLL_INLINE LstmUnits(Vec<T> before_i, Vec<T> before_f, Vec<T> before_g, Vec<T> before_o, Vec<T> c_before)
      : i(sigmoid<T>(before_i)), f(sigmoid<T>(before_f)), g(tanh<T>(before_g)), o(sigmoid<T>(before_o)) {
    c = fma<T>(f, c_before, i * g);
    h = o * tanh<T>(c);
  }
};

template <class T>
struct GruUnits {
  Vec<T> r, z, n, h;

  UNROLL_INLINE GruUnits(Vec<T> before_r, Vec<T> before_z, Vec<T> input_n, Vec<T> recurrent_n, Vec<T> h_before)
      : r(sigmoid<T>(before_r)), z(sigmoid<T>(before_z)) {
    n = tanh<T>(fma<T>(r, recurrent_n, input_n));
    h = fma<T>(z, h_before - n, n);
  }
};

template <class T, bool RELU>
UNROLL_INLINE Vec<T> elman_units(Vec<T> before) {
  return RELU ? larger<T>(Vec<T>{}, before) : tanh<T>(before);
}

// What cells have from the table of traits.
template <Cell CELL>
struct TraitsOf {
  static constexpr int kGates = traits(CELL).gates, kPlanes = traits(CELL).planes;
  static constexpr bool kTwoStates = traits(CELL).states == 2;
  static constexpr bool kKeeps = traits(CELL).keeps, kSecond = traits(CELL).second;
};

// Planes: i, f, g, o.
struct LstmCell : TraitsOf<Cell::lstm> {
  static constexpr int kX = 4, kH = 4;
  static constexpr int kFirstX = 0, kFirstH = 0;
  static constexpr int kBlockX[kX] = {0, 1, 2, 3}, kBlockH[kH] = {0, 1, 2, 3};
  static constexpr bool kColumns = false;
  static constexpr bool kDirect = false;  // whether `back` leaves something in dh

  template <class T, int MR>
  static void tile(const StepContext<T>& f, index r, index panel) {
    constexpr int L = kLanes<T>;
    const index u = panel * L;
    Vec<T> acc[MR][4];
    begin<T, 4>(acc, f, r, u, f.w_x + panel * f.D * 4 * L);
    product<T, 0, 4, false>(acc, f.h + r, f.w_h + panel * f.R * 4 * L, f.R);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const LstmUnits<T> unit(acc[m][0], acc[m][1], acc[m][2], acc[m][3], load_first(f.c_before[r + m] + u, f.H - u));
      if (f.keep) {
        T* gates = f.gates[r + m] + u;
        store(gates, unit.i);
        store(gates + f.Hp, unit.f);
        store(gates + 2 * f.Hp, unit.g);
        store(gates + 3 * f.Hp, unit.o);
      }
      store(f.c[r + m] + u, unit.c);
      if (f.w_second != nullptr) {
        store(f.extra[r + m] + u, unit.h);
      } else if (f.y != nullptr) {
        store_first(f.y[r + m] + u, unit.h, f.H - u);
      }
    }
  }

  template <class T, class Input, class Recurrent>
  static UNROLL_INLINE void live(const Input& input, const Recurrent& recurrent, const LiveRow<T>& s, index u) {
    const Vec<T> i = input(0) + recurrent(0), f = input(1) + recurrent(1);
    const Vec<T> g = input(2) + recurrent(2), o = input(3) + recurrent(3);
    const LstmUnits<T> unit(i, f, g, o, load_first(s.c + u, s.H - u));
    store_first(s.c_after + u, unit.c, s.H - u);
    store_first(s.h_after + u, unit.h, s.H - u);
  }

  template <class T>
  static void back(const BackRow<T>& s) {
    for (index u = s.u0; u < s.u1; u += kLanes<T>) {
      T* gates = s.gates + u;
      const Vec<T> i = load(gates), forget = load(gates + s.Hp), g = load(gates + 2 * s.Hp), o = load(gates + 3 * s.Hp);
      const Vec<T> tanh_c = tanh<T>(load(s.c + u)), dh = load(s.dh + u);
      const Vec<T> dc = fma<T>(dh * o, fma<T>(-tanh_c, tanh_c, broadcast(T(1))), load(s.dc + u));
      store(gates, dc * g * (i * (T(1) - i)));
      store(gates + s.Hp, dc * load_first(s.c_before + u, s.H - u) * (forget * (T(1) - forget)));
      store(gates + 2 * s.Hp, dc * i * fma<T>(-g, g, broadcast(T(1))));
      store(gates + 3 * s.Hp, dh * tanh_c * (o * (T(1) - o)));
      store(s.dc + u, dc * forget);
    }
  }
};

// n = tanh(x_n + r * (U_n h + c_n)): the reset after the product.
// Planes: n, r, z, U_n h + c_n.
struct GruCell : TraitsOf<Cell::gru> {
  static constexpr int kX = 3, kH = 3;
  static constexpr int kFirstX = 0, kFirstH = 1;
  static constexpr int kBlockX[kX] = {2, 0, 1}, kBlockH[kH] = {0, 1, 2};
  static constexpr bool kColumns = false;
  static constexpr bool kDirect = true;

  template <class T, int MR>
  static void tile(const StepContext<T>& f, index r, index panel) {
    constexpr int L = kLanes<T>;
    const index u = panel * L;
    Vec<T> acc[MR][4];
    begin<T, 3>(acc, f, r, u, f.w_x + panel * f.D * 3 * L);
    product<T, 1, 3, false>(acc, f.h + r, f.w_h + panel * f.R * 3 * L, f.R);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec<T> h_before = load_first(f.h[r + m] + u, f.H - u);
      const GruUnits<T> unit(acc[m][1], acc[m][2], acc[m][0], acc[m][3], h_before);
      if (f.keep) {
        T* gates = f.gates[r + m] + u;
        store(gates, unit.n);
        store(gates + f.Hp, unit.r);
        store(gates + 2 * f.Hp, unit.z);
        store(gates + 3 * f.Hp, acc[m][3]);
      }
      if (f.y != nullptr) store_first(f.y[r + m] + u, unit.h, f.H - u);
    }
  }

  template <class T, class Input, class Recurrent>
  static UNROLL_INLINE void live(const Input& input, const Recurrent& recurrent, const LiveRow<T>& s, index u) {
    const Vec<T> r = input(0) + recurrent(0), z = input(1) + recurrent(1);
    const Vec<T> h = load_first(s.h + u, s.H - u);
    store_first(s.h_after + u, GruUnits<T>(r, z, input(2), recurrent(2), h).h, s.H - u);
  }

  template <class T>
  static void back(const BackRow<T>& s) {
    for (index u = s.u0; u < s.u1; u += kLanes<T>) {
      T* gates = s.gates + u;
      const Vec<T> n = load(gates), reset = load(gates + s.Hp), z = load(gates + 2 * s.Hp);
      const Vec<T> product = load(gates + 3 * s.Hp), dh = load(s.dh + u);
      const Vec<T> dz = dh * (load_first(s.h_before + u, s.H - u) - n) * (z * (T(1) - z));
      const Vec<T> dn = dh * (T(1) - z) * fma<T>(-n, n, broadcast(T(1)));
      store(gates, dn);
      store(gates + s.Hp, dn * product * (reset * (T(1) - reset)));
      store(gates + 2 * s.Hp, dz);
      store(gates + 3 * s.Hp, dn * reset);
      store(s.dh + u, dh * z);
    }
  }
};

// n = tanh(x_n + U_n (r * h)): the reset before the product, which is therefore a second one.
// Planes: r, z, n, r * h.
struct GruResetBeforeCell : TraitsOf<Cell::gru_reset_before> {
  static constexpr int kX = 3, kH = 2;
  static constexpr int kFirstX = 0, kFirstH = 0;
  static constexpr int kBlockX[kX] = {0, 1, 2}, kBlockH[kH] = {0, 1};
  static constexpr bool kColumns = false;
  static constexpr bool kDirect = true;

  template <class T, int MR>
  static void tile(const StepContext<T>& f, index r, index panel) {
    constexpr int L = kLanes<T>;
    const index u = panel * L;
    Vec<T> acc[MR][3];
    begin<T, 3>(acc, f, r, u, f.w_x + panel * f.D * 3 * L);
    product<T, 0, 2, false>(acc, f.h + r, f.w_h + panel * f.R * 2 * L, f.R);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec<T> reset = sigmoid<T>(acc[m][0]);
      T* gates = f.gates[r + m] + u;
      store(gates, reset);
      store(gates + f.Hp, sigmoid<T>(acc[m][1]));
      store(gates + 2 * f.Hp, acc[m][2]);
      store(f.extra[r + m] + u, reset * load_first(f.h[r + m] + u, f.H - u));
    }
  }

  // The candidate and the output, from r * h; a panel is one of columns.
  template <class T, int MR>
  static void second(const StepContext<T>& f, index r, index panel) {
    constexpr int L = kLanes<T>;
    with_constant<kPanel>(panel_vectors<T>(f.H, panel), [&](auto nv) {
      constexpr int NV = decltype(nv)::value;
      const index first = panel * kPanel * L;
      Vec<T> acc[MR][NV];
      for (int m = 0; m < MR; ++m) {
        for (int v = 0; v < NV; ++v) acc[m][v] = load(f.gates[r + m] + 2 * f.Hp + first + v * L);
      }
      const T* reset_h[MR];
      for (int m = 0; m < MR; ++m) reset_h[m] = f.extra[r + m];
      product<T, 0, NV, false>(acc, reset_h, f.w_second + panel_offset<T>(f.H, panel), f.H);
      for (int m = 0; m < MR; ++m) {
        for (int v = 0; v < NV; ++v) {
          const index u = first + v * L;
          const Vec<T> n = tanh<T>(acc[m][v]), z = load(f.gates[r + m] + f.Hp + u);
          store(f.gates[r + m] + 2 * f.Hp + u, n);
          if (f.y == nullptr) continue;
          store_first(f.y[r + m] + u, fma<T>(z, load_first(f.h[r + m] + u, f.H - u) - n, n), f.H - u);
        }
      }
    });
  }

  // z and n; r waits for the gradient of r * h.
  template <class T>
  static void back(const BackRow<T>& s) {
    for (index u = s.u0; u < s.u1; u += kLanes<T>) {
      T* gates = s.gates + u;
      const Vec<T> z = load(gates + s.Hp), n = load(gates + 2 * s.Hp), dh = load(s.dh + u);
      store(gates + s.Hp, dh * (load_first(s.h_before + u, s.H - u) - n) * (z * (T(1) - z)));
      store(gates + 2 * s.Hp, dh * (T(1) - z) * fma<T>(-n, n, broadcast(T(1))));
      store(s.dh + u, dh * z);
    }
  }

  template <class T>
  static void back_reset(const BackRow<T>& s, const T* d_reset_h) {
    for (index u = s.u0; u < s.u1; u += kLanes<T>) {
      const Vec<T> reset = load(s.gates + u), d = load(d_reset_h + u);
      store(s.gates + u, d * load_first(s.h_before + u, s.H - u) * (reset * (T(1) - reset)));
      store(s.dh + u, fma<T>(d, reset, load(s.dh + u)));
    }
  }
};

template <bool RELU>
struct ElmanCell : TraitsOf<RELU ? Cell::rnn_relu : Cell::rnn_tanh> {
  static constexpr int kX = 1, kH = 1;
  static constexpr int kFirstX = 0, kFirstH = 0;
  static constexpr int kBlockX[kX] = {0}, kBlockH[kH] = {0};
  static constexpr bool kColumns = true;  // one gate: a panel holds more units instead
  static constexpr bool kDirect = false;

  template <class T, int MR>
  static void tile(const StepContext<T>& f, index r, index panel) {
    constexpr int L = kLanes<T>;
    with_constant<kPanel>(panel_vectors<T>(f.H, panel), [&](auto nv) {
      constexpr int NV = decltype(nv)::value;
      const index first = panel * kPanel * L;
      Vec<T> acc[MR][NV];
      for (int v = 0; v < NV; ++v) {
        const Vec<T> b = load(f.bias + first + v * L);
        for (int m = 0; m < MR; ++m) acc[m][v] = f.projected ? load(f.gates[r + m] + first + v * L) : b;
      }
      if (!f.projected) product<T, 0, NV, true>(acc, f.x + r, f.w_x + panel_offset<T>(f.D, panel), f.D);
      product<T, 0, NV, false>(acc, f.h + r, f.w_h + panel_offset<T>(f.R, panel), f.R);
      for (int m = 0; m < MR; ++m) {
        for (int v = 0; v < NV; ++v) {
          const index u = first + v * L;
          store_first(f.y[r + m] + u, elman_units<T, RELU>(acc[m][v]), f.H - u);
        }
      }
    });
  }

  template <class T, class Input, class Recurrent>
  static UNROLL_INLINE void live(const Input& input, const Recurrent& recurrent, const LiveRow<T>& s, index u) {
    store_first(s.h_after + u, elman_units<T, RELU>(input(0) + recurrent(0)), s.H - u);
  }

  template <class T>
  static void back(const BackRow<T>& s) {
    for (index u = s.u0; u < s.u1; u += kLanes<T>) {
      const Vec<T> y = load_first(s.y + u, s.H - u), dh = load(s.dh + u);
      store(s.gates + u, RELU ? (y > T(0) ? dh : Vec<T>{}) : dh * fma<T>(-y, y, broadcast(T(1))));
    }
  }
};

}  // namespace unroll::UNROLL_ISA

// The equations, written plainly, and their slopes along a direction.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "case.h"

namespace unroll::tests {

// A number and its slope: what is computed with such numbers is differentiated by the way.
struct Dual {
  double value = 0, slope = 0;
};

inline Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
inline Dual operator*(Dual a, Dual b) { return {a.value * b.value, a.slope * b.value + a.value * b.slope}; }

inline double sigmoid(double a) { return 1 / (1 + std::exp(-a)); }
inline Dual sigmoid(Dual a) {
  const double s = sigmoid(a.value);
  return {s, a.slope * s * (1 - s)};
}
using std::tanh;
inline Dual tanh(Dual a) {
  const double t = std::tanh(a.value);
  return {t, a.slope * (1 - t * t)};
}
inline double positive(double a) { return a > 0 ? a : 0; }
inline Dual positive(Dual a) { return a.value > 0 ? a : Dual{}; }
inline double complement(double a) { return 1 - a; }
inline Dual complement(Dual a) { return {1 - a.value, -a.slope}; }

template <class S>
S dot(const S* a, const S* b, index n) {
  S sum{};
  for (index i = 0; i < n; ++i) sum = sum + a[i] * b[i];
  return sum;
}

template <class S>
struct State {
  std::vector<S> h, c;
};

// One step of one row.
template <class S>
class Equations {
 public:
  Equations(const Case& c, const Tensors<S>& in) : p_(c.form), in_(in) {}

  State<S> step(const S* x, const State<S>& s) const {
    switch (p_.cell) {
      case Cell::lstm: return lstm(x, s);
      case Cell::gru: return gru(x, s);
      case Cell::gru_reset_before: return gru_reset_before(x, s);
      default: return elman(x, s);
    }
  }

 private:
  S bias(Tensor which, index row) const { return in_[which].empty() ? S{} : in_[which][row]; }

  // Of a gate's unit u: W x + b, U h + c, and both.
  S input(int gate, index u, const S* x) const {
    const index row = gate * p_.H + u;
    return dot(in_[kWih].data() + row * p_.D, x, p_.D) + bias(kBih, row);
  }
  S recurrent(int gate, index u, const S* h) const {
    const index row = gate * p_.H + u;
    return dot(in_[kWhh].data() + row * p_.R, h, p_.R) + bias(kBhh, row);
  }
  S sum(int gate, index u, const S* x, const S* h) const { return input(gate, u, x) + recurrent(gate, u, h); }

  State<S> lstm(const S* x, const State<S>& s) const {
    const S* const h = s.h.data();
    State<S> next{std::vector<S>(p_.H), std::vector<S>(p_.H)};
    for (index u = 0; u < p_.H; ++u) {
      const S i = sigmoid(sum(0, u, x, h)), f = sigmoid(sum(1, u, x, h));
      const S g = tanh(sum(2, u, x, h)), o = sigmoid(sum(3, u, x, h));
      next.c[u] = f * s.c[u] + i * g;
      next.h[u] = o * tanh(next.c[u]);
    }
    if (!in_[kWhr].empty()) next.h = projected(next.h);
    return next;
  }

  std::vector<S> projected(const std::vector<S>& wide) const {
    std::vector<S> h(p_.R);
    for (index r = 0; r < p_.R; ++r) h[r] = dot(in_[kWhr].data() + r * p_.H, wide.data(), p_.H);
    return h;
  }

  State<S> gru(const S* x, const State<S>& s) const {
    const S* const h = s.h.data();
    State<S> next{std::vector<S>(p_.H), {}};
    for (index u = 0; u < p_.H; ++u) {
      const S r = sigmoid(sum(0, u, x, h)), z = sigmoid(sum(1, u, x, h));
      const S n = tanh(input(2, u, x) + r * recurrent(2, u, h));
      next.h[u] = complement(z) * n + z * h[u];
    }
    return next;
  }

  State<S> gru_reset_before(const S* x, const State<S>& s) const {
    const S* const h = s.h.data();
    std::vector<S> reset(p_.H);
    for (index u = 0; u < p_.H; ++u) reset[u] = sigmoid(sum(0, u, x, h)) * h[u];
    State<S> next{std::vector<S>(p_.H), {}};
    for (index u = 0; u < p_.H; ++u) {
      const S z = sigmoid(sum(1, u, x, h)), n = tanh(sum(2, u, x, reset.data()));
      next.h[u] = complement(z) * n + z * h[u];
    }
    return next;
  }

  State<S> elman(const S* x, const State<S>& s) const {
    State<S> next{std::vector<S>(p_.H), {}};
    for (index u = 0; u < p_.H; ++u) {
      const S a = sum(0, u, x, s.h.data());
      next.h[u] = p_.cell == Cell::rnn_relu ? positive(a) : tanh(a);
    }
    return next;
  }

  const Args& p_;
  const Tensors<S>& in_;
};

// What stands in the place of a state that a border cuts off.
template <class S>
std::vector<S> back(const std::vector<S>& state, const std::vector<S>& given) {
  return given.empty() ? std::vector<S>(state.size()) : given;
}

// A row over time; y is (T, B, R).
template <class S>
State<S> unroll_row(const Case& c, const Tensors<S>& in, index b, std::vector<S>& y) {
  const Args& p = c.form;
  const Equations<S> equations(c, in);
  State<S> s{row_of(in[kH0], b, p.R), row_of(in[kC0], b, p.H)};
  const index length = c.length(b);
  for (index n = 0; n < length; ++n) {
    const index t = p.reverse ? length - 1 - n : n;
    const index border = p.reverse ? t + 1 : t;
    if (!c.resets.empty() && border < length && c.resets[border * p.B + b]) {
      s = {back(s.h, in[kResetH]), back(s.c, in[kResetC])};
    }
    s = equations.step(in[kX].data() + (t * p.B + b) * p.D, s);
    std::copy(s.h.begin(), s.h.end(), y.begin() + (t * p.B + b) * p.R);
  }
  return s;
}

template <class S>
Outputs<S> unrolled(const Case& c, const Tensors<S>& in) {
  Outputs<S> out;
  out[kY].resize(c.output_size(kY));
  for (index b = 0; b < c.form.B; ++b) {
    const State<S> last = unroll_row(c, in, b, out[kY]);
    out[kH].insert(out[kH].end(), last.h.begin(), last.h.end());
    out[kC].insert(out[kC].end(), last.c.begin(), last.c.end());
  }
  return out;
}

// What is right: the outputs, and for each tensor how steep the sum of d_out * out is along a drawn direction.
struct Truth {
  Outputs<double> out;
  Tensors<double> directions;
  std::array<double, kTensors> slopes{};

  Truth(const Case& c, Random& random) : out(unrolled(c, c.in)) {
    for (int k = 0; k < kTensors; ++k) {
      for (std::size_t i = 0; i < c.in[k].size(); ++i) directions[k].push_back(random.number(1));
      if (!c.in[k].empty()) slopes[k] = slope(c, k);
    }
  }

 private:
  double slope(const Case& c, int along) const {
    Tensors<Dual> in;
    for (int k = 0; k < kTensors; ++k) {
      for (std::size_t i = 0; i < c.in[k].size(); ++i) in[k].push_back({c.in[k][i], k == along ? directions[k][i] : 0});
    }
    const Outputs<Dual> out = unrolled(c, in);
    double sum = 0;
    for (int k = 0; k < kOutputs; ++k) {
      for (std::size_t i = 0; i < c.d_out[k].size(); ++i) sum += c.d_out[k][i] * out[k][i].slope;
    }
    return sum;
  }
};

}  // namespace unroll::tests

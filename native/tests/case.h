// What a kernel is tried with: sizes, options and numbers.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "args.h"

namespace unroll::tests {

// Not the standard library's distributions: a seed means the same case everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}

  index from(index least, index most) { return least + index(bits_() % std::uint64_t(most - least + 1)); }
  bool one_in(index n) { return from(1, n) == 1; }
  // Within [-size, size], and a number of either type.
  double number(double size) { return double(float(size * (double(bits_() >> 11) * 0x1p-52 - 1.0))); }

 private:
  std::mt19937_64 bits_;
};

// A call's tensors, or their gradients; one that is not there is empty.
enum Tensor { kX, kWih, kWhh, kBih, kBhh, kWhr, kH0, kC0, kResetH, kResetC, kTensors };
enum Output { kY, kH, kC, kOutputs };

template <class S>
using Tensors = std::array<std::vector<S>, kTensors>;
template <class S>
using Outputs = std::array<std::vector<S>, kOutputs>;

constexpr const char* kTensorNames[] = {"x", "w_ih", "w_hh", "b_ih", "b_hh", "w_hr", "h0", "c0", "reset_h", "reset_c"};
constexpr const char* kOutputNames[] = {"y", "h", "c"};
constexpr const char* kCellNames[] = {"rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before"};
constexpr Cell kCells[] = {Cell::rnn_tanh, Cell::rnn_relu, Cell::lstm, Cell::gru, Cell::gru_reset_before};

// Row b of (B, width), and of (T, B, width).
template <class S>
std::vector<S> row_of(const std::vector<S>& rows, index b, index width) {
  return rows.empty() ? rows : std::vector<S>(rows.begin() + b * width, rows.begin() + (b + 1) * width);
}

template <class S>
std::vector<S> steps_of(const std::vector<S>& rows, index B, index b, index width) {
  std::vector<S> steps;
  for (index at = b * width; at < index(rows.size()); at += B * width) {
    steps.insert(steps.end(), rows.begin() + at, rows.begin() + at + width);
  }
  return steps;
}

struct Shape {
  Cell cell;
  index T, B, D, H;
  index R = 0;  // 0: no projection
};

// How (T, B, width) lies in memory: rows first or not, with gaps or without.
struct Layout {
  index time = 0, row = 0;

  Layout() = default;
  Layout(int kind, index T, index B, index width) {
    const index gap = kind >= 2 ? 3 : 0;
    const bool rows_first = kind % 2 == 1;
    (rows_first ? time : row) = width + gap;
    (rows_first ? row : time) = (rows_first ? T : B) * (width + gap) + gap;
  }

  // Up to the last number, and none after it.
  index elements(index T, index B, index width) const { return (T - 1) * time + (B - 1) * row + width; }
};

struct Case {
  Args form;  // sizes and options
  bool projected = false, biased = true, resettable = false;
  bool flushing = false;              // the caller itself treats subnormal numbers as zero
  std::vector<std::int64_t> lengths;  // empty: none
  std::vector<std::uint8_t> resets;   // (T, B); empty: none
  Layout x, y, dy, dx, borders;
  Tensors<double> in;
  Outputs<double> d_out;  // empty: none

  Case() = default;

  // All the rest is drawn.
  Case(const Shape& shape, Random& random) {
    form.cell = shape.cell;
    form.T = shape.T, form.B = shape.B, form.D = shape.D, form.H = shape.H;
    projected = shape.R > 0;
    form.R = projected ? shape.R : shape.H;
    form.reverse = random.one_in(2);
    form.recompute = random.one_in(2);
    biased = !random.one_in(4);
    flushing = random.one_in(2);
    if (random.one_in(2)) draw_lengths(random);
    if (random.one_in(2)) draw_resets(random);
    draw_layouts(random);
    draw_numbers(random);
  }

  index length(index b) const { return lengths.empty() ? form.T : std::clamp<index>(lengths[b], 0, form.T); }
  index total() const {
    index sum = 0;
    for (index b = 0; b < form.B; ++b) sum += length(b);
    return sum;
  }

  index size(int tensor) const {
    const Args& p = form;
    const index rows = p.gates() * p.H;
    const bool lstm = p.cell == Cell::lstm;
    switch (tensor) {
      case kX: return p.T * p.B * p.D;
      case kWih: return rows * p.D;
      case kWhh: return rows * p.R;
      case kBih:
      case kBhh: return biased ? rows : 0;
      case kWhr: return projected ? p.R * p.H : 0;
      case kH0: return p.B * p.R;
      case kC0: return lstm ? p.B * p.H : 0;
      case kResetH: return resettable ? p.R : 0;
      default: return resettable && lstm ? p.H : 0;
    }
  }

  index output_size(int output) const {
    const Args& p = form;
    if (output == kY) return p.T * p.B * p.R;
    return output == kH ? p.B * p.R : p.cell == Cell::lstm ? p.B * p.H : 0;
  }

  std::string describe() const;

 private:
  void draw_lengths(Random& random) {
    const bool beyond = random.one_in(8);  // from a caller that was told of no limit
    for (index b = 0; b < form.B; ++b) {
      lengths.push_back(random.one_in(6) ? 0 : random.from(beyond ? -2 : 0, form.T + (beyond ? 2 : 0)));
    }
  }

  void draw_resets(Random& random) {
    const index rarity = random.from(2, 8);
    for (index i = 0; i < form.T * form.B; ++i) resets.push_back(random.one_in(rarity));
    resettable = random.one_in(2);
  }

  void draw_layouts(Random& random) {
    const Args& p = form;
    x = Layout(int(random.from(0, 3)), p.T, p.B, p.D);
    dx = Layout(int(random.from(0, 3)), p.T, p.B, p.D);
    y = Layout(int(random.from(0, 3)), p.T, p.B, p.R);
    dy = Layout(int(random.from(0, 3)), p.T, p.B, p.R);
    borders = Layout(int(random.from(0, 1)), p.T, p.B, 1);
  }

  void draw_numbers(Random& random) {
    const double scale[kTensors] = {2,
                                    1.5 / std::sqrt(double(form.D)),
                                    1.5 / std::sqrt(double(form.R)),
                                    1,
                                    1,
                                    1.5 / std::sqrt(double(form.H)),
                                    random.one_in(4) ? 0.0 : 1.0,
                                    1,
                                    1,
                                    1};
    for (int k = 0; k < kTensors; ++k) {
      for (index i = 0; i < size(k); ++i) in[k].push_back(random.number(scale[k]));
    }
    if (random.one_in(6)) {  // beyond what an exponential can hold
      for (double& b : in[kBih]) b = random.one_in(10) ? random.one_in(2) ? 800 : -800 : b;
    }
    const index absent = random.from(0, 7);  // a bit for each output
    for (int k = 0; k < kOutputs; ++k) {
      for (index i = 0; i < output_size(k) && (absent >> k & 1) == 0; ++i) d_out[k].push_back(random.number(1));
    }
  }
};

inline std::string Case::describe() const {
  const Args& p = form;
  std::string text = kCellNames[int(p.cell)];
  const auto say = [&text](const char* name, index value) { text += " " + (name + ("=" + std::to_string(value))); };
  say("T", p.T), say("B", p.B), say("D", p.D), say("H", p.H);
  if (projected) say("R", p.R);
  if (p.reverse) text += " reverse";
  if (p.recompute) text += " recompute";
  if (!biased) text += " no-bias";
  if (flushing) text += " flushing";
  if (!lengths.empty()) {
    text += " lengths=";
    for (index b = 0; b < std::min<index>(p.B, 8); ++b) text += (b ? "," : "") + std::to_string(lengths[b]);
    if (p.B > 8) text += ",..";
  }
  if (!resets.empty()) text += resettable ? " resets+state" : " resets";
  for (int k = 0; k < kOutputs; ++k) {
    if (!d_out[k].empty()) text += std::string(" d") + kOutputNames[k];
  }
  return text;
}

}  // namespace unroll::tests

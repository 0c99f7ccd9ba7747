// A case put into memory as a caller would, and run.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "case.h"
#include "kernels.h"
#include "threads.h"
#include "workspace.h"

namespace unroll::tests {

using Faults = std::vector<std::string>;

template <class T>
constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
template <class T>
constexpr bool kWide = sizeof(T) == 8;

// How this thread computes: the modes, without what has happened since.
inline unsigned modes() {
#if defined(__x86_64__)
  return _mm_getcsr() & ~0x3fu;
#else
  return 0;
#endif
}

class CallersModes {
 public:
  explicit CallersModes(bool flushing) : before_(modes()) {
#if defined(__x86_64__)
    if (flushing) _mm_setcsr(before_ | 0x8040u);
#else
    (void)flushing;
#endif
    given_ = modes();
  }
  ~CallersModes() {
#if defined(__x86_64__)
    _mm_setcsr(before_);
#endif
  }
  bool intact() const { return modes() == given_; }

 private:
  unsigned before_, given_;
};

// What a call finds in the memory that was kept from earlier ones is NaN.
inline void spoil_workspace() {
  constexpr std::size_t kBytes = std::size_t(256) << 10;
  void* blocks[4];
  for (void*& b : blocks) std::memset(b = take_workspace(kBytes), 0xff, kBytes);
  for (void* b : blocks) give_workspace(b);
}

template <class S>
auto address(std::vector<S>& values) {
  return values.empty() ? nullptr : values.data();
}

// (T, B, width) laid out; NaN in the gaps and beyond the rows' lengths.
template <class T>
std::vector<T> spread(const Case& c, const Layout& layout, const std::vector<double>& dense, index width) {
  if (dense.empty()) return {};
  std::vector<T> values(layout.elements(c.form.T, c.form.B, width), kNan<T>);
  for (index b = 0; b < c.form.B; ++b) {
    for (index t = 0; t < c.length(b); ++t) {
      const double* const from = dense.data() + (t * c.form.B + b) * width;
      std::copy(from, from + width, values.begin() + t * layout.time + b * layout.row);
    }
  }
  return values;
}

// The other way round, for all steps; the gaps must still be NaN.
template <class T>
std::vector<T> gathered(const Case& c, const Layout& layout, std::vector<T> values, index width, Faults& faults) {
  if (values.empty()) return {};
  std::vector<T> dense;
  for (index t = 0; t < c.form.T; ++t) {
    for (index b = 0; b < c.form.B; ++b) {
      const auto from = values.begin() + t * layout.time + b * layout.row;
      dense.insert(dense.end(), from, from + width);
      std::fill(from, from + width, kNan<T>);
    }
  }
  if (!std::all_of(values.begin(), values.end(), [](T v) { return std::isnan(v); })) {
    faults.push_back("wrote between the rows");
  }
  return dense;
}

inline std::vector<std::uint8_t> laid_borders(const Case& c) {
  if (c.resets.empty()) return {};
  std::vector<std::uint8_t> laid(c.resets.size());
  for (index t = 0; t < c.form.T; ++t) {
    for (index b = 0; b < c.form.B; ++b) {
      laid[t * c.borders.time + b * c.borders.row] = c.resets[t * c.form.B + b];
    }
  }
  return laid;
}

// How a case is run: none of this may change a number.
struct How {
  int threads = 1;
  bool keep = true;  // and compute gradients
  bool wanted[kTensors] = {true, true, true, true, true, true, true, true, true, true};
};

template <class T>
struct Result {
  Outputs<T> out;
  Tensors<T> gradients;
  Faults faults;
};

constexpr const void* Args::* kInputs[] = {&Args::x,    &Args::w_ih, &Args::w_hh, &Args::b_ih,    &Args::b_hh,
                                           &Args::w_hr, &Args::h0,   &Args::c0,   &Args::reset_h, &Args::reset_c};
constexpr void* Args::* kGradients[] = {&Args::dx,    &Args::dw_ih, &Args::dw_hh, &Args::db_ih,    &Args::db_hh,
                                        &Args::dw_hr, &Args::dh0,   &Args::dc0,   &Args::dreset_h, &Args::dreset_c};
constexpr void* Args::* kOutputsOf[] = {&Args::y, &Args::h, &Args::c};
constexpr const void* Args::* kOutputGradients[] = {&Args::dy, &Args::dh, &Args::dc};

// A case's buffers, and the call that they make.
template <class T>
class Run {
 public:
  Run(const Case& c, const How& how) : case_(c), how_(how), p_(c.form), borders_(laid_borders(c)) {
    p_.is_double = kWide<T>;
    p_.threads = how.threads;
    p_.lengths = address(lengths_ = c.lengths);
    p_.resets = address(borders_);
    p_.resets_time = c.borders.time, p_.resets_row = c.borders.row;
    p_.x_time = c.x.time, p_.x_row = c.x.row, p_.y_time = c.y.time, p_.y_row = c.y.row;
    fill_inputs();
    make_outputs();
  }

  Result<T> operator()(const Kernels& kernels) {
    Result<T> result;
    const RowPacking planned(p_);
    call(kernels.forward, planned.plan(), "forward", result.faults);
    if (how_.keep) {
      add_gradients();
      call(kernels.backward, planned.plan(), "backward", result.faults);
    }
    result.out = out_, result.gradients = gradients_;
    result.out[kY] = gathered(case_, case_.y, out_[kY], p_.R, result.faults);
    result.gradients[kX] = gathered(case_, case_.dx, gradients_[kX], p_.D, result.faults);
    return result;
  }

 private:
  void fill_inputs() {
    for (int k = 0; k < kTensors; ++k) {
      in_[k].assign(case_.in[k].begin(), case_.in[k].end());
      if (k == kX) in_[k] = spread<T>(case_, case_.x, case_.in[k], p_.D);
      p_.*kInputs[k] = address(in_[k]);
    }
  }

  void make_outputs() {
    const index elements = case_.y.elements(p_.T, p_.B, p_.R);
    for (int k = 0; k < kOutputs; ++k) {
      out_[k].assign(k == kY ? elements : case_.output_size(k), kNan<T>);
      p_.*kOutputsOf[k] = address(out_[k]);
    }
    if (!how_.keep) return;
    saved_.assign(case_.total() * p_.saved_width(), kNan<T>);
    p_.saved = address(saved_);
  }

  void add_gradients() {
    p_.dy_time = case_.dy.time, p_.dy_row = case_.dy.row, p_.dx_time = case_.dx.time, p_.dx_row = case_.dx.row;
    for (int k = 0; k < kOutputs; ++k) {
      d_out_[k].assign(case_.d_out[k].begin(), case_.d_out[k].end());
      if (k == kY) d_out_[k] = spread<T>(case_, case_.dy, case_.d_out[k], p_.R);
      p_.*kOutputGradients[k] = address(d_out_[k]);
    }
    for (int k = 0; k < kTensors; ++k) {
      if (!how_.wanted[k]) continue;
      gradients_[k].assign(k == kX ? case_.dx.elements(p_.T, p_.B, p_.D) : case_.size(k), kNan<T>);
      p_.*kGradients[k] = address(gradients_[k]);
    }
  }

  void call(void (*kernel)(const Args&, const PackedRows&), const PackedRows& plan, const char* name,
            Faults& faults) const {
    spoil_workspace();
    const CallersModes modes(case_.flushing);
    kernel(p_, plan);
    if (!modes.intact()) faults.push_back(std::string(name) + " changed the caller's floating-point modes");
  }

  const Case& case_;
  const How& how_;
  Args p_;
  std::vector<std::int64_t> lengths_;
  std::vector<std::uint8_t> borders_;
  Tensors<T> in_, gradients_;
  Outputs<T> out_, d_out_;
  std::vector<T> saved_;
};

template <class T>
Result<T> run(const Kernels& kernels, const Case& c, const How& how) {
  return Run<T>(c, how)(kernels);
}

}  // namespace unroll::tests

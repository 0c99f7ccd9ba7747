// Compiled once for each instruction set: UNROLL_ISA names it.
#include "kernels.h"

#include "backward.h"
#include "cross_entropy.h"
#include "decode.h"
#include "forward.h"
#include "step.h"

namespace unroll::UNROLL_ISA {
namespace {

// `body` with the equations of a cell, and a number of the type that it computes in.
template <class Body>
void with_cell(Cell cell, bool is_double, Body&& body) {
  const auto with_type = [&](auto equations) { is_double ? body(equations, double{}) : body(equations, float{}); };
  switch (cell) {
    case Cell::rnn_tanh: return with_type(ElmanCell<false>{});
    case Cell::rnn_relu: return with_type(ElmanCell<true>{});
    case Cell::lstm: return with_type(LstmCell{});
    case Cell::gru: return with_type(GruCell{});
    case Cell::gru_reset_before: return with_type(GruResetBeforeCell{});
  }
}

void forward_any(const Args& p, const PackedRows& plan) {
  with_cell(p.cell, p.is_double, [&](auto cell, auto number) { forward<decltype(number), decltype(cell)>(p, plan); });
}

void backward_any(const Args& p, const PackedRows& plan) {
  with_cell(p.cell, p.is_double, [&](auto cell, auto number) { backward<decltype(number), decltype(cell)>(p, plan); });
}

void step_any(const StepArgs& p) {
  with_cell(p.cell, p.is_double, [&](auto cell, auto number) { step<decltype(number), decltype(cell)>(p); });
}

std::size_t packed_bytes_any(const Args& p) {
  std::size_t bytes = 0;
  with_cell(p.cell, p.is_double,
            [&](auto cell, auto number) { bytes = packed_bytes<decltype(number), decltype(cell)>(p); });
  return bytes;
}

void pack_any(const Args& p) {
  with_cell(p.cell, p.is_double, [&](auto cell, auto number) { pack_weights<decltype(number), decltype(cell)>(p); });
}

std::size_t linear_bytes_any(const LinearArgs& p) {
  return p.is_double ? std::size_t(panels_size<double>(p.K, p.columns)) * sizeof(double)
                     : std::size_t(panels_size<float>(p.K, p.columns)) * sizeof(float);
}

void pack_linear_any(const LinearArgs& p) { p.is_double ? pack_linear<double>(p) : pack_linear<float>(p); }
void linear_any(const LinearArgs& p) { p.is_double ? linear<double>(p) : linear<float>(p); }
void attend_any(const AttendArgs& p) { p.is_double ? attend<double>(p) : attend<float>(p); }
void top_any(const TopArgs& p) { p.is_double ? top<double>(p) : top<float>(p); }

void cross_entropy_any(const CrossEntropyArgs& p) { p.is_double ? cross_entropy<double>(p) : cross_entropy<float>(p); }

void cross_entropy_backward_any(const CrossEntropyArgs& p) {
  p.is_double ? cross_entropy_backward<double>(p) : cross_entropy_backward<float>(p);
}

#define UNROLL_TEXT(x) #x
#define UNROLL_NAME(x) UNROLL_TEXT(x)

}  // namespace

extern const Kernels kKernels = {
    UNROLL_NAME(UNROLL_ISA),   forward_any,     backward_any, step_any,   packed_bytes_any, pack_any,
    linear_bytes_any,          pack_linear_any, linear_any,   attend_any, top_any,          cross_entropy_any,
    cross_entropy_backward_any};

}  // namespace unroll::UNROLL_ISA

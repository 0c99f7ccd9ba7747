// Compiled once for each instruction set: UNROLL_ISA names it.
#include "kernels.h"

#include "backward.h"
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

#define UNROLL_TEXT(x) #x
#define UNROLL_NAME(x) UNROLL_TEXT(x)

}  // namespace

extern const Kernels kKernels = {UNROLL_NAME(UNROLL_ISA), forward_any, backward_any, step_any};

}  // namespace unroll::UNROLL_ISA

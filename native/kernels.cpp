// Compiled once for each instruction set: UNROLL_ISA names it.
#include "kernels.h"

#include "backward.h"
#include "forward.h"
#include "step.h"

namespace unroll::UNROLL_ISA {
namespace {

template <class T>
void forward_of(const Problem& p, const Plan& plan) {
  switch (p.cell) {
    case Cell::rnn_tanh: return forward<T, ElmanCell<false>>(p, plan);
    case Cell::rnn_relu: return forward<T, ElmanCell<true>>(p, plan);
    case Cell::lstm: return forward<T, LstmCell>(p, plan);
    case Cell::gru: return forward<T, GruCell>(p, plan);
    case Cell::gru_reset_before: return forward<T, GruResetBeforeCell>(p, plan);
  }
}

template <class T>
void backward_of(const Problem& p, const Plan& plan) {
  switch (p.cell) {
    case Cell::rnn_tanh: return backward<T, ElmanCell<false>>(p, plan);
    case Cell::rnn_relu: return backward<T, ElmanCell<true>>(p, plan);
    case Cell::lstm: return backward<T, LstmCell>(p, plan);
    case Cell::gru: return backward<T, GruCell>(p, plan);
    case Cell::gru_reset_before: return backward<T, GruResetBeforeCell>(p, plan);
  }
}

void forward_any(const Problem& p, const Plan& plan) {
  p.wide ? forward_of<double>(p, plan) : forward_of<float>(p, plan);
}

void backward_any(const Problem& p, const Plan& plan) {
  p.wide ? backward_of<double>(p, plan) : backward_of<float>(p, plan);
}

void step_any(const StepProblem& p) {
  p.wide ? step<double>(p, forward_of<double>) : step<float>(p, forward_of<float>);
}

#define UNROLL_TEXT(x) #x
#define UNROLL_NAME(x) UNROLL_TEXT(x)

}  // namespace

extern const Kernels kKernels = {UNROLL_NAME(UNROLL_ISA), forward_any, backward_any, step_any};

}  // namespace unroll::UNROLL_ISA

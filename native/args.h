// What is asked of the kernels: one recurrence, one layer, one direction, over time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// Must always be inlined: this file is compiled once for each instruction set, and the linker might keep the copy
// that only some processors can run.
#define UNROLL_INLINE inline __attribute__((always_inline))

namespace unroll {

using index = std::ptrdiff_t;

enum class Cell : int { rnn_tanh, rnn_relu, lstm, gru, gru_reset_before };

// What is known of a cell before its kernels are chosen; its equations are in cells.h.
struct CellTraits {
  const char* name;
  int gates;    // blocks of H rows in the weights
  int planes;   // of a step's gates; a GRU has one more, which its candidate needs
  int states;   // 2: there is c beside h
  bool keeps;   // the gradient needs the gates' values: they cannot be had from the outputs
  bool second;  // a second recurrent product, of what the first one's gates gave
};

inline constexpr CellTraits kCellTraits[] = {
    {"rnn_tanh", 1, 1, 1, false, false},       //
    {"rnn_relu", 1, 1, 1, false, false},       //
    {"lstm", 4, 4, 2, true, false},            //
    {"gru", 3, 4, 1, true, false},             //
    {"gru_reset_before", 3, 4, 1, true, true}  //
};

UNROLL_INLINE constexpr const CellTraits& traits(Cell cell) { return kCellTraits[int(cell)]; }

// All tensors hold float, or all double. Features lie side by side; strides count elements; null is "none".
struct Args {
  Cell cell = Cell::lstm;
  bool is_double = false;  // double
  bool reverse = false;
  bool recompute = false;  // keep less for the gradient
  int threads = 1;
  index T = 0, B = 0, D = 0, H = 0, R = 0;

  const void* x = nullptr;  // (T, B, D)
  index x_time = 0, x_row = 0;
  const void *w_ih = nullptr, *w_hh = nullptr, *b_ih = nullptr, *b_hh = nullptr, *w_hr = nullptr;
  const void *h0 = nullptr, *c0 = nullptr;  // (B, R), (B, H)
  const std::int64_t* lengths = nullptr;    // (B,)
  const std::uint8_t* resets = nullptr;     // (T, B)
  index resets_time = 0, resets_row = 0;
  const void *reset_h = nullptr, *reset_c = nullptr;  // (R,), (H,)

  void* y = nullptr;  // (T, B, R)
  index y_time = 0, y_row = 0;
  void *h = nullptr, *c = nullptr;  // (B, R), (B, H)
  void* saved = nullptr;            // (sum of lengths, saved_width)
  void* packed = nullptr;           // the weights, packed before by `pack`; null: they are packed anew

  const void* dy = nullptr;
  index dy_time = 0, dy_row = 0;
  const void *dh = nullptr, *dc = nullptr;
  void* dx = nullptr;
  index dx_time = 0, dx_row = 0;
  void *dw_ih = nullptr, *dw_hh = nullptr, *db_ih = nullptr, *db_hh = nullptr, *dw_hr = nullptr;
  void *dh0 = nullptr, *dc0 = nullptr, *dreset_h = nullptr, *dreset_c = nullptr;

  UNROLL_INLINE int gates() const { return traits(cell).gates; }

  UNROLL_INLINE index padded() const { return (H + 15) / 16 * 16; }

  // Elements that the gradient needs for one step of one row: gates, c, and a projection's input.
  UNROLL_INLINE index saved_width() const {
    const CellTraits& of = traits(cell);
    return padded() *
           (index(of.keeps && !recompute ? of.planes : 0) + (of.states - 1) + (w_hr != nullptr && !recompute));
  }
};

// One step of a stack of layers, for live use: tensors are contiguous.
struct StepArgs {
  Cell cell = Cell::lstm;
  bool is_double = false;
  int threads = 1;
  index layers = 0, B = 0, D = 0, H = 0, R = 0;
  const void* x = nullptr;                      // (B, D)
  const void *h = nullptr, *c = nullptr;        // (layers, B, R), (layers, B, H)
  const void* const* weights = nullptr;         // (layers, 5): w_ih, w_hh, b_ih, b_hh, w_hr
  void* y = nullptr;                            // (B, R)
  void *h_after = nullptr, *c_after = nullptr;  // as h and c
};

// A linear map of rows; tensors are contiguous.
struct LinearArgs {
  bool is_double = false;
  bool tanh = false;
  int threads = 1;
  index rows = 0, K = 0, columns = 0;
  const void* weight = nullptr;  // (columns, K), to be packed
  void* packed = nullptr;        // panels_size(K, columns)
  const void* x = nullptr;       // (rows, K)
  const void* bias = nullptr;    // (columns,)
  void* out = nullptr;           // (rows, columns)
};

// Attention of rows, each over one row of a memory that several can share.
struct AttendArgs {
  bool is_double = false;
  int threads = 1;
  double scale = 1;
  index rows = 0, S = 0, A = 0, E = 0, heads = 1;
  const void* query = nullptr;  // (rows, heads * A)
  const void* keys = nullptr;   // (B, S, heads * A), with its strides
  index keys_row = 0, keys_step = 0;
  const void* values = nullptr;  // (B, S, heads * E), with its strides
  index values_row = 0, values_step = 0;
  const void* v = nullptr;                // (A,): additive scores v . tanh(q + k); null: q . k
  const std::int64_t* owner = nullptr;    // (rows,) the row of the memory
  const std::int64_t* lengths = nullptr;  // (B,)
  void* context = nullptr;                // (rows, heads * E)
  void* weights = nullptr;                // (rows, S), the mean over the heads
  void* scratch = nullptr;                // (rows, S)
};

// The largest numbers of each row.
struct TopArgs {
  bool is_double = false;
  int threads = 1;
  index rows = 0, columns = 0, k = 1;
  const void* x = nullptr;         // (rows, columns)
  void* values = nullptr;          // (rows, k)
  std::int64_t* places = nullptr;  // (rows, k)
};

// The cross-entropy of rows of scores.
struct CrossEntropyArgs {
  bool is_double = false;
  int threads = 1;
  index rows = 0, classes = 0;
  double smoothing = 0;
  const void* scores = nullptr;                        // (rows, classes)
  const std::int64_t* target = nullptr;                // (rows,)
  void *nll = nullptr, *smoothed = nullptr;            // (rows,)
  void* log_total = nullptr;                           // (rows,): log of the sum of e^score
  const void *d_nll = nullptr, *d_smoothed = nullptr;  // (rows,)
  void* gradient = nullptr;                            // (rows, classes), which may be the scores
};

// Rows in the order of their lengths, longest first, and their steps packed: all rows' first step, then the
// second of those that have one, and so on. It depends on the lengths alone.
struct PackedRows {
  index rows = 0;
  index steps = 0;                 // of the longest row
  const index* order = nullptr;    // (rows,) the row of each rank; null: all rows are alike
  const index* lengths = nullptr;  // (rows,) by rank
  const index* offsets = nullptr;  // (steps + 1,) packed rows before each step

  UNROLL_INLINE index row(index rank) const { return order == nullptr ? rank : order[rank]; }
  UNROLL_INLINE index length(index rank) const { return order == nullptr ? steps : lengths[rank]; }
  UNROLL_INLINE index offset(index n) const { return order == nullptr ? n * rows : offsets[n]; }
  UNROLL_INLINE index active(index n) const { return n >= steps ? 0 : offset(n + 1) - offset(n); }
  UNROLL_INLINE index total() const { return offset(steps); }

  // Ranks cut into at most `parts` ranges of about equal work: the bounds, from 0; returns their number.
  index cut(index parts, index* bounds) const;
};

class RowPacking {
 public:
  explicit RowPacking(const Args& p);
  const PackedRows& plan() const { return plan_; }

 private:
  PackedRows plan_;
  std::vector<index> order_, lengths_, offsets_;
};

}  // namespace unroll

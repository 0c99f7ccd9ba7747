// Tries the kernels of every instruction set that runs here on drawn cases: native_test [cases [first seed]].
//
// The double kernels must agree with the equations; the float kernels with the equations and, in their gradients,
// with the double kernels. Threads, company of other rows, what is kept and which gradients are wanted must not
// change a bit. Every buffer has exactly its size, and is full of NaN where nothing may be read.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "case.h"
#include "dispatch.h"
#include "reference.h"
#include "run.h"
#include "threads.h"

namespace unroll::tests {
namespace {

template <class T>
constexpr double kTolerance = kWide<T> ? 1e-10 : 1e-5;
constexpr double kSlopeTolerance = 1e-10;
constexpr double kGradientTolerance = 1e-4;  // of float to double

std::string at(const std::string& what, std::size_t i) { return what + "[" + std::to_string(i) + "]"; }

std::string text(double value) {
  char digits[40];
  std::snprintf(digits, sizeof digits, "%.9g", value);
  return digits;
}

// Within the tolerance times the largest of them, or times 1.
template <class T, class U>
void check_close(const std::string& what, const std::vector<T>& got, const std::vector<U>& want, double tolerance,
                 Faults& faults) {
  if (got.size() != want.size()) return faults.push_back(what + " has another size");
  double largest = 1;
  for (const U v : want) largest = std::max(largest, std::fabs(double(v)));
  std::size_t wrong = 0, first = 0;
  for (std::size_t i = want.size(); i-- > 0;) {
    if (std::fabs(double(got[i]) - double(want[i])) <= tolerance * largest) continue;
    ++wrong, first = i;
  }
  if (wrong == 0) return;
  faults.push_back(at(what, first) + " is " + text(double(got[first])) + ", not " + text(double(want[first])) + " (" +
                   std::to_string(wrong) + " of " + std::to_string(want.size()) + ")");
}

template <class T>
void check_same(const std::string& what, const std::vector<T>& got, const std::vector<T>& want, Faults& faults) {
  if (got.size() != want.size()) return faults.push_back(what + " has another size");
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(T)) == 0) continue;
    return faults.push_back(at(what, i) + " is " + text(double(got[i])) + ", not " + text(double(want[i])) + ": " +
                            text(double(got[i]) - double(want[i])) + " more");
  }
}

// All that both have.
template <class T>
void check_same(const std::string& where, const Result<T>& got, const Result<T>& want, Faults& faults) {
  for (const std::string& fault : got.faults) faults.push_back(where + fault);
  for (int k = 0; k < kOutputs; ++k) check_same(where + kOutputNames[k], got.out[k], want.out[k], faults);
  for (int k = 0; k < kTensors; ++k) {
    if (got.gradients[k].empty()) continue;
    check_same(where + "d" + kTensorNames[k], got.gradients[k], want.gradients[k], faults);
  }
}

void check_slopes(const std::string& where, const Tensors<double>& gradients, const Truth& truth, Faults& faults) {
  for (int k = 0; k < kTensors; ++k) {
    double sum = 0, scale = 1;
    for (std::size_t i = 0; i < gradients[k].size(); ++i) {
      const double term = gradients[k][i] * truth.directions[k][i];
      sum += term;
      scale += std::fabs(term);
    }
    if (std::fabs(sum - truth.slopes[k]) <= kSlopeTolerance * scale) continue;
    faults.push_back(where + "d" + kTensorNames[k] + " along a direction is " + text(sum) + ", not " +
                     text(truth.slopes[k]));
  }
}

// A row of a case without the others.
Case alone(const Case& c, index b) {
  const Args& p = c.form;
  Case one = c;
  one.form.B = 1;
  if (!c.lengths.empty()) one.lengths = {c.lengths[b]};
  one.resets = steps_of(c.resets, p.B, b, 1);
  one.in[kX] = steps_of(c.in[kX], p.B, b, p.D), one.d_out[kY] = steps_of(c.d_out[kY], p.B, b, p.R);
  one.in[kH0] = row_of(c.in[kH0], b, p.R), one.d_out[kH] = row_of(c.d_out[kH], b, p.R);
  one.in[kC0] = row_of(c.in[kC0], b, p.H), one.d_out[kC] = row_of(c.d_out[kC], b, p.H);
  one.x = Layout(0, p.T, 1, p.D), one.dx = Layout(1, p.T, 1, p.D);
  one.y = Layout(2, p.T, 1, p.R), one.dy = Layout(3, p.T, 1, p.R);
  one.borders = Layout(0, p.T, 1, 1);
  return one;
}

// What of a result concerns a row alone.
template <class T>
Result<T> part(const Result<T>& all, const Args& p, index b) {
  Result<T> row;
  row.out[kY] = steps_of(all.out[kY], p.B, b, p.R);
  row.out[kH] = row_of(all.out[kH], b, p.R);
  row.out[kC] = row_of(all.out[kC], b, p.H);
  row.gradients[kX] = steps_of(all.gradients[kX], p.B, b, p.D);
  row.gradients[kH0] = row_of(all.gradients[kH0], b, p.R);
  row.gradients[kC0] = row_of(all.gradients[kC0], b, p.H);
  return row;
}

template <class T>
void check_rows(const Kernels& kernels, const Case& c, const Result<T>& all, const std::string& where, Random& random,
                Faults& faults) {
  constexpr index kMost = 3;
  for (index k = 0; k < std::min(c.form.B, kMost); ++k) {
    const index b = c.form.B <= kMost ? k : random.from(0, c.form.B - 1);
    const Case one = alone(c, b);
    Result<T> row = run<T>(kernels, one, How());
    for (const int shared : {kWih, kWhh, kBih, kBhh, kWhr, kResetH, kResetC}) row.gradients[shared].clear();
    check_same(where + "row " + std::to_string(b) + " alone: ", row, part(all, c.form, b), faults);
  }
}

template <class T>
void check_ways(const Kernels& kernels, const Case& c, const Result<T>& one, const std::string& where, Random& random,
                Faults& faults) {
  for (const int threads : {2, 3, random.one_in(6) ? 5 : 1}) {
    How how;
    how.threads = threads;
    if (threads > 1) check_same(where + std::to_string(threads) + " threads: ", run<T>(kernels, c, how), one, faults);
  }
  How infer;
  infer.keep = false;
  infer.threads = int(random.from(1, 3));
  check_same(where + "nothing kept: ", run<T>(kernels, c, infer), one, faults);
  How some;
  some.threads = int(random.from(1, 3));
  const index rarity = random.from(2, 8);
  std::string names;
  for (int k = 0; k < kTensors; ++k) {
    some.wanted[k] = random.one_in(rarity);
    if (some.wanted[k] && c.size(k) > 0) names += std::string(" d") + kTensorNames[k];
  }
  check_same(where + "only" + names + ": ", run<T>(kernels, c, some), one, faults);
}

template <class T>
Result<T> check_type(const Kernels& kernels, const Case& c, const Truth& truth, Random& random, Faults& faults) {
  const std::string where = std::string(kernels.name) + (kWide<T> ? " double " : " float ");
  const Result<T> one = run<T>(kernels, c, How());
  for (const std::string& fault : one.faults) faults.push_back(where + fault);
  for (int k = 0; k < kOutputs; ++k) {
    check_close(where + kOutputNames[k], one.out[k], truth.out[k], kTolerance<T>, faults);
  }
  if constexpr (kWide<T>) check_slopes(where, one.gradients, truth, faults);
  check_ways(kernels, c, one, where, random, faults);
  check_rows(kernels, c, one, where, random, faults);
  return one;
}

// Whether rounding has put some unit on the other side of a kink, where slopes are others.
bool kinked(const Case& c, const Result<float>& narrow, const Result<double>& wide) {
  const auto differ = [](float a, double b) { return (a > 0) != (b > 0); };
  return c.form.cell == Cell::rnn_relu &&
         !std::equal(narrow.out[kY].begin(), narrow.out[kY].end(), wide.out[kY].begin(),
                     [&](float a, double b) { return !differ(a, b); });
}

Faults check(const Case& c, Random& random) {
  Faults faults;
  const Truth truth(c, random);
  for (const Kernels* const kernels : runnable()) {
    const Result<double> wide = check_type<double>(*kernels, c, truth, random, faults);
    const Result<float> narrow = check_type<float>(*kernels, c, truth, random, faults);
    if (kinked(c, narrow, wide)) continue;
    for (int k = 0; k < kTensors; ++k) {
      const std::string what = std::string(kernels->name) + " float d" + kTensorNames[k];
      check_close(what, narrow.gradients[k], wide.gradients[k], kGradientTolerance, faults);
    }
  }
  return faults;
}

// A stack of layers for one step: each case is a layer, of one step.
struct Stack {
  std::vector<Case> layers;

  Stack(Cell cell, bool projected, index B, Random& random) {
    const index H = random.from(1, 40), R = projected ? random.from(1, H) : 0;
    index D = random.from(1, 40);
    for (index layer = random.from(1, 3); layer-- > 0; D = projected ? R : H) {
      Case c(Shape{cell, 1, B, D, H, R}, random);
      c.lengths.clear(), c.resets.clear();
      c.resettable = c.form.reverse = false;
      layers.push_back(c);
    }
  }

  // Its outputs: y of the last layer, the states of all.
  Outputs<double> truth() const {
    Outputs<double> all;
    for (Case c : layers) {
      if (!all[kY].empty()) c.in[kX] = all[kY];
      const Outputs<double> out = unrolled(c, c.in);
      all[kY] = out[kY];
      for (const int k : {kH, kC}) all[k].insert(all[k].end(), out[k].begin(), out[k].end());
    }
    return all;
  }

  std::string describe() const {
    return "step of " + std::to_string(layers.size()) + " layers: " + layers.front().describe();
  }
};

template <class T>
void check_step(const Kernels& kernels, const Stack& stack, const Outputs<double>& truth, int threads, Faults& faults) {
  const std::string where = std::string(kernels.name) + (kWide<T> ? " double " : " float ");
  const Case& first = stack.layers.front();
  const auto typed = [](const std::vector<double>& values) { return std::vector<T>(values.begin(), values.end()); };
  std::vector<T> x = typed(first.in[kX]), h, c;
  std::vector<std::vector<T>> kept;
  for (const Case& layer : stack.layers) {
    for (const int k : {kWih, kWhh, kBih, kBhh, kWhr}) kept.push_back(typed(layer.in[k]));
    h.insert(h.end(), layer.in[kH0].begin(), layer.in[kH0].end());
    c.insert(c.end(), layer.in[kC0].begin(), layer.in[kC0].end());
  }
  h.shrink_to_fit(), c.shrink_to_fit();
  std::vector<const void*> weights;
  for (std::vector<T>& w : kept) weights.push_back(address(w));
  std::vector<T> y(first.output_size(kY), kNan<T>), h_after(h.size(), kNan<T>), c_after(c.size(), kNan<T>);

  StepArgs p;
  p.cell = first.form.cell, p.is_double = kWide<T>, p.threads = threads;
  p.layers = index(stack.layers.size());
  p.B = first.form.B, p.D = first.form.D, p.H = first.form.H, p.R = first.form.R;
  p.x = x.data(), p.h = h.data(), p.c = address(c), p.weights = weights.data();
  p.y = y.data(), p.h_after = h_after.data(), p.c_after = address(c_after);
  spoil_workspace();
  const CallersModes modes(first.flushing);
  kernels.step(p);
  if (!modes.intact()) faults.push_back(where + "step changed the caller's floating-point modes");
  check_close(where + "y", y, truth[kY], kTolerance<T>, faults);
  check_close(where + "h", h_after, truth[kH], kTolerance<T>, faults);
  check_close(where + "c", c_after, truth[kC], kTolerance<T>, faults);
}

Faults check(const Stack& stack, Random& random) {
  Faults faults;
  const Outputs<double> truth = stack.truth();
  const int threads = int(random.from(1, 3));
  for (const Kernels* const kernels : runnable()) {
    check_step<float>(*kernels, stack, truth, threads, faults);
    check_step<double>(*kernels, stack, truth, threads, faults);
  }
  return faults;
}

// A linear map, attention and the largest numbers of rows, of random sizes; a row alone gives the same.
template <class T>
void check_decoding(const Kernels& kernels, Random& random, Faults& faults) {
  const std::string where = std::string(kernels.name) + (kWide<T> ? " double " : " float ");
  const auto drawn = [&](index count) {
    std::vector<T> values(static_cast<std::size_t>(count));
    for (T& v : values) v = T(random.number(2));
    return values;
  };
  const index rows = random.from(1, 30), K = random.from(1, 140), columns = random.from(1, 150), k = random.from(1, 9);
  std::vector<T> x = drawn(rows * K), weight = drawn(columns * K), bias = drawn(columns), want;
  LinearArgs p;
  p.is_double = kWide<T>, p.threads = int(random.from(1, 3)), p.tanh = random.one_in(2);
  p.rows = rows, p.K = K, p.columns = columns;
  std::vector<char> memory(kernels.linear_bytes(p) + 64);
  p.packed = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
  p.weight = weight.data(), p.bias = bias.data(), p.x = x.data();
  kernels.pack_linear(p);
  std::vector<T> out(rows * columns, kNan<T>), one(columns, kNan<T>);
  p.out = out.data();
  kernels.linear(p);
  for (index r = 0; r < rows; ++r) {
    for (index c = 0; c < columns; ++c) {
      double sum = bias[c];
      for (index i = 0; i < K; ++i) sum += double(x[r * K + i]) * double(weight[c * K + i]);
      want.push_back(T(p.tanh ? std::tanh(sum) : sum));
    }
  }
  check_close(where + "linear", out, want, kTolerance<T>, faults);
  const index row = random.from(0, rows - 1);
  p.rows = 1, p.x = x.data() + row * K, p.out = one.data();
  kernels.linear(p);
  check_same(where + "linear, a row alone", one, row_of(out, row, columns), faults);

  const index most = k < columns ? k : columns;
  std::vector<T> values(rows * most, kNan<T>), sorted;
  std::vector<std::int64_t> places(rows * most, -7);
  TopArgs t;
  t.is_double = kWide<T>, t.threads = p.threads, t.rows = rows, t.columns = columns, t.k = most;
  t.x = out.data(), t.values = values.data(), t.places = places.data();
  kernels.top(t);
  for (index r = 0; r < rows; ++r) {
    std::vector<T> all = row_of(out, r, columns);
    std::sort(all.begin(), all.end(), [](T a, T b) { return a > b; });
    sorted.insert(sorted.end(), all.begin(), all.begin() + most);
  }
  check_same(where + "top", values, sorted, faults);
  for (index i = 0; i < rows * most; ++i) {
    if (out[i / most * columns + places[i]] != values[i]) faults.push_back(where + "top has a wrong place");
  }

  const index B = random.from(1, 3), S = random.from(1, 9), heads = random.from(1, 3), E = random.from(1, 40);
  const index A = random.from(1, 40);
  const bool additive = heads == 1 && random.one_in(2);
  std::vector<T> query = drawn(rows * heads * A), keys = drawn(B * S * heads * A), v = drawn(A);
  std::vector<T> held = drawn(B * S * heads * E), context(rows * heads * E, kNan<T>), weights(rows * S, kNan<T>);
  std::vector<T> scratch(rows * S), mean(rows * S, T(0)), contexts;
  std::vector<std::int64_t> owner, lengths;
  for (index b = 0; b < B; ++b) lengths.push_back(random.from(0, S));
  for (index r = 0; r < rows; ++r) owner.push_back(random.from(0, B - 1));
  for (index b = 0; b < B; ++b) {
    for (index i = lengths[b] * heads * A; i < S * heads * A; ++i) keys[b * S * heads * A + i] = kNan<T>;
    for (index i = lengths[b] * heads * E; i < S * heads * E; ++i) held[b * S * heads * E + i] = kNan<T>;
  }
  AttendArgs a;
  a.is_double = kWide<T>, a.threads = p.threads, a.scale = 0.5;
  a.rows = rows, a.S = S, a.A = A, a.E = E, a.heads = heads;
  a.query = query.data(), a.keys = keys.data(), a.keys_row = S * heads * A, a.keys_step = heads * A;
  a.values = held.data(), a.values_row = S * heads * E, a.values_step = heads * E;
  a.v = additive ? v.data() : nullptr, a.owner = owner.data(), a.lengths = lengths.data();
  a.context = context.data(), a.weights = weights.data(), a.scratch = scratch.data();
  kernels.attend(a);
  for (index r = 0; r < rows; ++r) {
    const index b = owner[r], length = lengths[b];
    for (index h = 0; h < heads; ++h) {
      std::vector<double> share(length);
      double total = 0;
      for (index s = 0; s < length; ++s) {
        double score = 0;
        for (index i = 0; i < A; ++i) {
          const double q = query[(r * heads + h) * A + i], key = keys[((b * S + s) * heads + h) * A + i];
          score += additive ? double(v[i]) * std::tanh(q + key) : q * key;
        }
        total += share[s] = std::exp(score * a.scale);
      }
      for (index s = 0; s < length; ++s) mean[r * S + s] += T(share[s] / total / double(heads));
      for (index e = 0; e < E; ++e) {
        double sum = 0;
        for (index s = 0; s < length; ++s) sum += share[s] / total * double(held[((b * S + s) * heads + h) * E + e]);
        contexts.push_back(T(sum));
      }
    }
  }
  check_close(where + "context", context, contexts, 4 * kTolerance<T>, faults);
  check_close(where + "attention weights", weights, mean, 4 * kTolerance<T>, faults);
}

Faults check_decoding(index seed) {
  Faults faults;
  for (const Kernels* const kernels : runnable()) {
    Random narrow(static_cast<std::uint64_t>(seed)), wide(static_cast<std::uint64_t>(seed));
    check_decoding<float>(*kernels, narrow, faults);
    check_decoding<double>(*kernels, wide, faults);
  }
  return faults;
}

// Calls from several threads at once give what they give one after the other.
Faults check_at_once(const std::vector<Case>& cases) {
  constexpr std::size_t kCallers = 4;
  How how;
  how.threads = 2;
  std::vector<Result<float>> expected;
  for (const Case& c : cases) expected.push_back(run<float>(chosen(), c, how));
  Faults faults[kCallers];
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (std::size_t k = 0; k < cases.size(); ++k) {
        const std::size_t i = (k + caller) % cases.size();
        check_same(cases[i].describe() + ": ", run<float>(chosen(), cases[i], how), expected[i], faults[caller]);
      }
    });
  }
  for (std::thread& t : callers) t.join();
  Faults all;
  for (const Faults& of : faults) all.insert(all.end(), of.begin(), of.end());
  return all;
}

// A pool that gives one thread fewer than it is asked for, as it may.
namespace pool {

thread_local int number = 0, count = 1;

void parallel(void (*work)(void*), void* data, unsigned threads, unsigned) {
  const int members = int(threads) - 1;
  std::vector<std::thread> others;
  for (int k = 1; k < members; ++k) {
    others.emplace_back([=] {
      number = k, count = members;
      work(data);
    });
  }
  count = members;
  work(data);
  count = 1;
  for (std::thread& t : others) t.join();
}

int thread_num() { return number; }
int num_threads() { return count; }

template <class F>
std::uintptr_t entry(F* function) {
  return reinterpret_cast<std::uintptr_t>(function);
}

}  // namespace pool

// Another's threads do as well as the kernels' own.
Faults check_pool(const std::vector<Case>& cases) {
  How how;
  how.threads = 3;
  Faults faults;
  for (const Case& c : cases) {
    const Result<float> own = run<float>(chosen(), c, how);
    set_pool(pool::entry(pool::parallel), pool::entry(pool::thread_num), pool::entry(pool::num_threads));
    check_same(c.describe() + ": ", run<float>(chosen(), c, how), own, faults);
    set_pool(0, 0, 0);
  }
  return faults;
}

Faults check_choice() {
  Faults faults;
  const std::string before = chosen().name;
  for (const Kernels* const kernels : runnable()) {
    choose(kernels->name);
    if (&chosen() != kernels) faults.push_back(std::string(kernels->name) + " was not chosen");
  }
  choose(before);
  try {
    choose("abacus");
    faults.push_back("one that there is not was chosen");
  } catch (const std::invalid_argument&) {
  }
  return faults;
}

// Prints a line for a case that failed.
class Tally {
 public:
  void count(const std::string& name, const Faults& faults) {
    constexpr std::size_t kTold = 4;
    ++cases_;
    if (faults.empty()) return;
    ++failed_;
    std::printf("%s:", name.c_str());
    for (std::size_t i = 0; i < std::min(faults.size(), kTold); ++i)
      std::printf("%s %s", i ? ";" : "", faults[i].c_str());
    if (faults.size() > kTold) std::printf("; and %zu more", faults.size() - kTold);
    std::printf("\n");
    std::fflush(stdout);
  }

  int finish() const {
    std::string names;
    for (const Kernels* const kernels : runnable()) names += std::string(names.empty() ? "" : ", ") + kernels->name;
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun_;
    std::printf("%d of %d cases failed on %s in %.0f s\n", failed_, cases_, names.c_str(), spent.count());
    return failed_ > 0;
  }

 private:
  int cases_ = 0, failed_ = 0;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

// Shapes at which the kernels go another way, whatever the cell.
constexpr index kShapes[][4] = {
    {1, 1, 1, 1},     {4, 200, 3, 3},  // more rows than are multiplied at once where there is no order to keep
    {60, 40, 3, 5},                    // more steps than are computed again at once
    {70, 1, 4, 17},                    // the input's product in blocks of steps
    {3, 5, 16, 32},                    // nothing to pad
    {6, 4, 130, 130},                  // few rows: cut by units
    {5, 7, 65, 67},
};

std::vector<Case> fixed_cases(Random& random) {
  std::vector<Case> cases;
  for (const auto& [T, B, D, H] : kShapes) {
    for (const bool recompute : {false, true}) {
      for (const Cell cell : kCells) cases.emplace_back(Shape{cell, T, B, D, H}, random).form.recompute = recompute;
      cases.emplace_back(Shape{Cell::lstm, T, B, D, H, (H + 1) / 2}, random).form.recompute = recompute;
    }
  }
  for (const Cell cell : kCells) {
    Case& still = cases.emplace_back(Shape{cell, 3, 5, 4, 6}, random);
    still.lengths.assign(still.form.B, 0);
  }
  return cases;
}

Shape drawn_shape(Random& random) {
  constexpr index kMostWork = 700'000;  // multiplications of a gate
  Shape s{kCells[random.from(0, 4)], random.from(1, 9), random.from(1, 9), random.from(1, 9), random.from(1, 9)};
  const index kind = random.from(0, 3);
  if (kind == 1) s.T = random.from(30, 70), s.B = random.from(30, 70);
  if (kind == 2) s.B = random.from(1, 5), s.D = random.from(30, 130), s.H = random.from(64, 130);
  if (kind == 3) s.T = random.from(1, 70), s.B = random.from(1, 70), s.D = random.from(1, 70), s.H = random.from(1, 70);
  if (s.cell == Cell::lstm && random.one_in(2)) s.R = random.from(1, s.H + 3);
  while (s.T * s.B * (s.D + s.H) * s.H > kMostWork) --(s.T > s.B ? s.T : s.B);
  return s;
}

std::string numbered(const char* kind, index number, const std::string& what) {
  return kind + std::to_string(number) + ": " + what;
}

int test(index cases, index seed) {
  Tally tally;
  Random random(0);
  const std::vector<Case> fixed = fixed_cases(random);
  for (std::size_t i = 0; i < fixed.size(); ++i) {
    tally.count(numbered("case ", index(i), fixed[i].describe()), check(fixed[i], random));
  }
  for (const bool projected : {false, true}) {
    for (const Cell cell : kCells) {
      if (projected && cell != Cell::lstm) continue;
      for (index B = 1; B <= 8; ++B) {
        const Stack stack(cell, projected, B, random);
        tally.count(stack.describe(), check(stack, random));
      }
    }
  }
  const std::vector<Case> some(fixed.end() - 30, fixed.end());
  tally.count("calls at once", check_at_once(some));
  tally.count("another's pool", check_pool(some));
  tally.count("choice of an instruction set", check_choice());
  for (index i = seed; i < seed + cases; ++i) {
    Random own(static_cast<std::uint64_t>(i));
    const Case c(drawn_shape(own), own);
    tally.count(numbered("seed ", i, c.describe()), check(c, own));
    tally.count(numbered("decoding, seed ", i, ""), check_decoding(i));
  }
  return tally.finish();
}

}  // namespace
}  // namespace unroll::tests

int main(int argc, char** argv) {
  const long cases = argc > 1 ? std::atol(argv[1]) : 150, seed = argc > 2 ? std::atol(argv[2]) : 1;
  return unroll::tests::test(cases, seed);
}

// The kernels as a Python module. Tensors come as addresses: their owner keeps them alive during a call.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string_view>

#include "dispatch.h"
#include "dlpack.h"
#include "threads.h"

namespace nb = nanobind;
using unroll::Args;
using unroll::Cell;
using unroll::chosen;
using unroll::Kernels;
using unroll::PackedRows;
using unroll::RowPacking;
using unroll::runnable;

namespace {

Cell cell_named(std::string_view name) {
  for (std::size_t k = 0; k < std::size(unroll::kCellTraits); ++k) {
    if (name == unroll::kCellTraits[k].name) return Cell(k);
  }
  throw std::invalid_argument("there is no cell '" + std::string(name) + "'");
}

template <class V>
struct Field {
  const char* name;
  V Args::* member;
};

constexpr Field<bool> kFlags[] = {
    {"double", &Args::is_double}, {"reverse", &Args::reverse}, {"recompute", &Args::recompute}};

constexpr Field<unroll::index> kSizes[] = {
    {"T", &Args::T},
    {"B", &Args::B},
    {"D", &Args::D},
    {"H", &Args::H},
    {"R", &Args::R},
    {"x_time", &Args::x_time},
    {"x_row", &Args::x_row},
    {"resets_time", &Args::resets_time},
    {"resets_row", &Args::resets_row},
    {"y_time", &Args::y_time},
    {"y_row", &Args::y_row},
    {"dy_time", &Args::dy_time},
    {"dy_row", &Args::dy_row},
    {"dx_time", &Args::dx_time},
    {"dx_row", &Args::dx_row},
};

constexpr Field<const void*> kInputs[] = {
    {"x", &Args::x},       {"w_ih", &Args::w_ih},       {"w_hh", &Args::w_hh},
    {"b_ih", &Args::b_ih}, {"b_hh", &Args::b_hh},       {"w_hr", &Args::w_hr},
    {"h0", &Args::h0},     {"c0", &Args::c0},           {"reset_h", &Args::reset_h},
    {"dy", &Args::dy},     {"reset_c", &Args::reset_c}, {"dh", &Args::dh},
    {"dc", &Args::dc},
};

constexpr Field<void*> kOutputs[] = {
    {"y", &Args::y},
    {"h", &Args::h},
    {"c", &Args::c},
    {"saved", &Args::saved},
    {"packed", &Args::packed},
    {"dx", &Args::dx},
    {"dw_ih", &Args::dw_ih},
    {"dh0", &Args::dh0},
    {"dc0", &Args::dc0},
    {"dw_hh", &Args::dw_hh},
    {"db_ih", &Args::db_ih},
    {"db_hh", &Args::db_hh},
    {"dw_hr", &Args::dw_hr},
    {"dreset_h", &Args::dreset_h},
    {"dreset_c", &Args::dreset_c},
};

template <class V, std::size_t N>
bool set(Args& p, const Field<V> (&fields)[N], std::string_view name, nb::handle value) {
  for (const Field<V>& f : fields) {
    if (name != f.name) continue;
    if constexpr (std::is_pointer_v<V>) {
      p.*f.member = reinterpret_cast<V>(nb::cast<std::uintptr_t>(value));
    } else {
      p.*f.member = nb::cast<V>(value);
    }
    return true;
  }
  return false;
}

Args read(const nb::kwargs& fields) {
  Args p;
  for (auto [key, value] : fields) {
    const std::string_view name = nb::borrow<nb::str>(key).c_str();
    if (set(p, kFlags, name, value) || set(p, kSizes, name, value) || set(p, kInputs, name, value) ||
        set(p, kOutputs, name, value)) {
      continue;
    }
    if (name == "cell") {
      p.cell = cell_named(nb::borrow<nb::str>(value).c_str());
    } else if (name == "threads") {
      p.threads = nb::cast<int>(value);
    } else if (name == "lengths") {
      p.lengths = reinterpret_cast<const std::int64_t*>(nb::cast<std::uintptr_t>(value));
    } else if (name == "resets") {
      p.resets = reinterpret_cast<const std::uint8_t*>(nb::cast<std::uintptr_t>(value));
    } else {
      throw nb::type_error(("there is no field '" + std::string(name) + "'").c_str());
    }
  }
  return p;
}

void run(void (*Kernels::*kernel)(const Args&, const PackedRows&), const nb::kwargs& fields) {
  const Args p = read(fields);
  const nb::gil_scoped_release released;
  const RowPacking rows(p);
  (chosen().*kernel)(p, rows.plan());
}

void* pointer(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

const std::int64_t* integers(std::uintptr_t address) { return reinterpret_cast<const std::int64_t*>(address); }

unroll::LinearArgs linear_args(bool is_double, int threads, unroll::index K, unroll::index columns) {
  unroll::LinearArgs p;
  p.is_double = is_double, p.threads = threads, p.K = K, p.columns = columns;
  return p;
}

// PyTorch's types, by which tensors are known here, and its way to lend views of them. They are never given back: they
// live as long as Python.
struct TorchNames {
  nb::handle tensor, parameter, empty_like;
  const unroll::DLPackExchangeAPI* exchange = nullptr;
};

TorchNames& torch_names() {
  static TorchNames names;
  return names;
}

void* address(const unroll::DLTensor& t) { return static_cast<char*>(t.data) + t.byte_offset; }

// Whether the tensor is PyTorch's own kind, of float32 or float64 on the CPU, contiguous; if so, `out` is a view of it.
bool view(nb::handle tensor, unroll::DLTensor& out) {
  static PyObject* const is_neg = PyUnicode_InternFromString("is_neg");
  const TorchNames& torch = torch_names();
  void* const type = Py_TYPE(tensor.ptr());
  if (torch.exchange == nullptr || (type != torch.tensor.ptr() && type != torch.parameter.ptr())) return false;
  if (torch.exchange->view(tensor.ptr(), &out) != 0) return false;
  if (out.device.type != unroll::kDLCPU || out.dtype.code != unroll::kDLFloat || out.dtype.lanes != 1) return false;
  if (out.dtype.bits != 32 && out.dtype.bits != 64) return false;
  std::int64_t dense = 1;
  for (int d = out.ndim - 1; d >= 0 && out.strides != nullptr; --d) {
    if (out.shape[d] != 1 && out.strides[d] != dense) return false;
    dense *= out.shape[d];
  }
  // A negated view's memory holds other numbers; a parameter is none.
  return type == torch.parameter.ptr() || nb::steal(PyObject_CallMethodNoArgs(tensor.ptr(), is_neg)).ptr() == Py_False;
}

// Where the tensor's numbers are, if it can be viewed so and has this shape and width.
void* numbers(nb::handle tensor, bool is_double, std::initializer_list<unroll::index> shape) {
  unroll::DLTensor t;
  if (!view(tensor, t) || (t.dtype.bits == 64) != is_double || t.ndim != int(shape.size())) {
    PyErr_Clear();  // what a tensor raises when it is viewed is not an error here
    return nullptr;
  }
  return std::equal(shape.begin(), shape.end(), t.shape) ? address(t) : nullptr;
}

void* made(nb::handle tensor) {
  unroll::DLTensor t;
  if (torch_names().exchange->view(tensor.ptr(), &t) != 0) throw nb::python_error();
  return address(t);
}

// One step of a stack of layers: (y, h, c or None) after it, or None if a tensor is not what it must be: x (B, D),
// h (layers, B, R), c (layers, B, H) or None, and five weights for each layer, of which biases and projections
// may be None.
nb::object step(const char* cell, int threads, unroll::index layers, unroll::index D, unroll::index H, unroll::index R,
                nb::handle x, nb::handle h, nb::handle c, nb::list weights) {
  const TorchNames& torch = torch_names();
  unroll::DLTensor input;
  if (!view(x, input) || input.ndim != 2 || input.shape[1] != D) {
    PyErr_Clear();  // the long way round says what is wrong
    return nb::none();
  }
  const unroll::index B = input.shape[0];
  unroll::StepArgs p;
  p.cell = cell_named(cell);
  const bool is_double = p.is_double = input.dtype.bits == 64;
  p.x = address(input);
  p.threads = threads;
  p.layers = layers, p.B = B, p.D = D, p.H = H, p.R = R;
  const bool two = traits(p.cell).states == 2;
  if (layers < 1 || B < 1 || unroll::index(weights.size()) != 5 * layers ||
      (p.h = numbers(h, is_double, {layers, B, R})) == nullptr ||
      (two && (p.c = numbers(c, is_double, {layers, B, H})) == nullptr)) {
    return nb::none();
  }
  const unroll::index rows = traits(p.cell).gates * H;
  std::vector<const void*> at(5 * layers);
  for (unroll::index k = 0; k < 5 * layers; ++k) {
    const nb::handle w = weights[k];
    if (w.is_none() && k % 5 >= 2) continue;
    const unroll::index columns = k == 0 ? D : R;
    at[k] = k % 5 < 2   ? numbers(w, is_double, {rows, columns})
            : k % 5 < 4 ? numbers(w, is_double, {rows})
                        : numbers(w, is_double, {R, H});
    if (at[k] == nullptr) return nb::none();
  }
  for (unroll::index k = 0; k < 5 * layers; k += 5) {  // both biases or none; a projection where there must be one
    if ((at[k + 2] == nullptr) != (at[k + 3] == nullptr)) return nb::none();
    if (at[k + 4] == nullptr ? R != H : at[4] == nullptr) return nb::none();
  }
  p.weights = at.data();
  const nb::object y = D == R ? torch.empty_like(x) : x.attr("new_empty")(nb::make_tuple(B, R));
  const nb::object h_after = torch.empty_like(h), c_after = two ? torch.empty_like(c) : nb::none();
  p.y = made(y);
  p.h_after = made(h_after);
  p.c_after = two ? made(c_after) : nullptr;
  {
    const nb::gil_scoped_release released;
    chosen().step(p);
  }
  return nb::make_tuple(y, h_after, c_after);
}

}  // namespace

NB_MODULE(_kernels, m) {
  chosen();  // an impossible UNROLL_ISA is told at once
  m.def("instruction_sets", [] {
    std::vector<std::string> names;
    for (const Kernels* k : runnable()) names.emplace_back(k->name);
    return names;
  });
  m.def("instruction_set", [] { return std::string(chosen().name); });
  m.def("use", &unroll::choose);
  m.def("set_pool", &unroll::set_pool);
  m.def(
      "saved_width",
      [](const std::string& cell, unroll::index H, bool projected, bool recompute) {
        Args p;
        p.cell = cell_named(cell);
        p.H = H;
        p.w_hr = projected ? &p : nullptr;
        p.recompute = recompute;
        return p.saved_width();
      },
      nb::arg("cell"), nb::arg("H"), nb::arg("projected") = false, nb::arg("recompute") = false);
  m.def(
      "set_torch",
      [](nb::object tensor, nb::object parameter, nb::object empty_like, nb::object exchange) {
        TorchNames& torch = torch_names();
        torch.tensor = tensor.release(), torch.parameter = parameter.release(), torch.empty_like = empty_like.release();
        if (exchange.is_none()) return;
        void* const api = PyCapsule_GetPointer(exchange.ptr(), unroll::kExchangeName);
        if (api == nullptr) throw nb::python_error();
        torch.exchange = static_cast<const unroll::DLPackExchangeAPI*>(api);
        if (torch.exchange->major != 1) torch.exchange = nullptr;
      },
      nb::arg(), nb::arg(), nb::arg(), nb::arg().none());
  m.def("step", &step, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
        nb::arg().none(), nb::arg());
  m.def("packed_bytes", [](const nb::kwargs& fields) { return chosen().packed_bytes(read(fields)); });
  m.def("pack", [](const nb::kwargs& fields) {
    const Args p = read(fields);
    const nb::gil_scoped_release released;
    chosen().pack(p);
  });
  m.def("linear_bytes", [](bool is_double, unroll::index K, unroll::index columns) {
    return chosen().linear_bytes(linear_args(is_double, 1, K, columns));
  });
  m.def("pack_linear", [](bool is_double, int threads, unroll::index K, unroll::index columns, std::uintptr_t weight,
                          std::uintptr_t packed) {
    unroll::LinearArgs p = linear_args(is_double, threads, K, columns);
    p.weight = pointer(weight), p.packed = pointer(packed);
    const nb::gil_scoped_release released;
    chosen().pack_linear(p);
  });
  m.def("linear", [](bool is_double, int threads, unroll::index rows, unroll::index K, unroll::index columns,
                     std::uintptr_t x, std::uintptr_t packed, std::uintptr_t bias, std::uintptr_t out, bool tanh) {
    unroll::LinearArgs p = linear_args(is_double, threads, K, columns);
    p.rows = rows, p.tanh = tanh;
    p.x = pointer(x), p.packed = pointer(packed), p.bias = pointer(bias), p.out = pointer(out);
    const nb::gil_scoped_release released;
    chosen().linear(p);
  });
  m.def("attend",
        [](bool is_double, int threads, double scale, nb::tuple sizes, nb::tuple strides, std::uintptr_t query,
           std::uintptr_t keys, std::uintptr_t values, std::uintptr_t v, std::uintptr_t owner, std::uintptr_t lengths,
           std::uintptr_t context, std::uintptr_t weights, std::uintptr_t scratch) {
          unroll::AttendArgs p;
          p.is_double = is_double, p.threads = threads, p.scale = scale;
          unroll::index* const size[] = {&p.rows, &p.S, &p.A, &p.E, &p.heads};
          for (int i = 0; i < 5; ++i) *size[i] = nb::cast<unroll::index>(sizes[i]);
          unroll::index* const stride[] = {&p.keys_row, &p.keys_step, &p.values_row, &p.values_step};
          for (int i = 0; i < 4; ++i) *stride[i] = nb::cast<unroll::index>(strides[i]);
          p.query = pointer(query), p.keys = pointer(keys), p.values = pointer(values), p.v = pointer(v);
          p.owner = integers(owner), p.lengths = integers(lengths);
          p.context = pointer(context), p.weights = pointer(weights), p.scratch = pointer(scratch);
          const nb::gil_scoped_release released;
          chosen().attend(p);
        });
  m.def("top", [](bool is_double, int threads, unroll::index rows, unroll::index columns, unroll::index k,
                  std::uintptr_t x, std::uintptr_t values, std::uintptr_t places) {
    unroll::TopArgs p;
    p.is_double = is_double, p.threads = threads, p.rows = rows, p.columns = columns, p.k = k;
    p.x = pointer(x), p.values = pointer(values), p.places = reinterpret_cast<std::int64_t*>(places);
    const nb::gil_scoped_release released;
    chosen().top(p);
  });
  m.def("cross_entropy", [](bool is_double, int threads, unroll::index rows, unroll::index classes, double smoothing,
                            std::uintptr_t scores, std::uintptr_t target, std::uintptr_t nll, std::uintptr_t smoothed,
                            std::uintptr_t log_total) {
    unroll::CrossEntropyArgs p;
    p.is_double = is_double, p.threads = threads, p.rows = rows, p.classes = classes, p.smoothing = smoothing;
    p.scores = pointer(scores), p.target = integers(target), p.log_total = pointer(log_total);
    p.nll = pointer(nll), p.smoothed = pointer(smoothed);
    const nb::gil_scoped_release released;
    chosen().cross_entropy(p);
  });
  m.def("cross_entropy_backward",
        [](bool is_double, int threads, unroll::index rows, unroll::index classes, double smoothing,
           std::uintptr_t scores, std::uintptr_t target, std::uintptr_t log_total, std::uintptr_t d_nll,
           std::uintptr_t d_smoothed, std::uintptr_t gradient) {
          unroll::CrossEntropyArgs p;
          p.is_double = is_double, p.threads = threads, p.rows = rows, p.classes = classes, p.smoothing = smoothing;
          p.scores = pointer(scores), p.target = integers(target), p.log_total = pointer(log_total);
          p.d_nll = pointer(d_nll), p.d_smoothed = pointer(d_smoothed), p.gradient = pointer(gradient);
          const nb::gil_scoped_release released;
          chosen().cross_entropy_backward(p);
        });
  m.def("forward", [](const nb::kwargs& fields) { run(&Kernels::forward, fields); });
  m.def("backward", [](const nb::kwargs& fields) { run(&Kernels::backward, fields); });
}

// What is used of DLPack 1.2 (github.com/dmlc/dlpack): a look at a tensor of another library without a call into
// Python.
#pragma once

#include <cstdint>

namespace unroll {

struct DLTensor {
  void* data;
  struct {
    std::int32_t type, id;
  } device;
  std::int32_t ndim;
  struct {
    std::uint8_t code, bits;
    std::uint16_t lanes;
  } dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // null: contiguous
  std::uint64_t byte_offset;
};

constexpr std::int32_t kDLCPU = 1;
constexpr std::uint8_t kDLFloat = 2;

struct DLPackExchangeAPI {
  std::uint32_t major, minor;
  const DLPackExchangeAPI* previous;
  void *allocate, *from_py_object, *to_py_object;
  int (*view)(void* py_object, DLTensor* out);  // 0, or -1 with Python's error set; what `out` points to is borrowed
  void* current_work_stream;
};

constexpr const char* kExchangeName = "dlpack_exchange_api";

}  // namespace unroll

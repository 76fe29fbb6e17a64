// Mini-batches of rows of arrays, gathered by the round that computes on them.

#ifndef JASGD_ROWS_H_
#define JASGD_ROWS_H_

#include "store.h"

namespace jasgd {
namespace {

// Where the rows of an array lie; as native_rows.py writes it.
struct Column {
  int64_t from, stride, bytes;  // address, distance of rows, size of one
};

// Which rows a worker's mini-batch has; as native_rows.py writes it, and no thread changes it while the round goes on.
struct Rows {
  int64_t chosen, count;  // address of their numbers, int64
  double gathered_s;      // when the last ones were there
  Column columns[1];      // as many as there are results
};

// Random rows lie where neither cache nor prefetcher expects them, so each is asked for while the one before is copied.
void Take(const Column& column, const int64_t* chosen, int64_t count, char* to) {
  const char* from = reinterpret_cast<const char*>(column.from);
  for (int64_t i = 0; i < count; ++i) {
    if (i + 1 < count) {
      const char* next = from + chosen[i + 1] * column.stride;
      for (int64_t at = 0; at < column.bytes; at += 64) __builtin_prefetch(next + at);
    }
    std::memcpy(to, from + chosen[i] * column.stride, column.bytes);
    to += column.bytes;
  }
}

// (address of Rows, in two, caller) -> (caller, leaves of the mini-batch ...)
//
// The caller passes through, so that parameters are read after the rows, and no gradient is staler for them.
ffi::Error Gather(ffi::AnyBuffer address, ffi::AnyBuffer caller, ffi::RemainingRets rets) {
  const uint32_t* halves = reinterpret_cast<const uint32_t*>(address.untyped_data());
  Rows* rows = reinterpret_cast<Rows*>(static_cast<uint64_t>(halves[1]) << 32 | halves[0]);
  for (size_t i = 1; i < rets.size(); ++i) {
    const ffi::AnyBuffer leaf = Ret(rets, i);
    const Column& column = rows->columns[i - 1];
    if (static_cast<int64_t>(leaf.size_bytes()) != rows->count * column.bytes) {
      return ffi::Error(ffi::ErrorCode::kInvalidArgument, "rows do not fill the mini-batch");
    }
    if (column.bytes > 0) {
      Take(column, reinterpret_cast<const int64_t*>(rows->chosen), rows->count,
           static_cast<char*>(leaf.untyped_data()));
    }
  }
  std::memcpy(Ret(rets, 0).untyped_data(), caller.untyped_data(), caller.size_bytes());
  rows->gathered_s = Now();
  return ffi::Error::Success();
}

}  // namespace
}  // namespace jasgd

#endif  // JASGD_ROWS_H_

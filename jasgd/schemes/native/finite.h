// Whether numbers are finite, by their bits: of one that is not, those of the exponent are all set.

#ifndef JASGD_FINITE_H_
#define JASGD_FINITE_H_

#include <cstdint>
#include <cstring>

#include "xla/ffi/api/ffi.h"

namespace jasgd {
namespace {

enum Kind : int32_t { kNoFloat, kHalf, kBrainFloat, kFloat, kDouble };  // as in finite.py

Kind KindOf(xla::ffi::DataType type) {
  switch (type) {
    case xla::ffi::DataType::F16: return kHalf;
    case xla::ffi::DataType::BF16: return kBrainFloat;
    case xla::ffi::DataType::F32: return kFloat;
    case xla::ffi::DataType::F64: return kDouble;
    default: return kNoFloat;
  }
}

// Without its sign, a number that is not finite reaches the sign's bit when 1 is added to its exponent, and no other does.
template <typename Bits, int kExponentBit>
constexpr Bits Overflowing(Bits number) {
  constexpr Bits kSign = Bits(1) << (8 * sizeof(Bits) - 1);
  return (number & Bits(~kSign)) + (Bits(1) << kExponentBit);
}

template <typename Bits, int kExponentBit>
bool Finite(const void* numbers, size_t count) {
  const Bits* from = static_cast<const Bits*>(numbers);
  Bits any = 0;
  for (size_t i = 0; i < count; ++i) any |= Overflowing<Bits, kExponentBit>(from[i]);
  return any >> (8 * sizeof(Bits) - 1) == 0;
}

template <typename Bits, int kExponentBit>
bool Copied(void* target, const void* source, size_t count) {
  Bits* __restrict to = static_cast<Bits*>(target);
  const Bits* __restrict from = static_cast<const Bits*>(source);
  Bits any = 0;
  for (size_t i = 0; i < count; ++i) {
    const Bits number = from[i];
    to[i] = number;
    any |= Overflowing<Bits, kExponentBit>(number);
  }
  return any >> (8 * sizeof(Bits) - 1) == 0;
}

// Whether all of so many numbers are finite.
bool AllFinite(const void* numbers, size_t count, Kind kind) {
  switch (kind) {
    case kHalf: return Finite<uint16_t, 10>(numbers, count);
    case kBrainFloat: return Finite<uint16_t, 7>(numbers, count);
    case kFloat: return Finite<uint32_t, 23>(numbers, count);
    case kDouble: return Finite<uint64_t, 52>(numbers, count);
    default: return true;
  }
}

// Copies so many numbers; whether all are finite.
bool CopyFinite(void* to, const void* from, size_t count, Kind kind) {
  switch (kind) {
    case kHalf: return Copied<uint16_t, 10>(to, from, count);
    case kBrainFloat: return Copied<uint16_t, 7>(to, from, count);
    case kFloat: return Copied<uint32_t, 23>(to, from, count);
    case kDouble: return Copied<uint64_t, 52>(to, from, count);
    default: return true;
  }
}

}  // namespace
}  // namespace jasgd

#endif  // JASGD_FINITE_H_

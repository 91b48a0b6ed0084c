// Numbers of a fixed width in bits, one after the other, lowest bit first: any one of them can be read by itself.
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace portbook {

// The least width that holds numbers of `bits` bits: 0 to 56, or 64. One that is between would cross nine bytes.
constexpr unsigned packing_width(unsigned bits) {
  return bits <= 56 ? bits : 64;
}
constexpr bool is_packing_width(unsigned width) {
  return width <= 56 || width == 64;
}
constexpr size_t packed_bytes(size_t count, unsigned width) {
  return (count * width + 7) / 8;
}

// Appends packed_bytes(numbers.size(), width) bytes. Needs a packing width that holds every number; higher bits are cut off.
void pack_bits(std::span<const uint64_t> numbers, unsigned width, Bytes& out);

// The number at place `i` of those packed in `from`. Needs packed_bytes(i + 1, width) bytes.
uint64_t packed_number(ByteView from, unsigned width, size_t i);

// Fills `numbers` with the first ones. Needs packed_bytes(numbers.size(), width) bytes.
void unpack_bits(ByteView from, unsigned width, std::span<uint64_t> numbers);

}  // namespace portbook

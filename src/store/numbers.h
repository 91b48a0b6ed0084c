// Arrays of 64-bit numbers in few bytes, of which any number can be read by itself. One file per encoding: numbers_*.cc; a table of
// their functions in numbers.cc. docs/formats/segment.md has the bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "store/byte_reader.h"

namespace portbook {

inline constexpr size_t kChunkNumbers = 1024;  // numbers that share a base and a width

// An encoded array as it is read. Borrows the bytes that it was opened from. Thread-safe.
// False means that the bytes are not what an encoder writes; nothing is read beyond them whatever they are.
class NumberArray {
 public:
  virtual ~NumberArray() = default;
  // The number at place i. Needs i below the array's count.
  [[nodiscard]] virtual bool get(size_t i, uint64_t& number) const = 0;
  // All of them. Needs numbers.size() to be the array's count. What this accepts is what get() gives: a file that was made to tell
  // the two apart is refused by whoever verifies it.
  [[nodiscard]] virtual bool decode(std::span<uint64_t> numbers) const = 0;
};

struct NumberEncoding {
  std::string_view name;
  // Appends the numbers (at least one) and says true if that takes fewer than `bytes_max` bytes; else leaves `out` as it was. May
  // say false where a sample of the numbers lets expect more.
  bool (*encode)(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out);
  // The array of `count` (at least one) numbers that begins where `in` stands; null if none does. `in` is then behind it.
  std::unique_ptr<NumberArray> (*open)(ByteReader& in, size_t count);
};
// By the byte that an array begins with.
std::span<const NumberEncoding> number_encodings();

// Appends the numbers in the encoding that takes the fewest bytes. Their count has to be known to whoever reads them; none take
// no bytes.
void encode_numbers(std::span<const uint64_t> numbers, Bytes& out);
// The array that begins where `in` stands, and moves `in` behind it; null if none does.
std::unique_ptr<NumberArray> open_numbers(ByteReader& in, size_t count);

// The two below are for arrays within arrays: only encodings that hold no other array.
void encode_plain_numbers(std::span<const uint64_t> numbers, Bytes& out);
std::unique_ptr<NumberArray> open_plain_numbers(ByteReader& in, size_t count);

// A difference that may be negative as a small number.
constexpr uint64_t zigzag(uint64_t difference) {
  return difference << 1 ^ (0 - (difference >> 63));
}
constexpr uint64_t unzigzag(uint64_t value) {
  return value >> 1 ^ (0 - (value & 1));
}

// One for each encoding; see NumberEncoding.
bool encode_constant(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out);
std::unique_ptr<NumberArray> open_constant(ByteReader& in, size_t count);
bool encode_packed(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out);
std::unique_ptr<NumberArray> open_packed(ByteReader& in, size_t count);
bool encode_delta(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out);
std::unique_ptr<NumberArray> open_delta(ByteReader& in, size_t count);
bool encode_dictionary(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out);
std::unique_ptr<NumberArray> open_dictionary(ByteReader& in, size_t count);
bool encode_runs(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out);
std::unique_ptr<NumberArray> open_runs(ByteReader& in, size_t count);

}  // namespace portbook

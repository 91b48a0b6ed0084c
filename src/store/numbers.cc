#include "store/numbers.h"

#include <array>

#include "base/check.h"

namespace portbook {

namespace {

// Places are bytes of sealed files. An encoding stands before those that may hold it.
constexpr std::array kEncodings = {
    NumberEncoding{"constant", encode_constant, open_constant},
    NumberEncoding{"packed", encode_packed, open_packed},
    NumberEncoding{"delta", encode_delta, open_delta},
    NumberEncoding{"runs", encode_runs, open_runs},
    NumberEncoding{"dictionary", encode_dictionary, open_dictionary},
};
constexpr size_t kPlainEncodings = 3;

void encode_with(std::span<const NumberEncoding> encodings, std::span<const uint64_t> numbers, Bytes& out) {
  if (numbers.empty()) return;
  Bytes best;
  Bytes attempt;
  size_t bytes_max = SIZE_MAX;
  Byte chosen = 0;
  for (size_t i = 0; i < encodings.size(); ++i) {
    attempt.clear();
    if (!encodings[i].encode(numbers, bytes_max, attempt)) continue;
    best.swap(attempt);
    bytes_max = best.size();
    chosen = static_cast<Byte>(i);
    if (i == 0) break;  // nothing is shorter than a constant
  }
  PB_CHECK(!best.empty());
  out.push_back(chosen);
  append(out, best);
}

std::unique_ptr<NumberArray> open_with(std::span<const NumberEncoding> encodings, ByteReader& in, size_t count) {
  Byte chosen = 0;
  if (count == 0 || !in.take(chosen) || chosen >= encodings.size()) return nullptr;
  return encodings[chosen].open(in, count);
}

}  // namespace

std::span<const NumberEncoding> number_encodings() {
  return kEncodings;
}

void encode_numbers(std::span<const uint64_t> numbers, Bytes& out) {
  encode_with(kEncodings, numbers, out);
}

std::unique_ptr<NumberArray> open_numbers(ByteReader& in, size_t count) {
  return open_with(kEncodings, in, count);
}

void encode_plain_numbers(std::span<const uint64_t> numbers, Bytes& out) {
  encode_with(std::span(kEncodings).first(kPlainEncodings), numbers, out);
}

std::unique_ptr<NumberArray> open_plain_numbers(ByteReader& in, size_t count) {
  return open_with(std::span(kEncodings).first(kPlainEncodings), in, count);
}

}  // namespace portbook

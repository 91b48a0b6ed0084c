// Every number is the same one: u64.
#include <algorithm>

#include "store/numbers.h"

namespace portbook {

namespace {

class ConstantArray final : public NumberArray {
 public:
  explicit ConstantArray(uint64_t number) : number_(number) {}
  bool get(size_t, uint64_t& number) const override {
    number = number_;
    return true;
  }
  bool decode(std::span<uint64_t> numbers) const override {
    std::ranges::fill(numbers, number_);
    return true;
  }

 private:
  const uint64_t number_;
};

}  // namespace

bool encode_constant(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out) {
  if (sizeof(uint64_t) >= bytes_max) return false;
  if (std::ranges::any_of(numbers, [&](uint64_t number) { return number != numbers.front(); })) return false;
  append_little(out, numbers.front());
  return true;
}

std::unique_ptr<NumberArray> open_constant(ByteReader& in, size_t) {
  uint64_t number = 0;
  if (!in.take(number)) return nullptr;
  return std::make_unique<ConstantArray>(number);
}

}  // namespace portbook

#include "store/bit_packing.h"

#include <algorithm>
#include <array>
#include <utility>

namespace portbook {

namespace {

constexpr uint64_t mask_of(unsigned width) {
  return width == 64 ? UINT64_MAX : (uint64_t{1} << width) - 1;
}

// Eight numbers of W bits are W whole bytes, so that every place and shift within them is a constant.
template <unsigned W>
void unpack_eights(const Byte* from, size_t eights, uint64_t* to) {
  for (size_t eight = 0; eight < eights; ++eight, from += W, to += 8) {
    [&]<size_t... K>(std::index_sequence<K...>) {
      ((to[K] = load_little<uint64_t>(from + K * W / 8) >> K * W % 8 & mask_of(W)), ...);
    }(std::make_index_sequence<8>());
  }
}

using UnpackEights = void (*)(const Byte*, size_t, uint64_t*);
constexpr auto kUnpackEights = []<size_t... W>(std::index_sequence<W...>) {
  return std::array<UnpackEights, sizeof...(W)>{unpack_eights<W>...};
}(std::make_index_sequence<57>());

}  // namespace

void pack_bits(std::span<const uint64_t> numbers, unsigned width, Bytes& out) {
  const size_t begin = out.size();
  const size_t bytes = packed_bytes(numbers.size(), width);
  out.resize(begin + bytes + 8);  // words are stored whole; what they reach beyond is cut off below
  Byte* to = out.data() + begin;
  uint64_t word = 0;
  unsigned used = 0;
  const uint64_t mask = mask_of(width);
  for (const uint64_t number : numbers) {
    word |= (number & mask) << used;
    used += width;
    if (used < 64) continue;
    store_little(to, word);
    to += 8;
    used -= 64;
    word = used == 0 ? 0 : (number & mask) >> (width - used);
  }
  if (used > 0) store_little(to, word);
  out.resize(begin + bytes);
}

uint64_t packed_number(ByteView from, unsigned width, size_t i) {
  const size_t bit = i * width;
  std::array<Byte, 8> last{};
  const Byte* at = from.data() + bit / 8;
  if (const size_t left = from.size() - bit / 8; left < 8) {
    std::copy_n(at, left, last.begin());
    at = last.data();
  }
  return load_little<uint64_t>(at) >> bit % 8 & mask_of(width);
}

void unpack_bits(ByteView from, unsigned width, std::span<uint64_t> numbers) {
  if (width == 0) {
    std::ranges::fill(numbers, 0);
    return;
  }
  size_t eights = 0;
  if (width <= 56) {
    // The last load of an eight reaches up to eight bytes beyond its end.
    eights = std::min(numbers.size() / 8, from.size() < 8 ? 0 : (from.size() - 8) / width);
    kUnpackEights[width](from.data(), eights, numbers.data());
  }
  for (size_t i = eights * 8; i < numbers.size(); ++i) numbers[i] = packed_number(from, width, i);
}

}  // namespace portbook

#include "store/number_chunk.h"

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "store/bit_packing.h"
#include "store/numbers.h"

namespace portbook {

namespace {

constexpr unsigned kPlaceBits = std::bit_width(kChunkNumbers - 1);
constexpr Byte kHasExceptions = 128;

ByteView places_of(const NumberChunk& chunk, ByteView bytes, size_t count) {
  return bytes.subspan(packed_bytes(count, chunk.width), packed_bytes(chunk.exceptions, kPlaceBits));
}
ByteView highs_of(const NumberChunk& chunk, ByteView bytes, size_t count) {
  return bytes.subspan(packed_bytes(count, chunk.width) + packed_bytes(chunk.exceptions, kPlaceBits));
}

}  // namespace

uint64_t least_of(std::span<const uint64_t> numbers) {
  std::array<uint64_t, 4> least;
  least.fill(numbers.front());
  size_t i = 0;
  for (; i + 4 <= numbers.size(); i += 4) {
    for (size_t k = 0; k < 4; ++k) least[k] = std::min(least[k], numbers[i + k]);
  }
  for (; i < numbers.size(); ++i) least[0] = std::min(least[0], numbers[i]);
  return std::ranges::min(least);
}

size_t NumberChunk::bytes(size_t count) const {
  return packed_bytes(count, width) + packed_bytes(exceptions, kPlaceBits) + packed_bytes(exceptions, high_width);
}

NumberChunk plan_chunk(std::span<const uint64_t> numbers) {
  const uint64_t base = least_of(numbers);
  // Four counts of each, because numbers that need the same bits follow one another.
  std::array<std::array<uint16_t, 65>, 4> counts{};
  for (size_t i = 0; i < numbers.size(); ++i) ++counts[i % 4][static_cast<size_t>(std::bit_width(numbers[i] - base))];
  std::array<uint16_t, 65> of_bits;
  for (size_t bits = 0; bits < of_bits.size(); ++bits) {
    of_bits[bits] = static_cast<uint16_t>(counts[0][bits] + counts[1][bits] + counts[2][bits] + counts[3][bits]);
  }
  unsigned greatest = 64;
  while (of_bits[greatest] == 0) --greatest;
  NumberChunk best{base, static_cast<uint8_t>(packing_width(greatest)), 0, 0};
  size_t best_bytes = best.bytes(numbers.size());
  uint16_t exceptions = 0;
  for (unsigned width = greatest; width-- > 0;) {
    exceptions = static_cast<uint16_t>(exceptions + of_bits[width + 1]);
    if (!is_packing_width(width)) continue;
    const NumberChunk chunk{base, static_cast<uint8_t>(width), static_cast<uint8_t>(packing_width(greatest - width)), exceptions};
    const size_t bytes = chunk.bytes(numbers.size()) + 3;  // exceptions make its head longer
    if (bytes >= best_bytes) continue;
    best = chunk;
    best_bytes = bytes;
  }
  return best;
}

void append_chunk_head(const NumberChunk& chunk, uint64_t least, Bytes& out) {
  append_varint(out, chunk.base - least);
  out.push_back(static_cast<Byte>(chunk.width | (chunk.exceptions > 0 ? kHasExceptions : 0)));
  if (chunk.exceptions == 0) return;
  append_varint(out, chunk.exceptions);
  out.push_back(chunk.high_width);
}

bool take_chunk_head(ByteReader& in, uint64_t least, size_t count, NumberChunk& chunk) {
  uint64_t distance = 0;
  Byte width = 0;
  if (!in.take_varint(distance) || !in.take(width)) return false;
  chunk = {least + distance, static_cast<uint8_t>(width & ~kHasExceptions), 0, 0};
  if (!is_packing_width(chunk.width)) return false;
  if ((width & kHasExceptions) == 0) return true;
  uint64_t exceptions = 0;
  if (!in.take_varint(exceptions) || !in.take(chunk.high_width)) return false;
  if (exceptions == 0 || exceptions > count || !is_packing_width(chunk.high_width) || chunk.width == 64) return false;
  chunk.exceptions = static_cast<uint16_t>(exceptions);
  return true;
}

void append_chunk_numbers(const NumberChunk& chunk, std::span<const uint64_t> numbers, Bytes& out) {
  std::array<uint64_t, kChunkNumbers> distances;
  std::ranges::transform(numbers, distances.begin(), [&](uint64_t number) { return number - chunk.base; });
  const std::span<const uint64_t> all(distances.data(), numbers.size());
  pack_bits(all, chunk.width, out);
  if (chunk.exceptions == 0) return;
  std::vector<uint64_t> places;
  std::vector<uint64_t> highs;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i] >> chunk.width == 0) continue;
    places.push_back(i);
    highs.push_back(all[i] >> chunk.width);
  }
  pack_bits(places, kPlaceBits, out);
  pack_bits(highs, chunk.high_width, out);
}

uint64_t chunk_number(const NumberChunk& chunk, ByteView bytes, size_t count, size_t i) {
  uint64_t distance = packed_number(bytes.first(packed_bytes(count, chunk.width)), chunk.width, i);
  if (chunk.exceptions > 0) {
    const ByteView places = places_of(chunk, bytes, count);
    size_t first = 0;
    for (size_t rest = chunk.exceptions; rest > 0;) {
      const size_t half = rest / 2;
      if (packed_number(places, kPlaceBits, first + half) < i) {
        first += half + 1;
        rest -= half + 1;
      } else {
        rest = half;
      }
    }
    if (first < chunk.exceptions && packed_number(places, kPlaceBits, first) == i) {
      distance |= packed_number(highs_of(chunk, bytes, count), chunk.high_width, first) << chunk.width;
    }
  }
  return chunk.base + distance;
}

bool chunk_numbers(const NumberChunk& chunk, ByteView bytes, size_t count, std::span<uint64_t> numbers) {
  unpack_bits(bytes.first(packed_bytes(count, chunk.width)), chunk.width, numbers);
  if (chunk.exceptions > 0) {
    const ByteView places = places_of(chunk, bytes, count);
    const ByteView highs = highs_of(chunk, bytes, count);
    size_t place_min = 0;
    for (size_t k = 0; k < chunk.exceptions; ++k) {
      const uint64_t place = packed_number(places, kPlaceBits, k);
      if (place < place_min || place >= count) return false;
      place_min = place + 1;
      if (place < numbers.size()) numbers[place] |= packed_number(highs, chunk.high_width, k) << chunk.width;
    }
  }
  for (uint64_t& number : numbers) number += chunk.base;
  return true;
}

}  // namespace portbook

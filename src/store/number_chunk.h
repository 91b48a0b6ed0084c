// Up to kChunkNumbers numbers as distances from the least of them, each in as many bits as most need; the few that need more have
// their upper bits beside them with their places. What the packed and the delta encoding are made of.
#pragma once

#include <cstdint>
#include <span>

#include "store/byte_reader.h"

namespace portbook {

struct NumberChunk {
  uint64_t base = 0;
  uint8_t width = 0;       // of every number
  uint8_t high_width = 0;  // of the upper bits of those that need more
  uint16_t exceptions = 0;

  // Of the bytes that append_chunk_numbers() writes for `count` numbers.
  [[nodiscard]] size_t bytes(size_t count) const;
};

// Of at least one number.
uint64_t least_of(std::span<const uint64_t> numbers);

// How the numbers (at least one) take the fewest bytes.
NumberChunk plan_chunk(std::span<const uint64_t> numbers);

// What a reader has to know besides how many they are: at most 15 bytes. Bases stand as distances from `least`.
void append_chunk_head(const NumberChunk& chunk, uint64_t least, Bytes& out);
bool take_chunk_head(ByteReader& in, uint64_t least, size_t count, NumberChunk& chunk);

void append_chunk_numbers(const NumberChunk& chunk, std::span<const uint64_t> numbers, Bytes& out);
// The number at place i < count; `bytes`: chunk.bytes(count) of them.
uint64_t chunk_number(const NumberChunk& chunk, ByteView bytes, size_t count, size_t i);
// Fills `numbers` with the first ones of the chunk. False: the places do not ascend or are not below `count`; whatever is accepted
// here is what chunk_number() gives.
bool chunk_numbers(const NumberChunk& chunk, ByteView bytes, size_t count, std::span<uint64_t> numbers);

}  // namespace portbook

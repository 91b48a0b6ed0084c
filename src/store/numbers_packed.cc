// Chunks of numbers, each packed as distances from its least: u64 least of all ‖ the chunks' heads ‖ the chunks' numbers.
#include <algorithm>

#include "store/number_chunk.h"
#include "store/numbers.h"

namespace portbook {

namespace {

struct PlacedChunk {
  NumberChunk chunk;
  uint32_t offset = 0;  // of its numbers
};

class PackedArray final : public NumberArray {
 public:
  PackedArray(std::vector<PlacedChunk> chunks, ByteView bytes, size_t count)
      : chunks_(std::move(chunks)), bytes_(bytes), count_(count) {}

  bool get(size_t i, uint64_t& number) const override {
    const size_t at = i / kChunkNumbers;
    number = chunk_number(chunks_[at].chunk, bytes_of(at), count_of(at), i % kChunkNumbers);
    return true;
  }
  bool decode(std::span<uint64_t> numbers) const override {
    for (size_t at = 0; at < chunks_.size(); ++at) {
      const size_t count = count_of(at);
      if (!chunk_numbers(chunks_[at].chunk, bytes_of(at), count, numbers.subspan(at * kChunkNumbers, count))) return false;
    }
    return true;
  }

 private:
  size_t count_of(size_t at) const { return std::min(kChunkNumbers, count_ - at * kChunkNumbers); }
  ByteView bytes_of(size_t at) const { return bytes_.subspan(chunks_[at].offset, chunks_[at].chunk.bytes(count_of(at))); }

  const std::vector<PlacedChunk> chunks_;
  const ByteView bytes_;
  const size_t count_;
};

}  // namespace

bool encode_packed(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out) {
  const size_t begin = out.size();
  const uint64_t least = least_of(numbers);
  append_little(out, least);
  std::vector<NumberChunk> chunks;
  size_t bytes = 0;
  for (size_t at = 0; at < numbers.size(); at += kChunkNumbers) {
    const auto of_chunk = numbers.subspan(at, std::min(kChunkNumbers, numbers.size() - at));
    chunks.push_back(plan_chunk(of_chunk));
    bytes += chunks.back().bytes(of_chunk.size());
    append_chunk_head(chunks.back(), least, out);
  }
  if (out.size() - begin + bytes >= bytes_max) {
    out.resize(begin);
    return false;
  }
  for (size_t i = 0; i < chunks.size(); ++i) {
    const size_t at = i * kChunkNumbers;
    append_chunk_numbers(chunks[i], numbers.subspan(at, std::min(kChunkNumbers, numbers.size() - at)), out);
  }
  return true;
}

std::unique_ptr<NumberArray> open_packed(ByteReader& in, size_t count) {
  uint64_t least = 0;
  if (!in.take(least)) return nullptr;
  std::vector<PlacedChunk> chunks;
  size_t bytes = 0;
  for (size_t at = 0; at < count; at += kChunkNumbers) {
    const size_t of_chunk = std::min(kChunkNumbers, count - at);
    PlacedChunk placed{{}, static_cast<uint32_t>(bytes)};
    if (!take_chunk_head(in, least, of_chunk, placed.chunk)) return nullptr;
    bytes += placed.chunk.bytes(of_chunk);
    chunks.push_back(placed);
  }
  ByteView packed;
  if (!in.take_bytes(bytes, packed)) return nullptr;
  return std::make_unique<PackedArray>(std::move(chunks), packed, count);
}

}  // namespace portbook

// Numbers as differences, zigzag, from the one before within a chunk of them. For each chunk its first number (LEB128 of the zigzag
// difference from the first one of the chunk before) and its head; then the chunks' packed differences.
#include <algorithm>
#include <array>

#include "store/number_chunk.h"
#include "store/numbers.h"

namespace portbook {

namespace {

struct DeltaChunk {
  uint64_t first = 0;
  NumberChunk chunk;
  uint32_t offset = 0;  // of its differences
};

class DeltaArray final : public NumberArray {
 public:
  DeltaArray(std::vector<DeltaChunk> chunks, ByteView bytes, size_t count)
      : chunks_(std::move(chunks)), bytes_(bytes), count_(count) {}

  bool get(size_t i, uint64_t& number) const override {
    std::array<uint64_t, kChunkNumbers> differences;
    const size_t at = i / kChunkNumbers;
    const std::span<uint64_t> until(differences.data(), i % kChunkNumbers);
    if (!differences_of(at, until)) return false;
    number = chunks_[at].first;
    for (const uint64_t difference : until) number += unzigzag(difference);
    return true;
  }
  bool decode(std::span<uint64_t> numbers) const override {
    for (size_t at = 0; at < chunks_.size(); ++at) {
      const auto of_chunk = numbers.subspan(at * kChunkNumbers, count_of(at));
      if (!differences_of(at, of_chunk.subspan(1))) return false;
      uint64_t number = of_chunk[0] = chunks_[at].first;
      for (uint64_t& next : of_chunk.subspan(1)) next = number += unzigzag(next);
    }
    return true;
  }

 private:
  size_t count_of(size_t at) const { return std::min(kChunkNumbers, count_ - at * kChunkNumbers); }
  // The first ones of a chunk.
  bool differences_of(size_t at, std::span<uint64_t> differences) const {
    const size_t count = count_of(at) - 1;
    const DeltaChunk& of = chunks_[at];
    return chunk_numbers(of.chunk, bytes_.subspan(of.offset, of.chunk.bytes(count)), count, differences);
  }

  const std::vector<DeltaChunk> chunks_;
  const ByteView bytes_;
  const size_t count_;
};

void take_differences(std::span<const uint64_t> numbers, std::span<uint64_t> differences) {
  for (size_t i = 1; i < numbers.size(); ++i) differences[i - 1] = zigzag(numbers[i] - numbers[i - 1]);
}

// From every sixteenth chunk, if there are so many.
bool looks_too_long(std::span<const uint64_t> numbers, size_t bytes_max) {
  constexpr size_t kSampledOf = 16;
  if (numbers.size() < kSampledOf * kChunkNumbers) return false;
  std::array<uint64_t, kChunkNumbers> differences;
  const std::span<uint64_t> of_chunk = std::span(differences).first(kChunkNumbers - 1);
  size_t sampled = 0;
  size_t bytes = 0;
  for (size_t at = 0; at + kChunkNumbers <= numbers.size(); at += kSampledOf * kChunkNumbers, sampled += kChunkNumbers) {
    take_differences(numbers.subspan(at, kChunkNumbers), of_chunk);
    bytes += plan_chunk(of_chunk).bytes(of_chunk.size());
  }
  return bytes * numbers.size() / sampled / 9 * 8 > bytes_max;
}

}  // namespace

bool encode_delta(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out) {
  if (looks_too_long(numbers, bytes_max)) return false;
  const size_t begin = out.size();
  std::vector<uint64_t> differences(numbers.size());
  take_differences(numbers, std::span(differences).subspan(1));
  const auto differences_of = [&](size_t at) {
    return std::span<const uint64_t>(differences).subspan(at + 1, std::min(kChunkNumbers, numbers.size() - at) - 1);
  };
  std::vector<NumberChunk> chunks;
  size_t bytes = 0;
  uint64_t first = 0;
  for (size_t at = 0; at < numbers.size(); at += kChunkNumbers) {
    const auto of_chunk = differences_of(at);
    chunks.push_back(of_chunk.empty() ? NumberChunk{} : plan_chunk(of_chunk));
    bytes += chunks.back().bytes(of_chunk.size());
    append_varint(out, zigzag(numbers[at] - first));
    append_chunk_head(chunks.back(), 0, out);
    first = numbers[at];
  }
  if (out.size() - begin + bytes >= bytes_max) {
    out.resize(begin);
    return false;
  }
  for (size_t i = 0; i < chunks.size(); ++i) append_chunk_numbers(chunks[i], differences_of(i * kChunkNumbers), out);
  return true;
}

std::unique_ptr<NumberArray> open_delta(ByteReader& in, size_t count) {
  std::vector<DeltaChunk> chunks;
  size_t bytes = 0;
  uint64_t first = 0;
  for (size_t at = 0; at < count; at += kChunkNumbers) {
    const size_t of_chunk = std::min(kChunkNumbers, count - at) - 1;
    uint64_t difference = 0;
    DeltaChunk placed{0, {}, static_cast<uint32_t>(bytes)};
    if (!in.take_varint(difference) || !take_chunk_head(in, 0, of_chunk, placed.chunk)) return nullptr;
    placed.first = first += unzigzag(difference);
    bytes += placed.chunk.bytes(of_chunk);
    chunks.push_back(placed);
  }
  ByteView packed;
  if (!in.take_bytes(bytes, packed)) return nullptr;
  return std::make_unique<DeltaArray>(std::move(chunks), packed, count);
}

}  // namespace portbook

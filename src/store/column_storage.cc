#include "store/column_storage.h"

#include <sys/mman.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

#include "base/check.h"

namespace portbook {

namespace {
constexpr size_t kLatelyCount = 1024;    // texts remembered for reuse
constexpr size_t kLatelyBytesMax = 512;  // longer ones are seldom the same
}  // namespace

ColumnStorage::ColumnStorage() : chunks_(kChunksMax), lately_(kLatelyCount) {
  void* memory = mmap(nullptr, kOffsets[kFieldCount], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PB_CHECK(memory != MAP_FAILED);
  // A huge page would be touched whole by the first row of each column.
  madvise(memory, kOffsets[kFieldCount], MADV_NOHUGEPAGE);
  memory_ = static_cast<uint8_t*>(memory);
}

ColumnStorage::~ColumnStorage() {
  munmap(memory_, kOffsets[kFieldCount]);
}

uint16_t ColumnStorage::shape_id(const FieldSet& fields) {
  FieldSet* const known = shapes();
  if (shape_count_ > 0 && known[last_shape_] == fields) return last_shape_;
  for (uint32_t i = 0; i < shape_count_; ++i) {
    if (known[i] == fields) return last_shape_ = static_cast<uint16_t>(i);
  }
  PB_CHECK(shape_count_ < kBlockRowsMax);
  known[shape_count_] = fields;
  return last_shape_ = static_cast<uint16_t>(shape_count_++);
}

TextRef ColumnStorage::add_text(std::string_view text) {
  if (text.empty()) return {};
  PB_CHECK(text.size() <= kChunkBytes);
  TextRef* known = nullptr;
  if (text.size() <= kLatelyBytesMax) {
    known = &lately_[XXH3_64bits(text.data(), text.size()) % kLatelyCount];
    if (known->length == text.size() && this->text(*known) == text) return *known;
  }
  const auto length = static_cast<uint32_t>(text.size());
  const uint32_t left = (kChunkBytes - (arena_end_ & (kChunkBytes - 1))) & (kChunkBytes - 1);
  if (left < length) {
    arena_end_ += left;
    const uint32_t chunk = arena_end_ >> kChunkBits;
    PB_CHECK(chunk < kChunksMax);
    if (!chunks_[chunk]) chunks_[chunk] = std::make_unique_for_overwrite<char[]>(kChunkBytes);
  }
  std::memcpy(chunks_[arena_end_ >> kChunkBits].get() + (arena_end_ & (kChunkBytes - 1)), text.data(), length);
  const TextRef ref{arena_end_, length};
  arena_end_ += length;
  if (known != nullptr) *known = ref;
  return ref;
}

size_t ColumnStorage::bytes_used(uint32_t rows, const FieldSet& held) const {
  FieldSet all;
  for (uint32_t i = 0; i < shape_count_; ++i) all.add(shapes()[i]);
  size_t bytes = sizeof(ColumnStorage) + sizeof(chunks_[0]) * kChunksMax + sizeof(TextRef) * kLatelyCount +
                 sizeof(FieldSet) * shape_count_ + sizeof(uint16_t) * rows + arena_end_;
  all.common(held).for_each([&](Field field) { bytes += column_width(info(field).type) * rows; });
  return bytes;
}

}  // namespace portbook

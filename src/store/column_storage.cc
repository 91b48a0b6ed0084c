#include "store/column_storage.h"

#include <sys/mman.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>
#include <mutex>

#include "base/check.h"

namespace portbook {

namespace {
constexpr size_t kLatelyCount = 1024;    // texts remembered for reuse
constexpr size_t kLatelyBytesMax = 512;  // longer ones are seldom the same
constexpr size_t kKeptMax = 2;           // reservations

// Reservations of blocks that are gone, with the pages that those touched. Blocks follow one another, and having the kernel clear
// pages costs as much as filling them does.
struct KeptReservations {
  std::mutex mutex;
  std::vector<uint8_t*> kept;
};
KeptReservations& kept_reservations() {
  static KeptReservations reservations;
  return reservations;
}

uint8_t* take_reservation(size_t bytes) {
  {
    KeptReservations& reservations = kept_reservations();
    const std::lock_guard lock(reservations.mutex);
    if (!reservations.kept.empty()) {
      uint8_t* const memory = reservations.kept.back();
      reservations.kept.pop_back();
      return memory;
    }
  }
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PB_CHECK(memory != MAP_FAILED);
  // A huge page would be touched whole by the first row of each column.
  madvise(memory, bytes, MADV_NOHUGEPAGE);
  return static_cast<uint8_t*>(memory);
}

void give_reservation(uint8_t* memory, size_t bytes) {
  KeptReservations& reservations = kept_reservations();
  const std::lock_guard lock(reservations.mutex);
  if (reservations.kept.size() < kKeptMax) {
    reservations.kept.push_back(memory);
  } else {
    munmap(memory, bytes);
  }
}
}  // namespace

ColumnStorage::ColumnStorage() : memory_(take_reservation(kOffsets[kFieldCount])), chunks_(kChunksMax), lately_(kLatelyCount) {}

ColumnStorage::~ColumnStorage() {
  give_reservation(memory_, kOffsets[kFieldCount]);
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

// The memory of one block's columns: a plain array for each field, indexed by row, in one reservation of address space.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "record/fields.h"

namespace portbook {

inline constexpr uint32_t kBlockRowsMax = 65'536;  // a full block is one level-2 node of the Merkle tree

// How many bytes a value of that type takes in its column: 2 for enums and ports, 8 for numbers and for a text's place, 16 for
// addresses and ids.
constexpr size_t column_width(FieldType type) {
  switch (type) {
    case FieldType::kEnum:
    case FieldType::kPort: return 2;
    case FieldType::kIp:
    case FieldType::kId128: return 16;
    default: return 8;
  }
}

// Where a text stands in the arena.
struct TextRef {
  uint32_t offset = 0;
  uint32_t length = 0;
  bool operator==(const TextRef&) const = default;
};

using Wide = std::array<uint8_t, 16>;

// One thread writes. Values are never moved, so that others may read what was written before a row was published to them.
class ColumnStorage {
 public:
  ColumnStorage();
  ~ColumnStorage();
  ColumnStorage(const ColumnStorage&) = delete;
  ColumnStorage& operator=(const ColumnStorage&) = delete;

  // The array of a field, kBlockRowsMax long; T has the field's column_width. Values of rows that lack the field mean nothing.
  template <typename T>
  [[nodiscard]] T* array(Field field) const {
    return reinterpret_cast<T*>(memory_ + kOffsets[index_of(field)]);
  }
  // Which of the shapes each row has.
  [[nodiscard]] uint16_t* shape_ids() const { return reinterpret_cast<uint16_t*>(memory_); }
  // The different sets of fields, in order of first appearance.
  [[nodiscard]] FieldSet* shapes() const { return reinterpret_cast<FieldSet*>(memory_ + kShapesAt); }
  [[nodiscard]] uint32_t shape_count() const { return shape_count_; }
  // The id of that shape, made if it is new.
  uint16_t shape_id(const FieldSet& fields);

  // Copies the text into the arena, or finds it there if it was seen lately.
  TextRef add_text(std::string_view text);
  // Valid as long as this object.
  [[nodiscard]] std::string_view text(TextRef ref) const {
    return {chunks_[ref.offset >> kChunkBits].get() + (ref.offset & (kChunkBytes - 1)), ref.length};
  }

  // Bytes that `rows` rows keep in memory when the fields `held` are filled.
  [[nodiscard]] size_t bytes_used(uint32_t rows, const FieldSet& held) const;

 private:
  static constexpr uint32_t kChunkBits = 20;
  static constexpr uint32_t kChunkBytes = 1U << kChunkBits;
  static constexpr uint32_t kChunksMax = 4096;
  static constexpr size_t kShapesAt = sizeof(uint16_t) * kBlockRowsMax;
  static constexpr size_t kFieldsAt = kShapesAt + sizeof(FieldSet) * kBlockRowsMax;
  static constexpr std::array<size_t, kFieldCount + 1> kOffsets = [] {
    std::array<size_t, kFieldCount + 1> offsets{};
    offsets[0] = kFieldsAt;
    for (size_t i = 0; i < kFieldCount; ++i) offsets[i + 1] = offsets[i] + column_width(kFields[i].type) * kBlockRowsMax;
    return offsets;
  }();

  uint8_t* memory_;
  std::vector<std::unique_ptr<char[]>> chunks_;  // kChunksMax pointers from the start, so that readers never see it move

  // Owner: the writing thread.
  uint32_t shape_count_ = 0;
  uint16_t last_shape_ = 0;
  uint32_t arena_end_ = 0;
  std::vector<TextRef> lately_;  // by hash of the text
};

}  // namespace portbook

// The different values of one field, numbered as they come by, so that rows are counted by number and a value is written once.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "store/columns.h"

namespace portbook {

// One thread. Memory: the values, at most as many as of() was allowed to add, and their bytes.
class ValueIds {
 public:
  static constexpr uint32_t kEmpty = 0;               // the text "", also what counts use for a row that lacks the field
  static constexpr uint32_t kOther = UINT32_MAX - 1;  // does not begin with the prefix
  static constexpr uint32_t kRefused = UINT32_MAX;    // new, and new ones were not allowed

  // Values stand as to_display() writes them; of a path, `last_part` keeps what follows the last '/'. `prefix` must outlive it.
  ValueIds(Field field, bool last_part, std::string_view prefix);

  [[nodiscard]] Field field() const { return field_; }
  // The number of a row's own value; needs columns.has(row, field()). `block` tells one Columns from another.
  uint32_t of(const Columns& columns, uint64_t block, uint32_t row, bool may_add);
  // Needs record.has(field()).
  uint32_t of(const Record& record, bool may_add);

  [[nodiscard]] const std::string& value(uint32_t id) const { return values_[id]; }
  [[nodiscard]] size_t size() const { return values_.size(); }
  [[nodiscard]] size_t bytes() const { return bytes_; }  // of the values, each counted once

 private:
  struct WideHash {
    size_t operator()(const Wide& wide) const;
  };
  struct KnownText {
    TextRef ref{UINT32_MAX, UINT32_MAX};
    uint32_t id = kRefused;
  };
  // The number of what `one_` holds.
  uint32_t written(bool may_add);
  uint32_t of_number(uint64_t number, bool may_add);

  const Field field_;
  const bool last_part_;
  const std::string_view prefix_;
  Record one_;
  std::vector<std::string> values_;
  size_t bytes_ = 0;  // of values_
  std::unordered_map<std::string, uint32_t> by_text_;
  // Where a raw value was seen before, its number; refused ones are not remembered.
  std::vector<uint32_t> by_small_;
  std::unordered_map<uint64_t, uint32_t> by_number_;
  std::unordered_map<Wide, uint32_t, WideHash> by_wide_;
  std::vector<KnownText> by_place_;
  uint64_t block_ = UINT64_MAX;  // of by_place_
};

}  // namespace portbook

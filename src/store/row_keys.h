// Which keys of the row index a record carries: what view.h promises, in one place for open and sealed blocks.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "store/view.h"

namespace portbook {

inline constexpr size_t kRowKeysMax = 11;  // seven endpoints, conn, address, process, kind

// The different keys of one record.
class RowKeys {
 public:
  // Replaces the keys by the record's.
  void of(const Record& record);
  [[nodiscard]] std::span<const RowKey> all() const { return {keys_.data(), count_}; }

 private:
  void add(RowKey key);

  std::array<RowKey, kRowKeysMax> keys_{};
  size_t count_ = 0;
};

}  // namespace portbook

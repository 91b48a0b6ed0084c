// Views over records in blocks of three rows without any index: a key finds every row, so what questions find over them does not
// depend on the store's look-ups, and every question crosses blocks.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "store/connection_rows.h"
#include "store/narrow_columns.h"
#include "store/view.h"

namespace portbook {

inline constexpr size_t kRowsPerBlock = 3;

class PlainBlock final : public Block {
 public:
  explicit PlainBlock(uint64_t first) : first_(first), columns_(std::make_shared<Columns>()) {}
  void append(const Record& record) {
    columns_->append(record);
    columns_->publish();
    min_ = std::min(min_, record.time());
    max_ = std::max(max_, record.time());
  }
  uint64_t first_index() const override { return first_; }
  TimeNs time_min() const override { return min_; }
  TimeNs time_max() const override { return max_; }
  std::optional<uint32_t> sealed_rows() const override { return sealed_ ? std::optional(rows()) : std::nullopt; }
  Result<std::shared_ptr<const Columns>> columns(const FieldSet&) override { return columns_; }
  // Of a sealed block what is asked for, from what was asked for before on.
  Result<std::shared_ptr<const NarrowColumns>> narrow(const FieldSet& fields) override {
    const std::lock_guard lock(mutex_);
    if (sealed_) narrow_ = with_columns(narrow_, *columns_, rows(), fields);
    return narrow_;
  }
  Status read_row(uint32_t row, Record& record) override {
    columns_->read(row, record);
    return {};
  }
  Status rows_with(RowKey, uint32_t row_end, std::vector<uint32_t>& rows) override {
    for (uint32_t row = 0; row < row_end; ++row) rows.push_back(row);
    return {};
  }
  uint32_t rows() const { return columns_->rows(); }
  void seal() { sealed_ = true; }  // nothing may be appended any more

 private:
  uint64_t first_;
  std::shared_ptr<Columns> columns_;
  TimeNs min_ = UINT64_MAX;
  TimeNs max_ = 0;
  bool sealed_ = false;
  std::mutex mutex_;
  std::shared_ptr<const NarrowColumns> narrow_;  // under mutex_
};

// `connections`: of a view whose blocks are all sealed but the last one.
inline View view_of(const std::vector<Record>& records, std::shared_ptr<ConnectionRows> connections = nullptr) {
  std::vector<BlockRef> refs;
  std::shared_ptr<PlainBlock> block;
  for (size_t i = 0; i < records.size(); ++i) {
    if (i % kRowsPerBlock == 0) {
      if (block) block->seal();
      block = std::make_shared<PlainBlock>(i);
      refs.push_back({block, 0});
    }
    block->append(records[i]);
    refs.back().rows = block->rows();
  }
  return {records.size(), std::move(refs), nullptr, std::move(connections)};
}

}  // namespace portbook

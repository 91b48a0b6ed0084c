// The block that records are being added to, in memory; the log holds the same records durably.
#pragma once

#include <atomic>
#include <memory>

#include "store/columns.h"
#include "store/open_index.h"
#include "store/row_keys.h"
#include "store/view.h"

namespace portbook {

// One thread appends and publishes; any number read.
class OpenBlock final : public Block {
 public:
  // Full with `rows_max` records, at most kBlockRowsMax.
  OpenBlock(uint64_t first_index, uint32_t rows_max);

  // Appends a record as the next row. Needs !full(). Not visible before publish().
  void append(const Record& record);
  void publish() { columns_->publish(); }
  // For the appending thread.
  [[nodiscard]] uint32_t appended() const { return columns_->appended(); }
  [[nodiscard]] bool full() const { return appended() >= rows_max_; }
  [[nodiscard]] uint32_t rows_max() const { return rows_max_; }
  // From now on it is full with its first `rows` records; those behind are no part of it, though views taken before still show
  // them. For the appending thread; whoever else asks for rows_max() must not do so at the same time.
  void shorten(uint32_t rows);
  // When the book received the first batch that has its `batch` record here; nothing without one.
  [[nodiscard]] std::optional<TimeNs> first_received() const {
    const TimeNs time = first_received_.load(std::memory_order_relaxed);
    return time == 0 ? std::nullopt : std::optional(time);
  }
  [[nodiscard]] const Columns& appended_columns() const { return *columns_; }

  [[nodiscard]] uint64_t first_index() const override { return first_index_; }
  [[nodiscard]] TimeNs time_min() const override { return time_min_.load(std::memory_order_relaxed); }
  [[nodiscard]] TimeNs time_max() const override { return time_max_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::optional<uint32_t> sealed_rows() const override { return std::nullopt; }
  Result<std::shared_ptr<const Columns>> columns(const FieldSet&) override { return columns_; }
  Status read_row(uint32_t row, Record& record) override;
  Status rows_with(RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) override;

 private:
  const uint64_t first_index_;
  uint32_t rows_max_;
  const std::shared_ptr<Columns> columns_;  // shared: a question may hold it longer than the block
  OpenIndex index_;
  std::atomic<TimeNs> time_min_{UINT64_MAX};
  std::atomic<TimeNs> time_max_{0};
  std::atomic<TimeNs> first_received_{0};
  RowKeys keys_;  // owner: the appending thread
};

}  // namespace portbook

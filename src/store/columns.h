// A block's records as columns: the one form in which records are held, queried and written to disk.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "record/record.h"
#include "store/column_storage.h"

namespace portbook {

// Up to kBlockRowsMax records. One thread appends; any number read at the same time the rows below rows() as they last saw it:
// a row is complete before rows() says so, and never changes or moves afterwards.
//
// Memory: a shape id a row, and for each field that occurs a plain array of kBlockRowsMax values (2 bytes for enums and ports, 8
// for numbers, 16 for addresses and ids, 8 for an offset and length into the text arena), reserved as address space and touched
// only as far as rows reach.
class Columns {
 public:
  Columns();
  // Takes over arrays that were filled elsewhere: `rows` rows, all visible, of which the fields `held` are there.
  Columns(std::unique_ptr<ColumnStorage> storage, uint32_t rows, const FieldSet& held);
  Columns(const Columns&) = delete;
  Columns& operator=(const Columns&) = delete;

  // Appends a row. Needs fewer than kBlockRowsMax appended rows, or it aborts. Not visible before publish().
  void append(const Record& record);
  // Makes every appended row visible to readers.
  void publish() { published_.store(appended_, std::memory_order_release); }
  // Rows appended so far, visible or not. For the appending thread.
  [[nodiscard]] uint32_t appended() const { return appended_; }

  [[nodiscard]] uint32_t rows() const { return published_.load(std::memory_order_acquire); }

  // The fields whose values are here. Fields may be added while others read those that are here; none goes away.
  [[nodiscard]] FieldSet held() const {
    return FieldSet::of_words({held_[0].load(std::memory_order_acquire), held_[1].load(std::memory_order_acquire)});
  }
  [[nodiscard]] bool holds(Field field) const {
    return (held_[index_of(field) / 64].load(std::memory_order_relaxed) >> index_of(field) % 64 & 1) != 0;
  }
  // For whoever filled the array of a field in storage_to_fill(). One thread at a time.
  void add_held(Field field) {
    held_[index_of(field) / 64].fetch_or(uint64_t{1} << index_of(field) % 64, std::memory_order_release);
  }
  [[nodiscard]] ColumnStorage& storage_to_fill() { return *storage_; }

  // Each needs row < rows() (or, on the appending thread, an appended row), and has(row, field) unless said otherwise. A value
  // that is not held aborts; fields() and has() speak of the record, held or not.
  [[nodiscard]] const FieldSet& fields(uint32_t row) const { return storage_->shapes()[storage_->shape_ids()[row]]; }
  [[nodiscard]] bool has(uint32_t row, Field field) const { return fields(row).has(field); }
  [[nodiscard]] uint64_t uint(uint32_t row, Field field) const {
    PB_CHECK(holds(field));
    return column_width(type_of(field)) == 2 ? storage_->array<uint16_t>(field)[row] : storage_->array<uint64_t>(field)[row];
  }
  [[nodiscard]] int64_t signed_value(uint32_t row, Field field) const {
    PB_CHECK(holds(field));
    return storage_->array<int64_t>(field)[row];
  }
  [[nodiscard]] Ip ip(uint32_t row, Field field) const { return Ip{id128(row, field)}; }
  [[nodiscard]] Id128 id128(uint32_t row, Field field) const {
    PB_CHECK(holds(field));
    return storage_->array<Wide>(field)[row];
  }
  [[nodiscard]] std::string_view text(uint32_t row, Field field) const {  // valid as long as this object
    PB_CHECK(holds(field));
    const TextRef ref = storage_->array<TextRef>(field)[row];
    return ref.length == 0 ? std::string_view{} : storage_->text(ref);
  }

  // Copies the whole row. encode() of it gives the very bytes that were hashed.
  void read(uint32_t row, Record& record) const { read(row, kEveryField, record); }
  // Copies those of the row's fields that are in `wanted`.
  void read(uint32_t row, const FieldSet& wanted, Record& record) const;

  // Bytes of memory that the rows and held columns take.
  [[nodiscard]] size_t bytes_used() const { return storage_->bytes_used(rows(), held()); }

  // The arrays themselves, for scans and for the block's encoder; rows from rows() on and columns that are
  // not held mean nothing.
  [[nodiscard]] const ColumnStorage& storage() const { return *storage_; }

 private:
  std::unique_ptr<ColumnStorage> storage_;
  std::array<std::atomic<uint64_t>, 2> held_;
  uint32_t appended_ = 0;  // owner: the appending thread
  std::atomic<uint32_t> published_{0};
};

}  // namespace portbook

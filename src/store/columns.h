// A block's records as columns: the one form in which records are held, queried and written to disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "record/record.h"

namespace portbook {

inline constexpr uint32_t kBlockRowsMax = 65'536;  // a full block is one level-2 node of the Merkle tree

// Up to kBlockRowsMax records. One thread appends; any number read at the same time the rows below rows() as they last saw it:
// a row is complete before rows() says so, and never changes or moves afterwards.
//
// Memory: a shape id a row, and for each field that occurs a plain array of kBlockRowsMax values (4 bytes for enums and ports, 8
// for numbers, 16 for addresses and ids, 8 for an offset and length into the text arena), reserved as address space and touched
// only as far as rows reach.
class Columns {
 public:
  Columns();
  ~Columns();
  Columns(const Columns&) = delete;
  Columns& operator=(const Columns&) = delete;

  // Appends a row. Needs rows() < kBlockRowsMax, or it aborts. Not visible before publish().
  void append(const Record& record);
  // Makes every appended row visible to readers.
  void publish();

  [[nodiscard]] uint32_t rows() const { return published_.load(std::memory_order_acquire); }

  // Each needs row < rows() (or, on the appending thread, an appended row), and has(row, field) unless said otherwise.
  [[nodiscard]] const FieldSet& fields(uint32_t row) const;
  [[nodiscard]] bool has(uint32_t row, Field field) const { return fields(row).has(field); }
  [[nodiscard]] uint64_t uint(uint32_t row, Field field) const;
  [[nodiscard]] int64_t signed_value(uint32_t row, Field field) const;
  [[nodiscard]] Ip ip(uint32_t row, Field field) const;
  [[nodiscard]] Id128 id128(uint32_t row, Field field) const;
  [[nodiscard]] std::string_view text(uint32_t row, Field field) const;  // valid as long as this object

  // Copies the whole row. encode() of it gives the very bytes that were hashed.
  void read(uint32_t row, Record& record) const;

 private:
  struct Storage;
  std::unique_ptr<Storage> storage_;
  uint32_t appended_ = 0;  // owner: the appending thread
  std::atomic<uint32_t> published_{0};
};

}  // namespace portbook

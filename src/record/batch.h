// What a source hands to a book: consecutive records of one source, already encoded. The only way into the ledger.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "record/record.h"

namespace portbook {

// The greatest source_seq that is taken from the wire or from a spool: a sum of two stays within 63 bits.
inline constexpr uint64_t kSourceSeqMax = uint64_t{1} << 62;
inline constexpr size_t kBatchBytesMax = 8 * 1024 * 1024;
inline constexpr uint32_t kBatchRecordsMax = 65'000;

// The `action` of the one kind of `admin` record that a source writes: what the kernel has open beside what it told.
inline constexpr std::string_view kComparedWithKernel = "compared with the kernel";

// `bytes` is a CBOR sequence of `count` records of source `source`, whose source_seq run from `seq_first` without a gap.
struct Batch {
  std::string source;
  uint64_t seq_first = 0;
  uint32_t count = 0;
  Bytes bytes;
};

// Gives records their source and sequence numbers and gathers them into a batch. One per source, owned by one thread.
class BatchBuilder {
 public:
  // `next_seq` is 1 for a new source, else one more than the last that the book has.
  BatchBuilder(std::string source, uint64_t next_seq);

  // Sets `source` and `source_seq` on the record and appends its bytes.
  void add(Record& record);
  [[nodiscard]] uint32_t count() const { return batch_.count; }
  [[nodiscard]] bool full() const { return batch_.count >= kBatchRecordsMax / 2 || batch_.bytes.size() >= kBatchBytesMax / 2; }
  // Moves the gathered batch out; the next one continues its sequence. The buffer of `recycled` is used again.
  Batch take(Batch recycled = {});

 private:
  std::string source_;
  uint64_t next_seq_;
  Batch batch_;
};

}  // namespace portbook

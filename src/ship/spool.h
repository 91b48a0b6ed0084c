// What an agent keeps on its own disk while the book is away: append-only files of checksummed frames, each durable before its
// batch counts as handed over. docs/formats/spool.md has the offsets.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "record/batch.h"
#include "store/disk.h"

namespace portbook {

inline constexpr uint32_t kSpoolVersion = 1;
inline constexpr size_t kSpoolHeaderBytes = 32;        // of a file
inline constexpr size_t kSpoolFrameBytes = 48;         // before a frame's source and records
inline constexpr uint64_t kSpoolFileBytes = 16 << 20;  // a new file is begun beyond that
inline constexpr uint64_t kSpoolBytesDefault = uint64_t{1} << 30;
// Beyond what the spool may have, for renumberings alone: without them a full spool could not be emptied. Kept on the disk in a
// file of its own, which makes room when the disk is full.
inline constexpr uint64_t kSpoolReserveBytes = 64 * 1024;
inline constexpr std::string_view kSpoolReserveName = "reserve";

// Where record bytes stand in the spool.
struct SpoolPlace {
  uint64_t file = 0;  // serial number
  uint64_t offset = 0;
  uint32_t bytes = 0;
  auto operator<=>(const SpoolPlace&) const = default;
};

// A batch as it stands in the spool. Its numbers are provisional where the book had not said yet what it has of the source.
struct SpooledBatch {
  std::string source;
  uint64_t seq_first = 0;
  uint32_t count = 0;
  bool provisional = false;
  SpoolPlace place;
};

// What the book's word changed about the numbers of a source: of its batches that were spooled before, those from `from` on are
// affected. The first `drop` records are given up, later ones get `shift` added, and the gap record, if there is one, stands before
// them under the number `gap_seq`. Afterwards the source's numbers are no longer provisional.
struct Renumbering {
  std::string source;
  uint64_t from = 1;
  uint32_t drop = 0;
  int64_t shift = 0;
  uint64_t gap_seq = 0;  // 0: no gap record
  SpoolPlace gap;        // of the gap record's bytes
};
using SpoolEntry = std::variant<SpooledBatch, Renumbering>;

// Owned by one thread at a time.
class Spool {
 public:
  // Reads what an earlier run left, in order; a frame that is torn or damaged ends its file. Writes only to new files.
  // Errors: kDenied, kIo.
  static Result<std::unique_ptr<Spool>> open(std::unique_ptr<Disk> disk, uint64_t bytes_max, uint64_t file_bytes = kSpoolFileBytes);

  // What open() found. Once.
  std::vector<SpoolEntry> take_entries() { return std::exchange(entries_, {}); }
  // Bytes that were no whole frame, over all files.
  [[nodiscard]] uint64_t torn_bytes() const { return torn_bytes_; }

  // Durable on return. The place counts as held until release(). Errors: kLimit (the spool or the disk is full); kIo. After an
  // error nothing is there, and it may be tried again: in another file, because a disk that failed once says nothing of that one.
  Result<SpoolPlace> append(const Batch& batch, bool provisional);
  // Writes it with its gap record's bytes, which may be empty; the place is that of the gap record. May use the reserve.
  Result<SpoolPlace> append(const Renumbering& renumbering, ByteView gap);
  // The bytes at a held place. Errors: kIo, kCorrupt (another length).
  Result<Bytes> read(const SpoolPlace& place);
  // The bytes there are not needed any more. Files without held places are removed, oldest first; durably so. Errors: kIo.
  Status release(const SpoolPlace& place);

  [[nodiscard]] uint64_t bytes() const { return bytes_; }  // of all files but the reserve
  [[nodiscard]] uint64_t bytes_max() const { return bytes_max_; }
  [[nodiscard]] bool empty() const { return files_.empty(); }

 private:
  struct SpoolFile {
    uint64_t serial = 0;
    uint64_t bytes = 0;
    uint64_t held = 0;  // places
    bool closed = false;
  };
  Spool(std::unique_ptr<Disk> disk, uint64_t bytes_max, uint64_t file_bytes);
  Status recover();
  void read_frames(SpoolFile& file, ByteView bytes);
  Status remove_free();
  Status begin_file();
  void give_up_file();
  void fill_reserve();
  Result<SpoolPlace> append_frame(Bytes frame, size_t records_at, uint64_t bytes_max);
  Result<SpoolPlace> try_append_frame(Bytes& frame, size_t records_at);
  SpoolFile* find(uint64_t serial);

  std::unique_ptr<Disk> disk_;
  const uint64_t bytes_max_;
  const uint64_t file_bytes_;
  std::deque<SpoolFile> files_;    // ascending
  std::unique_ptr<File> writing_;  // the last of files_, unless that is closed
  std::unique_ptr<File> reading_;
  uint64_t reading_serial_ = 0;
  uint64_t next_serial_ = 1;
  bool reserve_is_there_ = false;
  uint64_t bytes_ = 0;
  uint64_t torn_bytes_ = 0;
  std::vector<SpoolEntry> entries_;
};

// "spool-000000000007".
std::string spool_file_name(uint64_t serial);
// One frame at the front of `bytes`, for the reader and its fuzzer; `place.offset` counts from there. Nothing when it is torn,
// damaged or of another file.
struct SpoolFrame {
  SpoolEntry entry;
  size_t length = 0;
};
std::optional<SpoolFrame> read_spool_frame(ByteView bytes, uint64_t serial);
// Fills in the file's serial number and the checksum. Needs a whole frame.
void seal_spool_frame(std::span<Byte> frame, uint64_t serial);

}  // namespace portbook

// The write-ahead log: preallocated files that are written in turn, and again once what they hold stands in sealed segments.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "store/disk.h"
#include "store/log_frame.h"

namespace portbook {

inline constexpr uint64_t kLogFileBytes = 32 * 1024 * 1024;
inline constexpr uint64_t kLogOwnBytes = 16 * 1024;  // kept free at each file's end for the book's own records
inline constexpr size_t kLogSparesMax = 2;

std::string log_file_name(uint64_t serial);
// The serial number in such a name; 0 if it is none.
uint64_t log_file_serial(std::string_view name);

// One thread appends; release_below() may be called from another.
class Log {
 public:
  // A file of the log as it was found: frames for [first_index, end_index) up to `end_offset`, zeros behind.
  struct Existing {
    uint64_t serial = 0;
    uint64_t first_index = 0;
    uint64_t end_index = 0;
    uint64_t end_offset = 0;
  };

  Log(Disk& disk, uint64_t file_bytes) : disk_(disk), file_bytes_(file_bytes) {}

  // Goes on after what was found, ascending. Spare files of an earlier run are removed. Errors: kIo.
  Status resume(const std::vector<Existing>& files);

  // Assures that a frame of that payload can be written. `own`: the records are the book's own and may use the kept space.
  // Errors: kLimit when the disk is full (the log is as it was); kIo.
  Status make_room(size_t payload_bytes, uint64_t first_index, bool own);

  // Writes the frame, syncs, and compares it as read back. Needs make_room() for it. After an error nothing is known of the frame,
  // and the log must not be appended to again. Errors: kIo; kCorrupt (read back differently).
  Status append(FrameBuilder& frame, uint64_t first_index);

  // Gives back the files that hold only records below `index`, which stand durably elsewhere. Errors: kIo (files are merely kept).
  Status release_below(uint64_t index);

 private:
  struct Used {
    uint64_t serial = 0;
    uint64_t first_index = 0;
  };
  struct Spare {
    std::string name;
    uint64_t bytes = 0;
  };

  Status rotate(uint64_t bytes, uint64_t first_index);
  Result<std::string> prepare_file(uint64_t bytes, const LogHeader& header);
  Result<Spare> make_spare(uint64_t serial);

  Disk& disk_;
  const uint64_t file_bytes_;

  // Owner: the appending thread.
  std::unique_ptr<File> file_;
  uint64_t file_size_ = 0;
  uint64_t offset_ = 0;
  Bytes read_back_;

  std::mutex mutex_;
  std::vector<Used> files_;    // ascending; the last one is being written
  std::vector<Spare> spares_;  // whole of zeros
};

}  // namespace portbook

// The tree sizes of checkpoints that somebody may hold, in the file `handed-out`, until retention has taken what it needs to keep
// them connected.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "store/disk.h"

namespace portbook {

inline constexpr std::string_view kHandedOutFileName = "handed-out";
inline constexpr uint64_t kHandedOutEveryNs = 60 * kNsPerSecond;  // so often one is noted anyway
inline constexpr uint64_t kHandedOutBytesMax = uint64_t{1} << 30;

// Ascending, each once. A line of that file that is no number, such as one that a crash tore, is passed over.
std::vector<uint64_t> parse_handed_out(std::string_view text);
// One decimal number a line.
std::string handed_out_text(const std::vector<uint64_t>& sizes);

// note() by any thread; the others by one.
class HandedOut {
 public:
  explicit HandedOut(Disk& disk) : disk_(disk) {}

  // Takes in what an earlier run noted. Errors: kIo.
  Status open();
  // A checkpoint of that size is given away, or is likely to be held by somebody.
  void note(uint64_t size);
  // Makes durable what was noted. Errors: kLimit (disk full), kIo: it is tried again with the next call.
  Status write();
  // All sizes in [from, to), ascending, whether written or not.
  [[nodiscard]] std::vector<uint64_t> between(uint64_t from, uint64_t to) const;
  // Those below are not needed any more. Errors: as of write().
  Status forget_below(uint64_t size);

 private:
  Status write_all();

  Disk& disk_;
  std::vector<uint64_t> sizes_;  // the first written_ stand in the file
  size_t written_ = 0;
  uint64_t file_bytes_ = 0;
  bool rewrite_ = false;  // the file is not what sizes_ say
  std::unique_ptr<File> file_;

  mutable std::mutex mutex_;     // guards what follows
  std::vector<uint64_t> noted_;  // not in sizes_ yet
  uint64_t last_noted_ = 0;
};

}  // namespace portbook

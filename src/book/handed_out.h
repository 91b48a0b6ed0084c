// The tree sizes of checkpoints that somebody may hold, in the file `handed-out`, until retention has taken what it needs to keep
// them connected.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "merkle/tree.h"
#include "store/disk.h"

namespace portbook {

inline constexpr std::string_view kHandedOutFileName = "handed-out";
inline constexpr uint64_t kHandedOutEveryNs = 60 * kNsPerSecond;  // so often one is noted anyway
inline constexpr uint64_t kHandedOutBytesMax = uint64_t{1} << 30;
inline constexpr size_t kHandedOutLinesMin = 65'536;  // appended lines, from which on the file is written anew, shorter

// Tree sizes, each once; not multiples of kGroupLeaves, which stay connected without being noted. Takes some 80 bytes for each
// kGroupLeaves records that have one, however many are added.
class TreeSizes {
 public:
  // False when it was there, or is none that is noted.
  bool add(uint64_t size);
  // Those in the group of `size` stay.
  void remove_below(uint64_t size);
  // Those in [from, to), ascending.
  [[nodiscard]] std::vector<uint64_t> between(uint64_t from, uint64_t to) const;
  [[nodiscard]] size_t groups() const { return groups_.size(); }
  // A line for each group: one size in decimal, or the group's first size, a colon and 64 hexadecimal digits, in which the lowest
  // bit of the last digit is that first size.
  [[nodiscard]] std::string text() const;
  // Takes in lines of text(). One that is none, such as one that a crash tore, is passed over.
  void take(std::string_view text);

  friend bool operator==(const TreeSizes&, const TreeSizes&) = default;

 private:
  using Group = std::array<uint64_t, kGroupLeaves / 64>;  // bit i: the group's first size + i
  void take_line(std::string_view line);

  std::map<uint64_t, Group> groups_;
};

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
  // All sizes in [from, to), ascending, whether written or not; without multiples of kGroupLeaves.
  [[nodiscard]] std::vector<uint64_t> between(uint64_t from, uint64_t to) const;
  // Those below are not needed any more. Errors: as of write().
  Status forget_below(uint64_t size);

 private:
  Status write_all();

  Disk& disk_;
  TreeSizes sizes_;
  std::vector<uint64_t> unwritten_;  // of sizes_, those that the file lacks
  size_t lines_ = 0;                 // appended since the file was written as a whole
  uint64_t file_bytes_ = 0;
  bool rewrite_ = false;  // the file is not what sizes_ say
  std::unique_ptr<File> file_;

  mutable std::mutex mutex_;     // guards what follows
  std::vector<uint64_t> noted_;  // not in sizes_ yet
  uint64_t last_noted_ = 0;
};

}  // namespace portbook

// Follows a log file through its rotations, from a durable position on, so that each of its lines comes exactly once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/file_descriptor.h"
#include "logs/line_record.h"
#include "logs/log_position.h"

namespace portbook {

struct FollowerTimes {
  uint64_t rotated_ns = 2 * kNsPerSecond;  // a rotated file is left when nothing came for so long, and the next has something
  uint64_t rotated_empty_ns = 60 * kNsPerSecond;  // and when the next is empty
  uint64_t lost_ns = 2 * kNsPerSecond;            // a file that cannot be found is looked for so long before it counts as lost
};

// Owned by one thread. Reads when it is asked, and holds at most kLogLineBytesMax and a chunk of the file.
//
// The n-th line that holds something is record n; gap records count too. Where records follow each other within one file, reading
// again from an earlier position gives the same numbers to the same lines. Every other step (the next file, a gap) is a turn: what
// it leads to is made durable before anything behind it is told, so that a follower that was killed takes the same one.
class FileFollower {
 public:
  enum class Step : uint8_t {
    kNothing,  // nothing is there now
    kLine,     // `line` is record number here().seq
    kGap,      // record number here().seq is the gap of gap()
    kTurn,     // turn() has to be durable, and all records before it acknowledged, before passed() is called
  };

  // `known`: the newest durable position; nothing where the log was never followed.
  // `is_record`: which lines are records; for a line it always says the same.
  using IsRecord = std::function<bool(std::string_view)>;
  FileFollower(std::filesystem::path path, std::optional<LogPosition> known, Clock& clock, FollowerTimes times = {},
               IsRecord is_record = holds_something);

  // Begins anew from the last position that was acknowledged or passed; `book_seq` is the last record that the book has: it and
  // those before it are passed over. Called before the first next().
  void restart(uint64_t book_seq);
  // The text of `line` is valid until the next call of anything here.
  Step next(LogLine& line);
  [[nodiscard]] const LogPosition& turn() const { return *turn_; }
  void passed();
  [[nodiscard]] const LogPosition& gap() const { return gap_; }

  // After the record that came last.
  [[nodiscard]] LogPosition here() const;
  void acknowledged(const LogPosition& position) { base_ = position; }
  // The book will never take `count` records from `first` on, behind which `end` stands: the next step is the turn to a gap.
  void give_up(LogPosition end, uint64_t first, uint64_t count);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // Why nothing can be read; empty: it can.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  enum class Read : uint8_t { kSome, kEnd, kReplaced };
  bool begin();
  bool open_current();
  bool open_if_same(const std::filesystem::path& path, bool same_inode);
  void turn_to_start(LogGap gap, uint64_t inode);
  [[nodiscard]] LogPosition behind(const FileDescriptor& fd, LogGap gap, uint64_t inode, uint64_t size) const;
  void use(FileDescriptor fd, uint64_t device, uint64_t inode);
  Read fill();
  bool take_line(LogLine& line);
  void give(std::string_view text, size_t bytes, LogLine& line);
  void pass_over(size_t begin);
  void compact();
  Step at_end(LogLine& line);
  Step leave_rotated(uint64_t path_inode, bool next_is_empty, LogLine& line);
  bool late_lines();

  const std::filesystem::path path_;
  Clock& clock_;
  const FollowerTimes times_;
  const IsRecord is_record_;
  std::optional<LogPosition> base_;
  std::optional<LogPosition> turn_;
  LogPosition at_;  // seq, inode and offset; its tail is in the buffer
  LogPosition gap_;
  uint64_t book_seq_ = 0;
  FileDescriptor fd_;
  uint64_t device_ = 0;
  std::string buffer_;    // of the file, from before at_.offset to read_to_
  uint64_t read_to_ = 0;  // offset behind the buffer
  bool passing_over_ = false;
  LogPosition line_begin_;   // of the line that is passed over; at_.offset is within it
  std::string long_line_;    // its beginning
  std::string given_;        // the same, while the caller has it
  uint64_t grew_at_ = 0;     // boot time
  uint64_t lost_since_ = 0;  // boot time; 0: it is not
  FileDescriptor left_;      // the file before this one
  uint64_t left_size_ = 0;
  std::string problem_;
};

}  // namespace portbook

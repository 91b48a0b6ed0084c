// How far each followed log has been read and acknowledged: what survives the follower. docs/formats/positions.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "store/disk.h"

namespace portbook {

inline constexpr std::string_view kPositionsName = "positions";
inline constexpr size_t kFollowedLogsMax = 32;  // of one process: streams of one connection
inline constexpr size_t kPositionsMax = 256;    // of logs that are followed or were
inline constexpr size_t kPositionsBytesMax = 128 * 1024;
inline constexpr size_t kLogNameBytesMax = 100;  // in the name of a log's source
inline constexpr size_t kTailBytesMax = 1024;    // before a position, by which a file is known again
inline constexpr uint64_t kLogOffsetMax = uint64_t{1} << 62;

// Why the record after a position is a gap.
enum class LogGap : uint8_t {
  kNone,
  kLost,       // the file that was being read is not there any more, nor a copy
  kPositions,  // the book has records of this log, and nobody knows how far it was read
  kBook,       // the book lacks what it had acknowledged
  kRefused,    // the book refused a batch for ever
  kLate,       // lines were written into a rotated file after it had been left
};

// Between two lines of a file. Number `seq` is the last record before it.
struct LogPosition {
  uint64_t seq = 0;
  uint64_t inode = 0;
  uint64_t offset = 0;       // where the next line begins
  uint32_t tail_bytes = 0;   // how many bytes before `offset` are in the digest
  uint64_t tail_digest = 0;  // XXH3-64 of them
  LogGap gap = LogGap::kNone;
  uint64_t gap_count = 0;  // records that the gap stands for; 0: that is not known
  bool operator==(const LogPosition&) const = default;
};

// By the name of the source.
using LogPositions = std::map<std::string, LogPosition, std::less<>>;

// Letters, digits, dots, dashes, underscores: what may stand in the name of a log's source.
bool is_log_name(std::string_view name);

std::string positions_text(const LogPositions& positions);
// Errors: kCorrupt, naming the line; kNewer.
Result<LogPositions> parse_positions(std::string_view text);

uint64_t tail_digest(ByteView tail);

// The file `positions` of a folder. Owned by one thread at a time.
class PositionsFile {
 public:
  // A missing file is an empty one. Errors: kIo, kDenied, kCorrupt, kNewer.
  static Result<PositionsFile> open(std::unique_ptr<Disk> disk);
  [[nodiscard]] const LogPosition* find(std::string_view source) const;
  // Durable on return, after which all earlier ones are too. Errors: kIo, kLimit (the disk).
  Status store(const std::string& source, const LogPosition& position);
  // Durable with the next store() or flush().
  void note(const std::string& source, const LogPosition& position);
  Status flush();
  [[nodiscard]] bool dirty() const { return dirty_; }
  [[nodiscard]] size_t size() const { return positions_.size(); }

 private:
  std::unique_ptr<Disk> disk_;
  LogPositions positions_;
  bool dirty_ = false;
};

}  // namespace portbook

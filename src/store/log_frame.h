// The bytes of the write-ahead log: a file header, frames, zeros to the end. docs/formats/log.md has the offsets.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "base/bytes.h"
#include "base/result.h"

namespace portbook {

inline constexpr uint32_t kLogVersion = 1;
inline constexpr size_t kLogHeaderBytes = 64;
inline constexpr size_t kFrameHeaderBytes = 40;
inline constexpr uint32_t kFramePayloadMax = 24 * 1024 * 1024;

struct LogHeader {
  uint64_t serial = 0;       // of the file; every frame repeats it
  uint64_t first_index = 0;  // of the file's first record
};
std::array<Byte, kLogHeaderBytes> encode_log_header(const LogHeader& header);
// Errors: kCorrupt; kNewer.
Result<LogHeader> parse_log_header(ByteView bytes);

// One commit's records, gathered in the buffer from which they are written.
class FrameBuilder {
 public:
  FrameBuilder() { clear(); }
  void clear();
  // Appends record bytes: `count` whole records.
  void add(ByteView records, uint32_t count);
  [[nodiscard]] uint32_t count() const { return count_; }
  // The records added so far; valid until the next add() or clear().
  [[nodiscard]] ByteView payload() const { return ByteView(bytes_).subspan(kFrameHeaderBytes, payload_); }
  [[nodiscard]] size_t payload_bytes() const { return payload_; }
  // Fills in the header and the padding and returns the whole frame; valid until the next call. Needs count() > 0.
  ByteView finish(uint64_t serial, uint64_t first_index);

 private:
  Bytes bytes_;
  size_t payload_ = 0;
  uint32_t count_ = 0;
};

// How many bytes a frame of that payload takes, padding included.
constexpr size_t frame_bytes(size_t payload_bytes) {
  return (kFrameHeaderBytes + payload_bytes + 7) / 8 * 8;
}

// A whole frame whose checksum is right; payload is valid as long as the file's bytes.
struct Frame {
  uint64_t offset = 0;
  uint64_t first_index = 0;
  uint32_t count = 0;
  ByteView payload;
};
// Nothing but zeros follow.
struct LogEnd {
  uint64_t offset = 0;
};
// Bytes that are no frame: torn by a crash, or damaged.
struct BadFrame {
  uint64_t offset = 0;
  uint64_t nonzero_end = 0;  // behind the last byte that is not zero
  std::string reason;
};
using LogItem = std::variant<Frame, LogEnd, BadFrame>;

// Reads what stands at `offset` of a log file's bytes. Allocates nothing but a reason.
LogItem read_log_item(ByteView file, uint64_t offset, uint64_t serial);

}  // namespace portbook

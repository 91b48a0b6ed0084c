// The head: the newest signed checkpoint, kept in two slots of one file so that a crash while one is written leaves the other.
// docs/formats/head.md has the offsets.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "store/disk.h"

namespace portbook {

inline constexpr std::string_view kHeadFileName = "head";
inline constexpr uint32_t kHeadVersion = 1;
inline constexpr size_t kHeadSlotBytes = 4096;
inline constexpr size_t kHeadFileBytes = 2 * kHeadSlotBytes;

// One slot's content.
struct HeadSlot {
  uint64_t counter = 0;  // of all heads ever written; the slot is counter mod 2
  std::string note;      // the signed checkpoint
};

std::array<Byte, kHeadSlotBytes> encode_head_slot(const HeadSlot& slot);
// Errors: kCorrupt; kNewer. A slot of zeros was never written: nothing.
Result<std::optional<HeadSlot>> parse_head_slot(ByteView bytes);

// What the file holds.
struct HeadFileContent {
  std::optional<HeadSlot> newest;  // of the slots that are whole
  std::optional<Error> bad;        // what is wrong with a slot that is not, or with the file's length; names the offset
};
// Errors: those of reading; kNewer.
Result<HeadFileContent> read_head_file(Disk& disk);

// Writes heads. One thread.
class HeadFile {
 public:
  // Makes the file with this first head, whole or not at all.
  static Status create(Disk& disk, std::string note);
  // Opens it to go on after `newest`.
  static Result<HeadFile> open(Disk& disk, const HeadSlot& newest);

  // Durable on return, and read back the same. After an error it is unknown which of the two heads is there. Errors: kIo; kCorrupt.
  Status write(std::string note);

 private:
  HeadFile(std::unique_ptr<File> file, uint64_t counter) : file_(std::move(file)), counter_(counter) {}

  std::unique_ptr<File> file_;
  uint64_t counter_;
};

}  // namespace portbook

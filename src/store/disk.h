// The disk as the book uses it: one folder of plain files. A seam, so that tests can run the real book on a disk that loses power.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace portbook {

// An open file. Several threads may read_at() at once; otherwise not thread-safe, but different files may be used by different
// ones.
class File {
 public:
  virtual ~File() = default;
  // Writes all of it, growing the file if need be; not durable before sync(). After an error any part may have been written.
  // Errors: kLimit when the disk is full; kIo.
  virtual Status write_at(uint64_t offset, ByteView bytes) = 0;
  // Fills `into` but for what lies behind the end; returns how much. Errors: kIo.
  virtual Result<size_t> read_at(uint64_t offset, std::span<Byte> into) = 0;
  // Makes every write so far durable. After an error nothing is known of them, and trying again proves nothing. Errors: kIo.
  virtual Status sync() = 0;
  // Assures space for the first `bytes` bytes, so that writing them cannot fail for want of it. Errors: kLimit, kIo.
  virtual Status reserve(uint64_t bytes) = 0;
  virtual Result<uint64_t> size() = 0;
  // What is read next comes from the disk, not from the machine's memory, where the machine can do that (posix_fadvise(2)).
  virtual void forget_cached() {}
};

// Names are plain file names in the one folder. Thread-safe.
class Disk {
 public:
  virtual ~Disk() = default;
  // Errors: kNotFound, kDenied, kIo.
  virtual Result<std::unique_ptr<File>> open_to_read(std::string_view name) = 0;
  virtual Result<std::unique_ptr<File>> open_to_write(std::string_view name) = 0;
  // A new, empty file of mode 0600 that replaces any of that name. Errors: kLimit (disk full), kDenied, kIo.
  virtual Result<std::unique_ptr<File>> create(std::string_view name) = 0;
  // Renames, replacing; not durable before sync_names(). Errors: kNotFound, kIo.
  virtual Status rename(std::string_view from, std::string_view to) = 0;
  // Removing what is not there is no error. Errors: kIo.
  virtual Status remove(std::string_view name) = 0;
  // Makes created, renamed and removed names durable. Errors: kIo.
  virtual Status sync_names() = 0;
  // All names, sorted. Errors: kIo.
  virtual Result<std::vector<std::string>> list() = 0;
  // Where the folder is, for messages.
  [[nodiscard]] virtual std::string where() const = 0;
};

// The folder `folder` of this machine. Opens nothing yet.
std::unique_ptr<Disk> make_machine_disk(std::filesystem::path folder);

// The whole content of a file. Errors: kLimit when it is longer than `bytes_max`; those of open_to_read and read_at.
Result<Bytes> read_file(Disk& disk, std::string_view name, uint64_t bytes_max);
// Writes a file so that after a crash it is whole or not there (a temporary name, sync, read back, rename, sync_names).
// Errors: kLimit (disk full), kDenied, kIo; then nothing is left of it, or it is there and only its name may not be durable.
Status write_file(Disk& disk, std::string_view name, ByteView bytes);

}  // namespace portbook

// Disk space kept back, so that on a full disk the book can still write its own records.
#pragma once

#include <cstdint>

#include "store/disk.h"

namespace portbook {

inline constexpr uint64_t kReserveBytes = 64 * 1024 * 1024;

class DiskReserve {
 public:
  DiskReserve(Disk& disk, uint64_t bytes) : disk_(disk), bytes_(bytes) {}

  // Takes the space if it is not held. Errors: kLimit when the disk is full; kIo.
  Status hold();
  // Gives it free.
  Status release();

 private:
  Disk& disk_;
  const uint64_t bytes_;
  bool held_ = false;
};

}  // namespace portbook

#include "book/reserve.h"

#include "book/folder.h"

namespace portbook {

Status DiskReserve::hold() {
  if (held_) return {};
  const auto file = disk_.create(kReserveFileName);
  if (!file) return std::unexpected(file.error());
  if (Status done = (*file)->reserve(bytes_); !done) {
    if (Status removed = disk_.remove(kReserveFileName); !removed) return removed;
    return done;
  }
  held_ = true;
  return {};
}

Status DiskReserve::release() {
  held_ = false;
  return disk_.remove(kReserveFileName);
}

}  // namespace portbook

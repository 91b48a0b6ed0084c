// Where a sealed block's bytes come from: its file by name, or, once the name is to go, the file held open.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "store/segment.h"

namespace portbook {

// Thread-safe. Without hold() it opens the file each time, so that many blocks need few descriptors.
class SegmentSource {
 public:
  // The disk must live as long as this.
  SegmentSource(Disk& disk, uint64_t first_index) : disk_(disk), name_(segment_file_name(first_index)) {}

  [[nodiscard]] const std::string& name() const { return name_; }

  // Shared: several threads may read from one that is held. Errors: those of Disk::open_to_read.
  Result<std::shared_ptr<File>> open() {
    const std::lock_guard lock(mutex_);
    if (held_) return held_;
    auto file = disk_.open_to_read(name_);
    if (!file) return std::unexpected(file.error());
    return std::shared_ptr<File>(std::move(*file));
  }

  [[nodiscard]] bool is_held() {
    const std::lock_guard lock(mutex_);
    return held_ != nullptr;
  }

  // From now on the file is read whatever becomes of its name. Errors as above; then nothing changed.
  Status hold() {
    auto file = open();
    if (!file) return std::unexpected(file.error());
    const std::lock_guard lock(mutex_);
    held_ = std::move(*file);
    return {};
  }

 private:
  Disk& disk_;
  const std::string name_;
  std::mutex mutex_;
  std::shared_ptr<File> held_;  // shared with those that read at this moment
};

}  // namespace portbook

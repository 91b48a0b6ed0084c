// Bytes in memory, read like a file: what a whole file's reader is given when its bytes are already here.
#pragma once

#include <algorithm>

#include "store/disk.h"

namespace portbook {

// The bytes must live as long as the object.
class MemoryFile final : public File {
 public:
  explicit MemoryFile(ByteView bytes) : bytes_(bytes) {}
  Status write_at(uint64_t, ByteView) override { return fail(ErrorCode::kDenied, "bytes in memory are only read"); }
  Result<size_t> read_at(uint64_t offset, std::span<Byte> into) override {
    if (offset >= bytes_.size()) return size_t{0};
    const size_t count = std::min(into.size(), bytes_.size() - static_cast<size_t>(offset));
    std::ranges::copy(bytes_.subspan(offset, count), into.begin());
    return count;
  }
  Status sync() override { return {}; }
  Status reserve(uint64_t) override { return fail(ErrorCode::kDenied, "bytes in memory are only read"); }
  Result<uint64_t> size() override { return bytes_.size(); }

 private:
  ByteView bytes_;
};

}  // namespace portbook

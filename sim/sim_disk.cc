#include "sim/sim_disk.h"

#include <algorithm>
#include <utility>

namespace portbook {

namespace {

constexpr size_t kSectorBytes = 512;

std::unexpected<Error> power_off() {
  return fail(ErrorCode::kIo, "the power is off");
}

void apply(Bytes& content, uint64_t offset, ByteView bytes) {
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  std::ranges::copy(bytes, content.begin() + static_cast<ptrdiff_t>(offset));
}

}  // namespace

class SimFile final : public File {
 public:
  SimFile(SimDisk& disk, std::shared_ptr<SimDisk::Content> content) : disk_(disk), content_(std::move(content)) {}

  Status write_at(uint64_t offset, ByteView bytes) override { return disk_.write(*content_, offset, bytes); }
  Result<size_t> read_at(uint64_t offset, std::span<Byte> into) override {
    if (disk_.off_) return power_off();
    const Bytes& bytes = content_->now;
    if (offset >= bytes.size()) return size_t{0};
    const size_t count = std::min<size_t>(into.size(), bytes.size() - offset);
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(offset), count, into.begin());
    return count;
  }
  Status sync() override { return disk_.sync(*content_); }
  Status reserve(uint64_t bytes) override { return disk_.reserve(*content_, bytes); }
  Result<uint64_t> size() override {
    if (disk_.off_) return power_off();
    return content_->now.size();
  }

 private:
  SimDisk& disk_;
  std::shared_ptr<SimDisk::Content> content_;
};

Status SimDisk::step() {
  if (off_) return power_off();
  ++steps_;
  if (power_in_ == 0 || --power_in_ > 0) return {};
  off_ = true;
  return power_off();
}

uint64_t SimDisk::used() const {
  uint64_t bytes = 0;
  for (const auto& [name, content] : names_) bytes += content->now.size();
  return bytes;
}

Status SimDisk::write(Content& content, uint64_t offset, ByteView bytes) {
  const uint64_t grown = offset + bytes.size() > content.now.size() ? offset + bytes.size() - content.now.size() : 0;
  const bool was_off = off_;
  const Status powered = step();
  if (was_off) return powered;
  if (grown > 0 && used() + grown > capacity_) return fail(ErrorCode::kLimit, "no space left on the simulated disk");
  Write written{offset, Bytes(bytes.begin(), bytes.end())};
  if (flip_in_ > 0 && --flip_in_ == 0 && !written.bytes.empty()) {
    written.bytes[random_() % written.bytes.size()] ^= 1;
    bit_flipped_ = true;
  }
  // The write during which power goes off may still reach the disk, whole or in part.
  apply(content.now, offset, written.bytes);
  content.unsynced.push_back(std::move(written));
  return powered;
}

Status SimDisk::sync(Content& content) {
  if (Status powered = step(); !powered) return powered;
  if (sync_error_in_ > 0 && --sync_error_in_ == 0) {
    sync_failed_ = true;
    const Bytes now = content.now;
    lose_unsynced(content);
    content.now = now;  // still to be read, but nobody will write it any more
    return fail(ErrorCode::kIo, "the simulated disk cannot sync");
  }
  content.durable = content.now;
  content.unsynced.clear();
  return {};
}

Status SimDisk::reserve(Content& content, uint64_t bytes) {
  if (Status powered = step(); !powered) return powered;
  if (bytes <= content.now.size()) return {};
  if (used() + bytes - content.now.size() > capacity_) return fail(ErrorCode::kLimit, "no space left on the simulated disk");
  content.now.resize(bytes);
  return {};
}

Status SimDisk::change_names(const std::function<void(Names&)>& change) {
  const bool was_off = off_;
  const Status powered = step();
  if (was_off) return powered;
  change(names_);
  unsynced_names_.push_back(change);
  return powered;
}

Result<std::unique_ptr<File>> SimDisk::open_to_read(std::string_view name) {
  if (off_) return power_off();
  const auto found = names_.find(name);
  if (found == names_.end()) return fail(ErrorCode::kNotFound, "there is no " + std::string(name));
  return std::make_unique<SimFile>(*this, found->second);
}

Result<std::unique_ptr<File>> SimDisk::open_to_write(std::string_view name) {
  return open_to_read(name);
}

Result<std::unique_ptr<File>> SimDisk::create(std::string_view name) {
  const auto content = std::make_shared<Content>();
  const std::string owned(name);
  if (Status done = change_names([owned, content](Names& names) { names.insert_or_assign(owned, content); }); !done) {
    return std::unexpected(done.error());
  }
  return std::make_unique<SimFile>(*this, content);
}

Status SimDisk::rename(std::string_view from, std::string_view to) {
  if (off_) return power_off();
  if (!names_.contains(from)) return fail(ErrorCode::kNotFound, "there is no " + std::string(from));
  return change_names([from = std::string(from), to = std::string(to)](Names& names) {
    const auto node = names.find(from);
    if (node == names.end()) return;
    names.insert_or_assign(to, node->second);
    names.erase(node);
  });
}

Status SimDisk::remove(std::string_view name) {
  return change_names([name = std::string(name)](Names& names) { names.erase(name); });
}

Status SimDisk::sync_names() {
  if (Status powered = step(); !powered) return powered;
  durable_names_ = names_;
  unsynced_names_.clear();
  return {};
}

Result<std::vector<std::string>> SimDisk::list() {
  if (off_) return power_off();
  std::vector<std::string> names;
  for (const auto& [name, content] : names_) names.push_back(name);
  return names;
}

// Leaves in `durable` what happens to be on the disk: every sector of every write may have been written or not.
void SimDisk::lose_unsynced(Content& content) {
  const uint64_t mood = random_() % 4;  // all lost, all kept, or mixed
  for (const Write& write : content.unsynced) {
    uint64_t at = 0;
    while (at < write.bytes.size()) {
      const uint64_t part = std::min<uint64_t>(kSectorBytes - (write.offset + at) % kSectorBytes, write.bytes.size() - at);
      if (mood == 1 || (mood > 1 && random_() % 2 == 0))
        apply(content.durable, write.offset + at, ByteView(write.bytes).subspan(at, part));
      at += part;
    }
  }
  content.unsynced.clear();
}

void SimDisk::restart() {
  if (off_) {
    // A journal keeps the order of changes to names: an older one is never lost before a newer one.
    const size_t kept = random_() % (unsynced_names_.size() + 1);
    for (size_t i = 0; i < kept; ++i) unsynced_names_[i](durable_names_);
    names_ = durable_names_;
    for (auto& [name, content] : names_) {
      lose_unsynced(*content);
      content->now = content->durable;
    }
    unsynced_names_.clear();
  }
  off_ = false;
  sync_failed_ = false;
  bit_flipped_ = false;
  power_in_ = 0;
  sync_error_in_ = 0;
  flip_in_ = 0;
}

}  // namespace portbook

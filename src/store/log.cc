#include "store/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

constexpr std::string_view kLogPrefix = "log-";
constexpr std::string_view kSparePrefix = "spare-";
constexpr size_t kZeroBytes = 1024 * 1024;

Status write_zeros(File& file, uint64_t bytes) {
  static const Bytes zeros(kZeroBytes);
  for (uint64_t at = 0; at < bytes; at += kZeroBytes) {
    const uint64_t part = std::min<uint64_t>(kZeroBytes, bytes - at);
    if (Status done = file.write_at(at, ByteView(zeros).first(part)); !done) return done;
  }
  return {};
}

}  // namespace

std::string log_file_name(uint64_t serial) {
  return fmt::format("{}{:012}", kLogPrefix, serial);
}

uint64_t log_file_serial(std::string_view name) {
  if (!name.starts_with(kLogPrefix)) return 0;
  uint64_t serial = 0;
  std::from_chars(name.data() + kLogPrefix.size(), name.data() + name.size(), serial);
  return log_file_name(serial) == name ? serial : 0;
}

Status Log::resume(const std::vector<Existing>& files) {
  const auto names = disk_.list();
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    const bool left_over = name.starts_with(kSparePrefix) || (name.starts_with(kLogPrefix) && name.ends_with(".new"));
    if (!left_over) continue;
    if (Status done = disk_.remove(name); !done) return done;
  }
  for (const Existing& found : files) files_.push_back({found.serial, found.first_index});
  if (files.empty()) return {};
  auto file = disk_.open_to_write(log_file_name(files.back().serial));
  if (!file) return std::unexpected(file.error());
  const auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  file_ = std::move(*file);
  file_size_ = *size;
  offset_ = files.back().end_offset;
  return {};
}

Status Log::make_room(size_t payload_bytes, uint64_t first_index, bool own) {
  const uint64_t needed = frame_bytes(payload_bytes) + (own ? 0 : kLogOwnBytes);
  if (file_ && offset_ + needed <= file_size_) return {};
  return rotate(std::max(file_bytes_, kLogHeaderBytes + frame_bytes(payload_bytes) + kLogOwnBytes), first_index);
}

Status Log::rotate(uint64_t bytes, uint64_t first_index) {
  LogHeader header{1, first_index};
  {
    const std::lock_guard lock(mutex_);
    if (!files_.empty()) header.serial = files_.back().serial + 1;
  }
  const auto prepared = prepare_file(bytes, header);
  if (!prepared) return std::unexpected(prepared.error());
  const std::string name = log_file_name(header.serial);
  if (Status done = disk_.rename(*prepared, name); !done) return done;
  if (Status done = disk_.sync_names(); !done) return done;
  auto file = disk_.open_to_write(name);
  if (!file) return std::unexpected(file.error());
  const auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  file_ = std::move(*file);
  file_size_ = *size;
  offset_ = kLogHeaderBytes;
  const std::lock_guard lock(mutex_);
  files_.push_back({header.serial, first_index});
  return {};
}

// Returns the name of a file that is durable, whole of zeros but for the header.
Result<std::string> Log::prepare_file(uint64_t bytes, const LogHeader& header) {
  std::string name;
  {
    const std::lock_guard lock(mutex_);
    const auto spare = std::ranges::find_if(spares_, [&](const Spare& s) { return s.bytes >= bytes; });
    if (spare != spares_.end()) {
      name = spare->name;
      spares_.erase(spare);
    }
  }
  const bool fresh = name.empty();
  if (fresh) name = log_file_name(header.serial) + ".new";
  auto file = fresh ? disk_.create(name) : disk_.open_to_write(name);
  if (!file) return std::unexpected(file.error());
  const auto prepare = [&]() -> Status {
    if (fresh) {
      if (Status done = (*file)->reserve(bytes); !done) return done;
      // Written once now, so that a commit overwrites and the file system has no extents to convert.
      if (Status done = write_zeros(**file, bytes); !done) return done;
    }
    if (Status done = (*file)->write_at(0, encode_log_header(header)); !done) return done;
    return (*file)->sync();
  };
  if (Status done = prepare(); !done) {
    file->reset();
    // What is left of it must not hold space on a full disk; the next start would remove it too.
    if (Status removed = disk_.remove(name); !removed) return std::unexpected(removed.error());
    return std::unexpected(done.error());
  }
  return name;
}

Status Log::append(FrameBuilder& frame, uint64_t first_index) {
  PB_CHECK(file_ != nullptr);
  uint64_t serial = 0;
  {
    const std::lock_guard lock(mutex_);
    serial = files_.back().serial;
  }
  const ByteView bytes = frame.finish(serial, first_index);
  PB_CHECK(offset_ + bytes.size() <= file_size_);
  if (Status done = file_->write_at(offset_, bytes); !done) return done;
  if (Status done = file_->sync(); !done) return done;
  read_back_.resize(bytes.size());
  const auto got = file_->read_at(offset_, read_back_);
  if (!got) return std::unexpected(got.error());
  if (*got != bytes.size() || !std::ranges::equal(read_back_, bytes)) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{} offset {}: what was written reads back differently", log_file_name(serial), offset_));
  }
  offset_ += bytes.size();
  return {};
}

Status Log::release_below(uint64_t index) {
  while (true) {
    uint64_t serial = 0;
    {
      const std::lock_guard lock(mutex_);
      // A file's records end where the next file's begin.
      if (files_.size() < 2 || files_[1].first_index > index) return {};
      serial = files_.front().serial;
      files_.erase(files_.begin());  // whatever fails below, its records are not needed any more
    }
    auto spare = make_spare(serial);
    if (!spare) return std::unexpected(spare.error());
    const std::lock_guard lock(mutex_);
    if (spare->bytes > 0) spares_.push_back(std::move(*spare));
  }
}

Result<Log::Spare> Log::make_spare(uint64_t serial) {
  const std::string old_name = log_file_name(serial);
  size_t spares = 0;
  {
    const std::lock_guard lock(mutex_);
    spares = spares_.size();
  }
  if (spares >= kLogSparesMax) {
    if (Status done = disk_.remove(old_name); !done) return std::unexpected(done.error());
    return Spare{};
  }
  Spare spare{fmt::format("{}{:012}", kSparePrefix, serial), 0};
  if (Status done = disk_.rename(old_name, spare.name); !done) return std::unexpected(done.error());
  // Durable before its bytes go: else a crash could leave a log file with holes.
  if (Status done = disk_.sync_names(); !done) return std::unexpected(done.error());
  const auto file = disk_.open_to_write(spare.name);
  if (!file) return std::unexpected(file.error());
  const auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  if (Status done = write_zeros(**file, *size); !done) return std::unexpected(done.error());
  if (Status done = (*file)->sync(); !done) return std::unexpected(done.error());
  spare.bytes = *size;
  return spare;
}

}  // namespace portbook

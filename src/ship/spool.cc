#include "ship/spool.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace portbook {

namespace {

constexpr std::array<Byte, 8> kMagic = {'P', 'B', 'S', 'P', 'O', 'O', 'L', '\n'};
constexpr uint32_t kFrameMagic = 0x314d5053;  // "SPM1"
constexpr size_t kChecksumAt = 40;
constexpr size_t kSourceBytesMax = 255;
constexpr std::string_view kPrefix = "spool-";
constexpr size_t kDigits = 12;

enum class FrameType : uint8_t { kBatch = 1, kProvisional, kRenumbering };

std::array<Byte, kSpoolHeaderBytes> file_header(uint64_t serial) {
  std::array<Byte, kSpoolHeaderBytes> bytes{};
  std::ranges::copy(kMagic, bytes.begin());
  store_little(bytes.data() + 8, kSpoolVersion);
  store_little(bytes.data() + 16, serial);
  store_little(bytes.data() + 24, static_cast<uint64_t>(XXH3_64bits(bytes.data(), 24)));
  return bytes;
}

uint64_t checksum(ByteView frame) {
  const uint64_t seed = XXH3_64bits(frame.data(), kChecksumAt);
  return XXH3_64bits_withSeed(frame.data() + kSpoolFrameBytes, frame.size() - kSpoolFrameBytes, seed);
}

struct FrameFields {
  FrameType type = FrameType::kBatch;
  uint32_t count = 0;  // records; of a renumbering those given up
  uint64_t seq = 0;    // first number; of a renumbering the first that it affects
  int64_t shift = 0;
};

Bytes make_frame(const FrameFields& fields, std::string_view source, ByteView records) {
  PB_CHECK(source.size() <= kSourceBytesMax);
  Bytes frame(kSpoolFrameBytes);
  store_little(frame.data(), kFrameMagic);
  store_little(frame.data() + 4, static_cast<uint32_t>(records.size()));
  frame[8] = static_cast<Byte>(fields.type);
  frame[9] = static_cast<Byte>(source.size());
  store_little(frame.data() + 12, fields.count);
  store_little(frame.data() + 16, fields.seq);
  store_little(frame.data() + 24, fields.shift);
  append(frame, as_bytes(source));
  append(frame, records);
  return frame;
}

std::optional<uint64_t> serial_of(std::string_view name) {
  if (!name.starts_with(kPrefix) || name.size() != kPrefix.size() + kDigits) return std::nullopt;
  uint64_t serial = 0;
  const auto [end, error] = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), serial);
  if (error != std::errc{} || end != name.data() + name.size() || serial == 0) return std::nullopt;
  return serial;
}

}  // namespace

std::string spool_file_name(uint64_t serial) {
  return fmt::format("{}{:0{}}", kPrefix, serial, kDigits);
}

std::optional<SpoolFrame> read_spool_frame(ByteView bytes, uint64_t serial) {
  if (bytes.size() < kSpoolFrameBytes || load_little<uint32_t>(bytes.data()) != kFrameMagic) return std::nullopt;
  const auto record_bytes = load_little<uint32_t>(bytes.data() + 4);
  const size_t source_bytes = bytes[9];
  const size_t length = kSpoolFrameBytes + source_bytes + record_bytes;
  if (record_bytes > kBatchBytesMax || source_bytes == 0 || length > bytes.size()) return std::nullopt;
  const ByteView frame = bytes.first(length);
  if (load_little<uint64_t>(frame.data() + 32) != serial || load_little<uint64_t>(frame.data() + kChecksumAt) != checksum(frame))
    return std::nullopt;
  const auto type = static_cast<FrameType>(frame[8]);
  const auto count = load_little<uint32_t>(frame.data() + 12);
  const auto seq = load_little<uint64_t>(frame.data() + 16);
  const auto shift = load_little<int64_t>(frame.data() + 24);
  std::string source(as_text(frame.subspan(kSpoolFrameBytes, source_bytes)));
  const SpoolPlace place{serial, kSpoolFrameBytes + source_bytes, record_bytes};
  if (seq == 0 || count > kBatchRecordsMax || seq > kSourceSeqMax - count) return std::nullopt;
  if (type == FrameType::kRenumbering) {
    constexpr auto kShiftMax = static_cast<int64_t>(kSourceSeqMax);
    if (shift < -kShiftMax || shift > kShiftMax) return std::nullopt;
    // The gap record stands directly before what is moved.
    const int64_t moved_to = static_cast<int64_t>(seq + count) + shift;
    const int64_t first = record_bytes == 0 ? moved_to : moved_to - 1;
    if (first < 1 || moved_to > kShiftMax) return std::nullopt;
    const uint64_t gap_seq = record_bytes == 0 ? 0 : static_cast<uint64_t>(first);
    return SpoolFrame{Renumbering{std::move(source), seq, count, shift, gap_seq, place}, length};
  }
  if ((type != FrameType::kBatch && type != FrameType::kProvisional) || count == 0) return std::nullopt;
  return SpoolFrame{SpooledBatch{std::move(source), seq, count, type == FrameType::kProvisional, place}, length};
}

void seal_spool_frame(std::span<Byte> frame, uint64_t serial) {
  PB_CHECK(frame.size() >= kSpoolFrameBytes);
  store_little(frame.data() + 32, serial);
  store_little(frame.data() + kChecksumAt, checksum(frame));
}

Spool::Spool(std::unique_ptr<Disk> disk, uint64_t bytes_max, uint64_t file_bytes)
    : disk_(std::move(disk)), bytes_max_(bytes_max), file_bytes_(file_bytes) {}

Result<std::unique_ptr<Spool>> Spool::open(std::unique_ptr<Disk> disk, uint64_t bytes_max, uint64_t file_bytes) {
  auto spool = std::unique_ptr<Spool>(new Spool(std::move(disk), bytes_max, file_bytes));
  if (Status done = spool->recover(); !done) return fail_in("the spool in " + spool->disk_->where(), done);
  return spool;
}

Status Spool::recover() {
  const auto names = disk_->list();
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    const auto serial = serial_of(name);
    if (!serial) continue;
    next_serial_ = *serial + 1;
    const auto bytes = read_file(*disk_, name, UINT32_MAX);
    if (!bytes) return fail_in(name, bytes);
    SpoolFile file{*serial, bytes->size(), 0, true};
    const auto header = file_header(*serial);
    if (bytes->size() >= header.size() && std::equal(header.begin(), header.end(), bytes->begin())) {
      read_frames(file, *bytes);
    } else {
      torn_bytes_ += bytes->size();
    }
    bytes_ += file.bytes;
    files_.push_back(file);
  }
  if (Status removed = remove_free(); !removed) return removed;
  fill_reserve();
  return {};
}

void Spool::read_frames(SpoolFile& file, ByteView bytes) {
  size_t at = kSpoolHeaderBytes;
  while (at < bytes.size()) {
    auto frame = read_spool_frame(bytes.subspan(at), file.serial);
    if (!frame) break;
    SpoolPlace& place = std::visit(
        [](auto& entry) -> SpoolPlace& {
          if constexpr (std::is_same_v<std::decay_t<decltype(entry)>, SpooledBatch>)
            return entry.place;
          else
            return entry.gap;
        },
        frame->entry);
    place.offset += at;
    if (place.bytes > 0) ++file.held;
    entries_.push_back(std::move(frame->entry));
    at += frame->length;
  }
  torn_bytes_ += bytes.size() - at;
}

Spool::SpoolFile* Spool::find(uint64_t serial) {
  const auto found = std::ranges::find(files_, serial, &SpoolFile::serial);
  return found == files_.end() ? nullptr : &*found;
}

Status Spool::begin_file() {
  auto file = disk_->create(spool_file_name(next_serial_));
  if (!file) return std::unexpected(file.error());
  Status done = (*file)->write_at(0, file_header(next_serial_));
  if (done) done = disk_->sync_names();
  if (!done) {
    (void)disk_->remove(spool_file_name(next_serial_));
    return done;
  }
  writing_ = std::move(*file);
  files_.push_back({next_serial_++, kSpoolHeaderBytes, 0, false});
  bytes_ += kSpoolHeaderBytes;
  return {};
}

// What may stand there of the frame that failed is made no frame, so that no later run takes it for one that was counted.
void Spool::give_up_file() {
  const std::array<Byte, 4> nothing{};
  if (writing_->write_at(files_.back().bytes, nothing)) (void)writing_->sync();
  writing_.reset();
  files_.back().closed = true;
  (void)remove_free();  // tried again before the next file
}

// As far as the disk has room; tried again when a file was removed.
void Spool::fill_reserve() {
  if (reserve_is_there_) return;
  auto file = disk_->create(kSpoolReserveName);
  if (!file) return;
  if ((*file)->reserve(kSpoolReserveBytes)) {
    reserve_is_there_ = true;
  } else {
    (void)disk_->remove(kSpoolReserveName);
  }
}

Result<SpoolPlace> Spool::append_frame(Bytes frame, size_t records_at, uint64_t bytes_max) {
  if (bytes_ + kSpoolHeaderBytes + frame.size() > bytes_max) {
    return fail(ErrorCode::kLimit, fmt::format("the spool has its {} MiB (--spool-max)", bytes_max_ >> 20));
  }
  auto place = try_append_frame(frame, records_at);
  if (!place && place.error().code == ErrorCode::kLimit && bytes_max > bytes_max_ && reserve_is_there_) {
    reserve_is_there_ = false;
    if (disk_->remove(kSpoolReserveName)) place = try_append_frame(frame, records_at);
  }
  return place ? place : fail_in("the spool", place);
}

Result<SpoolPlace> Spool::try_append_frame(Bytes& frame, size_t records_at) {
  if (writing_ && files_.back().bytes + frame.size() > file_bytes_ && files_.back().bytes > kSpoolHeaderBytes) {
    writing_.reset();
    files_.back().closed = true;
  }
  if (!writing_) {
    Status begun = remove_free();
    if (begun) begun = begin_file();
    if (!begun) return std::unexpected(begun.error());
  }
  SpoolFile& file = files_.back();
  seal_spool_frame(frame, file.serial);
  Status done = writing_->write_at(file.bytes, frame);
  if (done) done = writing_->sync();
  if (!done) {
    give_up_file();
    return std::unexpected(done.error());
  }
  const SpoolPlace place{file.serial, file.bytes + records_at, static_cast<uint32_t>(frame.size() - records_at)};
  file.bytes += frame.size();
  bytes_ += frame.size();
  if (place.bytes > 0) ++file.held;
  return place;
}

Result<SpoolPlace> Spool::append(const Batch& batch, bool provisional) {
  PB_CHECK(!batch.bytes.empty() && batch.bytes.size() <= kBatchBytesMax);
  const FrameFields fields{provisional ? FrameType::kProvisional : FrameType::kBatch, batch.count, batch.seq_first, 0};
  return append_frame(make_frame(fields, batch.source, batch.bytes), kSpoolFrameBytes + batch.source.size(), bytes_max_);
}

Result<SpoolPlace> Spool::append(const Renumbering& renumbering, ByteView gap) {
  const FrameFields fields{FrameType::kRenumbering, renumbering.drop, renumbering.from, renumbering.shift};
  return append_frame(make_frame(fields, renumbering.source, gap), kSpoolFrameBytes + renumbering.source.size(),
                      bytes_max_ + kSpoolReserveBytes);
}

Result<Bytes> Spool::read(const SpoolPlace& place) {
  if (!reading_ || reading_serial_ != place.file) {
    auto file = disk_->open_to_read(spool_file_name(place.file));
    if (!file) return std::unexpected(file.error());
    reading_ = std::move(*file);
    reading_serial_ = place.file;
  }
  Bytes bytes(place.bytes);
  const auto got = reading_->read_at(place.offset, bytes);
  if (!got) return std::unexpected(got.error());
  if (*got != bytes.size()) return fail(ErrorCode::kCorrupt, fmt::format("{} is shorter than it was", spool_file_name(place.file)));
  return bytes;
}

Status Spool::release(const SpoolPlace& place) {
  if (place.bytes == 0) return {};
  SpoolFile* file = find(place.file);
  PB_CHECK(file != nullptr && file->held > 0);
  --file->held;
  return remove_free();
}

// Oldest first: a renumbering may speak about every older file.
Status Spool::remove_free() {
  bool removed_some = false;
  while (!files_.empty() && files_.front().held == 0) {
    if (files_.front().serial == reading_serial_) reading_.reset();
    if (!files_.front().closed) writing_.reset();
    if (Status removed = disk_->remove(spool_file_name(files_.front().serial)); !removed) return removed;
    bytes_ -= files_.front().bytes;
    files_.pop_front();
    removed_some = true;
  }
  if (!removed_some) return {};
  fill_reserve();
  // Durable before a batch goes past the spool: files that came back would speak for a source that has gone on since.
  return disk_->sync_names();
}

}  // namespace portbook

#include "book/head.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace portbook {

namespace {
constexpr std::array<Byte, 8> kHeadMagic = {'P', 'B', 'H', 'E', 'A', 'D', '\r', '\n'};
constexpr size_t kNoteAt = 24;
constexpr size_t kChecksumAt = kHeadSlotBytes - 8;
constexpr size_t kNoteMax = kChecksumAt - kNoteAt;
}  // namespace

std::array<Byte, kHeadSlotBytes> encode_head_slot(const HeadSlot& slot) {
  PB_CHECK(slot.note.size() <= kNoteMax);
  std::array<Byte, kHeadSlotBytes> bytes{};
  std::ranges::copy(kHeadMagic, bytes.begin());
  store_little(bytes.data() + 8, kHeadVersion);
  store_little(bytes.data() + 12, static_cast<uint32_t>(slot.note.size()));
  store_little(bytes.data() + 16, slot.counter);
  std::ranges::copy(as_bytes(slot.note), bytes.begin() + kNoteAt);
  store_little(bytes.data() + kChecksumAt, static_cast<uint64_t>(XXH3_64bits(bytes.data(), kChecksumAt)));
  return bytes;
}

Result<std::optional<HeadSlot>> parse_head_slot(ByteView bytes) {
  if (bytes.size() != kHeadSlotBytes) return fail(ErrorCode::kCorrupt, "the slot is cut short");
  if (std::ranges::all_of(bytes, [](Byte b) { return b == 0; })) return std::nullopt;
  if (load_little<uint64_t>(bytes.data() + kChecksumAt) != XXH3_64bits(bytes.data(), kChecksumAt)) {
    return fail(ErrorCode::kCorrupt, "the slot's checksum is wrong");
  }
  const auto version = load_little<uint32_t>(bytes.data() + 8);
  if (version > kHeadVersion) return fail(ErrorCode::kNewer, fmt::format("head format {}: written by a newer portbook", version));
  const auto length = load_little<uint32_t>(bytes.data() + 12);
  if (length > kNoteMax) return fail(ErrorCode::kCorrupt, "the slot's note is too long");
  HeadSlot slot{load_little<uint64_t>(bytes.data() + 16), std::string(as_text(bytes.subspan(kNoteAt, length)))};
  if (!std::ranges::equal(encode_head_slot(slot), bytes)) return fail(ErrorCode::kCorrupt, "the slot has bytes that mean nothing");
  return slot;
}

Result<HeadFileContent> read_head_file(Disk& disk) {
  const auto bytes = read_file(disk, kHeadFileName, 1024 * 1024);
  if (!bytes) return std::unexpected(bytes.error());
  HeadFileContent content;
  if (bytes->size() != kHeadFileBytes) {
    content.bad = Error{ErrorCode::kCorrupt, fmt::format("head: it has {} bytes instead of {}", bytes->size(), kHeadFileBytes)};
  }
  for (size_t at = 0; at + kHeadSlotBytes <= std::min(bytes->size(), kHeadFileBytes); at += kHeadSlotBytes) {
    auto slot = parse_head_slot(ByteView(*bytes).subspan(at, kHeadSlotBytes));
    if (!slot) {
      if (slot.error().code == ErrorCode::kNewer) return std::unexpected(slot.error());
      if (!content.bad) content.bad = slot.error().in(fmt::format("head offset {}", at));
    } else if (*slot && (*slot)->counter % 2 != at / kHeadSlotBytes) {
      content.bad = Error{ErrorCode::kCorrupt, fmt::format("head offset {}: the slot belongs in the other place", at)};
    } else if (*slot && (!content.newest || (*slot)->counter > content.newest->counter)) {
      content.newest = std::move(**slot);
    }
  }
  return content;
}

Status HeadFile::create(Disk& disk, std::string note) {
  Bytes bytes(kHeadFileBytes);
  std::ranges::copy(encode_head_slot({0, std::move(note)}), bytes.begin());
  return write_file(disk, kHeadFileName, bytes);
}

Result<HeadFile> HeadFile::open(Disk& disk, const HeadSlot& newest) {
  auto file = disk.open_to_write(kHeadFileName);
  if (!file) return std::unexpected(file.error());
  return HeadFile(std::move(*file), newest.counter);
}

Status HeadFile::write(std::string note) {
  const HeadSlot slot{counter_ + 1, std::move(note)};
  const auto bytes = encode_head_slot(slot);
  const uint64_t at = slot.counter % 2 * kHeadSlotBytes;
  if (Status done = file_->write_at(at, bytes); !done) return done;
  if (Status done = file_->sync(); !done) return done;
  std::array<Byte, kHeadSlotBytes> back;
  const auto got = file_->read_at(at, back);
  if (!got) return std::unexpected(got.error());
  if (*got != back.size() || back != bytes) {
    return fail(ErrorCode::kCorrupt, fmt::format("head offset {}: what was written reads back differently", at));
  }
  counter_ = slot.counter;
  return {};
}

}  // namespace portbook

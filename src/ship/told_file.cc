#include "ship/told_file.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <utility>

#include "ship/wire.h"

namespace portbook {

namespace {

constexpr std::array<Byte, 8> kMagic = {'P', 'B', 'T', 'O', 'L', 'D', '\r', '\n'};
constexpr size_t kSlotHeadBytes = 32;
constexpr size_t kFileBytes = (1 + kShipSourcesMax) * kToldSlotBytes;

// In the first slot's place.
Bytes header() {
  Bytes bytes(kToldSlotBytes);
  std::ranges::copy(kMagic, bytes.begin());
  store_little(bytes.data() + 8, kToldVersion);
  return bytes;
}

Bytes slot_of(const ToldFile::Told& told) {
  Bytes slot(kSlotHeadBytes);
  store_little(slot.data() + 8, told.until);
  store_little(slot.data() + 16, told.offset_ns);
  slot[24] = static_cast<Byte>(told.source.size());
  append(slot, as_bytes(told.source));
  store_little(slot.data(), static_cast<uint64_t>(XXH3_64bits(slot.data() + 8, slot.size() - 8)));
  return slot;
}

}  // namespace

std::vector<ToldFile::Told> read_told(ByteView bytes) {
  std::vector<ToldFile::Told> found;
  const Bytes expected = header();
  if (bytes.size() < kFileBytes || !std::ranges::equal(bytes.first(expected.size()), expected)) return found;
  for (size_t i = 1; i <= kShipSourcesMax; ++i) {
    const ByteView slot = bytes.subspan(i * kToldSlotBytes, kToldSlotBytes);
    const size_t name_bytes = slot[24];
    if (name_bytes == 0) break;
    const size_t checked = kSlotHeadBytes - 8 + name_bytes;
    const bool whole = load_little<uint64_t>(slot.data()) == XXH3_64bits(slot.data() + 8, checked);
    // One that is not whole keeps its place: a later slot is known by where it stands.
    found.push_back({whole ? std::string(as_text(slot.subspan(kSlotHeadBytes, name_bytes))) : std::string(),
                     load_little<uint64_t>(slot.data() + 8), load_little<uint64_t>(slot.data() + 16)});
  }
  return found;
}

ToldFile ToldFile::open(std::unique_ptr<Disk> disk) {
  ToldFile told;
  told.disk_ = std::move(disk);
  const auto bytes = read_file(*told.disk_, kToldName, kFileBytes);
  if (bytes && bytes->size() == kFileBytes) told.before_ = read_told(*bytes);
  if (!told.before_.empty()) {
    for (const Told& one : told.before_) told.slots_.push_back(one.source);
    if (auto file = told.disk_->open_to_write(kToldName)) told.file_ = std::move(*file);
    return told;
  }
  auto file = told.disk_->create(kToldName);
  if (!file) return told;
  Bytes fresh = header();
  fresh.resize(kFileBytes);
  if ((*file)->write_at(0, fresh)) told.file_ = std::move(*file);
  return told;
}

std::optional<ToldFile::Told> ToldFile::before(std::string_view source) const {
  const auto found = std::ranges::find(before_, source, &Told::source);
  return found == before_.end() ? std::nullopt : std::optional(*found);
}

// One write within one page: it is there whole or not at all when the process is killed.
void ToldFile::write(const Told& told) {
  if (!file_ || told.source.empty() || told.source.size() > kShipTextBytesMax) return;
  auto slot = std::ranges::find(slots_, told.source);
  if (slot == slots_.end()) slot = std::ranges::find(slots_, std::string());
  const auto place = static_cast<size_t>(slot - slots_.begin()) + 1;
  if (place > kShipSourcesMax) return;
  if (slot == slots_.end()) {
    slots_.push_back(told.source);
  } else {
    *slot = told.source;
  }
  (void)file_->write_at(place * kToldSlotBytes, slot_of(told));
}

}  // namespace portbook

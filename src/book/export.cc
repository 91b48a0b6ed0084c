#include "book/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "book/verify.h"
#include "merkle/tile.h"
#include "record/cbor.h"
#include "store/sealed_block.h"

namespace portbook {

namespace {

constexpr int kTriesWhileRunning = 20;

Status write_out(const std::filesystem::path& path, ByteView bytes) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (file) return {};
  const ErrorCode code = errno == ENOSPC ? ErrorCode::kLimit : errno == EACCES ? ErrorCode::kDenied : ErrorCode::kIo;
  return fail(code, fmt::format("cannot write {}: {}", path.string(), std::strerror(errno)));
}

// Gathers hashes into tiles, level by level, and writes each when it is full.
class TileWriter {
 public:
  explicit TileWriter(std::filesystem::path target) : target_(std::move(target)), levels_(kTileLevelMax + 1) {}

  // In the place of 256 leaves that are not there: only tiles above theirs are written.
  Status add_group(const Hash& group) {
    ++levels_[0].index;
    return add(group, 1);
  }

  Status add(const Hash& hash, unsigned level = 0) {
    Level& at = levels_[level];
    append(at.bytes, hash);
    at.range.append(hash);
    if (at.range.size() < kTileWidth) return {};
    if (Status done = write(level); !done) return done;
    const Hash parent = at.range.root();
    at.bytes.clear();
    at.range = {};
    ++at.index;
    return level == kTileLevelMax ? Status{} : add(parent, level + 1);
  }

  // Writes the partial tiles of the right edge.
  Status finish() {
    for (unsigned level = 0; level <= kTileLevelMax; ++level) {
      if (levels_[level].range.size() == 0) continue;
      if (Status done = write(level); !done) return done;
    }
    return {};
  }

 private:
  struct Level {
    uint64_t index = 0;
    Bytes bytes;
    CompactRange range;
  };

  Status write(unsigned level) {
    const Level& at = levels_[level];
    const HashTile tile{level, at.index, static_cast<uint32_t>(at.range.size())};
    return write_out(target_ / tile_path(tile), at.bytes);
  }

  std::filesystem::path target_;
  std::vector<Level> levels_;
};

// Hands out every record's bytes in order, one block after the other.
template <typename Visit>
Status for_each_record(const View& view, const Visit& visit) {
  Record record;
  Bytes bytes;
  for (const BlockRef& ref : view.blocks()) {
    const auto columns = ref.block->columns(kEveryField);
    if (!columns) return std::unexpected(columns.error());
    for (uint32_t row = 0; row < ref.rows; ++row) {
      (*columns)->read(row, record);
      bytes.clear();
      encode(record, bytes);
      if (Status done = visit(ref.block->first_index() + row, bytes); !done) return done;
    }
  }
  return {};
}

Result<Snapshot> try_snapshot(const std::filesystem::path& folder) {
  Snapshot snapshot;
  snapshot.disk = make_machine_disk(folder);
  snapshot.cache = std::make_unique<BlockCache>(kBlockCacheBytes);
  auto loaded = load_book(*snapshot.disk, Beyond::kIgnore);
  if (!loaded) return std::unexpected(loaded.error());
  if (loaded->damage) return fail(ErrorCode::kCorrupt, *loaded->damage);
  std::vector<BlockRef> refs;
  const uint64_t size = loaded->signed_head.size;
  for (SegmentFooter& footer : loaded->sealed) {
    const uint32_t rows = footer.rows;
    refs.push_back({std::make_shared<SealedBlock>(*snapshot.disk, *snapshot.cache, std::move(footer)), rows});
  }
  for (const auto& block : loaded->unsealed) {
    if (block->first_index() >= size) break;
    refs.push_back({block, static_cast<uint32_t>(std::min<uint64_t>(kBlockRowsMax, size - block->first_index()))});
  }
  snapshot.verifier = loaded->verifier;
  snapshot.checkpoint = loaded->head.note;
  snapshot.head = loaded->signed_head;
  snapshot.kept = std::move(loaded->kept.kept);
  const bool whole = snapshot.kept.below == 0;
  snapshot.view =
      View(size, std::move(refs), nullptr, nullptr, whole ? nullptr : std::make_shared<const Dropped>(dropped_of(snapshot.kept)));
  return snapshot;
}

}  // namespace

Result<Snapshot> open_snapshot(const std::filesystem::path& folder) {
  const auto running = is_running(folder);
  if (!running) return std::unexpected(running.error());
  auto snapshot = try_snapshot(folder);
  // A running book gives log files back while we read: then the next try finds their records sealed.
  for (int tries = 1; *running && !snapshot && tries < kTriesWhileRunning; ++tries) snapshot = try_snapshot(folder);
  return snapshot;
}

Status export_tlog(const Snapshot& snapshot, const std::filesystem::path& target,
                   const std::function<void(uint64_t done, uint64_t total)>& progress) {
  const uint64_t size = snapshot.view.size();
  TileWriter tiles(target);
  CompactRange range;
  Bytes bundle;
  for (const Hash& group : snapshot.kept.groups) {
    range.append(group, kGroupHeight);
    if (Status done = tiles.add_group(group); !done) return done;
  }
  const auto take = [&](uint64_t index, ByteView bytes) -> Status {
    append_bundle_entry(bundle, bytes);
    const Hash leaf = leaf_hash(bytes);
    range.append(leaf);
    if (Status done = tiles.add(leaf); !done) return done;
    if (index + 1 != size && (index + 1) % kTileWidth != 0) return {};
    const EntryBundle place{index / kTileWidth, static_cast<uint32_t>(index % kTileWidth + 1)};
    if (Status done = write_out(target / tile_path(place), bundle); !done) return done;
    bundle.clear();
    if (progress && place.index % 256 == 0) progress(index + 1, size);
    return {};
  };
  if (Status done = for_each_record(snapshot.view, take); !done) return done;
  if (Status done = tiles.finish(); !done) return done;
  if (TreeHead{range.size(), range.root()} != snapshot.head) {
    return fail(ErrorCode::kCorrupt, "the records do not hash to the root that the head signed: run verify");
  }
  if (Status done = write_out(target / "vkey", as_bytes(to_vkey(snapshot.verifier) + "\n")); !done) return done;
  if (Status done = write_out(target / "checkpoint", as_bytes(snapshot.checkpoint)); !done) return done;
  if (progress) progress(size, size);
  return {};
}

}  // namespace portbook

// Tiles (C2SP tlog-tiles): the files below which others read our tree, and their contents.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "merkle/tree.h"

namespace portbook {

inline constexpr uint32_t kTileWidth = 256;
inline constexpr unsigned kTileLevelMax = 7;  // 256^8 leaves are 2^64

// tile(level, index) with its first `width` hashes.
struct HashTile {
  unsigned level = 0;
  uint64_t index = 0;
  uint32_t width = kTileWidth;
  bool operator==(const HashTile&) const = default;
};
// `tile/entries/…`: the records [index * 256, index * 256 + width).
struct EntryBundle {
  uint64_t index = 0;
  uint32_t width = kTileWidth;
  bool operator==(const EntryBundle&) const = default;
};

// "tile/0/x001/x234/067.p/5", "tile/entries/000".
std::string tile_path(const HashTile& tile);
std::string tile_path(const EntryBundle& bundle);

// Reads such a path. Errors: kBadInput: not the one way to write it.
Result<std::variant<HashTile, EntryBundle>> parse_tile_path(std::string_view path);

// How many hashes of that tile a tree of `size` leaves has: 0 to 256.
uint32_t tile_width_at(unsigned level, uint64_t index, uint64_t size);

// The tile's bytes: 32 a hash. Needs its hashes to exist. Errors: the reader's.
Result<Bytes> tile_bytes(NodeReader& nodes, const HashTile& tile);
// Appends one entry of a bundle: u16 big-endian length ‖ bytes. Needs at most 65,535 bytes.
void append_bundle_entry(Bytes& bundle, ByteView record_bytes);

}  // namespace portbook

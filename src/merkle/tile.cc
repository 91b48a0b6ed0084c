#include "merkle/tile.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace portbook {

namespace {

std::string index_path(uint64_t index) {
  std::string path = fmt::format("{:03}", index % 1000);
  for (index /= 1000; index > 0; index /= 1000) path = fmt::format("x{:03}/{}", index % 1000, path);
  return path;
}

std::string with_width(std::string path, uint32_t width) {
  PB_CHECK(width > 0 && width <= kTileWidth);
  return width == kTileWidth ? path : fmt::format("{}.p/{}", path, width);
}

// Takes the digits in front; false when there are none or they pass 2^64.
bool take_number(std::string_view& text, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

// Reads what follows `tile/L/`. Other spellings of the same tile are found by writing it again.
bool take_index(std::string_view& text, uint64_t& index, uint32_t& width) {
  index = 0;
  for (bool more = true; more;) {
    more = text.starts_with('x');
    if (more) text.remove_prefix(1);
    if (text.size() < 3) return false;
    std::string_view group = text.substr(0, 3);
    uint64_t value = 0;
    if (!take_number(group, value) || !group.empty() || index > (UINT64_MAX - value) / 1000) return false;
    index = index * 1000 + value;
    text.remove_prefix(3);
    if (!more) break;
    if (!text.starts_with('/')) return false;
    text.remove_prefix(1);
  }
  uint64_t partial = kTileWidth;
  if (text.starts_with(".p/")) {
    text.remove_prefix(3);
    if (!take_number(text, partial) || partial == 0 || partial >= kTileWidth) return false;
  }
  width = static_cast<uint32_t>(partial);
  return text.empty();
}

}  // namespace

std::string tile_path(const HashTile& tile) {
  return with_width(fmt::format("tile/{}/{}", tile.level, index_path(tile.index)), tile.width);
}

std::string tile_path(const EntryBundle& bundle) {
  return with_width("tile/entries/" + index_path(bundle.index), bundle.width);
}

Result<std::variant<HashTile, EntryBundle>> parse_tile_path(std::string_view path) {
  const auto bad = fail(ErrorCode::kBadInput, fmt::format("\"{}\" is not the path of a tile or entry bundle", path));
  std::string_view rest = path;
  if (!rest.starts_with("tile/")) return bad;
  rest.remove_prefix(5);
  if (rest.starts_with("entries/")) {
    rest.remove_prefix(8);
    EntryBundle bundle;
    if (!take_index(rest, bundle.index, bundle.width) || tile_path(bundle) != path) return bad;
    return bundle;
  }
  HashTile tile;
  uint64_t level = 0;
  if (!take_number(rest, level) || level > kTileLevelMax || !rest.starts_with('/')) return bad;
  rest.remove_prefix(1);
  tile.level = static_cast<unsigned>(level);
  if (!take_index(rest, tile.index, tile.width) || tile_path(tile) != path) return bad;
  return tile;
}

uint32_t tile_width_at(unsigned level, uint64_t index, uint64_t size) {
  PB_CHECK(level <= kTileLevelMax);
  const uint64_t hashes = size >> (8 * level);
  if (index > hashes / kTileWidth) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(kTileWidth, hashes - index * kTileWidth));
}

Result<Bytes> tile_bytes(NodeReader& nodes, const HashTile& tile) {
  Bytes bytes;
  bytes.reserve(size_t{32} * tile.width);
  for (uint32_t i = 0; i < tile.width; ++i) {
    const auto hash = nodes.node(8 * tile.level, tile.index * kTileWidth + i);
    if (!hash) return std::unexpected(hash.error());
    append(bytes, *hash);
  }
  return bytes;
}

void append_bundle_entry(Bytes& bundle, ByteView record_bytes) {
  PB_CHECK(record_bytes.size() <= UINT16_MAX);
  append_big(bundle, static_cast<uint16_t>(record_bytes.size()));
  append(bundle, record_bytes);
}

}  // namespace portbook

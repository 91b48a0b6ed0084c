#include "book/kept.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "store/byte_reader.h"

namespace portbook {

namespace {

constexpr std::array<Byte, 8> kMagic = {'P', 'B', 'K', 'E', 'P', 'T', '\r', '\n'};
constexpr size_t kHeaderBytes = 48;
constexpr size_t kChecksumBytes = 8;
constexpr uint32_t kSourcesMax = 100'000;

bool has_size_inside(const std::vector<uint8_t>& sizes, uint32_t begin, unsigned height) {
  const auto next = std::ranges::upper_bound(sizes, begin);
  return next != sizes.end() && *next < begin + (1U << height);
}

// Calls piece(begin, height) for the pieces from left to right, and joins the hashes that it returns; node(begin, height, hash) is
// told every subtree's.
template <typename Piece, typename Node>
Hash fold(const std::vector<uint8_t>& sizes, uint32_t begin, unsigned height, const Piece& piece, const Node& node) {
  Hash hash;
  if (has_size_inside(sizes, begin, height)) {
    const Hash left = fold(sizes, begin, height - 1, piece, node);
    hash = node_hash(left, fold(sizes, begin + (1U << (height - 1)), height - 1, piece, node));
  } else {
    hash = piece(begin, height);
  }
  node(begin, height, hash);
  return hash;
}

std::unexpected<Error> corrupt(uint64_t offset, std::string_view what) {
  return fail(ErrorCode::kCorrupt, fmt::format("offset {}: {}", offset, what));
}

bool ascending(const std::vector<uint8_t>& sizes) {
  return !sizes.empty() && sizes.front() > 0 && std::ranges::adjacent_find(sizes, std::greater_equal<>()) == sizes.end();
}

bool take_hashes(ByteReader& reader, uint64_t count, std::vector<Hash>& hashes) {
  ByteView bytes;
  if (count > reader.rest().size() / sizeof(Hash) || !reader.take_bytes(count * sizeof(Hash), bytes)) return false;
  hashes.resize(count);
  for (uint64_t i = 0; i < count; ++i) std::ranges::copy(bytes.subspan(i * sizeof(Hash), sizeof(Hash)), hashes[i].begin());
  return true;
}

bool take_cut_group(ByteReader& reader, const Kept& kept, KeptGroup& cut) {
  uint16_t sizes = 0;
  uint16_t hashes = 0;
  ByteView bytes;
  if (!reader.take(cut.group) || !reader.take(sizes) || !reader.take(hashes) || !reader.take_bytes(sizes, bytes)) return false;
  cut.sizes.assign(bytes.begin(), bytes.end());
  return cut.group < kept.groups.size() && (kept.cut_groups.empty() || kept.cut_groups.back().group < cut.group) &&
         ascending(cut.sizes) && take_hashes(reader, hashes, cut.hashes);
}

bool take_source(ByteReader& reader, SourceSeqs& seqs) {
  uint16_t length = 0;
  uint64_t seq = 0;
  ByteView name;
  if (!reader.take(length) || !reader.take_bytes(length, name) || !reader.take(seq)) return false;
  const std::string_view text = as_text(name);
  if (!seqs.empty() && text <= seqs.rbegin()->first) return false;
  seqs.emplace_hint(seqs.end(), text, seq);
  return true;
}

}  // namespace

KeptGroup cut_group(uint64_t group, std::vector<uint8_t> sizes, std::span<const Hash> leaves) {
  PB_CHECK(leaves.size() == kGroupLeaves && ascending(sizes));
  KeptGroup cut{group, std::move(sizes), {}};
  const auto piece = [&](uint32_t begin, unsigned height) {
    CompactRange range;
    for (const Hash& leaf : leaves.subspan(begin, size_t{1} << height)) range.append(leaf);
    cut.hashes.push_back(range.root());
    return cut.hashes.back();
  };
  fold(cut.sizes, 0, kGroupHeight, piece, [](uint32_t, unsigned, const Hash&) {});
  return cut;
}

std::optional<Hash> hash_of(const KeptGroup& group) {
  size_t used = 0;
  const auto piece = [&](uint32_t, unsigned) { return used < group.hashes.size() ? group.hashes[used++] : (++used, Hash{}); };
  const Hash hash = fold(group.sizes, 0, kGroupHeight, piece, [](uint32_t, unsigned, const Hash&) {});
  return used == group.hashes.size() ? std::optional(hash) : std::nullopt;
}

std::optional<Hash> node_in(const KeptGroup& group, unsigned height, uint64_t index) {
  std::optional<Hash> found;
  size_t used = 0;
  fold(
      group.sizes, 0, kGroupHeight, [&](uint32_t, unsigned) { return group.hashes.at(used++); },
      [&](uint32_t begin, unsigned at, const Hash& hash) {
        if (at == height && begin == index << height) found = hash;
      });
  return found;
}

const KeptGroup* Kept::cut_group_at(uint64_t group) const {
  const auto found = std::ranges::lower_bound(cut_groups, group, {}, &KeptGroup::group);
  return found != cut_groups.end() && found->group == group ? &*found : nullptr;
}

std::optional<Hash> Kept::root_at(uint64_t size) const {
  PB_CHECK(size <= below);
  CompactRange range;
  for (uint64_t i = 0; i < size / kGroupLeaves; ++i) range.append(groups[i], kGroupHeight);
  const uint64_t rest = size % kGroupLeaves;
  if (rest == 0) return range.root();
  const KeptGroup* cut = cut_group_at(size / kGroupLeaves);
  uint64_t begin = 0;
  for (unsigned height = kGroupHeight; height-- > 0;) {
    if ((rest >> height & 1) == 0) continue;
    const auto hash = cut == nullptr ? std::nullopt : node_in(*cut, height, begin >> height);
    if (!hash) return std::nullopt;
    range.append(*hash, height);
    begin += uint64_t{1} << height;
  }
  return range.root();
}

Dropped dropped_of(const Kept& kept) {
  Dropped dropped{kept.below, kept.until, {}};
  for (const auto& [source, seq] : kept.seqs) dropped.sources.push_back(source);
  return dropped;
}

Bytes encode_kept(const Kept& kept) {
  PB_CHECK(kept.below == kept.groups.size() * kGroupLeaves);
  Bytes out;
  append(out, kMagic);
  append_little(out, kKeptVersion);
  append_little(out, static_cast<uint32_t>(kept.seqs.size()));
  append_little(out, kept.below);
  append_little(out, kept.until);
  append_little(out, static_cast<uint64_t>(kept.cut_groups.size()));
  append_little(out, uint64_t{0});
  for (const Hash& group : kept.groups) append(out, group);
  for (const KeptGroup& cut : kept.cut_groups) {
    append_little(out, cut.group);
    append_little(out, static_cast<uint16_t>(cut.sizes.size()));
    append_little(out, static_cast<uint16_t>(cut.hashes.size()));
    append(out, cut.sizes);
    for (const Hash& hash : cut.hashes) append(out, hash);
  }
  for (const auto& [source, seq] : kept.seqs) {
    append_little(out, static_cast<uint16_t>(source.size()));
    append(out, as_bytes(source));
    append_little(out, seq);
  }
  append_little(out, static_cast<uint64_t>(XXH3_64bits(out.data(), out.size())));
  return out;
}

Result<Kept> parse_kept(ByteView bytes) {
  if (bytes.size() < kHeaderBytes + kChecksumBytes || !std::equal(kMagic.begin(), kMagic.end(), bytes.begin()))
    return corrupt(0, "this is not a file of what is kept");
  const uint64_t checksum_at = bytes.size() - kChecksumBytes;
  if (load_little<uint64_t>(bytes.data() + checksum_at) != XXH3_64bits(bytes.data(), checksum_at))
    return corrupt(checksum_at, "the checksum is wrong");
  ByteReader reader(bytes.subspan(kMagic.size(), checksum_at - kMagic.size()));
  const auto here = [&] { return checksum_at - reader.rest().size(); };
  uint32_t version = 0;
  uint32_t sources = 0;
  uint64_t cut_groups = 0;
  uint64_t zero = 0;
  Kept kept;
  const bool header = reader.take(version) && reader.take(sources) && reader.take(kept.below) && reader.take(kept.until) &&
                      reader.take(cut_groups) && reader.take(zero);
  if (header && version > kKeptVersion)
    return fail(ErrorCode::kNewer, fmt::format("kept format {}: written by a newer portbook", version));
  if (!header || version == 0 || zero != 0 || kept.below % kGroupLeaves != 0 || sources > kSourcesMax)
    return corrupt(kMagic.size(), "the header has values that mean nothing");
  if (!take_hashes(reader, kept.below / kGroupLeaves, kept.groups)) return corrupt(here(), "there are too few hashes");
  for (uint64_t i = 0; i < cut_groups; ++i) {
    KeptGroup cut;
    const uint64_t at = here();
    if (!take_cut_group(reader, kept, cut)) return corrupt(at, "a cut group does not decode");
    if (hash_of(cut) != kept.groups[cut.group])
      return corrupt(
          at, fmt::format("the hashes of the records from {} on do not lead to that of their 256", cut.group * kGroupLeaves));
    kept.cut_groups.push_back(std::move(cut));
  }
  for (uint32_t i = 0; i < sources; ++i) {
    if (!take_source(reader, kept.seqs)) return corrupt(here(), "a source does not decode");
  }
  if (!reader.done()) return corrupt(here(), "there are bytes that mean nothing");
  return kept;
}

Result<KeptFile> read_kept_file(Disk& disk) {
  const auto bytes = read_file(disk, kKeptFileName, kKeptBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return KeptFile{};
  if (!bytes) return std::unexpected(bytes.error());
  auto kept = parse_kept(*bytes);
  if (!kept) return std::unexpected(kept.error());
  return KeptFile{std::move(*kept), sha256(*bytes)};
}

}  // namespace portbook

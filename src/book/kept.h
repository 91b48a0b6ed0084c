// What a book keeps of records that retention removed: hashes, so that the tree can still be verified and old checkpoints still be
// connected to new ones. docs/formats/kept.md has the offsets.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "merkle/tree.h"
#include "store/block_facts.h"
#include "store/disk.h"
#include "store/view.h"

namespace portbook {

inline constexpr std::string_view kKeptFileName = "kept";
inline constexpr uint32_t kKeptVersion = 1;
inline constexpr uint64_t kKeptBytesMax = uint64_t{4} << 30;
// Of the book's record that says that records are to be removed, and with which hash of `kept`.
inline constexpr std::string_view kRemovalAction = "records removed";

// A group of 256 records in which checkpoints end. For each tree size s inside it, the hashes that a proof from s to a greater size
// needs are the least whole subtrees on both sides of s: the group is cut at every such s, and each piece's hash is kept.
struct KeptGroup {
  uint64_t group = 0;          // records [256 * group, 256 * group + 256)
  std::vector<uint8_t> sizes;  // ascending: 256 * group + that; 1 to 255
  std::vector<Hash> hashes;    // from left to right
  bool operator==(const KeptGroup&) const = default;
};

// Cuts the group whose leaf hashes are given. Needs 256 leaves and sizes ascending, from 1 to 255, at least one.
KeptGroup cut_group(uint64_t group, std::vector<uint8_t> sizes, std::span<const Hash> leaves);
// The group's own hash. Nothing when there are not as many hashes as its sizes ask for.
std::optional<Hash> hash_of(const KeptGroup& group);
// The hash over its leaves [index * 2^height, (index + 1) * 2^height); nothing when that lies inside a kept piece. Needs a group of
// which hash_of() gives something, and height <= 8.
std::optional<Hash> node_in(const KeptGroup& group, unsigned height, uint64_t index);

struct Kept {
  uint64_t below = 0;                 // records below that index are gone; a multiple of 256
  TimeNs until = 0;                   // greatest `time` among them
  std::vector<Hash> groups;           // of each 256 of them
  std::vector<KeptGroup> cut_groups;  // ascending
  SourceSeqs seqs;                    // last source_seq of every source among them
  bool operator==(const Kept&) const = default;

  // Nothing when no checkpoint is known to end in that group.
  [[nodiscard]] const KeptGroup* cut_group_at(uint64_t group) const;
  // The hash of the tree of the first `size` records, at most below; nothing when no checkpoint of that size was to be connected.
  [[nodiscard]] std::optional<Hash> root_at(uint64_t size) const;
};

// For views.
Dropped dropped_of(const Kept& kept);

Bytes encode_kept(const Kept& kept);
// Checks that every kept piece leads to its group's hash. Errors: kCorrupt with the offset; kNewer.
Result<Kept> parse_kept(ByteView bytes);

// The folder's file with its SHA-256, or of a book that keeps everything an empty one. Errors: kIo; those of parse_kept.
struct KeptFile {
  Kept kept;
  Hash hash{};
};
Result<KeptFile> read_kept_file(Disk& disk);

}  // namespace portbook

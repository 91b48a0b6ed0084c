// The Merkle tree of RFC 6962 section 2.1 over the ledger's records: hashes, and a tree that grows at its right edge.
#pragma once

#include <cstdint>
#include <vector>

#include "base/hash.h"
#include "base/result.h"

namespace portbook {

// SHA256(0x00 ‖ record bytes).
Hash leaf_hash(ByteView record_bytes);
// SHA256(0x01 ‖ left ‖ right).
Hash node_hash(const Hash& left, const Hash& right);
// The root of no leaves: SHA256("").
Hash empty_root();

// Where whole subtrees' hashes come from: node(h, i) is the hash over leaves [i * 2^h, (i + 1) * 2^h), all of which exist.
class NodeReader {
 public:
  virtual ~NodeReader() = default;
  // Errors: kIo; kCorrupt.
  virtual Result<Hash> node(unsigned height, uint64_t index) = 0;
};

// The hashes of the whole subtrees that a tree of some size falls apart into, greatest first: all that is needed to append to it.
// At most 64 hashes.
class CompactRange {
 public:
  // Appends the root of the next whole subtree of 2^height leaves. Needs size() to be a multiple of that, or it aborts.
  void append(const Hash& subtree, unsigned height = 0);
  [[nodiscard]] uint64_t size() const { return size_; }
  // RFC 6962 MTH of all that was appended.
  [[nodiscard]] Hash root() const;
  // The same for a tree in which fewer leaves than the least of these subtrees has follow; `rest` is the MTH of those leaves.
  [[nodiscard]] Hash root_with(const Hash& rest) const;

 private:
  uint64_t size_ = 0;
  std::vector<Hash> hashes_;
};

// Leaves in a group whose hash is kept for ever: one hash of a C2SP tile of level 1.
inline constexpr unsigned kGroupHeight = 8;
inline constexpr uint64_t kGroupLeaves = 1U << kGroupHeight;

// A tree that keeps every whole subtree's hash from groups of 256 leaves upwards (a quarter byte a leaf) and the leaf hashes of the
// unfinished group. Not thread-safe.
class Tree {
 public:
  void append_leaf(const Hash& leaf);
  // Appends the hash of a whole group of 256 leaves. Needs size() to be a multiple of 256, or it aborts.
  void append_group(const Hash& group);

  [[nodiscard]] uint64_t size() const { return groups_.size() + unfinished_.size(); }
  [[nodiscard]] Hash root() const;
  // The hash of a whole subtree, height >= 8. Needs it to be whole, or it aborts.
  [[nodiscard]] const Hash& node(unsigned height, uint64_t index) const;
  // The leaf hashes after the last whole group.
  [[nodiscard]] const std::vector<Hash>& unfinished() const { return unfinished_; }

 private:
  void add_node(unsigned height, const Hash& hash);

  CompactRange groups_;  // the whole groups
  CompactRange group_;   // the unfinished one
  std::vector<Hash> unfinished_;
  std::vector<std::vector<Hash>> levels_;  // [height - 8][index]
};

}  // namespace portbook

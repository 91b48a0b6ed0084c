#include "merkle/tree.h"

#include "base/check.h"

namespace portbook {

Hash leaf_hash(ByteView record_bytes) {
  static constexpr Byte kLeaf[] = {0};
  return sha256(kLeaf, record_bytes);
}

Hash node_hash(const Hash& left, const Hash& right) {
  std::array<Byte, 65> bytes;
  bytes[0] = 1;
  std::memcpy(bytes.data() + 1, left.data(), 32);
  std::memcpy(bytes.data() + 33, right.data(), 32);
  return sha256(bytes);
}

Hash empty_root() {
  return sha256({});
}

void CompactRange::append(const Hash& subtree, unsigned height) {
  PB_CHECK(height < 64 && (size_ & ((uint64_t{1} << height) - 1)) == 0);
  Hash hash = subtree;
  // Each bit set in the size from `height` on is a whole subtree that the new one completes into a greater one.
  for (uint64_t carry = size_ >> height; (carry & 1) != 0; carry >>= 1) {
    hash = node_hash(hashes_.back(), hash);
    hashes_.pop_back();
  }
  hashes_.push_back(hash);
  size_ += uint64_t{1} << height;
}

Hash CompactRange::root_with(const Hash& rest) const {
  Hash hash = rest;
  for (size_t i = hashes_.size(); i-- > 0;) hash = node_hash(hashes_[i], hash);
  return hash;
}

Hash CompactRange::root() const {
  if (hashes_.empty()) return empty_root();
  Hash hash = hashes_.back();
  for (size_t i = hashes_.size() - 1; i-- > 0;) hash = node_hash(hashes_[i], hash);
  return hash;
}

void Tree::append_leaf(const Hash& leaf) {
  group_.append(leaf);
  unfinished_.push_back(leaf);
  if (unfinished_.size() < kGroupLeaves) return;
  const Hash group = group_.root();
  group_ = {};
  unfinished_.clear();
  append_group(group);
}

void Tree::append_group(const Hash& group) {
  PB_CHECK(unfinished_.empty());
  groups_.append(group, kGroupHeight);
  add_node(kGroupHeight, group);
}

Hash Tree::root() const {
  return unfinished_.empty() ? groups_.root() : groups_.root_with(group_.root());
}

void Tree::add_node(unsigned height, const Hash& hash) {
  const size_t level = height - kGroupHeight;
  if (levels_.size() <= level) levels_.resize(level + 1);
  levels_[level].push_back(hash);
  const size_t count = levels_[level].size();
  if (count % 2 == 0) {
    const Hash parent = node_hash(levels_[level][count - 2], levels_[level][count - 1]);
    add_node(height + 1, parent);
  }
}

const Hash& Tree::node(unsigned height, uint64_t index) const {
  PB_CHECK(height >= kGroupHeight && height - kGroupHeight < levels_.size());
  const std::vector<Hash>& level = levels_[height - kGroupHeight];
  PB_CHECK(index < level.size());
  return level[index];
}

}  // namespace portbook

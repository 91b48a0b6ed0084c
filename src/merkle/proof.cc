#include "merkle/proof.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

// The largest power of two below n; n > 1.
uint64_t split_of(uint64_t n) {
  return std::bit_floor(n - 1);
}

// MTH of [begin, begin + count), where begin is a multiple of every power of two up to the smallest one not below count.
Result<Hash> subtree(NodeReader& nodes, uint64_t begin, uint64_t count) {
  if (std::has_single_bit(count)) {
    const auto height = static_cast<unsigned>(std::countr_zero(count));
    return nodes.node(height, begin >> height);
  }
  const uint64_t left_count = split_of(count);
  const auto left = subtree(nodes, begin, left_count);
  if (!left) return left;
  const auto right = subtree(nodes, begin + left_count, count - left_count);
  if (!right) return right;
  return node_hash(*left, *right);
}

// A run of leaves that a proof needs the hash of.
struct Run {
  uint64_t begin;
  uint64_t count;
};

Result<std::vector<Hash>> hashes_of(NodeReader& nodes, const std::vector<Run>& runs) {
  std::vector<Hash> hashes;
  hashes.reserve(runs.size());
  for (size_t i = runs.size(); i-- > 0;) {  // the runs were found from the root down
    const auto hash = subtree(nodes, runs[i].begin, runs[i].count);
    if (!hash) return std::unexpected(hash.error());
    hashes.push_back(*hash);
  }
  return hashes;
}

std::unexpected<Error> refuse(const char* why) {
  return fail(ErrorCode::kBadInput, why);
}

}  // namespace

Result<Hash> root_of(NodeReader& nodes, uint64_t size) {
  if (size == 0) return empty_root();
  return subtree(nodes, 0, size);
}

Result<std::vector<Hash>> inclusion_proof(NodeReader& nodes, uint64_t index, uint64_t size) {
  PB_CHECK(index < size);
  std::vector<Run> siblings;
  uint64_t begin = 0;
  for (uint64_t count = size; count > 1;) {
    const uint64_t left = split_of(count);
    if (index < begin + left) {
      siblings.push_back({begin + left, count - left});
      count = left;
    } else {
      siblings.push_back({begin, left});
      begin += left;
      count -= left;
    }
  }
  return hashes_of(nodes, siblings);
}

Result<std::vector<Hash>> consistency_proof(NodeReader& nodes, uint64_t old_size, uint64_t new_size) {
  PB_CHECK(old_size > 0 && old_size <= new_size);
  std::vector<Run> runs;
  uint64_t begin = 0;
  uint64_t count = new_size;
  bool known = true;  // the old tree's root is itself a node on the path, so the verifier has it
  while (begin + count > old_size) {
    const uint64_t left = split_of(count);
    if (old_size <= begin + left) {
      runs.push_back({begin + left, count - left});
      count = left;
    } else {
      runs.push_back({begin, left});
      begin += left;
      count -= left;
      known = false;
    }
  }
  if (!known) runs.push_back({begin, count});
  return hashes_of(nodes, runs);
}

Status verify_inclusion(const Hash& leaf, uint64_t index, const TreeHead& head, const std::vector<Hash>& proof) {
  if (index >= head.size) return refuse("the index is not below the tree's size");
  uint64_t fn = index;
  uint64_t sn = head.size - 1;
  Hash hash = leaf;
  for (const Hash& sibling : proof) {
    if (sn == 0) return refuse("the inclusion proof is too long");
    if ((fn & 1) != 0 || fn == sn) {
      hash = node_hash(sibling, hash);
      while ((fn & 1) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      hash = node_hash(hash, sibling);
    }
    fn >>= 1;
    sn >>= 1;
  }
  if (sn != 0) return refuse("the inclusion proof is too short");
  if (hash != head.root) return refuse("the record does not hash to the checkpoint's root");
  return {};
}

Status verify_consistency(const TreeHead& old_head, const TreeHead& new_head, const std::vector<Hash>& proof) {
  if (old_head.size == 0) return refuse("the old size is 0: an empty tree proves nothing");
  if (old_head.size > new_head.size) return refuse("the old size is above the new size");
  if (old_head.size == new_head.size) {
    if (!proof.empty()) return refuse("a consistency proof between equal sizes has no hashes");
    if (old_head.root != new_head.root) return refuse("two different roots for one size");
    return {};
  }
  std::vector<Hash> path = proof;
  if (std::has_single_bit(old_head.size)) path.insert(path.begin(), old_head.root);
  if (path.empty()) return refuse("the consistency proof is empty");
  uint64_t fn = old_head.size - 1;
  uint64_t sn = new_head.size - 1;
  while ((fn & 1) != 0) {
    fn >>= 1;
    sn >>= 1;
  }
  Hash old_hash = path.front();
  Hash new_hash = path.front();
  for (size_t i = 1; i < path.size(); ++i) {
    if (sn == 0) return refuse("the consistency proof is too long");
    if ((fn & 1) != 0 || fn == sn) {
      old_hash = node_hash(path[i], old_hash);
      new_hash = node_hash(path[i], new_hash);
      while ((fn & 1) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      new_hash = node_hash(new_hash, path[i]);
    }
    fn >>= 1;
    sn >>= 1;
  }
  if (sn != 0) return refuse("the consistency proof is too short");
  if (old_hash != old_head.root) return refuse("the old root does not follow from the consistency proof");
  if (new_hash != new_head.root) return refuse("the new root does not follow from the consistency proof");
  return {};
}

}  // namespace portbook

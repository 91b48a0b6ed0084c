#include "merkle/tree.h"

#include <gtest/gtest.h>

#include "merkle/naive_tree.h"
#include "merkle/proof.h"
#include "merkle/tile.h"

namespace portbook {
namespace {

TEST(MerkleHash, GoldenValues) {
  EXPECT_EQ(hex(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(leaf_hash(as_bytes("L123456"))), "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
  // The published value is of a node over the texts "N123" and "N456", which are no hashes.
  static constexpr Byte kNode[] = {1};
  EXPECT_EQ(hex(sha256(kNode, as_bytes("N123"), as_bytes("N456"))),
            "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb");
}

TEST(MerkleTree, GoldenRootOfThree) {
  Tree tree;
  for (const char* leaf : {"one", "two", "three"}) tree.append_leaf(leaf_hash(as_bytes(leaf)));
  EXPECT_EQ(base64(tree.root()), "Wqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk=");
}

TEST(MerkleTree, NodeHashIsThatOfTheStandard) {
  const Hash left = leaf_hash(as_bytes("a"));
  const Hash right = leaf_hash(as_bytes("b"));
  static constexpr Byte kNode[] = {1};
  EXPECT_EQ(node_hash(left, right), sha256(kNode, left, right));
}

TEST(MerkleTree, GrowsLikeTheNaiveTree) {
  const NaiveTree naive(1100);
  Tree tree;
  CompactRange range;
  for (uint64_t size = 0; size <= 1100; ++size) {
    ASSERT_EQ(tree.size(), size);
    if (size % 7 == 0 || size > 1020) {
      ASSERT_EQ(tree.root(), naive.root(size)) << size;
      ASSERT_EQ(range.root(), naive.root(size)) << size;
    }
    if (size == 1100) break;
    tree.append_leaf(naive.leaf(size));
    range.append(naive.leaf(size));
  }
  for (unsigned height = 8; height <= 10; ++height) {
    for (uint64_t i = 0; (i + 1) << height <= 1100; ++i) EXPECT_EQ(tree.node(height, i), naive.range(i << height, 1U << height));
  }
}

TEST(MerkleTree, GrowsByGroups) {
  const NaiveTree naive(1034);
  Tree tree;
  for (uint64_t i = 0; i < 4; ++i) tree.append_group(naive.range(i * 256, 256));
  EXPECT_EQ(tree.root(), naive.root(1024));
  for (uint64_t i = 1024; i < 1034; ++i) tree.append_leaf(naive.leaf(i));
  EXPECT_EQ(tree.root(), naive.root(1034));
}

// Every pair of sizes up to here.
constexpr uint64_t kSizes = 200;

TEST(Proof, EveryRecordInEverySize) {
  const NaiveTree naive(kSizes);
  NaiveNodes nodes(naive);
  for (uint64_t size = 1; size <= kSizes; ++size) {
    const TreeHead head{size, naive.root(size)};
    ASSERT_EQ(*root_of(nodes, size), head.root);
    for (uint64_t index = 0; index < size; ++index) {
      const auto proof = *inclusion_proof(nodes, index, size);
      ASSERT_EQ(proof, naive.inclusion(index, size));
      ASSERT_TRUE(verify_inclusion(naive.leaf(index), index, head, proof).has_value());
    }
  }
}

TEST(Proof, EveryPairOfSizes) {
  const NaiveTree naive(kSizes);
  NaiveNodes nodes(naive);
  for (uint64_t new_size = 1; new_size <= kSizes; ++new_size) {
    const TreeHead new_head{new_size, naive.root(new_size)};
    for (uint64_t old_size = 1; old_size <= new_size; ++old_size) {
      const auto proof = *consistency_proof(nodes, old_size, new_size);
      ASSERT_EQ(proof, naive.consistency(old_size, new_size));
      ASSERT_TRUE(verify_consistency({old_size, naive.root(old_size)}, new_head, proof).has_value());
    }
  }
}

// Changes one thing of a good proof in every way that an attacker or a bug might.
template <typename Check>
void expect_every_change_refused(const std::vector<Hash>& proof, const Check& holds) {
  for (size_t i = 0; i < proof.size(); ++i) {
    auto changed = proof;
    changed[i][i % 32] ^= 1;
    EXPECT_FALSE(holds(changed)) << "a flipped bit";
    changed = proof;
    changed.erase(changed.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_FALSE(holds(changed)) << "a missing hash";
    changed = proof;
    changed.insert(changed.begin() + static_cast<ptrdiff_t>(i), proof[i]);
    EXPECT_FALSE(holds(changed)) << "a doubled hash";
    if (i + 1 < proof.size() && proof[i] != proof[i + 1]) {
      changed = proof;
      std::swap(changed[i], changed[i + 1]);
      EXPECT_FALSE(holds(changed)) << "two swapped hashes";
    }
  }
  auto longer = proof;
  longer.push_back(empty_root());
  EXPECT_FALSE(holds(longer)) << "a hash too many";
}

TEST(Proof, ChangedInclusionProofsAreRefused) {
  const NaiveTree naive(100);
  for (const uint64_t size : {1, 2, 3, 7, 8, 50, 64, 99, 100}) {
    for (uint64_t index = 0; index < size; ++index) {
      const TreeHead head{size, naive.root(size)};
      const auto proof = naive.inclusion(index, size);
      expect_every_change_refused(proof,
                                  [&](const auto& p) { return verify_inclusion(naive.leaf(index), index, head, p).has_value(); });
      EXPECT_FALSE(verify_inclusion(naive.leaf((index + 1) % 100), index, head, proof).has_value());
      EXPECT_FALSE(verify_inclusion(naive.leaf(index), size, head, proof).has_value());
      EXPECT_FALSE(verify_inclusion(naive.leaf(index), index, {size, naive.root(size - 1)}, proof).has_value());
    }
  }
}

TEST(Proof, ChangedConsistencyProofsAreRefused) {
  const NaiveTree naive(70);
  for (const uint64_t new_size : {2, 3, 8, 33, 64, 70}) {
    for (uint64_t old_size = 1; old_size < new_size; ++old_size) {
      const TreeHead old_head{old_size, naive.root(old_size)};
      const TreeHead new_head{new_size, naive.root(new_size)};
      const auto proof = naive.consistency(old_size, new_size);
      expect_every_change_refused(proof, [&](const auto& p) { return verify_consistency(old_head, new_head, p).has_value(); });
      EXPECT_FALSE(verify_consistency({old_size, naive.root(old_size - 1)}, new_head, proof).has_value());
      EXPECT_FALSE(verify_consistency(new_head, old_head, proof).has_value());
    }
  }
}

TEST(Proof, SaysNothingAboutAnEmptyTree) {
  const NaiveTree naive(3);
  EXPECT_FALSE(verify_consistency({0, empty_root()}, {3, naive.root(3)}, {}).has_value());
  EXPECT_FALSE(verify_consistency({0, empty_root()}, {0, empty_root()}, {}).has_value());
  EXPECT_TRUE(verify_consistency({3, naive.root(3)}, {3, naive.root(3)}, {}).has_value());
  EXPECT_FALSE(verify_consistency({3, naive.root(3)}, {3, naive.root(2)}, {}).has_value());
  EXPECT_FALSE(verify_consistency({3, naive.root(3)}, {3, naive.root(3)}, {naive.leaf(0)}).has_value());
}

TEST(Tile, PathsAreThoseOfTheStandard) {
  EXPECT_EQ(tile_path(HashTile{0, 1234067, 256}), "tile/0/x001/x234/067");
  EXPECT_EQ(tile_path(HashTile{0, 123400000000, 256}), "tile/0/x123/x400/x000/000");
  EXPECT_EQ(tile_path(HashTile{2, 0, 5}), "tile/2/000.p/5");
  EXPECT_EQ(tile_path(EntryBundle{1000, 256}), "tile/entries/x001/000");
}

TEST(Tile, PathsAreReadAsTheyAreWritten) {
  for (const uint64_t index : {0UL, 1UL, 999UL, 1000UL, 999'999UL, 1'234'067UL, 72'057'594'037'927'935UL}) {
    for (const uint32_t width : {1U, 255U, 256U}) {
      const HashTile tile{3, index, width};
      EXPECT_EQ(std::get<HashTile>(*parse_tile_path(tile_path(tile))), tile);
      const EntryBundle bundle{index, width};
      EXPECT_EQ(std::get<EntryBundle>(*parse_tile_path(tile_path(bundle))), bundle);
    }
  }
}

TEST(Tile, OtherSpellingsAreRefused) {
  for (const char* path : {"",
                           "tile/",
                           "tile/0",
                           "tile/0/",
                           "tile/0/1",
                           "tile/0/0001",
                           "tile/0/x000/001",
                           "tile/00/001",
                           "tile/8/001",
                           "tile/-1/001",
                           "tile/0/001.p/0",
                           "tile/0/001.p/256",
                           "tile/0/001.p/05",
                           "tile/0/001.p/",
                           "tile/0/001/",
                           "tile/0/x001",
                           "tile/0/001x",
                           "tile/0/ 01",
                           "tile/entries/1",
                           "tile/entries/",
                           "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
                           "checkpoint",
                           "tile/0/+01"}) {
    EXPECT_FALSE(parse_tile_path(path).has_value()) << path;
  }
}

TEST(Tile, WidthsAreThoseOfTheStandard) {
  EXPECT_EQ(tile_width_at(0, 0, 0), 0U);
  EXPECT_EQ(tile_width_at(0, 0, 255), 255U);
  EXPECT_EQ(tile_width_at(0, 0, 256), 256U);
  EXPECT_EQ(tile_width_at(0, 1, 256), 0U);
  EXPECT_EQ(tile_width_at(0, 1, 300), 44U);
  EXPECT_EQ(tile_width_at(1, 0, 70'000), 256U);
  EXPECT_EQ(tile_width_at(1, 1, 70'000), 17U);
  EXPECT_EQ(tile_width_at(2, 0, 70'000), 1U);
  EXPECT_EQ(tile_width_at(7, 0, UINT64_MAX), 255U);
}

TEST(Tile, HoldsWholeSubtrees) {
  const NaiveTree naive(600);
  NaiveNodes nodes(naive);
  const Bytes level1 = *tile_bytes(nodes, {1, 0, 2});
  ASSERT_EQ(level1.size(), 64U);
  EXPECT_TRUE(std::equal(level1.begin() + 32, level1.end(), naive.range(256, 256).begin()));
  const Bytes level0 = *tile_bytes(nodes, {0, 2, 88});
  EXPECT_TRUE(std::equal(level0.end() - 32, level0.end(), naive.leaf(599).begin()));
}

}  // namespace
}  // namespace portbook

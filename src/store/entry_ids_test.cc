#include "store/entry_ids.h"

#include <gtest/gtest.h>

#include <random>

namespace portbook {
namespace {

// `share` of a hundred places bring a new entry; the others take any earlier one.
std::vector<uint32_t> make(size_t count, unsigned share, std::mt19937_64& random, uint32_t& entries) {
  std::vector<uint32_t> ids;
  entries = 0;
  for (size_t i = 0; i < count; ++i) {
    const bool is_new = entries == 0 || random() % 100 < share;
    ids.push_back(is_new ? entries++ : static_cast<uint32_t>(random() % entries));
  }
  return ids;
}

TEST(EntryIds, GiveBackEveryIdAndItsFirstPlace) {
  std::mt19937_64 random(5);
  for (const size_t count : {1UL, 2UL, 63UL, 64UL, 65UL, 1000UL, 65536UL}) {
    for (const unsigned share : {0U, 1U, 50U, 99U, 100U}) {
      uint32_t entries = 0;
      const auto ids = make(count, share, random, entries);
      Bytes bytes;
      encode_entry_ids(ids, entries, bytes);
      ByteReader in(bytes);
      EntryIds back;
      ASSERT_TRUE(back.open(in, static_cast<uint32_t>(count))) << count << " " << share;
      EXPECT_TRUE(in.done());
      EXPECT_EQ(back.entries(), entries);
      std::vector<uint32_t> decoded;
      ASSERT_TRUE(back.decode(decoded));
      ASSERT_EQ(decoded, ids) << count << " " << share;
      uint32_t next = 0;
      for (uint32_t i = 0; i < count; ++i) {
        uint32_t id = 0;
        ASSERT_TRUE(back.get(i, id));
        ASSERT_EQ(id, ids[i]) << count << " " << share << " " << i;
        if (id == next) ASSERT_EQ(back.first_place(next++), i);
      }
    }
  }
}

TEST(EntryIds, WhatLiesIsRefusedOrReadTheSameBothWays) {
  std::mt19937_64 random(6);
  for (const unsigned share : {1U, 40U}) {
    uint32_t entries = 0;
    Bytes bytes;
    encode_entry_ids(make(1500, share, random, entries), entries, bytes);
    for (size_t at = 0; at < bytes.size(); ++at) {
      Bytes lies = bytes;
      lies[at] ^= static_cast<Byte>(1 + random() % 255);
      ByteReader in(lies);
      EntryIds back;
      std::vector<uint32_t> decoded;
      if (!back.open(in, 1500) || !back.decode(decoded)) continue;
      for (uint32_t i = 0; i < 1500; ++i) {
        uint32_t id = 0;
        ASSERT_TRUE(back.get(i, id));
        ASSERT_EQ(id, decoded[i]);
        ASSERT_LT(id, back.entries());
      }
    }
    for (size_t length = 0; length < bytes.size(); ++length) {
      const Bytes cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
      ByteReader in(cut);
      EXPECT_FALSE(EntryIds().open(in, 1500)) << length;
    }
  }
}

}  // namespace
}  // namespace portbook

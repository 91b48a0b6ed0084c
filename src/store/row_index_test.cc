// The open block's index and the sealed one against a plain scan.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "record/random_record.h"
#include "store/open_block.h"
#include "store/open_index.h"
#include "store/row_keys.h"
#include "store/sealed_index.h"

namespace portbook {
namespace {

TEST(RowKeys, NameEveryEndpointOnce) {
  Record record;
  record.set(Field::kKind, Kind::kOpen);
  const Endpoint inside{Ip::v4(0x0a000001), 51420};
  record.set(Field::kSrcIp, Field::kSrcPort, inside);
  record.set(Field::kSrcNatIp, Field::kSrcNatPort, inside);
  record.set(Field::kDstIp, Field::kDstPort, {Ip::v4(0x0a000002), 443});
  RowKeys keys;
  keys.of(record);
  const std::set<RowKey> found(keys.all().begin(), keys.all().end());
  EXPECT_EQ(found, (std::set<RowKey>{endpoint_key(inside), endpoint_key({Ip::v4(0x0a000002), 443})}));
  EXPECT_EQ(keys.all().size(), 2U);
}

TEST(RowKeys, EveryFieldAtOnceFits) {
  Record record;
  RandomRecords random(3);
  RowKeys keys;
  for (const Kind kind : {Kind::kAddress, Kind::kProcess, Kind::kNote}) {
    random.next(record, 10);
    record.set(Field::kKind, kind);
    keys.of(record);
    EXPECT_GE(keys.all().size(), 8U);
  }
}

// Keys stand in sealed files: these numbers must never change.
TEST(RowKeys, StayTheSame) {
  EXPECT_EQ(endpoint_key({Ip::v4(0x0a080311), 51420}), 6568432269869008870U);
  EXPECT_EQ(kind_key(Kind::kAdmin), 17732928089285110926U);
}

TEST(OpenIndex, FindsWhatAScanFinds) {
  std::mt19937_64 random(5);
  OpenIndex index;
  std::map<RowKey, std::vector<uint32_t>> rows_of;
  for (uint32_t row = 0; row < 20'000; ++row) {
    for (const RowKey key : {1 + random() % 10, 1 + random() % 50'000, random() | 1}) {
      auto& rows = rows_of[key];
      if (!rows.empty() && rows.back() == row) continue;
      rows.push_back(row);
      index.add(key, static_cast<uint16_t>(row));
    }
  }
  std::vector<uint32_t> found;
  for (const auto& [key, rows] : rows_of) {
    found.clear();
    index.rows_with(key, kBlockRowsMax, found);
    ASSERT_EQ(found, rows);
  }
  found.clear();
  index.rows_with(3, 100, found);
  for (const uint32_t row : found) EXPECT_LT(row, 100U);
  found.clear();
  index.rows_with(77'777'777, kBlockRowsMax, found);
  EXPECT_TRUE(found.empty());
}

TEST(OpenBlock, PublishedRowsAreAlwaysInTheIndex) {
  OpenBlock block(0, kBlockRowsMax);
  std::atomic<uint32_t> published{0};
  std::thread writer([&] {
    Record record;
    for (uint32_t i = 0; i < 40'000; ++i) {
      record.clear();
      record.set(Field::kKind, Kind::kOpen);
      record.set(Field::kSrcIp, Field::kSrcPort, {Ip::v4(i), 443});
      block.append(record);
      block.publish();
      published.store(i + 1, std::memory_order_release);
    }
  });
  std::vector<uint32_t> rows;
  for (uint32_t seen = 0; seen < 40'000;) {
    seen = published.load(std::memory_order_acquire);
    if (seen == 0) continue;
    rows.clear();
    ASSERT_TRUE(block.rows_with(endpoint_key({Ip::v4(seen - 1), 443}), seen, rows).has_value());
    ASSERT_EQ(rows, std::vector<uint32_t>{seen - 1});
  }
  writer.join();
}

TEST(SealedIndex, FindsWhatAScanFinds) {
  std::mt19937_64 random(6);
  std::vector<KeyMention> mentions;
  std::map<RowKey, std::vector<uint32_t>> rows_of;
  std::vector<RowKey> few;
  for (int i = 0; i < 10; ++i) few.push_back(random());
  for (uint32_t row = 0; row < kBlockRowsMax; ++row) {
    for (const RowKey key : {few[random() % few.size()], random()}) {
      auto& rows = rows_of[key >> 32];
      if (rows.empty() || rows.back() != row) rows.push_back(row);
      mentions.insert(mentions.end(), 2, {static_cast<uint32_t>(key >> 32), static_cast<uint16_t>(row), 0});
    }
  }
  Bytes bytes;
  std::array<uint32_t, kIndexPages> ends{};
  std::ranges::sort(mentions, {}, [](const KeyMention& one) { return std::pair(one.key, one.row); });
  append_index_pages(mentions, bytes, ends);
  const auto page = [&](RowKey key) {
    const size_t p = index_page_of(key);
    const uint32_t begin = p == 0 ? 0 : ends[p - 1];
    return ByteView(bytes).subspan(begin, ends[p] - begin);
  };
  std::vector<uint32_t> found;
  for (const auto& [upper, rows] : rows_of) {
    const RowKey key = upper << 32 | 12345;
    found.clear();
    ASSERT_TRUE(find_in_index_page(page(key), key, kBlockRowsMax, found));
    ASSERT_EQ(found, rows);
  }
  found.clear();
  ASSERT_TRUE(find_in_index_page(page(few[0]), few[0], 5, found));
  for (const uint32_t row : found) EXPECT_LT(row, 5U);
}

}  // namespace
}  // namespace portbook

// The rows known from one pass against the definition, looked up for each row in all records: over random histories in which ends
// come before openings, come twice or never, blocks are sealed at any time, and the oldest ones are dropped.
#include <gtest/gtest.h>

#include <random>

#include "query/plain_view_test.h"
#include "query/search.h"
#include "store/connection_rows.h"

namespace portbook {
namespace {

constexpr auto kNever = std::chrono::steady_clock::time_point::max();

// The main records among the first `size` ones, from `first` on.
std::vector<uint64_t> plain_main_rows(const std::vector<Record>& records, uint64_t first, uint64_t size) {
  std::vector<uint64_t> rows;
  for (uint64_t i = first; i < size; ++i) {
    const Kind kind = records[i].kind();
    if (kind != Kind::kOpen && kind != Kind::kExisting && kind != Kind::kClose && kind != Kind::kFailed) continue;
    bool superseded = false;
    for (uint64_t k = first; k < size && (kind == Kind::kOpen || kind == Kind::kExisting); ++k) {
      if (k == i || !records[i].has(Field::kConn) || !records[k].has(Field::kConn)) continue;
      if (records[i].id128(Field::kConn) != records[k].id128(Field::kConn)) continue;
      const Kind other = records[k].kind();
      superseded = superseded || other == Kind::kClose || other == Kind::kFailed ||
                   (kind == Kind::kExisting && (other == Kind::kOpen || (other == Kind::kExisting && k > i)));
    }
    if (!superseded) rows.push_back(i);
  }
  return rows;
}

std::vector<uint64_t> known_main_rows(const View& view, const MainRows& known) {
  std::vector<uint64_t> rows;
  Joins joins(view);
  for (size_t i = 0; i < view.blocks().size(); ++i) {
    const BlockRef& ref = view.blocks()[i];
    const auto columns = ref.block->columns(kConnectionFields);
    for (uint32_t row = 0; row < ref.rows; ++row) {
      const uint64_t index = ref.block->first_index() + row;
      const auto kind = static_cast<Kind>((*columns)->uint(row, Field::kKind));
      const bool late = std::ranges::binary_search(known[i]->late, row) && view.first_index() > 0 &&
                        !joins.superseded((*columns)->id128(row, Field::kConn), kind, index);
      if (kind == Kind::kClose || kind == Kind::kFailed || std::ranges::binary_search(known[i]->rows, row) || late)
        rows.push_back(index);
    }
  }
  return rows;
}

std::vector<Record> history(std::mt19937_64& random, size_t length) {
  std::vector<Record> records(length);
  for (Record& record : records) {
    record.set(Field::kTime, 1000 + random() % 1000);
    record.set(Field::kKind, std::array{Kind::kOpen, Kind::kOpen, Kind::kOpen, Kind::kClose, Kind::kClose, Kind::kFailed,
                                        Kind::kExisting, Kind::kExisting, Kind::kUsedBy}[random() % 9]);
    Id128 conn{};
    conn[15] = static_cast<Byte>(random() % 25);
    if (random() % 10 != 0) record.set(Field::kConn, conn);
  }
  return records;
}

class MainRowsOf : public testing::TestWithParam<uint64_t> {};

TEST_P(MainRowsOf, AnyHistoryAreThoseOfTheDefinition) {
  std::mt19937_64 random(GetParam());
  const std::vector<Record> records = history(random, 150);
  std::vector<std::shared_ptr<PlainBlock>> blocks;
  for (size_t i = 0; i < records.size(); ++i) {
    if (i % kRowsPerBlock == 0) blocks.push_back(std::make_shared<PlainBlock>(i));
    blocks.back()->append(records[i]);
  }
  ConnectionRows connections;
  size_t sealed = 0;
  size_t first = 0;
  std::vector<View> older;
  size_t known_count = 0;
  const auto expect_known = [&](const View& view) {
    const auto known = connections.of(view, kNever);
    ASSERT_TRUE(known.has_value());
    if (!*known) return;
    ++known_count;
    ASSERT_EQ((*known)->size(), view.blocks().size());
    ASSERT_EQ(known_main_rows(view, **known), plain_main_rows(records, view.first_index(), view.size()));
  };
  for (uint64_t size = 1; size <= records.size(); size += 1 + random() % 4) {
    const size_t whole = size / kRowsPerBlock;
    if (random() % 3 == 0) sealed = std::max(sealed, sealed + random() % (whole - sealed + 1));
    for (size_t i = 0; i < sealed; ++i) blocks[i]->seal();
    if (random() % 8 == 0 && first < sealed) ++first;
    std::vector<BlockRef> refs;
    for (size_t i = first; i * kRowsPerBlock < size; ++i)
      refs.push_back({blocks[i], static_cast<uint32_t>(std::min<uint64_t>(kRowsPerBlock, size - i * kRowsPerBlock))});
    const View view(size, std::move(refs));
    expect_known(view);
    older.push_back(view);
    expect_known(older[random() % older.size()]);
  }
  EXPECT_GT(known_count, 50U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, MainRowsOf, testing::Range<uint64_t>(0, 40));

TEST(MainRowsOf, AreNotKnownWhenTimeIsUp) {
  std::mt19937_64 random(1);
  const View view = view_of(history(random, 30));
  ConnectionRows connections;
  const auto known = connections.of(view, std::chrono::steady_clock::now() - std::chrono::seconds(1));
  ASSERT_TRUE(known.has_value());
  EXPECT_EQ(*known, nullptr);
  EXPECT_NE(connections.of(view, kNever)->get(), nullptr);
}

TEST(EndFilter, HasEveryKeyAndHardlyAnyOther) {
  std::mt19937_64 random(5);
  EndFilter filter;
  std::vector<uint64_t> keys(300'000);
  for (uint64_t& key : keys) filter.add(key = random());
  EXPECT_TRUE(std::ranges::all_of(keys, [&](uint64_t key) { return filter.may_have(key); }));
  int others = 0;
  for (int i = 0; i < 300'000; ++i) others += filter.may_have(random()) ? 1 : 0;
  EXPECT_LE(others, 2);
}

}  // namespace
}  // namespace portbook

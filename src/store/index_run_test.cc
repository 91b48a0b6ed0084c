#include "store/index_run.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "record/random_history.h"
#include "store/memory_file.h"
#include "store/row_keys.h"

namespace portbook {
namespace {

using Places = std::map<uint32_t, std::vector<KeyPlace>>;

std::vector<RunBlock> run_blocks(size_t count) {
  std::vector<RunBlock> blocks;
  for (size_t i = 0; i < count; ++i) blocks.push_back({i * 256, 256, i * 1000, i * 1000 + 999, i});
  return blocks;
}

Places random_places(size_t blocks, size_t keys, uint64_t seed) {
  std::mt19937_64 random(seed);
  Places places;
  for (size_t i = 0; i < keys; ++i) {
    auto& of_key = places[static_cast<uint32_t>(random())];
    of_key.clear();
    const uint64_t every = i % 50 == 0 ? 1 : 1 + random() % blocks;
    for (uint32_t block = static_cast<uint32_t>(random() % blocks); block < blocks; block += static_cast<uint32_t>(every)) {
      of_key.push_back({block, static_cast<KeyMarks>(random() % 3 == 0 ? random() : 0)});
    }
  }
  return places;
}

Bytes write(const Places& places, size_t blocks) {
  uint64_t count = 0;
  for (const auto& [key, of_key] : places) count += of_key.size();
  IndexRunWriter writer(run_blocks(blocks), count);
  for (const auto& [key, of_key] : places) {
    for (const KeyPlace& place : of_key) writer.add({key, place});
  }
  return writer.finish();
}

Result<std::shared_ptr<const IndexRun>> open(const Bytes& bytes) {
  return IndexRun::open(std::make_unique<MemoryFile>(bytes));
}

// Counts what is read.
class CountedFile final : public File {
 public:
  CountedFile(ByteView bytes, size_t& reads) : file_(bytes), reads_(reads) {}
  Status write_at(uint64_t offset, ByteView bytes) override { return file_.write_at(offset, bytes); }
  Result<size_t> read_at(uint64_t offset, std::span<Byte> into) override {
    ++reads_;
    return file_.read_at(offset, into);
  }
  Status sync() override { return file_.sync(); }
  Status reserve(uint64_t bytes) override { return file_.reserve(bytes); }
  Result<uint64_t> size() override { return file_.size(); }

 private:
  MemoryFile file_;
  size_t& reads_;
};

TEST(IndexRun, TheFilterChangesNoAnswerAndSparesReads) {
  for (const auto& [blocks, keys] : {std::pair(1UL, 0UL), {1UL, 1UL}, {3UL, 40UL}, {16UL, 5'000UL}, {256UL, 30'000UL}}) {
    const Places places = random_places(blocks, keys, keys);
    const Bytes bytes = write(places, blocks);
    size_t reads = 0;
    const auto run = IndexRun::open(std::make_unique<CountedFile>(bytes, reads));
    ASSERT_TRUE(run.has_value()) << run.error().message;
    EXPECT_FALSE((*run)->has_filter());
    ASSERT_TRUE((*run)->make_filter().has_value());
    EXPECT_TRUE((*run)->has_filter());
    std::vector<KeyPlace> found;
    for (const auto& [key, of_key] : places) {
      found.clear();
      ASSERT_TRUE((*run)->find(uint64_t{key} << 32 | 5, found));
      ASSERT_EQ(found, of_key);
    }
    std::mt19937_64 random(1);
    constexpr size_t kAsked = 10'000;
    size_t unknown = 0;
    reads = 0;
    for (size_t i = 0; i < kAsked; ++i) {
      const uint64_t key = random();
      if (places.contains(static_cast<uint32_t>(key >> 32))) continue;
      found.clear();
      ++unknown;
      ASSERT_TRUE((*run)->find(key, found));
      ASSERT_TRUE(found.empty());
    }
    EXPECT_LE(reads * 20, unknown) << "of keys that no block holds";
  }
}

TEST(IndexRun, AFilterIsMadeOfARunThatCanBeReadAlone) {
  const Places places = random_places(3, 30, 4);
  Bytes bytes = write(places, 3);
  bytes.back() ^= 0x10;
  const auto run = open(bytes);
  ASSERT_TRUE(run.has_value()) << run.error().message;
  EXPECT_FALSE((*run)->make_filter().has_value());
  EXPECT_FALSE((*run)->has_filter());
  EXPECT_TRUE((*run)->spoiled());
}

TEST(IndexRun, FindsWhatWasWritten) {
  for (const auto& [blocks, keys] : {std::pair(1UL, 0UL), {1UL, 1UL}, {3UL, 40UL}, {16UL, 5'000UL}, {256UL, 30'000UL}}) {
    const Places places = random_places(blocks, keys, keys);
    const Bytes bytes = write(places, blocks);
    const auto run = open(bytes);
    ASSERT_TRUE(run.has_value()) << run.error().message;
    EXPECT_EQ((*run)->blocks(), run_blocks(blocks));
    std::vector<KeyPlace> found;
    for (const auto& [key, of_key] : places) {
      found.clear();
      ASSERT_TRUE((*run)->find(uint64_t{key} << 32 | 5, found));
      ASSERT_EQ(found, of_key);
    }
    std::mt19937_64 random(1);
    for (int i = 0; i < 1000; ++i) {
      found.clear();
      const uint64_t key = random();
      ASSERT_TRUE((*run)->find(key, found));
      ASSERT_EQ(found.empty(), !places.contains(static_cast<uint32_t>(key >> 32)));
    }
  }
}

TEST(IndexRun, OfSeveralRunsHasWhatTheyHave) {
  const Places places = random_places(40, 10'000, 9);
  std::vector<Bytes> kept;
  for (const auto& [begin, end] : {std::pair(0U, 1U), {1U, 9U}, {9U, 30U}, {30U, 40U}}) {
    Places part;
    for (const auto& [key, of_key] : places) {
      for (const KeyPlace& place : of_key) {
        if (place.block >= begin && place.block < end) part[key].push_back({place.block - begin, place.marks});
      }
    }
    uint64_t count = 0;
    for (const auto& [key, of_key] : part) count += of_key.size();
    const std::vector<RunBlock> all = run_blocks(40);
    IndexRunWriter writer({all.begin() + begin, all.begin() + end}, count);
    for (const auto& [key, of_key] : part) {
      for (const KeyPlace& place : of_key) writer.add({key, place});
    }
    kept.push_back(writer.finish());
  }
  std::vector<std::shared_ptr<const IndexRun>> runs;
  for (const Bytes& bytes : kept) runs.push_back(*open(bytes));
  const auto merged = merge_runs(runs);
  ASSERT_TRUE(merged.has_value());
  EXPECT_EQ(*merged, write(places, 40));
}

TEST(IndexRun, AChangedByteIsNeverAnotherAnswer) {
  const Places places = random_places(3, 30, 4);
  const Bytes good = write(places, 3);
  for (size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] ^= 0x10;
    const auto run = open(bad);
    if (!run) continue;
    bool spoiled = false;
    for (const auto& [key, of_key] : places) {
      std::vector<KeyPlace> found;
      if ((*run)->find(uint64_t{key} << 32, found)) {
        EXPECT_EQ(found, of_key) << "byte " << at;
      } else {
        spoiled = true;
        EXPECT_TRUE(found.empty());
      }
    }
    EXPECT_TRUE(spoiled) << "byte " << at << " is not covered by any checksum";
    EXPECT_TRUE((*run)->spoiled());
  }
  EXPECT_FALSE(open(Bytes(good.begin(), good.end() - 1)).has_value());
}

TEST(IndexRun, NamesAreOfOneForm) {
  EXPECT_EQ(run_file_name(0, 65'536), "index-000000000000000-000000000065536");
  EXPECT_TRUE(is_run_file_name(run_file_name(65'536, 1'048'576)));
  for (const std::string_view name :
       {"index-1-2", "index-", "index-000000000000000-000000000065536.new", "segment-000000000000000"})
    EXPECT_FALSE(is_run_file_name(name)) << name;
}

TEST(BlockKeys, ReachNeverFallsShort) {
  for (const uint64_t before :
       {uint64_t{0}, uint64_t{1}, (uint64_t{1} << 30) - 1, uint64_t{1} << 30, uint64_t{1} << 31, uint64_t{1} << 59, UINT64_MAX}) {
    const TimeNs begins = UINT64_MAX;
    EXPECT_LE(span_of(begins, begins, reach_of(before)).from, begins - before) << before;
  }
  EXPECT_EQ(span_of(5, 9, 0).from, 5U);
  EXPECT_EQ(span_of(5, 9, kMarkOpen).to, UINT64_MAX);
}

// For each key: whatever interval a record states, or leaves open without an end in the block, is within the span.
TEST(BlockKeys, SpansHoldEveryInterval) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<Record> records = RandomHistory(seed).records(60, 1 + seed * 40);
    Columns columns;
    for (const Record& record : records) columns.append(record);
    columns.publish();
    const BlockKeys found = keys_of(columns, columns.appended());
    RowKeys keys;
    for (const Record& record : records) {
      keys.of(record);
      for (const RowKey key : keys.all()) {
        const auto entry = std::ranges::find(found.entries, static_cast<uint32_t>(key >> 32), &BlockKeys::Entry::key);
        ASSERT_NE(entry, found.entries.end());
        const KeySpan span = span_of(found.begins, found.ends, entry->marks);
        if (record.kind() == Kind::kListen) EXPECT_TRUE(entry->marks & kMarkListen);
        if (record.uint_or(Field::kVantage, 0) == static_cast<uint64_t>(Vantage::kNat)) EXPECT_TRUE(entry->marks & kMarkLease);
        const Kind kind = record.kind();
        if (kind == Kind::kListen || kind == Kind::kAddress || kind == Kind::kSourceStart || kind == Kind::kUsedBy) continue;
        EXPECT_LE(span.from, record.uint_or(Field::kStart, record.time()));
        EXPECT_GE(span.to, std::max(record.time(), record.uint_or(Field::kEnd, 0)));
        const bool ended = std::ranges::any_of(records, [&](const Record& other) {
          RowKeys others;
          others.of(other);
          const bool ends = other.kind() == Kind::kClose || other.kind() == Kind::kNatClose || other.kind() == Kind::kFailed;
          return ends && record.has(Field::kConn) && other.has(Field::kConn) &&
                 other.id128(Field::kConn) == record.id128(Field::kConn) &&
                 std::ranges::find(others.all(), key) != others.all().end();
        });
        const bool self = kind == Kind::kClose || kind == Kind::kNatClose || kind == Kind::kFailed;
        if (!ended && !self) EXPECT_EQ(span.to, UINT64_MAX);
      }
    }
  }
}

}  // namespace
}  // namespace portbook

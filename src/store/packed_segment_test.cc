#include "store/packed_segment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "store/block_cache.h"
#include "store/memory_file.h"
#include "store/random_block_test.h"
#include "store/seal.h"
#include "store/sealed_block.h"

namespace portbook {
namespace {

// One file, whose bytes the test may change.
class OneFileDisk final : public Disk {
 public:
  Bytes bytes;
  std::atomic<int> opened{0};

  Result<std::unique_ptr<File>> open_to_read(std::string_view) override {
    ++opened;
    return std::make_unique<MemoryFile>(bytes);
  }
  Result<std::unique_ptr<File>> open_to_write(std::string_view) override { return denied(); }
  Result<std::unique_ptr<File>> create(std::string_view) override { return denied(); }
  Status rename(std::string_view, std::string_view) override { return denied(); }
  Status remove(std::string_view) override { return denied(); }
  Status sync_names() override { return denied(); }
  Result<std::vector<std::string>> list() override { return denied(); }
  std::string where() const override { return "here"; }

 private:
  static std::unexpected<Error> denied() { return fail(ErrorCode::kDenied, "this disk is only read"); }
};

class PackedSegments : public testing::Test {
 protected:
  static constexpr uint32_t kRows = 600;

  void make(std::unique_ptr<Columns> columns) {
    columns_ = std::move(columns);
    const auto facts = groups_of(*columns_);
    auto sealed = seal_block(65536, *columns_, kRows, facts, {}, encode_columns);
    ASSERT_TRUE(sealed.has_value()) << sealed.error().message;
    disk_.bytes = std::move(sealed->file);
    MemoryFile file(disk_.bytes);
    footer_ = *read_segment_footer(file);
  }
  void expect_row(uint32_t row, const Record& found) {
    Record expected;
    columns_->read(row, expected);
    ASSERT_TRUE(found == expected) << row;
  }
  SegmentSection section(Field field) const {
    const auto found = std::ranges::find(footer_.columns, std::optional(field), &SegmentSection::field);
    return found == footer_.columns.end() ? SegmentSection{} : *found;
  }

  OneFileDisk disk_;
  std::unique_ptr<Columns> columns_;
  SegmentFooter footer_;
};

TEST_F(PackedSegments, ReadEachRow) {
  make(random_block(kRows, 5, 3));
  PackedSegment segment(std::make_shared<SegmentSource>(disk_, footer_.first_index), footer_);
  Record record;
  for (uint32_t row = kRows; row-- > 0;) {
    ASSERT_TRUE(segment.read(row, record).has_value());
    expect_row(row, record);
  }
}

// Once read and checked, bytes are served from memory: what becomes of the file changes nothing.
TEST_F(PackedSegments, ServeWhatWasChecked) {
  make(random_block(kRows, 6, 10));
  PackedSegment segment(std::make_shared<SegmentSource>(disk_, footer_.first_index), footer_);
  Record record;
  ASSERT_TRUE(segment.read(0, record).has_value());
  const int opened = disk_.opened;
  std::ranges::fill(disk_.bytes, 0xff);
  for (uint32_t row = 0; row < kRows; ++row) {
    ASSERT_TRUE(segment.read(row, record).has_value());
    expect_row(row, record);
  }
  EXPECT_EQ(disk_.opened, opened);
}

TEST_F(PackedSegments, AChangedColumnIsNamedByItsRowsOnly) {
  make(random_block(kRows, 7, 5));
  const SegmentSection pid = section(Field::kPid);
  ASSERT_GT(pid.length, 0U);
  disk_.bytes[pid.offset + pid.length / 2] ^= 1;
  PackedSegment segment(std::make_shared<SegmentSource>(disk_, footer_.first_index), footer_);
  Record record;
  int refused = 0;
  for (uint32_t row = 0; row < kRows; ++row) {
    const Status read = segment.read(row, record);
    if (!columns_->has(row, Field::kPid)) {
      ASSERT_TRUE(read.has_value()) << read.error().message;
      expect_row(row, record);
      continue;
    }
    ++refused;
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(read.error().message,
              "segment-000000000065536: offset " + std::to_string(pid.offset) + ": the checksum of the column of pid is wrong");
  }
  EXPECT_GT(refused, 0);
}

TEST_F(PackedSegments, AreReadByManyAtOnce) {
  make(random_block(kRows, 8, 4));
  BlockCache cache(1 << 20);
  SealedBlock block(disk_, cache, footer_);
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> threads;
    for (uint32_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        Record record;
        Record expected;
        for (uint32_t i = 0; i < kRows; ++i) {
          const uint32_t row = (i * 7 + thread) % kRows;
          columns_->read(row, expected);
          if (!block.read_row(row, record).has_value() || !(record == expected)) ++wrong;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST(RecentlyUsed, DropsWhatWasNotUsedForLongest) {
  RecentlyUsed<int> cache(30);
  for (int i = 0; i < 3; ++i) cache.put(static_cast<uint64_t>(i), std::make_shared<int>(i), 10);
  const auto first = cache.find(0);
  cache.put(3, std::make_shared<int>(3), 10);
  EXPECT_EQ(cache.find(1), nullptr);
  ASSERT_NE(cache.find(0), nullptr);
  EXPECT_EQ(cache.put(0, std::make_shared<int>(7), 10), first) << "the one that was there stays";
  cache.put(4, std::make_shared<int>(4), 100);
  ASSERT_NE(cache.find(4), nullptr) << "one alone may be larger than all";
  EXPECT_EQ(cache.find(0), nullptr);
  EXPECT_EQ(*first, 0) << "who holds it keeps it";
}

}  // namespace
}  // namespace portbook

#include "store/sealed_block.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/check.h"
#include "record/random_record.h"
#include "store/seal.h"

namespace portbook {
namespace {

constexpr uint32_t kRows = 700;

// Segments of random records in a folder that goes with it.
class SealedBlocks : public testing::Test {
 protected:
  SealedBlocks()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("sealed-" + std::to_string(getpid()) + testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder_);
    disk_ = make_machine_disk(folder_);
  }
  ~SealedBlocks() override { std::filesystem::remove_all(folder_); }

  // The block at `first`; its records are those of `seed`.
  std::unique_ptr<SealedBlock> sealed(BlockCache& cache, uint64_t first, uint64_t seed) {
    const auto columns = plain(seed);
    SourceSeqs seqs;
    std::vector<SeqBreak> breaks;
    const BlockFacts facts = facts_of(*columns, kRows, seqs, breaks);
    const auto made = seal_block(first, *columns, kRows, facts.groups, {}, encode_columns);
    PB_CHECK(made.has_value());
    const std::string name = segment_file_name(first);
    PB_CHECK(write_file(*disk_, name, made->file).has_value());
    auto footer = read_segment_footer(**disk_->open_to_read(name));
    PB_CHECK(footer.has_value());
    return std::make_unique<SealedBlock>(*disk_, cache, std::move(*footer));
  }
  static std::unique_ptr<Columns> plain(uint64_t seed) {
    auto columns = std::make_unique<Columns>();
    RandomRecords random(seed);
    Record record;
    for (uint32_t row = 0; row < kRows; ++row) {
      random.next(record, 4);
      record.set(Field::kSource, "a/socket");
      record.set(Field::kSourceSeq, row + 1);
      columns->append(record);
    }
    columns->publish();
    return columns;
  }

  std::filesystem::path folder_;
  std::unique_ptr<Disk> disk_;
};

FieldSet some_fields(RandomRecords& random) {
  FieldSet set;
  for (uint64_t i = random.below(6); i > 0; --i) set.add(kFields[random.below(kFieldCount)].field);
  return set;
}

// Of the fields asked for, every row's values are those that were sealed.
void expect_rows(const Columns& found, const Columns& plain, const FieldSet& wanted) {
  Record one;
  Record other;
  for (uint32_t row = 0; row < kRows; ++row) {
    found.read(row, wanted, one);
    plain.read(row, wanted, other);
    ASSERT_EQ(one, other) << row;
    ASSERT_EQ(found.fields(row), plain.fields(row)) << row;
  }
}

TEST_F(SealedBlocks, GiveTheColumnsAskedForAndAddOthersLater) {
  BlockCache cache(kBlockCacheBytes);
  const auto block = sealed(cache, 0, 3);
  const auto whole = plain(3);
  RandomRecords random(8);
  FieldSet asked;
  for (int round = 0; round < 60; ++round) {
    const FieldSet wanted = some_fields(random);
    asked.add(wanted);
    const auto columns = block->columns(wanted);
    ASSERT_TRUE(columns.has_value());
    expect_rows(**columns, *whole, wanted);
    // Nothing is decoded that nobody asked for, but what no row has.
    FieldSet there;
    for (uint32_t row = 0; row < kRows; ++row) there.add(whole->fields(row));
    EXPECT_EQ((*columns)->held().common(there), asked.common(there));
    EXPECT_EQ(cache.decoded_bytes(), sizeof(DecodedBlock) + (*columns)->bytes_used());
  }
  const auto all = block->columns(kEveryField);
  ASSERT_TRUE(all.has_value());
  expect_rows(**all, *whole, kEveryField);
}

TEST_F(SealedBlocks, ReadersOfSomeColumnsAreNotDisturbedByThoseWhoAddOthers) {
  BlockCache cache(kBlockCacheBytes);
  const auto block = sealed(cache, 0, 4);
  const auto whole = plain(4);
  const auto read = [&](uint64_t seed) {
    RandomRecords random(seed);
    for (int round = 0; round < 20; ++round) {
      const FieldSet wanted = some_fields(random);
      const auto columns = block->columns(wanted);
      ASSERT_TRUE(columns.has_value());
      expect_rows(**columns, *whole, wanted);
    }
  };
  std::thread one(read, 1);
  std::thread two(read, 2);
  read(3);
  one.join();
  two.join();
}

TEST_F(SealedBlocks, TheCacheKeepsToItsBytes) {
  BlockCache cache(200'000);
  std::vector<std::unique_ptr<SealedBlock>> blocks;
  for (uint64_t i = 0; i < 4; ++i) blocks.push_back(sealed(cache, i * kRows, i));
  const FieldSet wanted = fields_of(std::array{Field::kSrcIp, Field::kExe});
  std::vector<std::shared_ptr<const Columns>> held;
  for (int round = 0; round < 3; ++round) {
    for (const auto& block : blocks) {
      const auto columns = block->columns(wanted);
      ASSERT_TRUE(columns.has_value());
      held.push_back(*columns);
      EXPECT_TRUE(cache.decoded_bytes() <= 200'000 || cache.decoded_bytes() == sizeof(DecodedBlock) + (*columns)->bytes_used());
    }
  }
  for (size_t i = 0; i < held.size(); ++i) expect_rows(*held[i], *plain(i % 4), wanted);  // dropped ones live on
  EXPECT_NE(held[0], held[4]);
}

TEST_F(SealedBlocks, AValueThatNobodyAskedForAborts) {
  BlockCache cache(kBlockCacheBytes);
  const auto block = sealed(cache, 0, 3);
  const auto columns = block->columns(fields_of(std::array{Field::kKind}));
  ASSERT_TRUE(columns.has_value());
  Record record;
  EXPECT_DEATH((*columns)->read(0, record), "");
}

}  // namespace
}  // namespace portbook

#include "book/handed_out.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "book/test_batches.h"

namespace portbook {
namespace {

class HandedOutTest : public testing::Test {
 protected:
  void SetUp() override { disk_ = make_machine_disk(folder_.path()); }

  [[nodiscard]] std::string file() const {
    const auto bytes = read_file(*disk_, kHandedOutFileName, kHandedOutBytesMax);
    EXPECT_TRUE(bytes.has_value());
    return bytes ? std::string(as_text(*bytes)) : "";
  }
  void put(std::string_view text) { ASSERT_TRUE(write_file(*disk_, kHandedOutFileName, as_bytes(text)).has_value()); }

  TemporaryFolder folder_;
  std::unique_ptr<Disk> disk_;
};

constexpr uint64_t kAll = UINT64_MAX;

TEST_F(HandedOutTest, WhatIsNotedIsThereAfterARestartAndMultiplesOf256AreNot) {
  HandedOut before(*disk_);
  ASSERT_TRUE(before.open().has_value());
  for (const uint64_t size : {300, 7, 512, 301, 7}) before.note(size);
  EXPECT_EQ(before.between(0, kAll), (std::vector<uint64_t>{7, 300, 301}));
  ASSERT_TRUE(before.write().has_value());
  HandedOut after(*disk_);
  ASSERT_TRUE(after.open().has_value());
  EXPECT_EQ(after.between(0, kAll), (std::vector<uint64_t>{7, 300, 301}));
  EXPECT_EQ(after.between(8, 301), (std::vector<uint64_t>{300}));
}

TEST_F(HandedOutTest, LinesAreAsTheFormatSays) {
  TreeSizes sizes;
  for (const uint64_t size : {7, 257, 511}) sizes.add(size);
  EXPECT_EQ(sizes.text(), "7\n256:8000000000000000000000000000000000000000000000000000000000000002\n");
}

TEST_F(HandedOutTest, LinesThatAreNoneArePassedOver) {
  put("5\nx\n256:12\n255:" + std::string(64, 'f') + "\n512:" + std::string(63, '0') + "g\n-3\n99999999999999999999\n600\n70");
  HandedOut handed_out(*disk_);
  ASSERT_TRUE(handed_out.open().has_value());
  EXPECT_EQ(handed_out.between(0, kAll), (std::vector<uint64_t>{5, 600}));
}

TEST_F(HandedOutTest, TheGreatestSizesThereAreAreLinesLikeOthers) {
  const std::string greatest = fmt::format("{}\n", UINT64_MAX);
  TreeSizes sizes;
  sizes.take(greatest);
  EXPECT_EQ(sizes.text(), greatest);
  sizes.add(UINT64_MAX - 1);
  EXPECT_EQ(sizes.text(), fmt::format("{}:c{:063x}\n", UINT64_MAX - 255, 0));
}

TEST_F(HandedOutTest, ATornLineDoesNotTearTheNext) {
  put("5\n60");
  HandedOut handed_out(*disk_);
  ASSERT_TRUE(handed_out.open().has_value());
  handed_out.note(700);
  ASSERT_TRUE(handed_out.write().has_value());
  EXPECT_EQ(file(), "5\n700\n");
}

TEST_F(HandedOutTest, EverySizeOfAMillionRecordsTakesAThirdOfAByteARecord) {
  constexpr uint64_t kRecords = 1'000'000;
  HandedOut handed_out(*disk_);
  ASSERT_TRUE(handed_out.open().has_value());
  size_t longest = 0;
  for (uint64_t size = 1; size <= kRecords; ++size) {
    handed_out.note(size);
    if (size % 10'000 != 0) continue;
    ASSERT_TRUE(handed_out.write().has_value());
    longest = std::max(longest, file().size());
  }
  EXPECT_EQ(handed_out.between(0, kAll).size(), kRecords - kRecords / kGroupLeaves);
  EXPECT_LT(longest, kRecords / 3 + 8 * (kHandedOutLinesMin + 10'000));
  ASSERT_TRUE(handed_out.forget_below(0).has_value());  // writes the file as a whole
  EXPECT_LT(file().size(), kRecords / 3);
}

TEST_F(HandedOutTest, RandomStepsAgreeWithASet) {
  std::mt19937_64 random(1);
  std::set<uint64_t> expected;
  auto handed_out = std::make_unique<HandedOut>(*disk_);
  ASSERT_TRUE(handed_out->open().has_value());
  for (int step = 0; step < 3'000; ++step) {
    const uint64_t size = random() % 20'000;
    if (const auto what = random() % 200; what < 190) {
      handed_out->note(size);
      if (size % kGroupLeaves != 0) expected.insert(size);
    } else if (what < 198) {
      ASSERT_TRUE(handed_out->write().has_value());
      handed_out = std::make_unique<HandedOut>(*disk_);
      ASSERT_TRUE(handed_out->open().has_value());
    } else {
      ASSERT_TRUE(handed_out->write().has_value());
      const uint64_t below = size / kGroupLeaves / 8 * kGroupLeaves;
      ASSERT_TRUE(handed_out->forget_below(below).has_value());
      expected.erase(expected.begin(), expected.lower_bound(below));
    }
    const uint64_t from = random() % 20'000;
    const uint64_t to = from + random() % 2'000;
    ASSERT_EQ(handed_out->between(from, to), std::vector<uint64_t>(expected.lower_bound(from), expected.lower_bound(to)));
  }
}

}  // namespace
}  // namespace portbook

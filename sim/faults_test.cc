// Each fault of a disk by itself: what the simulator meets by chance, on purpose.
#include <gtest/gtest.h>

#include <algorithm>

#include "book/ledger.h"
#include "book/test_batches.h"
#include "book/verify.h"
#include "record/cbor.h"
#include "sim/sim_disk.h"
#include "sim/simulation.h"

namespace portbook {
namespace {

class Faults : public testing::Test {
 protected:
  std::unique_ptr<Ledger> open() {
    LedgerOptions options;
    options.origin = "sim.example.org";
    options.host = "sim";
    options.log_file_bytes = 128 * 1024;
    options.reserve_bytes = 4096;
    options.block_rows = 512;
    auto ledger = Ledger::open(disk_, clock_, std::move(options));
    EXPECT_TRUE(ledger.has_value()) << (ledger ? "" : ledger.error().message);
    return ledger ? std::move(*ledger) : nullptr;
  }
  Result<Receipt> commit(Ledger& ledger, uint32_t records) {
    const std::vector<CheckedBatch> batches = {*check_batch(source_.batch(records))};
    return ledger.commit(batches).front();
  }

  SimDisk disk_{1};
  SimClock clock_;
  TestSource source_{"sim/socket"};
};

TEST_F(Faults, AFailedSyncIsNeverTriedAgain) {
  auto ledger = open();
  ASSERT_TRUE(commit(*ledger, 10).has_value());
  const std::string checkpoint = ledger->published().checkpoint;
  disk_.fail_sync_in(1);
  EXPECT_EQ(commit(*ledger, 10).error().code, ErrorCode::kIo);
  ASSERT_TRUE(ledger->read_only_reason().has_value());
  EXPECT_NE(ledger->read_only_reason()->find("cannot sync"), std::string::npos);
  EXPECT_EQ(commit(*ledger, 10).error().code, ErrorCode::kUnavailable) << "the disk works again, but what it lost is not known";
  EXPECT_EQ(ledger->published().checkpoint, checkpoint) << "nothing was signed that is not durable";
}

TEST_F(Faults, AFailedSyncOfTheHeadAcknowledgesNothing) {
  auto ledger = open();
  ASSERT_TRUE(commit(*ledger, 10).has_value());
  disk_.fail_sync_in(2);
  EXPECT_EQ(commit(*ledger, 10).error().code, ErrorCode::kIo);
  EXPECT_EQ(ledger->last_seq("sim/socket"), 10U);
  EXPECT_EQ(ledger->published().view.size(), 12U);
}

TEST_F(Faults, WhatReadsBackDifferentlyIsNotSigned) {
  auto ledger = open();
  disk_.flip_write_in(1);
  EXPECT_EQ(commit(*ledger, 10).error().code, ErrorCode::kIo);
  EXPECT_NE(ledger->read_only_reason().value_or("").find("reads back differently"), std::string::npos);
  EXPECT_EQ(ledger->published().view.size(), 1U);
}

TEST_F(Faults, ASegmentThatReadsBackDifferentlyIsWrittenAgain) {
  auto ledger = open();
  ASSERT_TRUE(commit(*ledger, 600).has_value());
  disk_.flip_write_in(1);
  EXPECT_FALSE(ledger->seal_next().has_value());
  EXPECT_TRUE(ledger->has_own_waiting()) << "it is recorded";
  EXPECT_EQ(ledger->seal_next(), true);
  ledger->commit({});
  ledger.reset();
  EXPECT_FALSE(verify_disk(disk_, false, {})->problem.has_value());
}

// The encoder has a bug: the block's log must stay, and say why.
TEST_F(Faults, AnEncoderThatLiesCostsNoEvidence) {
  auto ledger = open();
  ASSERT_TRUE(commit(*ledger, 600).has_value());
  const auto lies = [](const Columns& columns, uint32_t rows) {
    auto sections = encode_columns(columns, rows);
    const auto seq = std::ranges::find(sections, std::optional(Field::kBytesOut), &ColumnSection::field);
    PB_CHECK(seq != sections.end());
    seq->bytes = std::ranges::find(sections, std::optional(Field::kBytesIn), &ColumnSection::field)->bytes;
    return sections;
  };
  const auto sealed = ledger->seal_next(lies);
  ASSERT_FALSE(sealed.has_value());
  EXPECT_EQ(sealed.error().code, ErrorCode::kCorrupt);
  ledger->commit({});
  const View view = ledger->published().view;
  Record record;
  ASSERT_TRUE(view.read(view.size() - 1, record).has_value());
  EXPECT_EQ(record.text(Field::kAction), "sealing stopped");
  EXPECT_FALSE(ledger->seal_next().has_value()) << "not before the next start";
  ledger.reset();
  EXPECT_FALSE(verify_disk(disk_, false, {})->problem.has_value());
  ledger = open();
  EXPECT_EQ(ledger->published().view.size(), view.size());
  EXPECT_EQ(ledger->seal_next(), true);
}

TEST_F(Faults, ATornWriteIsCutAndRecorded) {
  int torn = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SimDisk disk(seed);
    LedgerOptions options;
    options.origin = "sim.example.org";
    options.host = "sim";
    options.log_file_bytes = 128 * 1024;
    options.reserve_bytes = 4096;
    auto ledger = Ledger::open(disk, clock_, options);
    ASSERT_TRUE(ledger.has_value());
    TestSource source("sim/socket", seed);
    const std::vector<CheckedBatch> batches = {*check_batch(source.batch(50))};
    disk.cut_power_in(1);
    EXPECT_FALSE((*ledger)->commit(batches).front().has_value());
    disk.restart();
    ledger = Ledger::open(disk, clock_, options);
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    EXPECT_FALSE((*ledger)->read_only_reason().has_value());
    const std::string& report = (*ledger)->recovery_report();
    if (report.find("unfinished write were cut at log-000000000001 offset") == std::string::npos) continue;
    ++torn;
    Record record;
    ASSERT_TRUE((*ledger)->published().view.read(1, record).has_value());
    EXPECT_EQ(record.text(Field::kAction), "recovered");
    EXPECT_EQ(record.text(Field::kMessage), report);
  }
  EXPECT_GT(torn, 5) << "the disk tears writes";
}

}  // namespace
}  // namespace portbook

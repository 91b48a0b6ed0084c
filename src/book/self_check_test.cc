#include "book/self_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "book/ledger.h"
#include "book/test_batches.h"
#include "book/verify.h"
#include "merkle/tree.h"

namespace portbook {
namespace {

constexpr uint32_t kRows = 512;
constexpr size_t kBlocks = 11;

// A ledger of eleven sealed blocks, in index runs, and a twelfth that is open.
class SelfCheckTest : public testing::Test {
 protected:
  void SetUp() override {
    disk_ = make_machine_disk(folder_.path());
    LedgerOptions options{.origin = "o", .host = "h"};
    options.block_rows = kRows;
    options.run_fanout = 2;
    options.reserve_bytes = 4096;
    auto ledger = Ledger::open(*disk_, clock_, options);
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    ledger_ = std::move(*ledger);
    TestSource source("h/socket");
    for (size_t i = 0; i < kBlocks; ++i) {
      auto batch = check_batch(source.batch(kRows));
      ASSERT_TRUE(batch.has_value());
      const std::vector<CheckedBatch> batches{std::move(*batch)};
      ASSERT_TRUE(ledger_->commit(batches)[0].has_value());
      while (*ledger_->seal_next()) {
      }
    }
    while (*ledger_->index_next()) {
    }
    check_ = std::make_unique<SelfCheck>(
        *disk_, clock_, [this](uint64_t group) { return ledger_->node(kGroupHeight, group); },
        [this](const std::string& finding) {
          told_.push_back(finding);
          ledger_->record_finding(finding);
        },
        7);
  }

  // One look at each sealed block.
  void pass() {
    size_t blocks = 0;
    while (check_->next(ledger_->published().view) > 0) ++blocks;
    EXPECT_EQ(blocks, kBlocks);
  }

  [[nodiscard]] std::filesystem::path segment(size_t block) const { return folder_.path() / segment_file_name(block * kRows); }

  void flip(const std::filesystem::path& path, std::streamoff offset) const {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(offset);
    const auto byte = static_cast<char>(file.get() ^ 16);
    file.seekp(offset).put(byte).flush();
  }

  const TemporaryFolder folder_;
  ForwardClock clock_;
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<SelfCheck> check_;
  std::vector<std::string> told_;
};

TEST_F(SelfCheckTest, AGoodBookIsLookedAtWholeAndAgain) {
  pass();
  SelfCheckState state = check_->state();
  EXPECT_EQ(state.blocks, kBlocks);
  EXPECT_EQ(state.passes, 1U);
  EXPECT_EQ(state.findings, 0U);
  uint64_t bytes = 0;
  for (size_t i = 0; i < kBlocks; ++i) bytes += std::filesystem::file_size(segment(i));
  EXPECT_EQ(state.bytes, bytes);
  const TimeNs first_ended = *state.pass_ended;
  clock_.forward += 3600 * kNsPerSecond;
  pass();
  state = check_->state();
  EXPECT_EQ(state.passes, 2U);
  EXPECT_GE(*state.pass_ended, first_ended + 3600 * kNsPerSecond);
  EXPECT_TRUE(told_.empty()) << told_[0];
}

TEST_F(SelfCheckTest, AFlippedByteIsFoundRecordedOnceAndNamed) {
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(segment(4)));
  flip(segment(4), size / 2);
  flip(segment(7), static_cast<std::streamoff>(std::filesystem::file_size(segment(7))) - 40);
  std::filesystem::rename(segment(9), folder_.path() / "elsewhere");
  pass();
  ASSERT_EQ(told_.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    const size_t block = std::array{4, 7, 9}[i];
    EXPECT_NE(told_[i].find(segment_file_name(block * kRows)), std::string::npos) << told_[i];
  }
  pass();  // a second look tells nothing anew
  EXPECT_EQ(told_.size(), 3U);
  const SelfCheckState state = check_->state();
  EXPECT_EQ(state.findings, 3U);
  EXPECT_EQ(state.sentences, told_);
  EXPECT_EQ(state.passes, 2U);

  // In the log, and in what verify says once the files are as they were.
  const uint64_t before = ledger_->published().view.size();
  ledger_->commit({});
  const View view = ledger_->published().view;
  ASSERT_EQ(view.size(), before + 3);
  Record record;
  for (uint64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(view.read(before + i, record).has_value());
    EXPECT_EQ(record.text_or(Field::kAction, ""), kSelfCheckFound);
    EXPECT_NE(record.text_or(Field::kMessage, "").find(told_[i]), std::string_view::npos);
  }
  auto report = verify_disk(*disk_, true, {});
  ASSERT_TRUE(report.has_value());
  EXPECT_TRUE(report->problem.has_value());
  flip(segment(4), size / 2);
  flip(segment(7), static_cast<std::streamoff>(std::filesystem::file_size(segment(7))) - 40);
  std::filesystem::rename(folder_.path() / "elsewhere", segment(9));
  report = verify_disk(*disk_, true, {});
  ASSERT_TRUE(report.has_value());
  EXPECT_FALSE(report->problem.has_value()) << report->problem->sentence;
  EXPECT_EQ(report->findings, 3U);
  EXPECT_NE(report->first_finding.find(told_[0]), std::string::npos);
}

// A file that is whole in itself, with the records of another history.
TEST_F(SelfCheckTest, RecordsThatWereNotHashedAreFound) {
  const auto file = disk_->open_to_read(segment_file_name(3 * kRows));
  const auto footer = read_segment_footer(**file);
  const auto columns = read_segment_columns(**file, *footer);
  Columns changed;
  Record record;
  for (uint32_t row = 0; row < kRows; ++row) {
    (*columns)->read(row, record);
    if (row == 400) record.set(Field::kHost, "db-9");
    changed.append(record);
  }
  changed.publish();
  SourceSeqs seqs = read_segment_footer(**disk_->open_to_read(segment_file_name(2 * kRows)))->seqs;
  std::vector<SeqBreak> breaks;
  const BlockFacts facts = facts_of(changed, kRows, seqs, breaks);
  const Bytes forged = encode_segment(3 * kRows, kRows, encode_columns(changed, kRows), facts, seqs);
  ASSERT_TRUE(write_file(*disk_, segment_file_name(3 * kRows), forged).has_value());
  pass();
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_NE(told_[0].find("record 1792: the 256 records from here on are not the ones that were hashed"), std::string::npos)
      << told_[0];
}

TEST_F(SelfCheckTest, AnIndexThatLeavesOutRecordsIsFound) {
  std::string name;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    if (is_run_file_name(entry.path().filename().string())) name = entry.path().filename();
  }
  ASSERT_FALSE(name.empty());
  // The run that a start would find, with right checksums and no keys at all.
  const auto run = IndexRun::open(*disk_->open_to_read(name));
  ASSERT_TRUE(run.has_value());
  const uint64_t first = (*run)->first_index();
  const size_t blocks = (*run)->blocks().size();
  ASSERT_TRUE(write_file(*disk_, name, IndexRunWriter((*run)->blocks(), 0).finish()).has_value());
  ledger_.reset();
  LedgerOptions options{.origin = "o", .host = "h"};
  options.block_rows = kRows;
  options.run_fanout = 2;
  options.reserve_bytes = 4096;
  ledger_ = std::move(*Ledger::open(*disk_, clock_, options));
  pass();
  ASSERT_EQ(told_.size(), blocks);
  EXPECT_TRUE(told_[0].starts_with("index run, record ")) << told_[0];
  EXPECT_EQ(std::stoull(told_[0].substr(18)) / kRows, first / kRows) << told_[0];
}

TEST(SelfCheck, WaitsSoThatTheRateIsKept) {
  EXPECT_EQ(pause_after(256 * 1024, 256 * 1024), std::chrono::seconds(1));
  EXPECT_EQ(pause_after(1, 1000), std::chrono::milliseconds(1));
  EXPECT_EQ(pause_after(1'700'000, 100'000), std::chrono::seconds(17));
}

}  // namespace
}  // namespace portbook

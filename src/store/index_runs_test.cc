// Look-ups through index runs against blocks that are asked one by one: over random histories, after every step of the runs' life,
// with files lost, damaged, of another book, and blocks dropped.
#include "store/index_runs.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "store/row_keys.h"
#include "store/sealed_history_test.h"

namespace portbook {
namespace {

std::vector<uint64_t> indices_with(const View& view, RowKey key, const Wanted& wanted = {}) {
  std::vector<uint64_t> found;
  RowKeys keys;
  const Status status = view.for_each_with(
      key,
      [&](uint64_t index, const Record& record) {
        keys.of(record);
        if (std::ranges::find(keys.all(), key) != keys.all().end()) found.push_back(index);
        return true;
      },
      wanted);
  EXPECT_TRUE(status.has_value());
  return found;
}

class IndexRunsTest : public testing::Test {
 protected:
  static constexpr size_t kFanout = 3;

  void start() {
    runs_ = std::make_unique<IndexRuns>(history_.disk(), kFanout);
    ASSERT_TRUE(runs_->open(history_.blocks).has_value());
  }
  void seal(uint32_t rows) {
    const BlockKeys keys = history_.seal(records_, rows);
    runs_->add(history_.blocks.back(), keys);
  }
  void work_to_the_end() {
    for (int steps = 0; steps < 1000; ++steps) {
      const auto worked = runs_->work();
      ASSERT_TRUE(worked.has_value());
      if (!*worked) return;
    }
    FAIL() << "there is always more to do";
  }
  [[nodiscard]] std::set<std::string> run_files() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(history_.folder())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("index-")) names.insert(name);
    }
    return names;
  }
  void damage(const std::string& name, uint64_t seed) const {
    std::fstream file(history_.folder() / name, std::ios::in | std::ios::out | std::ios::binary);
    const auto size = std::filesystem::file_size(history_.folder() / name);
    file.seekp(static_cast<std::streamoff>(seed % size));
    file.put('\x7f');
  }

  // Every key of the history, and what was asked for by time, mark and index.
  void expect_same_answers(uint64_t seed) const {
    const View with = history_.view(runs_->runs());
    const View without = history_.view(nullptr);
    std::mt19937_64 random(seed);
    std::set<RowKey> keys;
    RowKeys of_record;
    for (const Record& record : records_) {
      of_record.of(record);
      keys.insert(of_record.all().begin(), of_record.all().end());
    }
    for (const RowKey key : keys) {
      const std::vector<uint64_t> all = indices_with(without, key);
      ASSERT_EQ(indices_with(with, key), all);
      const uint64_t from = random() % (history_.size() + 1);
      ASSERT_EQ(indices_with(with, key, {.index_from = from}), indices_with(without, key, {.index_from = from}));
      expect_no_wanted_one_missing(with, key, all, random);
    }
  }

  void expect_no_wanted_one_missing(const View& with, RowKey key, const std::vector<uint64_t>& all, std::mt19937_64& random) const {
    const TimeNs moment = RandomHistory::kBegin + random() % (120 * kNsPerSecond);
    const std::vector<uint64_t> near = indices_with(with, key, {.from = moment, .to = moment + 5});
    const std::vector<uint64_t> leases = indices_with(with, key, {.marks = kMarkLease});
    for (const uint64_t index : all) {
      const Record& record = records_[index];
      const Kind kind = record.kind();
      if (kind == Kind::kNatOpen || kind == Kind::kNatClose) EXPECT_TRUE(std::ranges::count(leases, index));
      const bool ends = kind == Kind::kClose || kind == Kind::kFailed || kind == Kind::kNatClose;
      const bool states = ends && record.has(Field::kStart) && record.uint(Field::kStart) <= moment &&
                          record.uint_or(Field::kEnd, record.time()) >= moment;
      if (states) EXPECT_TRUE(std::ranges::count(near, index)) << "record " << index << " covers the moment";
    }
  }

  SealedHistory history_;
  std::vector<Record> records_;
  std::unique_ptr<IndexRuns> runs_;
};

class IndexRunsHistory : public IndexRunsTest, public testing::WithParamInterface<uint64_t> {};

TEST_P(IndexRunsHistory, IsFoundAtEveryStep) {
  std::mt19937_64 random(GetParam());
  records_ = RandomHistory(GetParam()).records(250, 120);
  start();
  while (history_.size() + 32 <= records_.size()) {
    seal(static_cast<uint32_t>(8 + random() % 24));
    switch (random() % 6) {
      case 0: work_to_the_end(); break;
      case 1: start(); break;  // what stood in memory is lost
      case 2:
        if (const auto files = run_files(); !files.empty()) std::filesystem::remove(history_.folder() / *files.begin());
        start();
        break;
      case 3:
        if (const auto files = run_files(); !files.empty()) damage(*files.rbegin(), random());
        break;
      default: ASSERT_TRUE(runs_->work().has_value()); break;
    }
    expect_same_answers(GetParam());
  }
  EXPECT_GT(history_.blocks.size(), 15U);
}
INSTANTIATE_TEST_SUITE_P(Seeds, IndexRunsHistory, testing::Range<uint64_t>(1, 4));

TEST_F(IndexRunsTest, FewFilesRemain) {
  records_ = RandomHistory(5).records(400, 60);
  start();
  for (int i = 0; i < 3 * 3 * 2 + 4; ++i) {
    seal(16);
    work_to_the_end();
  }
  EXPECT_EQ(runs_->runs()->size(), 4U) << "two of nine blocks, one of three, one in memory";
  EXPECT_EQ(run_files().size(), 3U);
  start();
  EXPECT_EQ(runs_->runs()->size(), 3U) << "what stands in files is there at once";
  work_to_the_end();
  EXPECT_EQ(runs_->runs()->size(), 4U);
  // A key that no block has costs no look into any.
  EXPECT_TRUE(history_.view(runs_->runs()).blocks_with(endpoint_key({Ip::v4(1), 1})).empty());
}

TEST_F(IndexRunsTest, DroppedBlocksAreNotAskedFor) {
  records_ = RandomHistory(6).records(400, 60);
  start();
  for (int i = 0; i < 14; ++i) {
    seal(16);
    work_to_the_end();
  }
  for (const size_t dropped : {2U, 3U, 5U}) {
    history_.blocks.erase(history_.blocks.begin(), history_.blocks.begin() + static_cast<ptrdiff_t>(dropped));
    runs_->drop_below(history_.blocks.front()->first_index());
    expect_same_answers(dropped);
    work_to_the_end();
    expect_same_answers(dropped);
    start();
    expect_same_answers(dropped);
  }
  work_to_the_end();
  EXPECT_FALSE(run_files().contains(run_file_name(0, 9 * 16)));
}

TEST_F(IndexRunsTest, RunsOfOtherBlocksAreNotBelieved) {
  records_ = RandomHistory(7).records(100, 60);
  start();
  for (int i = 0; i < 3; ++i) seal(16);
  work_to_the_end();
  ASSERT_EQ(run_files().size(), 1U);
  SealedHistory other;
  const std::vector<Record> others = RandomHistory(8).records(100, 60);
  for (int i = 0; i < 3; ++i) other.seal(others, 16);
  std::filesystem::copy(history_.folder() / *run_files().begin(), other.folder() / *run_files().begin());
  IndexRuns runs(other.disk(), kFanout);
  ASSERT_TRUE(runs.open(other.blocks).has_value());
  EXPECT_TRUE(runs.runs()->empty());
  ASSERT_EQ(runs.work(), true);
  EXPECT_FALSE(std::filesystem::exists(other.folder() / *run_files().begin())) << "it is removed";
}

}  // namespace
}  // namespace portbook

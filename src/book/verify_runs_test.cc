// Index runs that say something else than the blocks: a run is believed without a look at the block, so that verify must find it.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>

#include "book/ledger.h"
#include "book/test_batches.h"
#include "book/verify.h"

namespace portbook {
namespace {

constexpr uint32_t kRows = 512;

// A book of eleven blocks with runs of two and of four of them; each test puts back what it changes.
class VerifyRunsTest : public testing::Test {
 protected:
  void SetUp() override {
    disk_ = make_machine_disk(folder_.path());
    LedgerOptions options{.origin = "o", .host = "h"};
    options.block_rows = kRows;
    options.run_fanout = 2;
    options.reserve_bytes = 4096;
    auto ledger = Ledger::open(*disk_, system_clock(), options);
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    TestSource source("h/socket");
    for (int i = 0; i < 12; ++i) {
      auto batch = check_batch(source.batch(kRows));
      ASSERT_TRUE(batch.has_value());
      const std::vector<CheckedBatch> batches{std::move(*batch)};
      ASSERT_TRUE((*ledger)->commit(batches)[0].has_value());
      while (*(*ledger)->seal_next()) {
      }
      while (*(*ledger)->index_next()) {
      }
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      if (is_run_file_name(entry.path().filename().string())) names_.push_back(entry.path().filename());
    }
    std::ranges::sort(names_);
    ASSERT_GE(names_.size(), 2U);
  }

  [[nodiscard]] std::optional<VerifyProblem> problem() const {
    const auto report = verify_disk(*disk_, false, {});
    EXPECT_TRUE(report.has_value()) << report.error().message;
    return report ? report->problem : std::nullopt;
  }

  // The run written anew, with right checksums, after `change`.
  using Change = std::function<void(std::vector<RunBlock>&, std::vector<RunEntry>&)>;
  void forge(const std::string& name, const Change& change) const {
    const auto run = IndexRun::open(*disk_->open_to_read(name));
    ASSERT_TRUE(run.has_value());
    std::vector<RunBlock> blocks = (*run)->blocks();
    std::vector<RunEntry> entries;
    for (unsigned byte = 0; byte < 256; ++byte) ASSERT_TRUE((*run)->read_part(static_cast<uint8_t>(byte), entries).has_value());
    change(blocks, entries);
    IndexRunWriter writer(std::move(blocks), entries.size());
    for (const RunEntry& entry : entries) writer.add(entry);
    ASSERT_TRUE(write_file(*disk_, name, writer.finish()).has_value());
  }

  // What verify says of the forged run; the run is put back.
  void expect_found(const std::string& name, const std::string& what, const Change& change) const {
    const std::filesystem::path path = folder_.path() / name;
    const std::filesystem::path kept = folder_.path() / "set-aside";
    std::filesystem::copy_file(path, kept);
    forge(name, change);
    const auto found = problem();
    ASSERT_TRUE(found.has_value()) << what << " in " << name << " was not noticed";
    EXPECT_EQ(found->file, name) << what;
    EXPECT_TRUE(found->record && *found->record % kRows == 0) << what << ": " << found->sentence;
    EXPECT_NE(found->sentence.find("are not the keys of its records"), std::string::npos) << found->sentence;
    std::filesystem::rename(kept, path);
    EXPECT_FALSE(problem().has_value());
  }

  const TemporaryFolder folder_;
  std::unique_ptr<Disk> disk_;
  std::vector<std::string> names_;
};

TEST_F(VerifyRunsTest, RunsAsTheyWereMadeAreGood) {
  const auto found = problem();
  EXPECT_FALSE(found.has_value()) << found->sentence;
}

TEST_F(VerifyRunsTest, AForgedRunIsFound) {
  for (const std::string& name : names_) {
    expect_found(name, "a key left out", [](auto&, auto& entries) { entries.erase(entries.begin() + 100); });
    expect_found(name, "a key too many", [](auto&, auto& entries) {
      // In a place of its own: behind one that no other follows closely.
      auto at = std::ranges::adjacent_find(entries, [](const RunEntry& a, const RunEntry& b) { return b.key > a.key + 1; });
      entries.insert(at + 1, RunEntry{at->key + 1, {0, 0}});
    });
    expect_found(name, "a mark", [](auto&, auto& entries) { entries[7].place.marks ^= kMarkOpen; });
    expect_found(name, "a key in another block", [](auto&, auto& entries) {
      for (size_t i = 1; i + 1 < entries.size(); ++i) {
        if (entries[i - 1].key == entries[i].key || entries[i + 1].key == entries[i].key) continue;
        entries[i].place.block ^= 1;
        return;
      }
    });
    expect_found(name, "when its connections begin", [](auto& blocks, auto&) { blocks.back().begins += 1; });
    expect_found(name, "when its connections end", [](auto& blocks, auto&) { blocks.front().ends -= 1; });
  }
}

// The book passes over what does not fit its blocks, and makes it anew: nobody believes that.
TEST_F(VerifyRunsTest, ARunOfOtherBlocksIsNobodysWord) {
  forge(names_[0], [](auto& blocks, auto& entries) {
    blocks[1].index_checksum ^= 1;
    entries.erase(entries.begin(), entries.begin() + 50);
  });
  EXPECT_FALSE(problem().has_value());
}

TEST_F(VerifyRunsTest, ADamagedRunIsNamed) {
  const std::filesystem::path path = folder_.path() / names_[1];
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(path));
  for (const std::streamoff offset : {std::streamoff{20}, std::streamoff{70}, size / 2, size - 1}) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(offset);
    const auto byte = static_cast<char>(file.get() ^ 4);
    file.seekp(offset).put(byte).flush();
    const auto found = problem();
    ASSERT_TRUE(found.has_value()) << offset;
    EXPECT_EQ(found->file, names_[1]);
    EXPECT_TRUE(found->offset.has_value()) << found->sentence;
    file.seekp(offset).put(static_cast<char>(byte ^ 4)).flush();
  }
  EXPECT_FALSE(problem().has_value());
}

}  // namespace
}  // namespace portbook

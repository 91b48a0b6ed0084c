// A folder with a random history in tiny sealed blocks, for tests of what finds rows in them.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "base/check.h"
#include "record/random_history.h"
#include "store/index_runs.h"
#include "store/seal.h"

namespace portbook {

class SealedHistory {
 public:
  SealedHistory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "portbook-test-XXXXXX").string();
    PB_CHECK(mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    disk_ = make_machine_disk(folder_);
  }
  ~SealedHistory() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  SealedHistory(const SealedHistory&) = delete;
  SealedHistory& operator=(const SealedHistory&) = delete;

  // Seals the next `rows` of `records`, and says what keys they have.
  BlockKeys seal(const std::vector<Record>& records, uint32_t rows) {
    Columns columns;
    for (uint32_t i = 0; i < rows; ++i) columns.append(records[size_ + i]);
    columns.publish();
    std::vector<SeqBreak> breaks;
    SourceSeqs seqs = seqs_;
    const BlockFacts facts = facts_of(columns, rows, seqs, breaks);
    auto sealed = seal_block(size_, columns, rows, facts.groups, seqs_, encode_columns);
    PB_CHECK(sealed.has_value());
    seqs_ = sealed->seqs;
    PB_CHECK(write_file(*disk_, segment_file_name(size_), sealed->file).has_value());
    const auto file = disk_->open_to_read(segment_file_name(size_));
    auto footer = read_segment_footer(**file);
    PB_CHECK(footer.has_value());
    blocks.push_back(std::make_shared<SealedBlock>(*disk_, cache_, std::move(*footer)));
    size_ += rows;
    return std::move(sealed->keys);
  }

  // All that is sealed and not dropped.
  [[nodiscard]] View view(std::shared_ptr<const RunList> runs) const {
    std::vector<BlockRef> refs;
    for (const auto& block : blocks) refs.push_back({block, block->footer().rows});
    return {size_, std::move(refs), std::move(runs)};
  }
  [[nodiscard]] Disk& disk() const { return *disk_; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] uint64_t size() const { return size_; }

  std::vector<std::shared_ptr<SealedBlock>> blocks;

 private:
  std::filesystem::path folder_;
  std::unique_ptr<Disk> disk_;
  BlockCache cache_{1 << 26};
  uint64_t size_ = 0;
  SourceSeqs seqs_;
};

}  // namespace portbook

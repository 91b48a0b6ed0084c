// A book's index runs: found at the start, made and merged as blocks are sealed, so that a look-up asks few of them.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "store/index_run.h"
#include "store/sealed_block.h"

namespace portbook {

inline constexpr size_t kRunFanout = 16;        // runs that become one
inline constexpr size_t kRunsInMemoryMax = 64;  // of one block each, some 300 KB; further blocks are asked themselves
inline constexpr uint64_t kFilteredEntriesMax = uint64_t{256} << 20;  // of all runs, a byte each; further runs are read
// While runs are merged: 1/256 of their entries, and twice the new file's bytes (some 4 bytes for each key of each block, about 60
// MB for 256 blocks).

// Thread-safe, but work() is called by one thread.
//
// A block's run stands in memory until kRunFanout of them have become a file; kRunFanout such files become one. Losing any of them
// costs no answer: blocks without a run are asked themselves until work() has made it anew.
class IndexRuns {
 public:
  // The disk must live as long as this.
  explicit IndexRuns(Disk& disk, size_t fanout = kRunFanout) : disk_(disk), fanout_(fanout) {}

  // The book's sealed blocks, ascending; opens the folder's runs that were made of them. Errors: kIo when the folder cannot be
  // listed.
  Status open(std::vector<std::shared_ptr<SealedBlock>> sealed);
  // A block was sealed; it follows the ones before.
  void add(std::shared_ptr<SealedBlock> block, const BlockKeys& keys);
  // Blocks below that record are dropped.
  void drop_below(uint64_t first_index);

  // What there is now; whoever has it may go on using it.
  [[nodiscard]] std::shared_ptr<const RunList> runs() const;

  // The next piece of work: a file removed that is none of ours any more, runs merged, a block's run made, a run's filter made.
  // False when there is none. Errors: kIo, kLimit (disk full): to be tried again later.
  Result<bool> work();

 private:
  using Run = std::shared_ptr<const IndexRun>;
  [[nodiscard]] bool fits(const IndexRun& run) const;
  [[nodiscard]] size_t level_of(const IndexRun& run) const;
  Status remove_spoiled();
  std::vector<Run> next_to_merge() const;
  Status merge(const std::vector<Run>& parts);
  std::shared_ptr<SealedBlock> next_without_run() const;
  Status make_run(SealedBlock& block);
  Run next_without_filter() const;
  void insert(Run run);
  // Takes them out of the list; their files are removed by work().
  void take_out(const std::vector<Run>& runs);

  Disk& disk_;
  const size_t fanout_;
  mutable std::mutex mutex_;                          // guards all that follows
  std::vector<std::shared_ptr<SealedBlock>> sealed_;  // ascending
  std::shared_ptr<const RunList> runs_ = std::make_shared<const RunList>();
  std::vector<std::string> leftovers_;  // files to remove
};

}  // namespace portbook

// The book looks at itself: sealed blocks are read from the disk again, one after the other and for ever, and held against the tree
// that is in memory; what indexes say of some of their records is held against the records. Finds what rots, not who rewrites: that
// is what `verify` and a checkpoint kept elsewhere are for.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "book/book.h"
#include "store/block_facts.h"
#include "store/disk.h"
#include "store/view.h"

namespace portbook {

// How long to wait after so many bytes, so that no more than `rate` a second are read on average. `rate` is not 0.
std::chrono::milliseconds pause_after(uint64_t bytes, uint64_t rate);

// next() is called by one thread, state() by any.
class SelfCheck {
 public:
  // The tree's hash of a group of 256 records that are sealed.
  using GroupHash = std::function<Hash(uint64_t group)>;
  // Told of each finding once: a sentence that names file and record.
  using Tell = std::function<void(const std::string& finding)>;

  // Disk and clock must live as long as this. `seed` chooses the records whose index entries are looked at.
  SelfCheck(Disk& disk, Clock& clock, GroupHash group_hash, Tell tell, uint64_t seed);

  // Checks the sealed block after the one before; how many bytes it read. 0: that was the last one, or none is sealed; the next
  // call begins anew.
  uint64_t next(const View& view);
  [[nodiscard]] SelfCheckState state() const;

 private:
  struct Looked {
    uint64_t bytes = 0;
    std::optional<std::string> fault;
  };
  Looked look(const View& view, size_t block);
  std::optional<std::string> look_at_rows(const View& view, size_t block, const Columns& columns, const BlockKeys& keys);
  void note(uint64_t first_index, const Looked& looked);
  void end_pass();

  Disk& disk_;
  Clock& clock_;
  const GroupHash group_hash_;
  const Tell tell_;

  // Owner: the checking thread.
  std::mt19937_64 random_;
  uint64_t next_index_ = 0;         // where the next block begins
  std::optional<SourceSeqs> seqs_;  // behind the block before; nothing where that was not read
  std::set<uint64_t> bad_blocks_;   // by first index

  mutable std::mutex mutex_;
  SelfCheckState state_;
};

}  // namespace portbook

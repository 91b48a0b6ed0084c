// Holds index runs against the blocks that they speak of. A run that fits a book's blocks is believed when a question is asked: one
// that leaves a key out would hide records, so that checksums are not enough.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/hash.h"
#include "base/result.h"
#include "store/index_run.h"
#include "store/segment.h"

namespace portbook {

// One thread; used once, for a book whose blocks were verified. Memory: some 100 bytes a block, and 1/256 of the entries of a run.
class RunCheck {
 public:
  // What a verified block's records say of its keys.
  void note_block(const SegmentFooter& footer, const BlockKeys& keys);

  struct Finding {
    std::string file;
    std::optional<uint64_t> record;  // the first of the block of which the run says something wrong
    std::string what;
  };
  // The first run of the folder that is damaged, or that would be believed and says something else of a block than its records do.
  // Runs of other blocks than the noted ones are passed over, as the book does. Errors: kIo.
  Result<std::optional<Finding>> check(Disk& disk) const;

 private:
  struct Noted {
    RunBlock block;
    Hash keys{};
  };
  [[nodiscard]] bool is_believed(const IndexRun& run) const;
  [[nodiscard]] Result<std::optional<Finding>> check_run(const std::string& name, const IndexRun& run) const;

  std::map<uint64_t, Noted> blocks_;  // by first index
};

}  // namespace portbook

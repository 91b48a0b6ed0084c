// Reads a book's folder into memory: sealed blocks, the records that stand only in the log, the tree, and how they fit the head.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "book/head.h"
#include "book/kept.h"
#include "merkle/checkpoint.h"
#include "store/disk.h"
#include "store/log.h"
#include "store/open_block.h"
#include "store/segment.h"

namespace portbook {

// Where a crash tore the log's last write: everything from there on was never signed.
struct TornTail {
  uint64_t serial = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::string reason;
};

struct LoadedBook {
  Verifier verifier;
  HeadSlot head;
  std::optional<std::string> bad_head_slot;          // what is wrong with the other slot
  TreeHead signed_head;                              // size and root that the head's note says
  Tree tree;                                         // over everything read
  std::vector<std::shared_ptr<OpenBlock>> unsealed;  // ascending; all but the last one full
  KeptFile kept;                                     // what is left of the records that retention removed
  std::vector<SegmentFooter> sealed;                 // ascending, from kept.kept.below on without a hole
  std::vector<std::string> leftovers;                // segments whose removal was cut short
  SourceSeqs last_seq;
  std::vector<Log::Existing> logs;
  std::optional<TornTail> torn;       // behind the signed size
  std::optional<std::string> damage;  // what cannot come from a crash: names file and place
};

enum class Beyond { kTakeIn, kIgnore };  // whole frames behind the signed size

// Reads the folder; needs no lock and changes nothing. Records that decode are there even if something is damaged.
// Errors: kNotFound (no book), kNewer, kDenied, kIo; kCorrupt when nothing at all can be said (no key, no head).
// `block_rows`: how many records an unsealed block takes.
Result<LoadedBook> load_book(Disk& disk, Beyond beyond, uint32_t block_rows = kBlockRowsMax);

}  // namespace portbook

// Writes a book as a C2SP tlog-tiles folder, which independent tools read: `checkpoint`, `vkey`, `tile/…`, `tile/entries/…`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "book/load.h"
#include "store/block_cache.h"
#include "store/view.h"

namespace portbook {

// The records of a book's newest signed checkpoint, read from its folder, at rest or while a process has it open.
struct Snapshot {
  std::unique_ptr<Disk> disk;
  std::unique_ptr<BlockCache> cache;
  Verifier verifier;
  std::string checkpoint;
  TreeHead head;
  View view;  // of head.size records; needs the two above
  Kept kept;  // what stands for the records that the view no longer has
};
// Errors: kNotFound (no book), kDenied, kIo, kNewer; kCorrupt: the folder is damaged.
Result<Snapshot> open_snapshot(const std::filesystem::path& folder);

// Writes the view into `target`, which is made (of records that are no longer kept only the tiles from level 1 up); what a longer
// log left there before is overwritten or stays. The checkpoint comes last, and only if the tiles lead to its root. Errors: those
// of the snapshot's view; kLimit (disk full), kDenied, kIo; kCorrupt.
Status export_tlog(const Snapshot& snapshot, const std::filesystem::path& target,
                   const std::function<void(uint64_t done, uint64_t total)>& progress = {});

}  // namespace portbook

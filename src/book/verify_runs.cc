#include "book/verify_runs.h"

#include <utility>
#include <vector>

namespace portbook {

namespace {

// The hash of a block's keys, ascending, with their marks: five bytes each. Hashes are made of stretches, so that many blocks can
// be hashed beside each other.
class KeysHash {
 public:
  void add(uint32_t key, KeyMarks marks) {
    append_little(bytes_, key);
    bytes_.push_back(marks);
    if (bytes_.size() >= kStretchBytes) fold();
  }
  Hash finish() {
    fold();
    return hash_;
  }

 private:
  static constexpr size_t kStretchBytes = size_t{5} * 2048;

  void fold() {
    hash_ = sha256(hash_, bytes_);
    bytes_.clear();
  }

  Bytes bytes_;
  Hash hash_{};
};

}  // namespace

void RunCheck::note_block(const SegmentFooter& footer, const BlockKeys& keys) {
  KeysHash hash;
  for (const BlockKeys::Entry& entry : keys.entries) hash.add(entry.key, entry.marks);
  blocks_.insert_or_assign(footer.first_index,
                           Noted{{footer.first_index, footer.rows, keys.begins, keys.ends, footer.index.checksum}, hash.finish()});
}

// As IndexRuns::fits(): of blocks that the book no longer has a run may speak as it likes.
bool RunCheck::is_believed(const IndexRun& run) const {
  bool any = false;
  for (const RunBlock& block : run.blocks()) {
    if (blocks_.empty() || block.first_index < blocks_.begin()->first) continue;
    const auto found = blocks_.find(block.first_index);
    if (found == blocks_.end()) return false;
    const RunBlock& own = found->second.block;
    if (block.rows != own.rows || block.index_checksum != own.index_checksum) return false;
    any = true;
  }
  return any;
}

Result<std::optional<RunCheck::Finding>> RunCheck::check_run(const std::string& name, const IndexRun& run) const {
  std::vector<KeysHash> hashes(run.blocks().size());
  std::vector<RunEntry> entries;
  for (unsigned byte = 0; byte < 256; ++byte) {
    entries.clear();
    if (Status read = run.read_part(static_cast<uint8_t>(byte), entries); !read) {
      if (read.error().code != ErrorCode::kCorrupt) return std::unexpected(read.error().in(name));
      return Finding{name, std::nullopt, read.error().message};
    }
    for (const RunEntry& entry : entries) hashes[entry.place.block].add(entry.key, entry.place.marks);
  }
  for (size_t i = 0; i < hashes.size(); ++i) {
    const RunBlock& block = run.blocks()[i];
    const auto own = blocks_.find(block.first_index);
    if (own == blocks_.end()) continue;
    if (block != own->second.block || hashes[i].finish() != own->second.keys) {
      return Finding{name, block.first_index, "the keys that it names in the block from there on are not the keys of its records"};
    }
  }
  return std::nullopt;
}

Result<std::optional<RunCheck::Finding>> RunCheck::check(Disk& disk) const {
  const auto names = disk.list();
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (!is_run_file_name(name)) continue;
    auto file = disk.open_to_read(name);
    if (!file && file.error().code == ErrorCode::kNotFound) continue;  // merged meanwhile
    if (!file) return std::unexpected(file.error());
    const auto run = IndexRun::open(std::move(*file));
    if (!run && run.error().code == ErrorCode::kNewer) continue;
    if (!run && run.error().code != ErrorCode::kCorrupt) return std::unexpected(run.error().in(name));
    if (!run) return Finding{name, std::nullopt, run.error().message};
    if (!is_believed(**run)) continue;
    auto found = check_run(name, **run);
    if (!found || *found) return found;
  }
  return std::nullopt;
}

}  // namespace portbook

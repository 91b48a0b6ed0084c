// An index run: which of a range of consecutive sealed blocks hold a key. Derived from the blocks, so it may be lost at any time.
// docs/formats/index_run.md has the offsets.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "store/block_keys.h"
#include "store/disk.h"
#include "store/key_filter.h"

namespace portbook {

inline constexpr uint32_t kIndexRunVersion = 1;
inline constexpr uint32_t kRunBlocksMax = 256;
inline constexpr unsigned kRunBucketBitsMax = 20;

// One of the blocks that a run is about.
struct RunBlock {
  uint64_t first_index = 0;
  uint32_t rows = 0;
  TimeNs begins = 0;  // as in BlockKeys
  TimeNs ends = 0;
  uint64_t index_checksum = 0;  // of the index in its segment: the run was made of that very block
  bool operator==(const RunBlock&) const = default;
};

// A block that holds the key.
struct KeyPlace {
  uint32_t block = 0;  // the run's n-th
  KeyMarks marks = 0;
  bool operator==(const KeyPlace&) const = default;
};

struct RunEntry {
  uint32_t key = 0;
  KeyPlace place;
};

// "index-FIRST-END" in fifteen decimal digits each: the records first to end - 1.
std::string run_file_name(uint64_t first, uint64_t end);
// Whether some run could have that name.
bool is_run_file_name(std::string_view name);

// Thread-safe once made. Reads from its file, and keeps in memory 8 bytes for some 64 to 128 entries; with a filter also one for
// each entry.
class IndexRun {
 public:
  // Takes the file. Errors: kIo; kCorrupt with the offset; kNewer.
  static Result<std::shared_ptr<const IndexRun>> open(std::unique_ptr<File> file);
  // A run of one block, held in memory, with its filter.
  static std::shared_ptr<const IndexRun> of_block(const RunBlock& block, const BlockKeys& keys);

  [[nodiscard]] const std::vector<RunBlock>& blocks() const { return blocks_; }
  [[nodiscard]] uint64_t first_index() const { return blocks_.front().first_index; }
  [[nodiscard]] uint64_t end_index() const { return blocks_.back().first_index + blocks_.back().rows; }
  [[nodiscard]] uint64_t entries() const { return entries_; }
  [[nodiscard]] bool in_memory() const { return !bytes_.empty(); }

  // Appends the blocks that hold the key, ascending; false when the run cannot be read, which spoiled() says from then on: its
  // blocks have to be asked themselves.
  bool find(RowKey key, std::vector<KeyPlace>& places) const;
  [[nodiscard]] bool spoiled() const { return spoiled_.load(std::memory_order_relaxed); }
  // Reads the run through, so that find() need not read for most of the keys that it does not have. By one thread. Errors: kIo and
  // kCorrupt, which spoiled() says too.
  Status make_filter() const;
  [[nodiscard]] bool has_filter() const { return filtered_.load(std::memory_order_acquire); }
  // Appends the entries of all keys whose highest byte is `byte`, ascending by key and block. Errors: kIo; kCorrupt.
  Status read_part(uint8_t byte, std::vector<RunEntry>& entries) const;

 private:
  IndexRun() = default;
  Status read_head();
  Status read_bucket(size_t bucket, Bytes& bytes) const;
  Status find_or_fail(RowKey key, std::vector<KeyPlace>& places) const;

  mutable std::atomic<bool> spoiled_{false};
  mutable std::atomic<bool> filtered_{false};  // filter_ is made, and changes no more
  mutable KeyFilter filter_;
  Bytes bytes_;  // of a run in memory
  std::unique_ptr<File> file_;
  uint64_t entries_ = 0;
  unsigned bucket_bits_ = 0;
  uint64_t buckets_offset_ = 0;
  struct Bucket {
    uint32_t end = 0;
    uint32_t checksum = 0;
  };
  std::vector<Bucket> directory_;
  std::vector<RunBlock> blocks_;
};

// Writes a run's bytes, entries in ascending order.
class IndexRunWriter {
 public:
  // `entries`: how many will be added.
  IndexRunWriter(std::vector<RunBlock> blocks, uint64_t entries);
  void add(const RunEntry& entry);
  Bytes finish();

 private:
  void write_key();

  std::vector<RunBlock> blocks_;
  uint64_t entries_;
  unsigned bucket_bits_;
  std::vector<KeyPlace> places_;  // of key_
  uint32_t key_ = 0;
  size_t bucket_ = 0;      // that is being written
  uint32_t last_key_ = 0;  // in that bucket
  std::vector<uint32_t> ends_;
  Bytes buckets_;
};

// One run's bytes for several that follow each other, at most kRunBlocksMax blocks in all. Errors: kIo; kCorrupt.
Result<Bytes> merge_runs(const std::vector<std::shared_ptr<const IndexRun>>& runs);

}  // namespace portbook

// The ledger: log, tree, head and blocks advance together, one commit after the other. Synchronous: threads are book.h's business.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "book/book.h"
#include "book/checked_batch.h"
#include "book/folder.h"
#include "book/handed_out.h"
#include "book/head.h"
#include "book/kept.h"
#include "book/load.h"
#include "book/own_records.h"
#include "book/reserve.h"
#include "merkle/tree.h"
#include "store/block_cache.h"
#include "store/connection_rows.h"
#include "store/index_runs.h"
#include "store/log.h"
#include "store/open_block.h"
#include "store/seal.h"
#include "store/sealed_block.h"

namespace portbook {

inline constexpr size_t kUnsealedBlocksMax = 8;  // some 25 MB each

struct LedgerOptions {
  std::string origin;  // of a new book
  std::string host;
  uint64_t log_file_bytes = kLogFileBytes;
  uint64_t reserve_bytes = kReserveBytes;
  uint32_t block_rows = kBlockRowsMax;  // records of a block; a multiple of 256
  uint64_t short_after_ns = kShortAfterNs;
  Keep keep = {};
  size_t block_cache_bytes = kBlockCacheBytes;
  size_t run_fanout = kRunFanout;
  Entropy entropy = machine_entropy;
  std::function<ClockState()> clock_state = machine_clock_state;
};

// commit() is called by one thread. Everything const, and node(), by any.
class Ledger {
 public:
  // Opens or makes the book in the disk's folder and settles crash or tamper: docs/formats/ledger.md has the table.
  // A tampered book opens read-only. Errors: kDenied, kIo, kLimit (disk full at the first start), kCorrupt, kNewer.
  static Result<std::unique_ptr<Ledger>> open(Disk& disk, Clock& clock, LedgerOptions options);

  // Commits batches as one: one write, one sync, one signature; a batch that cannot be accepted leaves the others unharmed. Also
  // writes what the book has to say itself, so that it is called with none too. The outcomes are in the order of the batches.
  // Errors of a batch: kBadInput (its sequence does not follow), kUnavailable (read-only), kIo (disk full, or broken).
  std::vector<Result<Receipt>> commit(std::span<const CheckedBatch> batches);

  // Seals the oldest full block: encoded, decoded, compared with the tree, written durably; then its log files are given back.
  // Called by one thread, which need not be the committing one. False when there is no full block. Errors: kLimit (disk full, try
  // again later); kIo; kCorrupt: what was encoded is not what was hashed. Then the raw log stays, an `admin` record says so, and
  // nothing more is sealed before the next start.
  Result<bool> seal_next(const EncodeColumns& encode = encode_columns);
  // Full blocks that are not sealed yet. From kUnsealedBlocksMax on commit() refuses batches.
  [[nodiscard]] size_t unsealed_blocks() const;
  // The next piece of work on the index runs, see IndexRuns::work(); nothing in a book that is read-only. Called by one thread,
  // which need be neither of the others.
  Result<bool> index_next();
  // Has the next commit record that sealed data is not as it was written.
  void record_finding(std::string_view finding);
  // Own records wait for a commit.
  [[nodiscard]] bool has_own_waiting() const;
  // The newest block has waited so long for being full that the next commit(), also one of nothing, makes it full as it is.
  [[nodiscard]] bool short_block_due() const;

  // The next step of what is to be done for LedgerOptions::keep: an `admin` record that says what is removed, then, once that is
  // signed, what stands for the records in their place, then the files of their blocks, oldest first. Each step may be the last one
  // before a crash. Called by the sealing thread. False when there is nothing to do now (own records may wait for a commit).
  // Errors: kLimit (disk full), kIo: try again later; kCorrupt: a block to be removed does not read, and stays.
  Result<bool> keep_next();
  // Somebody may hold the checkpoint of that size: it stays connectable after its records are gone.
  void note_handed_out(uint64_t size) { handed_out_.note(size); }
  // What stands for the records that are no longer kept.
  [[nodiscard]] std::shared_ptr<const Kept> kept() const;

  // What a question or a proof starts from: the records and the signed note of the same size.
  struct Published {
    View view;
    std::string checkpoint;
  };
  [[nodiscard]] Published published() const;
  [[nodiscard]] uint64_t last_seq(std::string_view source) const;
  // A whole subtree's hash of height >= 8, below the published size.
  [[nodiscard]] Hash node(unsigned height, uint64_t index) const;

  [[nodiscard]] const Verifier& verifier() const { return verifier_; }
  [[nodiscard]] const std::string& own_source() const { return own_.source(); }
  [[nodiscard]] const std::string& recovery_report() const { return recovery_report_; }
  [[nodiscard]] std::optional<std::string> read_only_reason() const;

 private:
  Ledger(Disk& disk, Clock& clock, LedgerOptions options);

  // One commit on its way.
  struct Plan;
  void plan_batches(std::span<const CheckedBatch> batches, Plan& plan);
  void plan_own(Plan& plan);
  void add_own(const Record& record, Plan& plan);
  Status make_room(Plan& plan);
  Status write(Plan& plan);
  void publish(const Plan& plan);

  void enter_disk_full(const Error& error);
  void leave_disk_full();
  void break_down(const Error& error);
  void say(std::string_view action, std::string_view message);

  Status make_book();
  Status take_over(LoadedBook loaded);
  Status recover(const LoadedBook& loaded);

  void cut_short();
  Result<std::shared_ptr<OpenBlock>> oldest_full() const;
  Result<Sealed> seal(const OpenBlock& block, const EncodeColumns& encode);
  Result<SegmentFooter> write_segment(uint64_t first_index, const Bytes& file);

  // A removal on its way.
  struct Removal {
    Kept kept;  // as it will be
    Bytes bytes;
    size_t blocks = 0;  // of sealed_
  };
  Result<bool> step_of_keeping();
  Result<size_t> blocks_to_remove();
  Result<bool> is_old(SealedBlock& block);
  Status plan_removal();
  Status add_to(Kept& kept, SealedBlock& block) const;
  Result<bool> remove_blocks();
  Result<bool> remove_leftover();

  Disk& disk_;
  Clock& clock_;
  const LedgerOptions options_;
  BlockCache cache_;
  const std::shared_ptr<ConnectionRows> connections_ = std::make_shared<ConnectionRows>();  // shared with views
  IndexRuns runs_;
  OwnRecords own_;
  std::unique_ptr<Signer> signer_;
  Verifier verifier_;
  std::string recovery_report_;
  HandedOut handed_out_;  // note() by any thread, the rest by the sealing one

  // Owner: the committing thread.
  Log log_;
  std::optional<HeadFile> head_file_;
  DiskReserve reserve_;
  FrameBuilder frame_;
  std::vector<uint32_t> lengths_;  // of the records in frame_
  std::vector<Hash> leaves_;
  Record record_;
  std::shared_ptr<OpenBlock> open_;  // the newest; kept even if it is full and sealed meanwhile
  uint64_t size_ = 0;
  bool disk_full_ = false;
  uint64_t refused_batches_ = 0;  // since the disk is full
  uint64_t refused_records_ = 0;

  mutable std::mutex tree_mutex_;
  Tree tree_;

  // Owner: the sealing thread.
  SourceSeqs sealed_seqs_;
  std::string last_seal_error_;
  std::deque<std::shared_ptr<SealedBlock>> sealed_;  // ascending
  std::optional<Removal> removal_;
  std::deque<std::string> leftovers_;  // files of removed blocks
  std::string last_keep_error_;
  TimeNs minute_noted_ = 0;
  struct Received {
    uint64_t first_index = UINT64_MAX;
    std::optional<TimeNs> newest;  // by its `batch` records
  } received_;                     // of the oldest block, once that was needed

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Block>> blocks_;       // sealed ones, then unsealed_
  std::deque<std::shared_ptr<OpenBlock>> unsealed_;  // all but the last one full
  std::optional<Error> sealing_stopped_;
  uint64_t published_size_ = 0;
  std::string checkpoint_;
  SourceSeqs last_seq_;
  std::shared_ptr<const Kept> kept_ = std::make_shared<const Kept>();  // shared with proofs under way
  std::shared_ptr<const Dropped> dropped_;                             // shared with views
  std::deque<Record> own_waiting_;                                     // own records for the next commit, without sequence numbers
  std::optional<std::string> read_only_;
  mutable View view_;  // of some published size; made again when asked for after that has grown
};

}  // namespace portbook

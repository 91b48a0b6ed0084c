// The book: one ledger with its store. The Merkle tree and the store advance together, in the order
// durable → read back → tree → signed head persisted → acknowledged.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "base/result.h"
#include "book/checked_batch.h"
#include "record/batch.h"
#include "store/block_cache.h"
#include "store/view.h"

namespace portbook {

inline constexpr uint64_t kSelfCheckRate = 256 * 1024;
// How long records are kept; 0: for ever. Whole sealed blocks go, oldest first.
struct Keep {
  // A block goes once its newest record is that old, or was received that long ago.
  uint64_t age_ns = 0;
  // The oldest blocks go while the files of all take more.
  uint64_t bytes = 0;
};

// So long after its first batch a block is sealed though it is not full, so that the age of what is kept can be obeyed.
inline constexpr uint64_t kShortAfterNs = 24 * 3600 * kNsPerSecond;

struct BookOptions {
  std::filesystem::path folder;                 // made if missing, mode 0700
  std::string origin;                           // key name and checkpoint origin of a new book; ignored for an existing one
  std::string host;                             // for the book's own records
  uint64_t log_file_bytes = 32 * 1024 * 1024;   // of one file of the write-ahead log, preallocated
  uint64_t reserve_bytes = 64 * 1024 * 1024;    // disk space kept back for the book's own records
  size_t block_cache_bytes = kBlockCacheBytes;  // of memory, for sealed blocks; see BlockCache
  uint64_t self_check_rate = kSelfCheckRate;    // bytes a second that the book reads of itself again; 0: none
  Keep keep = {};
};

inline constexpr uint64_t kStallNs = kNsPerSecond;

// Where an accepted batch stands in the ledger.
struct Receipt {
  uint64_t first_index = 0;
  uint32_t count = 0;
  uint64_t tree_size = 0;  // of the persisted checkpoint that covers it
};

inline constexpr size_t kFindingsMax = 16;  // that are kept in words; others are counted

// What the book's look at itself has come to since the start: docs/self_check.md.
struct SelfCheckState {
  uint64_t rate = 0;                   // bytes a second; 0: it does not look
  uint64_t blocks = 0;                 // checked
  uint64_t bytes = 0;                  // read for that
  uint64_t passes = 0;                 // over all sealed blocks of the book
  std::optional<TimeNs> pass_ended;    // the newest pass
  uint64_t findings = 0;               // blocks that are not as they were written
  std::vector<std::string> sentences;  // of the first kFindingsMax
};

struct InclusionProof {
  uint64_t index = 0;
  uint64_t size = 0;
  std::vector<Hash> hashes;  // lowest level first
  std::string checkpoint;    // the signed note of that size
};

// Thread-safe but where said. Destroying it finishes the commits under way.
class Book {
 public:
  // Opens or makes the book and settles crash or tamper (design: docs/formats/log.md). A tampered book opens read-only.
  // Errors: kDenied, kIo, kCorrupt (not a book), kNewer, kUnavailable (another process has it open).
  static Result<std::unique_ptr<Book>> open(const BookOptions& options, Clock& clock);
  virtual ~Book() = default;

  // Called from the book's writer thread once the batch is durable, signed and visible, or could not be accepted; from submit()
  // itself when the batch is not what it claims to be.
  using Done = std::function<void(const Result<Receipt>&)>;
  // Hands a batch to the writer thread; blocks while more than a bounded amount waits.
  // Done gets kBadInput (not canonical records, sequence not contiguous with last_seq), kUnavailable (read-only), kIo.
  virtual void submit(Batch batch, Done done) = 0;
  // The same for a batch that check_batch() has accepted.
  virtual void submit_checked(CheckedBatch batch, Done done) = 0;
  // submit() and wait.
  Result<Receipt> append(Batch batch);

  // The last source_seq accepted from that source; 0 for none.
  [[nodiscard]] virtual uint64_t last_seq(std::string_view source) const = 0;

  // Everything acknowledged so far.
  [[nodiscard]] virtual View view() const = 0;
  // Waits until the book has more than `size` records; false after `timeout`.
  virtual bool wait_beyond(uint64_t size, std::chrono::milliseconds timeout) = 0;
  // `listener` is called from the writer thread after each commit with the new size; must not block, nor call
  // listen or unlisten. Returns a token for unlisten.
  virtual uint64_t listen(std::function<void(uint64_t size)> listener) = 0;
  virtual void unlisten(uint64_t token) = 0;

  // The newest persisted signed checkpoint (a C2SP signed note).
  [[nodiscard]] virtual std::string checkpoint() const = 0;
  [[nodiscard]] virtual std::string vkey() const = 0;
  [[nodiscard]] virtual std::string origin() const = 0;
  // What open() found, as one sentence for a person; empty after a clean start.
  [[nodiscard]] virtual std::string recovery_report() const = 0;
  // Set when the book refuses writes, with the reason.
  [[nodiscard]] virtual std::optional<std::string> read_only_reason() const = 0;

  // Set while what sources hand over has waited for more than kStallNs: moments since then are not wholly in the book.
  struct Stall {
    TimeNs since = 0;
    std::string reason;  // one sentence's end, such as "the disk is full: …"
  };
  [[nodiscard]] virtual std::optional<Stall> stalled() const = 0;
  [[nodiscard]] virtual SelfCheckState self_check() const = 0;

  // In the tree of the newest checkpoint. Errors: kNotFound, kIo, kCorrupt.
  virtual Result<InclusionProof> prove(uint64_t index) = 0;
  // Hashes from `old_size` to `new_size`, without one to the newest checkpoint's size; `checkpoint` is the newest in any case.
  // Errors: kBadInput when old_size is 0 or above new_size, or that above the newest.
  virtual Result<InclusionProof> prove_consistency(uint64_t old_size, std::optional<uint64_t> new_size = std::nullopt) = 0;
  // Bytes of a C2SP tlog-tiles path below the log's root ("checkpoint", "tile/0/x001/067", "tile/entries/000.p/5").
  // Errors: kNotFound, kBadInput.
  virtual Result<Bytes> tile_file(std::string_view path) = 0;
};

}  // namespace portbook

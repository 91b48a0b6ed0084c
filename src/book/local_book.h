// A book on this machine's disk: the ledger with its threads and its lock.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <thread>

#include "book/book.h"
#include "book/ledger.h"
#include "book/self_check.h"

namespace portbook {

inline constexpr size_t kWaitingBytesMax = 64 * 1024 * 1024;  // of batches not yet committed; submit() blocks above that
inline constexpr size_t kCommitBytesMax = 4 * 1024 * 1024;    // no further batch joins a commit that has that much

inline constexpr std::chrono::seconds kSelfCheckPause{600};  // between two looks at the whole book

// Held while a process has the book open; freed by the kernel when the process ends.
class FolderLock {
 public:
  // Errors: kUnavailable (another process has it), kDenied, kIo.
  static Result<FolderLock> take(const std::filesystem::path& folder);
  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;
};

class LocalBook final : public Book {
 public:
  // `self_check_rate`: as in BookOptions.
  LocalBook(FolderLock lock, std::unique_ptr<Disk> disk, std::unique_ptr<Ledger> ledger, Clock& clock, uint64_t self_check_rate);
  ~LocalBook() override;

  void submit(Batch batch, Done done) override;
  void submit_checked(CheckedBatch batch, Done done) override;
  [[nodiscard]] uint64_t last_seq(std::string_view source) const override { return ledger_->last_seq(source); }
  [[nodiscard]] View view() const override { return ledger_->published().view; }
  bool wait_beyond(uint64_t size, std::chrono::milliseconds timeout) override;
  uint64_t listen(std::function<void(uint64_t size)> listener) override;
  void unlisten(uint64_t token) override;
  [[nodiscard]] std::string checkpoint() const override;
  [[nodiscard]] std::string vkey() const override { return to_vkey(ledger_->verifier()); }
  [[nodiscard]] std::string origin() const override { return ledger_->verifier().name; }
  [[nodiscard]] std::string recovery_report() const override { return ledger_->recovery_report(); }
  [[nodiscard]] std::optional<std::string> read_only_reason() const override { return ledger_->read_only_reason(); }
  [[nodiscard]] std::optional<Stall> stalled() const override;
  [[nodiscard]] SelfCheckState self_check() const override;
  Result<InclusionProof> prove(uint64_t index) override;
  Result<InclusionProof> prove_consistency(uint64_t old_size, std::optional<uint64_t> new_size) override;
  Result<Bytes> tile_file(std::string_view path) override;

 private:
  struct Waiting {
    CheckedBatch batch;
    Done done;
  };

  void write_until_stopped();
  void seal_until_stopped();
  void index_until_stopped();
  void check_until_stopped();
  void wait_for_sealer();
  void poke_writer();
  void commit_some(std::vector<Waiting>& taken);
  void tell(uint64_t size);
  void note_outcomes(TimeNs taken_at, const std::vector<Result<Receipt>>& outcomes);

  FolderLock lock_;
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<Ledger> ledger_;
  Clock& clock_;
  const uint64_t self_check_rate_;
  SelfCheck self_check_;

  std::mutex queue_mutex_;
  std::condition_variable queue_filled_;
  std::condition_variable queue_drained_;
  std::deque<Waiting> queue_;
  size_t queue_bytes_ = 0;
  bool stopping_ = false;
  bool poked_ = false;  // own records wait

  // Of the oldest batch that is not accepted, also while its source hands it over again and again. Under stall_mutex_.
  mutable std::mutex stall_mutex_;
  std::optional<TimeNs> unaccepted_since_;
  std::string refusal_;  // why the last commit failed; empty if it did not

  std::mutex sealer_mutex_;
  std::condition_variable sealer_woken_;  // full blocks, or stopping
  std::condition_variable sealer_done_;   // a block was sealed, or could not be
  bool sealer_stopping_ = false;
  bool sealer_poked_ = false;
  bool sealer_failing_ = false;
  std::condition_variable indexer_woken_;  // a block was sealed, or stopping
  bool indexer_poked_ = false;
  std::condition_variable checker_woken_;  // stopping

  std::mutex listeners_mutex_;
  std::condition_variable grown_;
  std::map<uint64_t, std::function<void(uint64_t)>> listeners_;
  uint64_t next_token_ = 1;
  uint64_t size_told_ = 0;

  std::thread writer_;  // last: they use all of the above
  std::thread sealer_;
  std::thread indexer_;
  std::thread checker_;
};

}  // namespace portbook

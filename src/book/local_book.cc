#include "book/local_book.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <latch>
#include <random>
#include <utility>

#include "book/prover.h"
#include "merkle/tile.h"
#include "record/cbor.h"

namespace portbook {

namespace {
constexpr std::chrono::seconds kSealRetry(1);
constexpr std::chrono::seconds kIndexRetry(10);
constexpr std::chrono::seconds kSelfCheckBegins(10);
constexpr int kSelfCheckNiceness = 19;
}  // namespace

Result<FolderLock> FolderLock::take(const std::filesystem::path& folder) {
  const std::string path = (folder / kLockFileName).string();
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    const bool denied = errno == EACCES || errno == EPERM || errno == EROFS;
    return fail(denied ? ErrorCode::kDenied : ErrorCode::kIo, fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  }
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return FolderLock(fd);
  const int error = errno;
  close(fd);
  if (error == EWOULDBLOCK)
    return fail(ErrorCode::kUnavailable, fmt::format("another process has the book in {} open", folder.string()));
  return fail(ErrorCode::kIo, fmt::format("cannot lock {}: {}", path, std::strerror(error)));
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) close(fd_);
}

LocalBook::LocalBook(FolderLock lock, std::unique_ptr<Disk> disk, std::unique_ptr<Ledger> ledger, Clock& clock,
                     uint64_t self_check_rate)
    : lock_(std::move(lock)),
      disk_(std::move(disk)),
      ledger_(std::move(ledger)),
      clock_(clock),
      self_check_rate_(self_check_rate),
      self_check_(
          *disk_, clock, [this](uint64_t group) { return ledger_->node(kGroupHeight, group); },
          [this](const std::string& finding) {
            ledger_->record_finding(finding);
            poke_writer();
          },
          std::random_device()()),
      size_told_(ledger_->published().view.size()) {
  writer_ = std::thread([this] { write_until_stopped(); });
  sealer_ = std::thread([this] { seal_until_stopped(); });
  indexer_ = std::thread([this] { index_until_stopped(); });
  if (self_check_rate_ == 0) return;
  // Its priority is lowered before the process gives up the right to that. Of a thread, which has a priority of its own on Linux:
  // setpriority(2), "C library/kernel differences". A failure leaves it as it was.
  std::latch lowered(1);
  checker_ = std::thread([this, &lowered] {
    setpriority(PRIO_PROCESS, 0, kSelfCheckNiceness);
    lowered.count_down();
    check_until_stopped();
  });
  lowered.wait();
}

LocalBook::~LocalBook() {
  {
    const std::lock_guard lock(queue_mutex_);
    stopping_ = true;
  }
  queue_filled_.notify_all();
  {
    const std::lock_guard lock(sealer_mutex_);
    sealer_stopping_ = true;
  }
  sealer_woken_.notify_all();
  indexer_woken_.notify_all();
  checker_woken_.notify_all();
  if (checker_.joinable()) checker_.join();
  writer_.join();
  sealer_.join();
  indexer_.join();
}

std::string LocalBook::checkpoint() const {
  auto [view, checkpoint] = ledger_->published();
  ledger_->note_handed_out(view.size());
  return checkpoint;
}

void LocalBook::submit(Batch batch, Done done) {
  auto checked = check_batch(std::move(batch));
  if (!checked) {
    done(std::unexpected(checked.error()));
    return;
  }
  submit_checked(std::move(*checked), std::move(done));
}

void LocalBook::submit_checked(CheckedBatch checked, Done done) {
  const size_t bytes = held_bytes(checked.batch.bytes.size(), checked.batch.count);
  {
    const std::lock_guard lock(stall_mutex_);
    if (!unaccepted_since_) unaccepted_since_ = clock_.now();
  }
  std::unique_lock lock(queue_mutex_);
  queue_drained_.wait(lock, [&] { return queue_bytes_ < kWaitingBytesMax; });
  queue_bytes_ += bytes;
  queue_.push_back({std::move(checked), std::move(done)});
  lock.unlock();
  queue_filled_.notify_one();
}

void LocalBook::write_until_stopped() {
  std::vector<Waiting> taken;
  while (true) {
    {
      std::unique_lock lock(queue_mutex_);
      queue_filled_.wait(lock, [&] { return stopping_ || poked_ || !queue_.empty(); });
      if (stopping_ && queue_.empty()) return;
      poked_ = false;
      size_t bytes = 0;
      while (!queue_.empty() && bytes < kCommitBytesMax) {
        const Batch& batch = queue_.front().batch.batch;
        bytes += batch.bytes.size();
        queue_bytes_ -= held_bytes(batch.bytes.size(), batch.count);
        taken.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    queue_drained_.notify_all();
    wait_for_sealer();
    commit_some(taken);
    taken.clear();
    {
      const std::lock_guard lock(sealer_mutex_);
      sealer_poked_ = true;
    }
    sealer_woken_.notify_one();
  }
}

// A sealer that falls behind slows the writer down; one that fails does not hold it: then the commit says why it is refused.
void LocalBook::wait_for_sealer() {
  std::unique_lock lock(sealer_mutex_);
  sealer_done_.wait(lock, [&] { return sealer_failing_ || sealer_stopping_ || ledger_->unsealed_blocks() < kUnsealedBlocksMax; });
}

void LocalBook::seal_until_stopped() {
  bool poked = false;  // the writer, for what waits; where that cannot be written it is poked again after a while only
  while (true) {
    const auto sealed = ledger_->seal_next();
    const auto kept = sealed && *sealed ? Result<bool>(false) : ledger_->keep_next();
    const bool waits = ledger_->has_own_waiting() || ledger_->short_block_due();
    if (waits && !poked) poke_writer();
    poked = waits;
    std::unique_lock lock(sealer_mutex_);
    sealer_failing_ = !sealed;
    sealer_done_.notify_all();
    if (sealer_stopping_) return;
    indexer_poked_ = indexer_poked_ || (sealed && *sealed);
    indexer_woken_.notify_one();
    if ((sealed && *sealed) || (kept && *kept)) continue;
    // A failure is tried again after a while, not with each commit.
    if (!sealer_woken_.wait_for(lock, kSealRetry, [&] { return sealer_stopping_ || (sealed && sealer_poked_); })) poked = false;
    sealer_poked_ = false;
  }
}

// Index runs only make questions quicker: what fails here is tried again later.
void LocalBook::index_until_stopped() {
  while (true) {
    const auto worked = ledger_->index_next();
    std::unique_lock lock(sealer_mutex_);
    if (sealer_stopping_) return;
    if (worked && *worked) continue;
    indexer_woken_.wait_for(lock, kIndexRetry, [&] { return sealer_stopping_ || (worked && indexer_poked_); });
    indexer_poked_ = false;
  }
}

// Reads at its rate, on average: what a block took is waited for before the next one.
void LocalBook::check_until_stopped() {
  std::chrono::milliseconds pause = kSelfCheckBegins;
  while (true) {
    {
      std::unique_lock lock(sealer_mutex_);
      if (checker_woken_.wait_for(lock, pause, [&] { return sealer_stopping_; })) return;
    }
    const uint64_t bytes = self_check_.next(ledger_->published().view);
    pause = bytes == 0 ? kSelfCheckPause : pause_after(bytes, self_check_rate_);
  }
}

SelfCheckState LocalBook::self_check() const {
  SelfCheckState state = self_check_.state();
  state.rate = self_check_rate_;
  return state;
}

void LocalBook::poke_writer() {
  const std::lock_guard lock(queue_mutex_);
  poked_ = true;
  queue_filled_.notify_one();
}

void LocalBook::commit_some(std::vector<Waiting>& taken) {
  std::vector<CheckedBatch> batches;
  batches.reserve(taken.size());
  for (Waiting& waiting : taken) batches.push_back(std::move(waiting.batch));
  const TimeNs taken_at = clock_.now();
  const auto outcomes = ledger_->commit(batches);
  note_outcomes(taken_at, outcomes);
  tell(ledger_->published().view.size());
  for (size_t i = 0; i < taken.size(); ++i) taken[i].done(outcomes[i]);
}

void LocalBook::note_outcomes(TimeNs taken_at, const std::vector<Result<Receipt>>& outcomes) {
  if (outcomes.empty()) return;
  std::string refusal;
  for (const auto& outcome : outcomes) {
    if (!outcome && outcome.error().code != ErrorCode::kBadInput) refusal = outcome.error().message;
  }
  bool more = false;
  {
    const std::lock_guard lock(queue_mutex_);
    more = !queue_.empty();
  }
  const std::lock_guard lock(stall_mutex_);
  // What waits now was handed over after these batches were taken.
  if (refusal.empty()) unaccepted_since_ = more ? std::optional(taken_at) : std::nullopt;
  if (!refusal.empty() && !unaccepted_since_) unaccepted_since_ = taken_at;
  refusal_ = std::move(refusal);
}

std::optional<Book::Stall> LocalBook::stalled() const {
  const std::lock_guard lock(stall_mutex_);
  if (!unaccepted_since_ || clock_.now() < *unaccepted_since_ + kStallNs) return std::nullopt;
  // Records are a little older than their batch.
  return Stall{*unaccepted_since_ - std::min(*unaccepted_since_, kStallNs),
               refusal_.empty() ? "the disk does not keep up" : refusal_};
}

void LocalBook::tell(uint64_t size) {
  std::unique_lock lock(listeners_mutex_);
  if (size == size_told_) return;
  size_told_ = size;
  grown_.notify_all();
  for (const auto& [token, listener] : listeners_) listener(size);
}

bool LocalBook::wait_beyond(uint64_t size, std::chrono::milliseconds timeout) {
  std::unique_lock lock(listeners_mutex_);
  return grown_.wait_for(lock, timeout, [&] { return size_told_ > size; });
}

uint64_t LocalBook::listen(std::function<void(uint64_t size)> listener) {
  const std::lock_guard lock(listeners_mutex_);
  listeners_.emplace(next_token_, std::move(listener));
  return next_token_++;
}

void LocalBook::unlisten(uint64_t token) {
  const std::lock_guard lock(listeners_mutex_);
  listeners_.erase(token);
}

Result<InclusionProof> LocalBook::prove(uint64_t index) {
  auto [view, checkpoint] = ledger_->published();
  if (index >= view.size()) {
    return fail(ErrorCode::kNotFound, fmt::format("there is no record {}: the book has {} records", index, view.size()));
  }
  if (index < view.first_index()) return fail(ErrorCode::kNotFound, fmt::format("record {} is no longer kept", index));
  ledger_->note_handed_out(view.size());
  LedgerNodes nodes(*ledger_, view);
  auto hashes = inclusion_proof(nodes, index, view.size());
  if (!hashes) return std::unexpected(hashes.error());
  return InclusionProof{index, view.size(), std::move(*hashes), std::move(checkpoint)};
}

Result<InclusionProof> LocalBook::prove_consistency(uint64_t old_size, std::optional<uint64_t> new_size) {
  auto [view, checkpoint] = ledger_->published();
  const uint64_t size = new_size.value_or(view.size());
  if (size > view.size()) return fail(ErrorCode::kBadInput, fmt::format("the book has {} records, not {}", view.size(), size));
  if (old_size == 0 || old_size > size)
    return fail(ErrorCode::kBadInput, fmt::format("a size from 1 to {} was expected, not {}", size, old_size));
  ledger_->note_handed_out(size);
  LedgerNodes nodes(*ledger_, view);
  auto hashes = consistency_proof(nodes, old_size, size);
  if (!hashes) return std::unexpected(hashes.error());
  return InclusionProof{old_size, size, std::move(*hashes), std::move(checkpoint)};
}

Result<Bytes> LocalBook::tile_file(std::string_view path) {
  const auto [view, checkpoint] = ledger_->published();
  if (path == "checkpoint") {
    ledger_->note_handed_out(view.size());
    return Bytes(checkpoint.begin(), checkpoint.end());
  }
  const auto parsed = parse_tile_path(path);
  if (!parsed) return std::unexpected(parsed.error());
  const auto missing = [&] { return fail(ErrorCode::kNotFound, fmt::format("a book of {} records has no {}", view.size(), path)); };
  if (const auto* tile = std::get_if<HashTile>(&*parsed)) {
    if (tile->width > tile_width_at(tile->level, tile->index, view.size())) return missing();
    LedgerNodes nodes(*ledger_, view);
    return tile_bytes(nodes, *tile);
  }
  const auto& bundle = std::get<EntryBundle>(*parsed);
  if (bundle.width > tile_width_at(0, bundle.index, view.size())) return missing();
  return entry_bundle(view, bundle);
}

Result<std::unique_ptr<Book>> Book::open(const BookOptions& options, Clock& clock) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(options.folder, error);
  if (error) {
    const bool denied = error == std::errc::permission_denied || error == std::errc::read_only_file_system;
    return fail(denied ? ErrorCode::kDenied : ErrorCode::kIo,
                fmt::format("cannot make {}: {}", options.folder.string(), error.message()));
  }
  if (made) std::filesystem::permissions(options.folder, std::filesystem::perms::owner_all, error);
  auto lock = FolderLock::take(options.folder);
  if (!lock) return std::unexpected(lock.error());
  auto disk = make_machine_disk(options.folder);
  LedgerOptions ledger_options;
  ledger_options.origin = options.origin;
  ledger_options.host = options.host;
  ledger_options.log_file_bytes = options.log_file_bytes;
  ledger_options.reserve_bytes = options.reserve_bytes;
  ledger_options.block_cache_bytes = options.block_cache_bytes;
  ledger_options.keep = options.keep;
  auto ledger = Ledger::open(*disk, clock, std::move(ledger_options));
  if (!ledger) return std::unexpected(ledger.error());
  return std::make_unique<LocalBook>(std::move(*lock), std::move(disk), std::move(*ledger), clock, options.self_check_rate);
}

Result<Receipt> Book::append(Batch batch) {
  std::promise<Result<Receipt>> promise;
  auto outcome = promise.get_future();
  submit(std::move(batch), [&](const Result<Receipt>& result) { promise.set_value(result); });
  return outcome.get();
}

}  // namespace portbook

#include "book/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "record/cbor.h"

namespace portbook {

// Batches of one source stand together, so that one `batch` record covers them.
struct Ledger::Plan {
  std::vector<Result<Receipt>> outcomes;
  uint64_t next_index = 0;
  SourceSeqs seqs;       // as they will be after the commit, for the sources in it
  size_t own_taken = 0;  // of own_waiting_
  uint64_t records_of_batches = 0;
  std::string checkpoint;
};

namespace {

std::unexpected<Error> not_following(const Batch& batch, uint64_t last) {
  return fail(ErrorCode::kBadInput,
              fmt::format("batch of {}: it begins with source_seq {} where {} follows", batch.source, batch.seq_first, last + 1));
}

// Indices of the batches, those of one source together, sources in order of appearance.
std::vector<size_t> by_source(std::span<const CheckedBatch> batches) {
  std::vector<std::string_view> sources;
  std::vector<std::pair<size_t, size_t>> order;
  for (size_t i = 0; i < batches.size(); ++i) {
    const auto known = std::ranges::find(sources, batches[i].batch.source);
    order.emplace_back(static_cast<size_t>(known - sources.begin()), i);
    if (known == sources.end()) sources.emplace_back(batches[i].batch.source);
  }
  std::ranges::sort(order);
  std::vector<size_t> indices;
  for (const auto& [source, index] : order) indices.push_back(index);
  return indices;
}

}  // namespace

Ledger::Ledger(Disk& disk, Clock& clock, LedgerOptions options)
    : disk_(disk),
      clock_(clock),
      options_(std::move(options)),
      cache_(options_.block_cache_bytes),
      runs_(disk, options_.run_fanout),
      own_(options_.host, clock, options_.clock_state),
      handed_out_(disk),
      log_(disk, options_.log_file_bytes),
      reserve_(disk, options_.reserve_bytes) {
  PB_CHECK(options_.block_rows % kGroupLeaves == 0);
}

uint64_t Ledger::last_seq(std::string_view source) const {
  const std::lock_guard lock(mutex_);
  const auto found = last_seq_.find(source);
  return found == last_seq_.end() ? 0 : found->second;
}

std::optional<std::string> Ledger::read_only_reason() const {
  const std::lock_guard lock(mutex_);
  return read_only_;
}

Ledger::Published Ledger::published() const {
  const std::lock_guard lock(mutex_);
  if (view_.size() != published_size_) {
    std::vector<BlockRef> refs;
    refs.reserve(blocks_.size());
    for (size_t i = 0; i < blocks_.size() && blocks_[i]->first_index() < published_size_; ++i) {
      const uint64_t end = i + 1 < blocks_.size() ? std::min(blocks_[i + 1]->first_index(), published_size_) : published_size_;
      refs.push_back({blocks_[i], static_cast<uint32_t>(end - blocks_[i]->first_index())});
    }
    view_ = View(published_size_, std::move(refs), runs_.runs(), connections_, dropped_);
  }
  return {view_, checkpoint_};
}

Hash Ledger::node(unsigned height, uint64_t index) const {
  const std::lock_guard lock(tree_mutex_);
  return tree_.node(height, index);
}

void Ledger::say(std::string_view action, std::string_view message) {
  const std::lock_guard lock(mutex_);
  own_waiting_.push_back(own_.admin(action, message));
}

void Ledger::record_finding(std::string_view finding) {
  say(kSelfCheckFound, fmt::format("Sealed data is not as it was written: {}.", finding));
}

std::vector<Result<Receipt>> Ledger::commit(std::span<const CheckedBatch> batches) {
  Plan plan;
  plan.next_index = size_;
  frame_.clear();
  lengths_.clear();
  leaves_.clear();
  const auto refuse_all = [&](ErrorCode code, const std::string& why) {
    return std::vector<Result<Receipt>>(batches.size(), fail(code, why));
  };
  if (const auto reason = read_only_reason()) return refuse_all(ErrorCode::kUnavailable, "the book is read-only: " + *reason);
  if (!batches.empty() && unsealed_blocks() >= kUnsealedBlocksMax) {
    return refuse_all(ErrorCode::kIo, fmt::format("{} full blocks could not be sealed yet", kUnsealedBlocksMax));
  }
  if (short_block_due()) cut_short();
  plan_batches(batches, plan);
  plan_own(plan);
  if (frame_.count() == 0) return std::move(plan.outcomes);
  if (Status room = make_room(plan); !room) {
    for (auto& outcome : plan.outcomes) {
      if (outcome) outcome = std::unexpected(room.error());
    }
    return std::move(plan.outcomes);
  }
  if (Status written = write(plan); !written) {
    break_down(written.error());
    return refuse_all(ErrorCode::kIo, written.error().message);
  }
  publish(plan);
  if (disk_full_ && plan.records_of_batches > 0) leave_disk_full();
  for (auto& outcome : plan.outcomes) {
    if (outcome) outcome->tree_size = size_;
  }
  return std::move(plan.outcomes);
}

void Ledger::plan_batches(std::span<const CheckedBatch> batches, Plan& plan) {
  plan.outcomes.assign(batches.size(), fail(ErrorCode::kUnavailable, ""));
  std::optional<OwnRecords::Accepted> accepted;
  const auto flush = [&] {
    if (accepted) add_own(own_.batch(*accepted), plan);
    accepted.reset();
  };
  for (const size_t i : by_source(batches)) {
    const CheckedBatch& checked = batches[i];
    const Batch& batch = checked.batch;
    auto& outcome = plan.outcomes[i];
    if (accepted && accepted->source != batch.source) flush();
    auto [seq, first_of_source] = plan.seqs.try_emplace(batch.source, 0);
    if (first_of_source) seq->second = last_seq(batch.source);
    if (batch.source == own_.source()) {
      outcome = fail(ErrorCode::kBadInput, fmt::format("{} is the book's own source", batch.source));
    } else if (batch.seq_first != seq->second + 1) {
      outcome = not_following(batch, seq->second);
    } else {
      outcome = Receipt{plan.next_index, batch.count, 0};
      if (!accepted) accepted = OwnRecords::Accepted{batch.source, plan.next_index, 0, batch.seq_first, 0};
      accepted->count += batch.count;
      accepted->seq_last = seq->second += batch.count;
      frame_.add(batch.bytes, batch.count);
      lengths_.insert(lengths_.end(), checked.lengths.begin(), checked.lengths.end());
      leaves_.insert(leaves_.end(), checked.leaves.begin(), checked.leaves.end());
      plan.next_index += batch.count;
      plan.records_of_batches += batch.count;
    }
  }
  flush();
}

void Ledger::plan_own(Plan& plan) {
  std::deque<Record> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting = own_waiting_;
  }
  for (const Record& record : waiting) add_own(record, plan);
  plan.own_taken = waiting.size();
}

void Ledger::add_own(const Record& record, Plan& plan) {
  auto [seq, first] = plan.seqs.try_emplace(own_.source(), 0);
  if (first) seq->second = last_seq(own_.source());
  record_ = record;
  record_.set(Field::kSourceSeq, ++seq->second);
  Bytes bytes;
  encode(record_, bytes);
  frame_.add(bytes, 1);
  lengths_.push_back(static_cast<uint32_t>(bytes.size()));
  leaves_.push_back(leaf_hash(bytes));
  ++plan.next_index;
}

Status Ledger::make_room(Plan& plan) {
  const bool own_only = plan.records_of_batches == 0;
  Status room;
  if (disk_full_ && !own_only) room = reserve_.hold();
  if (room) room = log_.make_room(frame_.payload_bytes(), size_, own_only);
  if (room) return {};
  if (room.error().code != ErrorCode::kLimit) {
    break_down(room.error());
    return fail(ErrorCode::kIo, room.error().message);
  }
  ++refused_batches_;
  refused_records_ += plan.records_of_batches;
  if (!disk_full_) enter_disk_full(room.error());
  return fail(ErrorCode::kIo, "the disk is full: " + room.error().message);
}

void Ledger::enter_disk_full(const Error& error) {
  disk_full_ = true;
  say("disk full",
      fmt::format("The disk is full: nothing but the book's own records is accepted until there is space. {}", error.message));
  commit({});
  {
    const std::lock_guard lock(mutex_);
    if (own_waiting_.empty() || read_only_) return;
  }
  // The current log file has no room left even for that: this is what the reserve is for.
  if (reserve_.release()) commit({});
}

void Ledger::leave_disk_full() {
  disk_full_ = false;
  say("disk has space", fmt::format("There is space on the disk again: {} commits with {} records were refused meanwhile.",
                                    refused_batches_, refused_records_));
  refused_batches_ = 0;
  refused_records_ = 0;
  commit({});
}

// The order that everything rests on: durable and read back, then the tree, then the signed head, and only then visible.
Status Ledger::write(Plan& plan) {
  if (Status done = log_.append(frame_, size_); !done) return done;
  TreeHead head;
  {
    const std::lock_guard lock(tree_mutex_);
    for (const Hash& leaf : leaves_) tree_.append_leaf(leaf);
    head = {tree_.size(), tree_.root()};
  }
  PB_CHECK(head.size == plan.next_index);
  auto note = sign_checkpoint(head, *signer_);
  if (!note) return std::unexpected(note.error());
  plan.checkpoint = *note;
  return head_file_->write(std::move(*note));
}

void Ledger::publish(const Plan& plan) {
  ByteView rest = frame_.payload();
  for (const uint32_t length : lengths_) {
    if (open_ == nullptr || open_->full()) {
      if (open_ != nullptr) open_->publish();
      open_ = std::make_shared<OpenBlock>(size_, options_.block_rows);
      const std::lock_guard lock(mutex_);
      blocks_.push_back(open_);
      unsealed_.push_back(open_);
    }
    const Status decoded = decode(rest.first(length), record_);
    PB_CHECK(decoded.has_value());
    open_->append(record_);
    rest = rest.subspan(length);
    ++size_;
  }
  open_->publish();
  const std::lock_guard lock(mutex_);
  for (const auto& [source, seq] : plan.seqs) {
    if (seq > 0) last_seq_.insert_or_assign(source, seq);
  }
  own_waiting_.erase(own_waiting_.begin(), own_waiting_.begin() + static_cast<ptrdiff_t>(plan.own_taken));
  published_size_ = size_;
  checkpoint_ = plan.checkpoint;
}

void Ledger::break_down(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (!read_only_) read_only_ = error.message;
}

}  // namespace portbook

// How a full block leaves memory and log for a segment file.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "book/ledger.h"
#include "store/memory_file.h"
#include "store/sealed_block.h"

namespace portbook {

size_t Ledger::unsealed_blocks() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(std::ranges::count_if(
      unsealed_, [&](const auto& block) { return block->first_index() + block->rows_max() <= published_size_; }));
}

bool Ledger::has_own_waiting() const {
  const std::lock_guard lock(mutex_);
  return !own_waiting_.empty();
}

// Null when there is none. Errors: why sealing stopped.
Result<std::shared_ptr<OpenBlock>> Ledger::oldest_full() const {
  const std::lock_guard lock(mutex_);
  if (sealing_stopped_) return std::unexpected(*sealing_stopped_);
  if (read_only_ || unsealed_.empty()) return nullptr;
  const auto& oldest = unsealed_.front();
  return oldest->first_index() + oldest->rows_max() <= published_size_ ? oldest : nullptr;
}

bool Ledger::short_block_due() const {
  const std::lock_guard lock(mutex_);
  if (read_only_ || sealing_stopped_ || unsealed_.empty() || unsealed_.size() > kUnsealedBlocksMax) return false;
  const OpenBlock& newest = *unsealed_.back();
  const auto since = newest.first_received();
  if (!since || *since + options_.short_after_ns > clock_.now()) return false;
  const uint64_t rows = published_size_ - newest.first_index();
  return rows >= kGroupLeaves && rows < newest.rows_max();
}

// The newest block ends with its last whole group of 256; what follows goes to a block of its own, which stands for it in every
// view from now on.
void Ledger::cut_short() {
  const uint32_t rows = open_->appended() / kGroupLeaves * kGroupLeaves;
  auto rest = std::make_shared<OpenBlock>(open_->first_index() + rows, options_.block_rows);
  for (uint32_t row = rows; row < open_->appended(); ++row) {
    open_->appended_columns().read(row, record_);
    rest->append(record_);
  }
  rest->publish();
  const std::lock_guard lock(mutex_);
  open_->shorten(rows);
  blocks_.push_back(rest);
  unsealed_.push_back(rest);
  open_ = std::move(rest);
  view_ = {};
}

Result<Sealed> Ledger::seal(const OpenBlock& block, const EncodeColumns& encode) {
  std::vector<Hash> groups;
  for (uint64_t i = 0; i < block.rows_max() / kGroupLeaves; ++i)
    groups.push_back(node(kGroupHeight, block.first_index() / kGroupLeaves + i));
  return seal_block(block.first_index(), block.appended_columns(), block.rows_max(), groups, sealed_seqs_, encode);
}

Result<SegmentFooter> Ledger::write_segment(uint64_t first_index, const Bytes& file) {
  const std::string name = segment_file_name(first_index);
  if (Status written = write_file(disk_, name, file); !written) return std::unexpected(written.error());
  MemoryFile memory(file);
  return read_segment_footer(memory);
}

Result<bool> Ledger::index_next() {
  if (read_only_reason()) return false;
  const auto worked = runs_.work();
  if (worked && *worked) {
    const std::lock_guard lock(mutex_);
    view_ = {};
  }
  return worked;
}

Result<bool> Ledger::seal_next(const EncodeColumns& encode) {
  const auto oldest = oldest_full();
  if (!oldest) return std::unexpected(oldest.error());
  if (!*oldest) return false;
  const std::shared_ptr<OpenBlock>& block = *oldest;
  auto sealed = seal(*block, encode);
  if (!sealed) {
    say("sealing stopped", fmt::format("A block was not sealed and its log is kept: {}.", sealed.error().message));
    const std::lock_guard lock(mutex_);
    sealing_stopped_ = sealed.error();
    return std::unexpected(sealed.error());
  }
  auto footer = write_segment(block->first_index(), sealed->file);
  if (!footer) {
    if (last_seal_error_ != footer.error().message) {
      last_seal_error_ = footer.error().message;
      say("sealing delayed", fmt::format("A full block could not be written and will be tried again: {}.", last_seal_error_));
    }
    return std::unexpected(footer.error());
  }
  last_seal_error_.clear();
  sealed_seqs_ = std::move(sealed->seqs);
  {
    const std::lock_guard lock(mutex_);
    const auto place = std::ranges::find(blocks_, std::static_pointer_cast<Block>(block));
    PB_CHECK(place != blocks_.end() && unsealed_.front() == block);
    auto sealed_block = std::make_shared<SealedBlock>(disk_, cache_, std::move(*footer));
    sealed_.push_back(sealed_block);
    runs_.add(sealed_block, sealed->keys);
    *place = std::move(sealed_block);
    unsealed_.pop_front();
    view_ = {};
  }
  if (Status released = log_.release_below(block->first_index() + block->rows_max()); !released)
    return std::unexpected(released.error());
  return true;
}

}  // namespace portbook

// How records leave the book: what retention removes, and what it leaves in their place.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "book/ledger.h"
#include "record/cbor.h"

namespace portbook {

namespace {

constexpr size_t kRemovedAtOnceMax = 256;  // blocks

std::string duration_text(uint64_t ns) {
  constexpr uint64_t kDayNs = 24 * 3600 * kNsPerSecond;
  if (ns % kDayNs == 0) return fmt::format("{} {}", ns / kDayNs, ns == kDayNs ? "day" : "days");
  return fmt::format("{} s", static_cast<double>(ns) / kNsPerSecond);
}

// What the book was told to keep, as a sentence's end.
std::string keep_text(const Keep& keep) {
  std::string text = "the book keeps ";
  if (keep.age_ns > 0) text += duration_text(keep.age_ns);
  if (keep.age_ns > 0 && keep.bytes > 0) text += " and ";
  if (keep.bytes > 0) text += fmt::format("{} bytes of sealed blocks", keep.bytes);
  return text;
}

}  // namespace

std::shared_ptr<const Kept> Ledger::kept() const {
  const std::lock_guard lock(mutex_);
  return kept_;
}

Result<bool> Ledger::keep_next() {
  if (read_only_reason()) return false;
  auto done = step_of_keeping();
  if (done) {
    last_keep_error_.clear();
  } else if (last_keep_error_ != done.error().message) {
    last_keep_error_ = done.error().message;
    say("removal delayed", fmt::format("Old records could not be removed; it will be tried again: {}.", last_keep_error_));
  }
  return done;
}

Result<bool> Ledger::step_of_keeping() {
  if (const TimeNs now = clock_.now(); now >= minute_noted_ + kHandedOutEveryNs) {
    const std::lock_guard lock(mutex_);
    minute_noted_ = now;
    handed_out_.note(published_size_);
  }
  if (Status written = handed_out_.write(); !written) return std::unexpected(written.error());
  if (!leftovers_.empty()) return remove_leftover();
  if (!removal_) {
    if (Status planned = plan_removal(); !planned) return std::unexpected(planned.error());
  }
  // Only what a signed record says may be done.
  if (!removal_ || has_own_waiting()) return false;
  return remove_blocks();
}

// Whether the block's newest record is older than what is to be kept. A record whose time lies ahead of the present does not hold
// its block for ever: then it counts when the book received it.
Result<bool> Ledger::is_old(SealedBlock& block) {
  const TimeNs now = clock_.now();
  // A record may say any time: nothing is added to it.
  const auto is_older = [&](TimeNs time) { return time <= now && now - time >= options_.keep.age_ns; };
  if (is_older(block.time_max())) return true;
  if (block.time_max() <= now) return false;
  if (received_.first_index != block.first_index()) {
    FieldSet wanted;
    wanted.add(Field::kReceived);
    const auto columns = block.columns(wanted);
    if (!columns) return std::unexpected(columns.error());
    received_ = {block.first_index(), std::nullopt};
    for (uint32_t row = 0; row < block.footer().rows; ++row) {
      if ((*columns)->has(row, Field::kReceived))
        received_.newest = std::max(received_.newest.value_or(0), (*columns)->uint(row, Field::kReceived));
    }
  }
  return received_.newest && is_older(*received_.newest);
}

Result<size_t> Ledger::blocks_to_remove() {
  const Keep& keep = options_.keep;
  if (keep.age_ns == 0 && keep.bytes == 0) return 0;
  uint64_t bytes = 0;
  for (const auto& block : sealed_) bytes += block->footer().file_bytes;
  size_t count = 0;
  for (; count < std::min(sealed_.size(), kRemovedAtOnceMax); ++count) {
    if (keep.bytes == 0 || bytes <= keep.bytes) {
      if (keep.age_ns == 0) break;
      const auto old = is_old(*sealed_[count]);
      if (!old) return std::unexpected(old.error());
      if (!*old) break;
    }
    bytes -= sealed_[count]->footer().file_bytes;
  }
  return count;
}

Status Ledger::plan_removal() {
  const auto blocks = blocks_to_remove();
  if (!blocks) return std::unexpected(blocks.error());
  if (*blocks == 0) return {};
  Removal removal{*kept(), {}, *blocks};
  const uint64_t first = removal.kept.below;
  for (size_t i = 0; i < *blocks; ++i) {
    if (Status added = add_to(removal.kept, *sealed_[i]); !added) return added;
  }
  removal.bytes = encode_kept(removal.kept);
  say(kRemovalAction,
      fmt::format("Records {} to {}, the newest of {}, are removed: {}. SHA-256 of what stands for them, the file {}: {}.", first,
                  removal.kept.below - 1, format_time(removal.kept.until), keep_text(options_.keep), kKeptFileName,
                  hex(sha256(removal.bytes))));
  removal_ = std::move(removal);
  return {};
}

Status Ledger::add_to(Kept& kept, SealedBlock& block) const {
  const SegmentFooter& footer = block.footer();
  PB_CHECK(footer.first_index == kept.below);
  std::shared_ptr<const Columns> columns;
  const std::vector<uint64_t> sizes = handed_out_.between(footer.first_index, footer.first_index + footer.rows);
  for (auto next = sizes.begin(); next != sizes.end();) {
    if (!columns) {
      auto read = block.columns(kEveryField);
      if (!read) return std::unexpected(read.error());
      columns = std::move(*read);
    }
    const uint64_t group = *next / kGroupLeaves;
    std::vector<uint8_t> inside;
    for (; next != sizes.end() && *next / kGroupLeaves == group; ++next)
      inside.push_back(static_cast<uint8_t>(*next % kGroupLeaves));
    std::vector<Hash> leaves;
    Record record;
    Bytes bytes;
    for (uint64_t i = 0; i < kGroupLeaves; ++i) {
      columns->read(static_cast<uint32_t>(group * kGroupLeaves + i - footer.first_index), record);
      bytes.clear();
      encode(record, bytes);
      leaves.push_back(leaf_hash(bytes));
    }
    kept.cut_groups.push_back(cut_group(group, std::move(inside), leaves));
    if (hash_of(kept.cut_groups.back()) != node(kGroupHeight, group)) {
      return fail(ErrorCode::kCorrupt, fmt::format("{}: the 256 records from {} on are not the ones that were hashed",
                                                   segment_file_name(footer.first_index), group * kGroupLeaves));
    }
  }
  kept.groups.insert(kept.groups.end(), footer.groups.begin(), footer.groups.end());
  kept.below += footer.rows;
  kept.until = std::max(kept.until, std::min(block.time_max(), clock_.now()));
  kept.seqs = footer.seqs;
  return {};
}

Result<bool> Ledger::remove_blocks() {
  if (Status written = write_file(disk_, kKeptFileName, removal_->bytes); !written) return std::unexpected(written.error());
  // Questions under way go on with what they began with.
  for (size_t i = 0; i < removal_->blocks; ++i) {
    if (Status held = sealed_[i]->hold(); !held) return std::unexpected(held.error());
  }
  const uint64_t below = removal_->kept.below;
  const auto count = static_cast<ptrdiff_t>(removal_->blocks);
  for (auto block = sealed_.begin(); block != sealed_.begin() + count; ++block)
    leftovers_.push_back(segment_file_name((*block)->first_index()));
  {
    const std::lock_guard lock(mutex_);
    dropped_ = std::make_shared<const Dropped>(dropped_of(removal_->kept));
    kept_ = std::make_shared<const Kept>(std::move(removal_->kept));
    blocks_.erase(blocks_.begin(), blocks_.begin() + count);
    runs_.drop_below(below);
    view_ = {};
  }
  sealed_.erase(sealed_.begin(), sealed_.begin() + count);
  removal_.reset();
  if (Status forgotten = handed_out_.forget_below(below); !forgotten) return std::unexpected(forgotten.error());
  return true;
}

Result<bool> Ledger::remove_leftover() {
  if (Status removed = disk_.remove(leftovers_.front()); !removed) return std::unexpected(removed.error());
  leftovers_.pop_front();
  if (leftovers_.empty()) {
    if (Status synced = disk_.sync_names(); !synced) return std::unexpected(synced.error());
  }
  return true;
}

}  // namespace portbook

#include "book/self_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "book/block_check.h"
#include "merkle/tree.h"
#include "store/row_keys.h"

namespace portbook {

namespace {

constexpr int kRowsSampled = 8;
constexpr int kUnknownKeysSampled = 8;

bool holds(const std::vector<uint32_t>& rows, uint32_t row) {
  return std::ranges::binary_search(rows, row);
}

}  // namespace

std::chrono::milliseconds pause_after(uint64_t bytes, uint64_t rate) {
  return std::chrono::milliseconds(static_cast<int64_t>((bytes * 1000 + rate - 1) / rate));
}

SelfCheck::SelfCheck(Disk& disk, Clock& clock, GroupHash group_hash, Tell tell, uint64_t seed)
    : disk_(disk), clock_(clock), group_hash_(std::move(group_hash)), tell_(std::move(tell)), random_(seed) {}

SelfCheckState SelfCheck::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

uint64_t SelfCheck::next(const View& view) {
  const auto blocks = view.blocks();
  auto at = std::ranges::lower_bound(blocks, next_index_, {}, [](const BlockRef& ref) { return ref.block->first_index(); });
  if (at == blocks.end() || !at->block->sealed_rows()) {
    if (next_index_ > view.first_index()) end_pass();
    next_index_ = 0;
    seqs_.reset();
    return 0;
  }
  const uint64_t first = at->block->first_index();
  if (first == 0) seqs_ = SourceSeqs();
  const Looked looked = look(view, static_cast<size_t>(at - blocks.begin()));
  if (looked.fault) seqs_.reset();
  next_index_ = first + *at->block->sealed_rows();
  note(first, looked);
  return std::max<uint64_t>(looked.bytes, 1);
}

SelfCheck::Looked SelfCheck::look(const View& view, size_t block) {
  const uint64_t first = view.blocks()[block].block->first_index();
  const std::string name = segment_file_name(first);
  const auto in_file = [&](const Error& error) { return Looked{0, fmt::format("{}: {}", name, error.message)}; };
  const auto file = disk_.open_to_read(name);
  if (!file && view.blocks()[block].block->is_dropped()) {
    seqs_.reset();
    return {};
  }
  if (!file) return in_file(file.error());
  (*file)->forget_cached();
  const auto footer = read_segment_footer(**file);
  if (!footer) return in_file(footer.error());
  if (footer->first_index != first || footer->rows != *view.blocks()[block].block->sealed_rows())
    return {0, fmt::format("{}: it is the file of another block", name)};
  const auto columns = read_segment_columns(**file, *footer);
  if (!columns) return in_file(columns.error());
  const auto index = read_segment_section(**file, footer->index);
  if (!index) return in_file(index.error());
  const uint64_t bytes = (*file)->size().value_or(0);
  std::vector<SeqBreak> breaks;
  SourceSeqs seqs = seqs_.value_or(SourceSeqs());
  const BlockFacts facts = facts_of(**columns, footer->rows, seqs, breaks);
  if (!seqs_) {  // where the sequences came from is not known here; the block before is checked for that
    breaks.clear();
    seqs = footer->seqs;
  }
  for (size_t i = 0; i < facts.groups.size(); ++i) {
    const uint64_t record = first + i * kGroupLeaves;
    if (facts.groups[i] == group_hash_(record / kGroupLeaves)) continue;
    return {bytes, fmt::format("{}, record {}: the 256 records from here on are not the ones that were hashed", name, record)};
  }
  if (const auto fault = find_fault(*footer, facts, *index, seqs, breaks))
    return {bytes, fmt::format("{}, offset {}, record {}: {}", name, fault->offset, fault->record, fault->what)};
  seqs_ = std::move(seqs);
  return {bytes, look_at_rows(view, block, **columns, facts.keys)};
}

// As a question looks: through the index runs to the block, and in the block's index to the row.
std::optional<std::string> SelfCheck::look_at_rows(const View& view, size_t block, const Columns& columns, const BlockKeys& keys) {
  const BlockRef& ref = view.blocks()[block];
  const uint64_t first = ref.block->first_index();
  Record record;
  RowKeys of_row;
  std::vector<uint32_t> rows;
  for (int i = 0; i < kRowsSampled; ++i) {
    const auto row = static_cast<uint32_t>(random_() % columns.rows());
    columns.read(row, record);
    of_row.of(record);
    for (const RowKey key : of_row.all()) {
      const auto found = view.blocks_with(key, {.index_from = first});
      if (std::ranges::find(found, block, &View::KeyBlock::block) == found.end())
        return fmt::format("index run, record {}: a question for one of its endpoints or names passes over its block", first + row);
      rows.clear();
      if (Status read = ref.block->rows_with(key, ref.rows, rows); !read) return read.error().message;
      if (!holds(rows, row)) return fmt::format("{}, record {}: its index does not name it", segment_file_name(first), first + row);
    }
  }
  for (int i = 0; i < kUnknownKeysSampled; ++i) {
    const RowKey key = random_();
    const auto upper = static_cast<uint32_t>(key >> 32);
    if (std::ranges::binary_search(keys.entries, upper, {}, &BlockKeys::Entry::key)) continue;
    rows.clear();
    if (Status read = ref.block->rows_with(key, ref.rows, rows); !read) return read.error().message;
    if (!rows.empty())
      return fmt::format("{}, record {}: its index names rows that are not", segment_file_name(first), first + rows[0]);
  }
  return std::nullopt;
}

void SelfCheck::note(uint64_t first_index, const Looked& looked) {
  const bool is_new = looked.fault && bad_blocks_.insert(first_index).second;
  {
    const std::lock_guard lock(mutex_);
    ++state_.blocks;
    state_.bytes += looked.bytes;
    if (is_new) {
      ++state_.findings;
      if (state_.sentences.size() < kFindingsMax) state_.sentences.push_back(*looked.fault);
    }
  }
  if (is_new) tell_(*looked.fault);
}

void SelfCheck::end_pass() {
  const std::lock_guard lock(mutex_);
  ++state_.passes;
  state_.pass_ended = clock_.now();
}

}  // namespace portbook

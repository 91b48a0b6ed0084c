#include "store/index_runs.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

RunBlock run_block_of(const SegmentFooter& footer, TimeNs begins, TimeNs ends) {
  return {footer.first_index, footer.rows, begins, ends, footer.index.checksum};
}

std::string name_of(const IndexRun& run) {
  return run_file_name(run.first_index(), run.end_index());
}

}  // namespace

// Whether every block that it names is the one that the book has; dropped ones do not count, but for one that still counts.
bool IndexRuns::fits(const IndexRun& run) const {
  bool any = false;
  for (const RunBlock& block : run.blocks()) {
    if (sealed_.empty() || block.first_index < sealed_.front()->first_index()) continue;
    const auto found = std::ranges::lower_bound(sealed_, block.first_index, {}, [](const auto& one) { return one->first_index(); });
    if (found == sealed_.end()) return false;
    const SegmentFooter& footer = (*found)->footer();
    if (run_block_of(footer, block.begins, block.ends) != block) return false;
    any = true;
  }
  return any;
}

Status IndexRuns::open(std::vector<std::shared_ptr<SealedBlock>> sealed) {
  const auto names = disk_.list();
  if (!names) return std::unexpected(names.error());
  const std::lock_guard lock(mutex_);
  sealed_ = std::move(sealed);
  RunList found;
  for (const std::string& name : *names) {
    const bool unfinished = name.ends_with(".new") && is_run_file_name(std::string_view(name).substr(0, name.size() - 4));
    if (unfinished) leftovers_.push_back(name);
    if (unfinished || !is_run_file_name(name)) continue;
    auto file = disk_.open_to_read(name);
    auto run = file ? IndexRun::open(std::move(*file)) : std::unexpected(file.error());
    if (run && fits(**run) && name_of(**run) == name) {
      found.push_back(std::move(*run));
    } else {
      leftovers_.push_back(name);
    }
  }
  // The larger ones were made of the smaller ones.
  std::ranges::sort(found, std::greater<>(), [](const Run& run) { return std::pair(run->blocks().size(), run->first_index()); });
  RunList kept;
  for (Run& run : found) {
    const bool doubled = std::ranges::any_of(
        kept, [&](const Run& other) { return other->first_index() < run->end_index() && run->first_index() < other->end_index(); });
    if (doubled) leftovers_.push_back(name_of(*run));
    if (!doubled) kept.push_back(std::move(run));
  }
  std::ranges::sort(kept, {}, [](const Run& run) { return run->first_index(); });
  runs_ = std::make_shared<const RunList>(std::move(kept));
  return {};
}

std::shared_ptr<const RunList> IndexRuns::runs() const {
  const std::lock_guard lock(mutex_);
  return runs_;
}

void IndexRuns::insert(Run run) {
  RunList changed = *runs_;
  const auto place = std::ranges::upper_bound(changed, run->first_index(), {}, [](const Run& one) { return one->first_index(); });
  changed.insert(place, std::move(run));
  runs_ = std::make_shared<const RunList>(std::move(changed));
}

void IndexRuns::take_out(const std::vector<Run>& runs) {
  RunList changed = *runs_;
  std::erase_if(changed, [&](const Run& one) { return std::ranges::find(runs, one) != runs.end(); });
  for (const Run& run : runs) {
    if (!run->in_memory()) leftovers_.push_back(name_of(*run));
  }
  runs_ = std::make_shared<const RunList>(std::move(changed));
}

void IndexRuns::add(std::shared_ptr<SealedBlock> block, const BlockKeys& keys) {
  const auto run = IndexRun::of_block(run_block_of(block->footer(), keys.begins, keys.ends), keys);
  const std::lock_guard lock(mutex_);
  sealed_.push_back(std::move(block));
  if (std::ranges::count_if(*runs_, &IndexRun::in_memory, &Run::operator*) < static_cast<ptrdiff_t>(kRunsInMemoryMax)) insert(run);
}

void IndexRuns::drop_below(uint64_t first_index) {
  const std::lock_guard lock(mutex_);
  std::erase_if(sealed_, [&](const auto& block) { return block->first_index() < first_index; });
  std::vector<Run> below;
  std::ranges::copy_if(*runs_, std::back_inserter(below), [&](const Run& run) { return run->end_index() <= first_index; });
  take_out(below);
}

size_t IndexRuns::level_of(const IndexRun& run) const {
  size_t level = 0;
  for (size_t blocks = run.blocks().size(); blocks >= fanout_; blocks /= fanout_) ++level;
  return level;
}

std::vector<IndexRuns::Run> IndexRuns::next_to_merge() const {
  const std::lock_guard lock(mutex_);
  std::vector<Run> parts;
  size_t blocks = 0;
  for (const Run& run : *runs_) {
    if (!parts.empty() && (level_of(*parts.back()) != level_of(*run) || parts.back()->end_index() != run->first_index() ||
                           blocks + run->blocks().size() > kRunBlocksMax)) {
      parts.clear();
      blocks = 0;
    }
    parts.push_back(run);
    blocks += run->blocks().size();
    if (parts.size() == fanout_ && blocks <= kRunBlocksMax) return parts;
  }
  return {};
}

Status IndexRuns::merge(const std::vector<Run>& parts) {
  auto bytes = merge_runs(parts);
  if (!bytes) {
    // One of them cannot be read: look for it with the next step.
    const std::lock_guard lock(mutex_);
    take_out(parts);
    return {};
  }
  const std::string name = run_file_name(parts.front()->first_index(), parts.back()->end_index());
  if (Status written = write_file(disk_, name, *bytes); !written) return written;
  auto file = disk_.open_to_read(name);
  if (!file) return std::unexpected(file.error());
  auto run = IndexRun::open(std::move(*file));
  if (!run) return fail_in(name, run);
  const std::lock_guard lock(mutex_);
  const bool all_there =
      std::ranges::all_of(parts, [&](const Run& part) { return std::ranges::find(*runs_, part) != runs_->end(); });
  if (!all_there) {  // some were dropped meanwhile
    leftovers_.push_back(name);
    return {};
  }
  take_out(parts);
  insert(std::move(*run));
  return {};
}

std::shared_ptr<SealedBlock> IndexRuns::next_without_run() const {
  const std::lock_guard lock(mutex_);
  if (std::ranges::count_if(*runs_, &IndexRun::in_memory, &Run::operator*) >= static_cast<ptrdiff_t>(kRunsInMemoryMax))
    return nullptr;
  auto run = runs_->begin();
  for (const auto& block : sealed_) {
    while (run != runs_->end() && (*run)->end_index() <= block->first_index()) ++run;
    if (run == runs_->end() || (*run)->first_index() > block->first_index()) return block;
  }
  return nullptr;
}

Status IndexRuns::make_run(SealedBlock& block) {
  const auto columns = block.columns(kEveryField);
  if (!columns) return std::unexpected(columns.error());
  const BlockKeys keys = keys_of(**columns, block.footer().rows);
  auto run = IndexRun::of_block(run_block_of(block.footer(), keys.begins, keys.ends), keys);
  const std::lock_guard lock(mutex_);
  if (!sealed_.empty() && sealed_.front()->first_index() <= run->first_index()) insert(std::move(run));
  return {};
}

IndexRuns::Run IndexRuns::next_without_filter() const {
  const std::lock_guard lock(mutex_);
  uint64_t entries = 0;
  for (const Run& run : *runs_) entries += run->has_filter() ? run->entries() : 0;
  for (const Run& run : *runs_) {
    if (!run->has_filter() && entries + run->entries() <= kFilteredEntriesMax) return run;
  }
  return nullptr;
}

Status IndexRuns::remove_spoiled() {
  std::vector<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    std::vector<Run> spoiled;
    std::ranges::copy_if(*runs_, std::back_inserter(spoiled), [](const Run& run) { return run->spoiled(); });
    if (!spoiled.empty()) take_out(spoiled);
    names = leftovers_;
  }
  for (const std::string& name : names) {
    if (Status removed = disk_.remove(name); !removed) return removed;
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(leftovers_, [&](const std::string& name) { return std::ranges::find(names, name) != names.end(); });
  return {};
}

Result<bool> IndexRuns::work() {
  if (Status removed = remove_spoiled(); !removed) return std::unexpected(removed.error());
  if (const auto parts = next_to_merge(); !parts.empty()) {
    if (Status merged = merge(parts); !merged) return std::unexpected(merged.error());
    return true;
  }
  if (const auto block = next_without_run()) {
    if (Status made = make_run(*block); !made) return std::unexpected(made.error());
    return true;
  }
  if (const Run run = next_without_filter()) {
    if (!run->make_filter()) PB_CHECK(run->spoiled());  // the next piece takes it out
    return true;
  }
  return false;
}

}  // namespace portbook

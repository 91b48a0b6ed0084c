// One question's rows, counted by several threads: each takes block after block and counts into tables of its own.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "query/count.h"

namespace portbook {

inline constexpr size_t kScanThreads = 2;          // of one question, the asking one among them
inline constexpr size_t kScanBlocksPerThread = 2;  // fewer are not worth a thread

// How many parts are worth it. A question that ends after so many rows has to take them from the newest on: one.
inline size_t scan_parts(const View& view, const CountLimits& limits) {
  if (limits.rows < view.size()) return 1;
  return std::clamp<size_t>(view.blocks().size() / kScanBlocksPerThread, 1, kScanThreads);
}

struct Scanned {
  uint64_t rows = 0;
  bool cut = false;  // a limit was met
};

// Counts the matching rows of the view: calls part.add(columns, first, rows) as Search::scan() does. A Part has also a member
// `search`, over the same view, and may take a whole block at once: part.add_block(ref, rows) as Search::scan_narrow() does. One
// part gets the rows newest first; several, each in a thread, whole blocks in any order. Errors: kIo, kCorrupt of a block.
template <typename Part>
Result<Scanned> scan_in_parts(const View& view, std::span<const std::unique_ptr<Part>> parts, const CountLimits& limits) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kSlice = std::chrono::milliseconds(5);
  const auto stop_at = Clock::now() + limits.time;
  if (limits.cancelled()) return Scanned{.rows = 0, .cut = true};
  // Half of the time is left to count what can be counted without it.
  const auto prepare_until = Clock::now() + limits.time / 2;
  if (Status prepared = parts.front()->search.prepare(prepare_until); !prepared) return std::unexpected(prepared.error());
  std::atomic<size_t> next = 0;  // blocks that were taken, newest first
  std::atomic<bool> stop = false;
  std::vector<Scanned> scanned(parts.size());
  std::vector<Status> failed(parts.size());
  const bool by_block = limits.rows >= view.size();
  const auto run = [&](size_t which) {
    Part& part = *parts[which];
    Scanned& here = scanned[which];
    if (failed[which] = part.search.prepare(Clock::now() + kSlice); !failed[which]) stop = true;
    while (!stop) {
      if (by_block) {
        const size_t taken = next++;
        if (taken >= view.blocks().size()) return;
        if (Clock::now() >= stop_at || (which == 0 && limits.cancelled())) {
          here.cut = true;
          stop = true;
          return;
        }
        const BlockRef& ref = view.blocks()[view.blocks().size() - 1 - taken];
        const auto whole = part.add_block(ref, here.rows);
        if (!whole) failed[which] = std::unexpected(whole.error());
        if (!whole) stop = true;
        if (!whole || *whole) continue;
        part.search.look_at(ref);
      }
      while (!stop) {
        const auto done = part.search.scan(kSlice, [&](const Columns& columns, uint64_t first, std::span<const uint32_t> rows) {
          const size_t counted = std::min<uint64_t>(rows.size(), limits.rows - here.rows);
          here.rows += counted;
          part.add(columns, first, rows.last(counted));
        });
        if (!done) failed[which] = std::unexpected(done.error());
        if (!done) stop = true;
        if (!by_block && here.rows >= limits.rows) here.cut = true;
        if (here.cut || (done && *done)) break;
        if (Clock::now() >= stop_at || (which == 0 && limits.cancelled())) {
          here.cut = true;
          stop = true;
        }
      }
      if (!by_block) return;
    }
  };
  {
    std::vector<std::jthread> others;
    for (size_t which = 1; which < parts.size(); ++which) others.emplace_back(run, which);
    run(0);
  }
  Scanned all;
  for (size_t which = 0; which < parts.size(); ++which) {
    if (!failed[which]) return std::unexpected(failed[which].error());
    all.rows += scanned[which].rows;
    all.cut = all.cut || scanned[which].cut;
  }
  return all;
}

}  // namespace portbook

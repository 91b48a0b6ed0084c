// Where a sealed block's bytes go, and what it costs to make and to read: the workload's rows as full blocks.
//   segment_bytes [BLOCKS] [--seed N] [--ipv6 PERCENT]
// The blocks are the last ones of four times as many, so that connections are under way when they begin.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <map>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "store/memory_file.h"
#include "store/packed_block.h"
#include "store/seal.h"
#include "workload.h"

namespace portbook {
namespace {

constexpr uint32_t kRowsRead = 10'000;

struct Options {
  uint32_t blocks = 4;
  WorkloadOptions workload;
};

std::optional<Options> read_options(std::span<char*> arguments) {
  Options options;
  const auto read = [](std::string_view text, auto& number) {
    return std::from_chars(text.data(), text.data() + text.size(), number).ptr == text.data() + text.size();
  };
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view name = arguments[i];
    if (!name.starts_with("--")) {
      if (!read(name, options.blocks)) return std::nullopt;
      continue;
    }
    if (++i == arguments.size()) return std::nullopt;
    const bool known = name == "--seed"   ? read(arguments[i], options.workload.seed)
                       : name == "--ipv6" ? read(arguments[i], options.workload.ipv6_percent)
                                          : false;
    if (!known) return std::nullopt;
  }
  if (options.blocks == 0) return std::nullopt;
  return options;
}

double thread_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// CPU time, the least of five runs: what others do on the machine makes it longer only.
template <typename Run>
double seconds_of(Run run) {
  double least = 1e9;
  for (int i = 0; i < 5; ++i) {
    const double began = thread_cpu_seconds();
    run();
    least = std::min(least, thread_cpu_seconds() - began);
  }
  return least;
}

struct Totals {
  std::map<std::string_view, std::pair<size_t, uint64_t>> columns;  // by name: order, bytes
  uint64_t file = 0;
  uint64_t index = 0;
  uint64_t hashes = 0;
  uint64_t records = 0;
  double encode = 0;
  double facts = 0;
  double decode = 0;
  double open = 0;
  double row = 0;
};

void measure(const Columns& columns, uint64_t first, SourceSeqs& seqs, Totals& totals) {
  BlockFacts facts;
  totals.facts += seconds_of([&] {
    std::vector<SeqBreak> breaks;
    SourceSeqs expected = seqs;
    facts = facts_of(columns, kBlockRowsMax, expected, breaks);
  });
  totals.encode += seconds_of([&] { PB_CHECK(!encode_columns(columns, kBlockRowsMax).empty()); });
  const auto sealed = seal_block(first, columns, kBlockRowsMax, facts.groups, seqs, encode_columns);
  PB_CHECK(sealed.has_value());
  seqs = sealed->seqs;
  MemoryFile file(sealed->file);
  const auto footer = read_segment_footer(file);
  PB_CHECK(footer.has_value());
  totals.decode += seconds_of([&] { PB_CHECK(read_segment_columns(file, *footer).has_value()); });
  const auto open_packed = [&] {
    auto block =
        PackedBlock::open(ByteView(sealed->file).subspan(footer->columns[0].offset, footer->columns[0].length), kBlockRowsMax);
    PB_CHECK(block.has_value());
    for (const SegmentSection& section : std::span(footer->columns).subspan(1)) {
      PB_CHECK((*block)->add(*section.field, ByteView(sealed->file).subspan(section.offset, section.length)).has_value());
    }
    return std::move(*block);
  };
  totals.open += seconds_of([&] { PB_CHECK(open_packed() != nullptr); });
  const auto packed = open_packed();
  Record record;
  totals.row += seconds_of([&] {
    for (uint32_t i = 0; i < kRowsRead; ++i) PB_CHECK(packed->read(i * 7'919 % kBlockRowsMax, record).has_value());
  });
  for (const SegmentSection& section : footer->columns) {
    auto& [order, bytes] = totals.columns[section.field ? info(*section.field).name : "(shapes)"];
    order = section.field ? index_of(*section.field) + 1 : 0;
    bytes += section.length;
  }
  totals.file += sealed->file.size();
  totals.index += footer->index.length;
  totals.hashes += footer->groups.size() * sizeof(Hash);
  totals.records += kBlockRowsMax;
}

void print(const Totals& totals) {
  const auto line = [&](std::string_view name, uint64_t bytes) {
    fmt::print("  {:<16} {:>12} {:>8.3f}\n", name, bytes, static_cast<double>(bytes) / static_cast<double>(totals.records));
  };
  fmt::print("{} records\n  {:<16} {:>12} {:>8}\n", totals.records, "", "bytes", "a record");
  std::vector<std::pair<size_t, std::string_view>> names;
  for (const auto& [name, of] : totals.columns) names.emplace_back(of.first, name);
  std::ranges::sort(names);
  uint64_t sum = 0;
  for (const auto& [order, name] : names) {
    line(name, totals.columns.at(name).second);
    sum += totals.columns.at(name).second;
  }
  line("columns in all", sum);
  line("row index", totals.index);
  line("tree hashes", totals.hashes);
  line("rest", totals.file - sum - totals.index - totals.hashes);
  line("file", totals.file);
  const auto cost = [&](std::string_view name, double seconds) {
    fmt::print("  {:<36} {:>8.1f} ns of CPU a record\n", name, seconds * 1e9 / static_cast<double>(totals.records));
  };
  cost("encode the columns", totals.encode);
  cost("read and decode the columns", totals.decode);
  cost("rebuild, hash and index the records", totals.facts);
  const double blocks = static_cast<double>(totals.records) / kBlockRowsMax;
  fmt::print("  {:<36} {:>8.1f} us of CPU\n", "open the packed columns of a block", totals.open * 1e6 / blocks);
  fmt::print("  {:<36} {:>8.2f} us of CPU\n", "read one row of them", totals.row * 1e6 / blocks / kRowsRead);
}

int run(const Options& options) {
  Workload workload(options.workload);
  Totals totals;
  SourceSeqs seqs;
  Record record;
  uint64_t seq = 0;
  for (uint32_t block = 0; block < options.blocks * 4; ++block) {
    Columns columns;
    for (uint32_t row = 0; row < kBlockRowsMax; ++row) {
      workload.next(record);
      record.set(Field::kSource, "bench");
      record.set(Field::kSourceSeq, ++seq);
      columns.append(record);
    }
    columns.publish();
    if (block >= options.blocks * 3) measure(columns, uint64_t{block} * kBlockRowsMax, seqs, totals);
    seqs = {{"bench", seq}};
  }
  print(totals);
  return 0;
}

}  // namespace
}  // namespace portbook

int main(int argc, char** argv) {
  const auto options = portbook::read_options(std::span(argv, static_cast<size_t>(argc)));
  if (options) return portbook::run(*options);
  fmt::print(stderr, "segment_bytes [BLOCKS] [--seed N] [--ipv6 PERCENT]\n");
  return 2;
}

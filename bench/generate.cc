// Writes the benchmarks' workload to stdout.
//   generate ndjson|batches RECORDS [--seed N] [--ipv6 PERCENT] [--sources N]
// ndjson: a record a line, without source and source_seq, as `portbook import` reads it.
// batches: what an agent sends (docs/formats/ship.md): `open` messages for the sources bench-0/… and then `batch` messages.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "record/batch.h"
#include "record/json.h"
#include "ship/wire.h"
#include "workload.h"

namespace portbook {
namespace {

constexpr size_t kWriteBytes = 1024 * 1024;
constexpr uint32_t kBatchRecords = 4'000;

struct Options {
  bool batches = false;
  uint64_t records = 0;
  uint16_t sources = 4;
  WorkloadOptions workload;
};

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<Options> read_options(std::span<char*> arguments) {
  Options options;
  if (arguments.size() < 3 || arguments.size() % 2 == 0) return std::nullopt;
  const std::string_view form = arguments[1];
  options.batches = form == "batches";
  if ((!options.batches && form != "ndjson") || !read_number(arguments[2], options.records)) return std::nullopt;
  for (size_t i = 3; i + 1 < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    const bool read = name == "--seed"      ? read_number(arguments[i + 1], options.workload.seed)
                      : name == "--ipv6"    ? read_number(arguments[i + 1], options.workload.ipv6_percent)
                      : name == "--sources" ? read_number(arguments[i + 1], options.sources)
                                            : false;
    if (!read) return std::nullopt;
  }
  if (options.sources == 0 || options.sources > kShipSourcesMax) return std::nullopt;
  return options;
}

bool write_all(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (written < 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return true;
}

bool write_lines(const Options& options, Workload& workload) {
  Record record;
  std::string out;
  for (uint64_t i = 0; i < options.records; ++i) {
    workload.next(record);
    out += '{';
    append_json_members(record, out);
    out += "}\n";
    if (out.size() < kWriteBytes) continue;
    if (!write_all(as_bytes(out))) return false;
    out.clear();
  }
  return write_all(as_bytes(out));
}

bool write_batches(const Options& options, Workload& workload) {
  Bytes out;
  std::vector<BatchBuilder> builders;
  for (uint16_t i = 0; i < options.sources; ++i) {
    const std::string source = fmt::format("bench-{}/socket", i);
    append_message(out, SourceOpen{i, source});
    builders.emplace_back(source, 1);
  }
  const auto ship = [&](uint16_t stream) {
    const Batch batch = builders[stream].take();
    append_message(out, ShippedBatch{stream, batch.count, batch.seq_first, batch.bytes});
    const bool written = write_all(out);
    out.clear();
    return written;
  };
  Record record;
  for (uint64_t i = 0; i < options.records; ++i) {
    const auto stream = static_cast<uint16_t>(workload.next(record) % options.sources);
    builders[stream].add(record);
    if (builders[stream].count() == kBatchRecords && !ship(stream)) return false;
  }
  for (uint16_t i = 0; i < options.sources; ++i) {
    if (builders[i].count() > 0 && !ship(i)) return false;
  }
  return write_all(out);
}

}  // namespace
}  // namespace portbook

int main(int argc, char** argv) {
  const auto options = portbook::read_options(std::span(argv, static_cast<size_t>(argc)));
  if (!options) {
    fmt::print(stderr, "generate ndjson|batches RECORDS [--seed N] [--ipv6 PERCENT] [--sources N]\n");
    return 2;
  }
  portbook::Workload workload(options->workload);
  const bool written = options->batches ? write_batches(*options, workload) : write_lines(*options, workload);
  if (!written) fmt::print(stderr, "generate: stdout does not take it\n");
  return written ? 0 : 1;
}

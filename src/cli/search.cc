// portbook search: connections that match a filter, newest first.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/filter_text.h"
#include "cli/output.h"
#include "cli/table.h"

namespace portbook {

namespace {

constexpr uint64_t kPageRows = 10'000;  // the most that one request gives
constexpr uint64_t kShownRows = 200;    // of a table, unless --limit says otherwise
constexpr uint64_t kRowsPerProgress = 1000;

struct Options {
  BookPlace place;
  OutputOptions output;
  std::vector<std::string> filter;
  std::optional<uint64_t> limit;  // none: kShownRows for people, all rows for programs
};

// What stands at the end of a page.
struct Page {
  std::string cursor;    // of the next page; empty when there is none
  std::string sentence;  // why the answer is not complete; empty when it is
  std::string note;      // what of the answer may surprise
};

Result<Page> print_page(Client& client, const std::string& filter, const std::string& cursor, uint64_t limit, RowPrinter& printer,
                        uint64_t& rows) {
  Page page;
  Status failed;
  const auto status =
      client.lines("/api/v1/search", {{"q", filter}, {"limit", std::to_string(std::min(limit, kPageRows))}, {"cursor", cursor}},
                   [&](std::string_view line) {
                     constexpr std::string_view kRow = "{\"row\":";
                     if (line.starts_with(kRow)) {
                       printer.print(line.substr(kRow.size(), line.size() - kRow.size() - 1));
                       if (++rows % kRowsPerProgress == 0) show_progress(fmt::format("{} rows", rows));
                       return true;
                     }
                     simdjson::dom::parser parser;
                     const simdjson::padded_string padded(line);
                     simdjson::dom::element element;
                     simdjson::dom::element end;
                     if (parser.parse(padded).get(element) != simdjson::SUCCESS) return true;
                     if (element["error"].get(end) == simdjson::SUCCESS) failed = fail(ErrorCode::kIo, member(end, "message"));
                     if (element["end"].get(end) != simdjson::SUCCESS) return true;
                     page.cursor = member(end, "cursor");
                     page.note = member(end, "note");
                     simdjson::dom::element completeness;
                     if (end["completeness"].get(completeness) == simdjson::SUCCESS) {
                       page.sentence = member(completeness, "state") == "complete" ? "" : member(completeness, "sentence");
                     }
                     return true;
                   });
  if (!status) return std::unexpected(status.error());
  if (!failed) return std::unexpected(failed.error());
  return page;
}

int search(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  auto printer = RowPrinter::make(options.output);
  if (!printer) return report(printer.error());
  const auto filter = filter_text(options.filter);
  if (!filter) return report(filter.error());
  std::string cursor;
  std::string sentence;
  std::string note;
  const bool for_programs = options.output.json || options.output.csv;
  const uint64_t limit = options.limit.value_or(for_programs ? UINT64_MAX : kShownRows);
  uint64_t rows = 0;
  do {
    const auto page = print_page(*client, *filter, cursor, limit - rows, *printer, rows);
    if (!page) {
      printer->finish();
      show_progress("");
      if (rows > 0) tell("The answer broke off after {} rows.\n", rows);
      return report(page.error());
    }
    cursor = page->cursor;
    sentence = page->sentence;
    note = page->note;
  } while (!cursor.empty() && rows < limit);
  show_progress("");
  printer->finish();
  if (!sentence.empty()) tell("{}\n", sentence);
  if (!note.empty()) tell("{}\n", note);
  if (rows == 0 && !for_programs) tell("Nothing matches.\n");
  if (!cursor.empty()) tell("The {} newest are shown; --limit gives more.\n", rows);
  return 0;
}

}  // namespace

void add_search(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("search", "Connections that match a filter, newest first");
  command->add_option("filter", options->filter, "Filter, such as: dst.port:5432 user:alice since:15m");
  command->add_option("--limit,-n", options->limit, "How many rows at most (default: 200 in a table, all with --json and --csv)")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1'000'000'000}));
  add_place_options(*command, options->place);
  add_output_options(*command, options->output);
  command->footer(
      "Examples:\n"
      "  portbook search 'dst.port:5432 user:alice since:15m'\n"
      "  portbook search --json 'ip:10.0.0.0/8 kind:failed' | jq -r .internal\n"
      "In the table: → this host's process connected, ← it accepted, ⇄ this host only forwarded.\n"
      "The filter language is described in docs/query.md; `portbook fields` lists the fields.");
  command->callback([options, &run] { run = [options] { return search(*options); }; });
}

}  // namespace portbook

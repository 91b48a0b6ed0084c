// portbook search: connections, or evidence records, that match a filter.
#include <fmt/format.h>

#include "cli/client.h"
#include "cli/rows.h"

namespace portbook {

namespace {

struct Options {
  BookChoice book;
  Format format = Format::kTable;
  std::string filter;
  std::string columns;
  uint64_t limit = 100;
};

// One page of the answer; `cursor` becomes where the next begins, empty at the end. Returns how many rows were printed.
Result<uint64_t> print_page(Client& client, const Options& options, uint64_t limit, std::string& cursor, RowPrinter& printer) {
  Params params = {{"q", options.filter}, {"limit", std::to_string(limit)}};
  if (!cursor.empty()) params.emplace_back("cursor", cursor);
  cursor.clear();
  uint64_t count = 0;
  Status printed;
  bool ended = false;
  simdjson::dom::parser parser;
  const auto status = client.get_lines("/api/v1/search", params, [&](std::string_view line) {
    if (line.starts_with("{\"row\":")) {
      printed = printer.print(line.substr(7, line.size() - 8));
      ++count;
      return printed.has_value();
    }
    simdjson::dom::element root;
    simdjson::dom::element end;
    if (parser.parse(line.data(), line.size()).get(root) == simdjson::SUCCESS && root["end"].get(end) == simdjson::SUCCESS) {
      cursor = member_text(end, "cursor");
      ended = true;
      const std::string state = member_text(end["completeness"].error() ? end : end["completeness"].value_unsafe(), "state");
      if (options.format == Format::kTable && cursor.empty() && state == "incomplete") {
        fmt::print(stderr, "{}\n", member_text(end["completeness"].value_unsafe(), "sentence"));
      }
    }
    return true;
  });
  if (!status) return std::unexpected(status.error());
  if (!printed) return std::unexpected(printed.error());
  if (!ended) return fail(ErrorCode::kUnavailable, "the book ended the answer before it was whole");
  return count;
}

int search(const Options& options) {
  auto client = Client::connect(options.book);
  if (!client) return report(client.error());
  RowPrinter printer(options.format, options.columns);
  constexpr uint64_t kPageRows = 1000;
  std::string cursor;
  uint64_t left = options.limit == 0 ? UINT64_MAX : options.limit;
  do {
    const auto count = print_page(**client, options, std::min(left, kPageRows), cursor, printer);
    if (!count) return report(count.error());
    left -= *count;
  } while (left > 0 && !cursor.empty());
  printer.finish();
  if (options.format == Format::kTable && !cursor.empty())
    fmt::print(stderr, "The newest {}; there are more: --limit 0 prints all.\n", options.limit);
  return 0;
}

}  // namespace

void add_search(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();  // shared by the parser's callbacks and the run
  CLI::App* command = app.add_subcommand("search", "list connections, newest first");
  command->add_option("filter", options->filter,
                      "such as 'dst.port:5432 user:alice since:1h' (`portbook fields` lists the fields; records:all for evidence)");
  command->add_option("--limit", options->limit, "how many at most, 0 for all")->capture_default_str();
  command->add_option("--columns", options->columns, "fields to print, joined with commas, such as start,src.ip,src.port,exe")
      ->type_name("NAMES");
  add_format_options(*command, options->format);
  add_book_options(*command, options->book);
  command->footer(
      "Examples:\n  portbook search 'dst.port:5432 -exe:*/postgres since:15m'\n"
      "  portbook search 'ip:10.8.0.0/16 outcome:refused' --json | jq -r '.record[\"src.port\"]'\n"
      "Exit codes: 0 answered, 2 wrong filter, 8 no running book");
  command->callback([options, &run] { run = [options] { return search(*options); }; });
}

}  // namespace portbook

// portbook tail: connections as they open and close.
#include <fmt/format.h>

#include <cstdio>

#include "cli/client.h"
#include "cli/rows.h"

namespace portbook {

namespace {

struct Options {
  BookChoice book;
  Format format = Format::kTable;
  std::string filter;
  std::string columns;
  uint64_t count = 0;
};

int tail(const Options& options) {
  auto client = Client::connect(options.book);
  if (!client) return report(client.error());
  RowPrinter printer(options.format, options.columns);
  std::string event;
  uint64_t printed = 0;
  Status row_status;
  const auto status = (*client)->get_lines("/api/v1/tail", {{"q", options.filter}}, [&](std::string_view line) {
    if (line.starts_with("event: ")) event = line.substr(7);
    if (line.empty()) event.clear();
    if (event != "row" || !line.starts_with("data: ")) return true;
    row_status = printer.print(line.substr(6));
    std::fflush(stdout);
    ++printed;
    return row_status.has_value() && printed != options.count;
  });
  if (!row_status) return report(row_status.error());
  if (!status) return report(status.error());
  return options.count != 0 && printed == options.count
             ? 0
             : report({ErrorCode::kUnavailable, "the book ended the tail; it is stopping"});
}

}  // namespace

void add_tail(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();  // shared by the parser's callbacks and the run
  CLI::App* command = app.add_subcommand("tail", "print connections as they open and close, until stopped");
  command->add_option("filter", options->filter, "as for search");
  command->add_option("--count", options->count, "end after so many rows, 0 for never")->capture_default_str();
  command->add_option("--columns", options->columns, "fields to print, joined with commas")->type_name("NAMES");
  add_format_options(*command, options->format);
  add_book_options(*command, options->book);
  command->footer(
      "Examples:\n  portbook tail 'direction:in dst.port:22'\n"
      "  portbook tail user:deploy --json | jq -r '.internal + \" \" + .record.exe'\n"
      "Exit codes: 0 --count rows were printed, 2 wrong filter, 8 no running book, or it stopped");
  command->callback([options, &run] { run = [options] { return tail(*options); }; });
}

}  // namespace portbook

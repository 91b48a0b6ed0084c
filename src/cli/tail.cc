// portbook tail: connections as they open and close.
#include <fmt/format.h>

#include <memory>
#include <thread>

#include "cli/command.h"
#include "cli/filter_text.h"
#include "cli/output.h"
#include "cli/table.h"

namespace portbook {

namespace {

struct Options {
  BookPlace place;
  OutputOptions output;
  std::vector<std::string> filter;
  std::string from;
};

// Reads server-sent events until the stream ends; remembers where to go on.
Status follow(Client& client, const std::string& filter, std::string& from, RowPrinter& printer) {
  std::string event;
  Status failed;
  const auto status = client.lines("/api/v1/tail", {{"q", filter}, {"from", from}}, [&](std::string_view line) {
    if (line.starts_with("event: ")) event = line.substr(7);
    if (line.starts_with("id: ")) from = line.substr(4);
    if (!line.starts_with("data: ")) return true;
    if (event == "row") {
      printer.print(line.substr(6));
      printer.flush();
    }
    if (event == "error") failed = fail(ErrorCode::kIo, std::string(line.substr(6)));
    return event != "error";
  });
  return failed ? status : failed;
}

int tail(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  auto printer = RowPrinter::make(options.output);
  if (!printer) return report(printer.error());
  const auto filter = filter_text(options.filter);
  if (!filter) return report(filter.error());
  std::string from = options.from;
  bool connected_before = false;
  while (true) {
    const auto status = follow(*client, *filter, from, *printer);
    // A book that restarts is waited for, from the record where the stream broke; one that never answered is an error.
    const bool broke =
        status || status.error().code == ErrorCode::kIo || (connected_before && status.error().code == ErrorCode::kUnavailable);
    if (!broke) return report(status.error());
    if (!connected_before && !status && from == options.from) return report(status.error());
    connected_before = true;
    tell("The stream broke; going on from record {} as soon as the book answers.\n", from.empty() ? "now" : from);
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace

void add_tail(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("tail", "Connections as they open and close");
  command->add_option("filter", options->filter, "Filter, such as: exe:curl or dst.port:22");
  command->add_option("--from", options->from, "Record number to begin at (default: now)")
      ->check(CLI::TypeValidator<uint64_t>("RECORD"));
  add_place_options(*command, options->place);
  add_output_options(*command, options->output);
  command->footer(
      "Examples:\n"
      "  portbook tail 'dst.port:22 or dst.port:443'\n"
      "  portbook tail --json --from 0 | jq -r '[.state,.internal,.external] | @tsv'");
  command->callback([options, &run] { run = [options] { return tail(*options); }; });
}

}  // namespace portbook

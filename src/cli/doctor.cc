// portbook doctor: what is captured here and by what means, and what is not and why.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/clock.h"
#include "capture/capture.h"
#include "cli/command.h"
#include "cli/table.h"
#include "query/json_writer.h"
#include "record/version.h"

namespace portbook {

namespace {

struct Line {
  std::string what;
  std::string state;
  std::string means;
  std::string detail;
};

struct Options {
  BookPlace place;
  bool json = false;
};

// From the running book, which captures already.
std::vector<Line> lines_of_book(std::string_view status) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(status);
  simdjson::dom::element parsed;
  simdjson::dom::array capture;
  std::vector<Line> lines;
  if (parser.parse(padded).get(parsed) != simdjson::SUCCESS || parsed["capture"].get(capture) != simdjson::SUCCESS) return lines;
  for (const simdjson::dom::element line : capture) {
    lines.push_back({member(line, "what"), member(line, "state"), member(line, "means"), member(line, "detail")});
  }
  return lines;
}

// Tries for a moment, without a book: what is captured is thrown away.
Result<std::vector<Line>> lines_of_trial() {
  CaptureOptions options;
  options.host = "doctor";
  options.version = kVersion;
  options.sink = [](const Batch&, const CaptureOptions::Done& done) { done({}); };
  const auto capture = Capture::start(std::move(options), system_clock());
  if (!capture) return std::unexpected(capture.error());
  std::vector<Line> lines;
  for (const Capability& one : (*capture)->report()) lines.push_back({one.what, to_text(one.state), one.means, one.detail});
  (*capture)->stop();
  return lines;
}

Ink ink_of(std::string_view column, std::string_view cell) {
  if (column != "state") return column == "what" ? Ink::kBold : Ink::kPlain;
  return cell == "ok" ? Ink::kGood : cell == "warn" ? Ink::kWarn : Ink::kBad;
}

int doctor(const Options& options) {
  std::vector<Line> lines;
  auto client = options.place.connect();
  const auto status = client ? client->get("/api/v1/status") : Result<std::string>(std::unexpected(client.error()));
  if (status) {
    lines = lines_of_book(*status);
    fmt::print(stderr, "As the running book says:\n");
  } else {
    if (!options.place.server.empty()) return report(status.error());
    fmt::print(stderr, "No book is running; trying to capture for a moment{}:\n", geteuid() == 0 ? "" : " as an ordinary user");
    const auto tried = lines_of_trial();
    if (!tried) return report(tried.error());
    lines = *tried;
  }
  Table table({"what", "state", "means", "detail"});
  for (const Line& line : lines) {
    if (options.json) {
      std::string out;
      Json json(out);
      json.open('{');
      json.text("what", line.what);
      json.text("state", line.state);
      json.text("means", line.means);
      json.text("detail", line.detail);
      json.close('}');
      fmt::print("{}\n", out);
    } else {
      table.add({line.what, line.state, line.means, line.detail});
    }
  }
  if (!options.json) table.print(ink_of);
  // What no version of this program sees is no finding about this host.
  const bool lacks = std::ranges::any_of(lines, [](const Line& line) { return line.state == "off" && line.what != "Never seen"; });
  return lacks ? kExitNoMatch : 0;
}

}  // namespace

void add_doctor(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("doctor", "What is captured on this host, by what means, and what is not and why");
  command->add_flag("--json", options->json, "One JSON object a line");
  add_place_options(*command, options->place);
  command->footer(
      "Examples:\n"
      "  sudo portbook doctor\n"
      "  portbook doctor --json | jq 'select(.state != \"ok\")'\n"
      "Exit codes: 0 all is captured, 1 something is not");
  command->callback([options, &run] { run = [options] { return doctor(*options); }; });
}

}  // namespace portbook

// portbook doctor: what is captured here and what is not, and why.
#include <fmt/format.h>
#include <unistd.h>

#include "capture/capture.h"
#include "cli/client.h"
#include "cli/rows.h"
#include "cli/table.h"
#include "record/json.h"
#include "record/version.h"

namespace portbook {

namespace {

struct Options {
  BookChoice book;
  Format format = Format::kTable;
};

struct Finding {
  std::string what;
  std::string state;
  std::string means;
  std::string detail;
};

// What the running book captures.
Result<std::vector<Finding>> ask_book(Client& client) {
  const auto body = client.get("/api/v1/status");
  if (!body) return std::unexpected(body.error());
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  simdjson::dom::array lines;
  if (parser.parse(*body).get(root) != simdjson::SUCCESS || root["capture"].get(lines) != simdjson::SUCCESS) {
    return fail(ErrorCode::kCorrupt, "the book answered with something that is no status");
  }
  std::vector<Finding> findings;
  for (const auto line : lines)
    findings.push_back(
        {member_text(line, "what"), member_text(line, "state"), member_text(line, "means"), member_text(line, "detail")});
  return findings;
}

// Attaches for a moment, without a book, and takes everything down again.
Result<std::vector<Finding>> try_here() {
  CaptureOptions options;
  options.host = "doctor";
  options.version = kVersion;
  options.last_seq = [](std::string_view) { return uint64_t{0}; };
  options.sink = [](const Batch&, const CaptureOptions::Done& done) { done({}); };
  auto capture = Capture::start(std::move(options), system_clock());
  if (!capture) return std::unexpected(capture.error());
  std::vector<Finding> findings;
  for (const Capability& line : (*capture)->report()) findings.push_back({line.what, to_text(line.state), line.means, line.detail});
  (*capture)->stop();
  return findings;
}

void print(const std::vector<Finding>& findings, Format format) {
  for (const Finding& finding : findings) {
    if (format == Format::kJson) {
      std::string line = "{";
      for (const auto& [name, value] :
           {std::pair("what", &finding.what), {"state", &finding.state}, {"means", &finding.means}, {"detail", &finding.detail}}) {
        line += fmt::format("{}\"{}\":", line.size() > 1 ? "," : "", name);
        append_json_string(*value, line);
      }
      fmt::print("{}}}\n", line);
      continue;
    }
    const Ink ink = finding.state == "ok" ? Ink::kGood : finding.state == "warn" ? Ink::kWarn : Ink::kBad;
    fmt::print("{}  {:<24} {}\n", in_ink(ink, fmt::format("{:<4}", finding.state)), finding.what, finding.means);
    if (!finding.detail.empty()) fmt::print("{:31}{}\n", "", in_ink(Ink::kDim, finding.detail));
  }
}

int doctor(const Options& options) {
  auto client = Client::connect(options.book);
  const bool running = client.has_value();
  const auto findings = running ? ask_book(**client) : try_here();
  if (!findings) return report(findings.error());
  if (options.format == Format::kTable) {
    fmt::print("{}\n", running ? fmt::format("The book in {} captures:", options.book.data.native())
                               : "No book is running; this is what `portbook up` could capture here:");
  }
  print(*findings, options.format);
  if (options.format == Format::kTable && geteuid() != 0 && !running) fmt::print("\nNot root: capture needs root.\n");
  for (const Finding& finding : *findings) {
    if (finding.state == "off") return kExitNoMatch;
  }
  return 0;
}

}  // namespace

void add_doctor(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();  // shared by the parser's callbacks and the run
  CLI::App* command = app.add_subcommand("doctor", "tell what is captured on this host, what is not, and why");
  add_json_option(*command, options->format);
  add_book_options(*command, options->book);
  command->footer(
      "Examples:\n  portbook doctor\n  portbook doctor --json | jq -r 'select(.state != \"ok\") | .what + \": \" + .detail'\n"
      "Exit codes: 0 all is captured, 1 something is not");
  command->callback([options, &run] { run = [options] { return doctor(*options); }; });
}

}  // namespace portbook

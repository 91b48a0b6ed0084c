// portbook doctor: what is captured here and by what means, and what is not and why.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <memory>

#include "base/clock.h"
#include "capture/capture.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "query/json_writer.h"
#include "record/version.h"
#include "server/credentials.h"

namespace portbook {

namespace {

// The line that says what no version of this program sees: no finding about a host.
constexpr std::string_view kNeverSeen = "Never seen";

using simdjson::dom::element;

struct Line {
  std::string what;
  std::string state;
  std::string means;
  std::string detail;
  std::string agent;  // of a line about an agent: the book's JSON about it
};

struct Options {
  BookPlace place;
  bool json = false;
};

uint64_t number(element object, std::string_view name) {
  uint64_t value = 0;
  return object.at_key(name).get(value) == simdjson::SUCCESS ? value : 0;
}

std::string delivery_of(element agent) {
  const std::string behind = member(agent, "behind_since");
  const uint64_t spooled = number(agent, "spool_bytes");
  std::string text = spooled == 0 ? "spool empty"
                                  : fmt::format("{} KiB of at most {} MiB in its spool", (spooled + 1023) / 1024,
                                                number(agent, "spool_bytes_max") >> 20);
  if (!behind.empty()) text += fmt::format("; what it captured since {} is not here yet", short_time(behind));
  return text;
}

std::string gaps_of(element agent) {
  element gaps;
  if (agent["gaps"].get(gaps) != simdjson::SUCCESS || number(gaps, "total") == 0) return "no gaps";
  return fmt::format("{} {}, {} of them ended within a day, {} not ended", number(gaps, "total"),
                     number(gaps, "total") == 1 ? "gap" : "gaps", number(gaps, "last_day"), number(gaps, "standing"));
}

// One agent in a sentence, and whether that is as it should be.
Line line_of(element agent) {
  std::string host = member(agent, "host");
  const std::string_view suffix = logs_suffix(host);
  host.resize(host.size() - suffix.size());
  Line line{fmt::format("{} {}",
                        suffix.empty()           ? "Agent"
                        : suffix == kLogsSuffix  ? "Logs of"
                        : suffix == kPoolsSuffix ? "PgBouncer of"
                                                 : "Syslog of",
                        host),
            "ok", "", "", simdjson::minify(agent)};
  const std::string state = member(agent, "state");
  const std::string since = short_time(member(agent, "since"));
  if (state == "awaited") {
    line.state = "off";
    line.detail =
        fmt::format("Enrolled {}, and not here since this book began. What it captured meanwhile is not here yet.", since);
    return line;
  }
  line.means = fmt::format("portbook {}", member(agent, "version"));
  const std::string last = short_time(member(agent, "last_batch"));
  const std::string refusal = member(agent, "refusal");
  const bool delivers = state == "capturing" && member(agent, "behind_since").empty();
  line.state = state == "away" || state == "stopped" ? "off" : delivers && refusal.empty() ? "ok" : "warn";
  line.detail = fmt::format("{} since {}; last batch {}; {} records; {}; {}.", state, since, last.empty() ? "none yet" : last,
                            number(agent, "records"), delivery_of(agent), gaps_of(agent));
  line.detail.front() = static_cast<char>(std::toupper(line.detail.front()));
  if (!refusal.empty()) line.detail += fmt::format(" {} batches were refused: {}.", number(agent, "refused_batches"), refusal);
  return line;
}

// What another host's agent lacks: its own doctor's lines that are not well.
void add_lacks(element agent, std::vector<Line>& lines) {
  simdjson::dom::array capture;
  if (agent["capture"].get(capture) != simdjson::SUCCESS) return;
  for (const element one : capture) {
    if (member(one, "state") == "ok" || member(one, "what") == kNeverSeen) continue;
    lines.push_back({fmt::format("{}: {}", member(agent, "host"), member(one, "what")), member(one, "state"), member(one, "means"),
                     member(one, "detail"), ""});
  }
}

// From the running book: what this host's agent captures, then every agent that ships to the book.
std::vector<Line> lines_of_book(std::string_view status) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(status);
  element parsed;
  simdjson::dom::array capture;
  simdjson::dom::array agents;
  std::vector<Line> lines;
  if (parser.parse(padded).get(parsed) != simdjson::SUCCESS || parsed["capture"].get(capture) != simdjson::SUCCESS ||
      parsed["agents"].get(agents) != simdjson::SUCCESS)
    return lines;
  for (const element line : capture) {
    if (member(line, "what") == "Agent") continue;  // said of all of them below
    lines.push_back({member(line, "what"), member(line, "state"), member(line, "means"), member(line, "detail"), ""});
  }
  const std::string own = member(parsed, "host");
  for (const element agent : agents) {
    lines.push_back(line_of(agent));
    // What those say who follow this host's logs and receive its syslog is among the lines above.
    const std::string host = member(agent, "host");
    if (host != own && host != own + std::string(logs_suffix(host))) add_lacks(agent, lines);
  }
  if (agents.size() == 0) {
    lines.push_back(
        {"Agents", "off", "", "None has shipped to this book since it began: nothing is captured. Start one: portbook agent", ""});
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
  for (const Capability& one : (*capture)->report()) lines.push_back({one.what, to_text(one.state), one.means, one.detail, ""});
  (*capture)->stop();
  return lines;
}

Ink ink_of(std::string_view column, std::string_view cell) {
  if (column != "state") return column == "what" ? Ink::kBold : Ink::kPlain;
  return cell == "ok" ? Ink::kGood : cell == "warn" ? Ink::kWarn : Ink::kBad;
}

int doctor(const Options& options) {
  std::vector<Line> lines;
  auto client = options.place.reach();
  const auto status = client ? client->get("/api/v1/status") : Result<std::string>(std::unexpected(client.error()));
  if (status) {
    lines = lines_of_book(*status);
    tell("As the running book says:\n");
  } else {
    if (!options.place.server.empty()) return report(status.error());
    tell("No book is running; trying to capture for a moment{}:\n", geteuid() == 0 ? "" : " as an ordinary user");
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
      if (!line.agent.empty()) json.raw("agent", line.agent);
      json.close('}');
      write_json(out + "\n");
    } else {
      table.add({line.what, line.state, line.means, line.detail});
    }
  }
  if (!options.json) table.print(ink_of);
  const bool lacks = std::ranges::any_of(lines, [](const Line& line) { return line.state == "off" && line.what != kNeverSeen; });
  return lacks ? kExitNoMatch : 0;
}

}  // namespace

void add_doctor(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("doctor", "What is captured, by what means, by which agents, and what is not and why");
  command->add_flag("--json", options->json, "One JSON object a line");
  add_place_options(*command, options->place);
  command->footer(
      "Examples:\n"
      "  sudo portbook doctor\n"
      "  portbook doctor --json | jq 'select(.state != \"ok\")'\n"
      "  portbook doctor --json | jq 'select(.agent).agent | {host, state, last_batch, spool_bytes, gaps}'\n"
      "Exit codes: 0 all is captured, 1 something is not");
  command->callback([options, &run] { run = [options] { return doctor(*options); }; });
}

}  // namespace portbook

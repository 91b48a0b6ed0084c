// portbook who: who had an endpoint at a moment.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/who_list.h"
#include "query/moment.h"

namespace portbook {

namespace {

using simdjson::dom::element;

struct Options {
  BookPlace place;
  bool json = false;
  std::vector<std::string> question;
  std::string at;
  std::string peer;
  std::string host;
  std::string window;
  std::string from_file;
  std::vector<std::string> columns;
  bool csv = false;
};

std::string records_of(element object) {
  simdjson::dom::array records;
  std::string out;
  if (object["records"].get(records) != simdjson::SUCCESS) return out;
  for (const element record : records) out += fmt::format("{}#{}", out.empty() ? "" : " ", simdjson::minify(record));
  return out;
}

void print_hops(element candidate) {
  simdjson::dom::array hops;
  if (candidate["hops"].get(hops) != simdjson::SUCCESS) return;
  for (const element hop : hops) {
    const std::string kind = member(hop, "kind");
    const bool step = kind == "lease" || kind == "socket";
    const std::string records = records_of(hop);
    if (step) {
      say("    {} {}{}\n", inked(Ink::kGood, member(hop, "class")), member(hop, "text"),
          inked(Ink::kDim, records.empty() ? "" : "  " + records));
      continue;
    }
    const std::string text = member(hop, "text");
    const Ink ink = text.starts_with("external") ? Ink::kExternal : kind == "endpoint" ? Ink::kInternal : Ink::kBold;
    say("  {}{}{}{}\n", kind == "ancestor" ? "  from " : "", inked(ink, member(hop, "title")), text.empty() ? "" : "  " + text,
        inked(Ink::kDim, records.empty() ? "" : "  " + records));
  }
}

std::string process_text(element candidate) {
  element process;
  if (candidate["process"].get(process) != simdjson::SUCCESS || process.is_null()) return "process unknown";
  std::string name = member(process, "comm");
  if (name.empty()) name = member(process, "exe");
  return fmt::format("{} pid {}", name, member(process, "pid"));
}

// How far a candidate that does not cover the moment is from it.
std::string distance_of(element candidate) {
  uint64_t ns = 0;
  const std::string position = member(candidate, "position");
  if (position == "covers" || candidate["distance_ns"].get(ns) != simdjson::SUCCESS) return {};
  return fmt::format(", {} {}", distance_text(ns), position == "before" ? "before the moment" : "after the moment");
}

// "closed at 2026-11-22 12:03:01.990", or "closed by" where only that is known: nine digits are for programs.
std::string state_text(element candidate) {
  const std::string state = member(candidate, "state");
  for (const std::string_view closed : {"closed at ", "closed by "}) {
    if (state.starts_with(closed)) return std::string(closed) + short_time(std::string_view(state).substr(closed.size()));
  }
  return state;
}

void print_candidate(element candidate) {
  const std::string external = member(candidate, "external");
  const std::string peer = member(candidate, "peer");
  const std::string reason = member(candidate, "reason");
  std::string verdict = member(candidate, "verdict");
  std::ranges::replace(verdict, '_', ' ');
  say("  {:<12}  {}{}  {}, {}{}  {}{}{}\n", verdict, inked(Ink::kInternal, member(candidate, "internal")),
      external.empty() ? "" : " ‖ " + inked(Ink::kExternal, external), process_text(candidate), member(candidate, "host"),
      peer.empty() ? "" : fmt::format(", {} {}", member(candidate, "relation") == "seen_by" ? "seen by" : "towards", peer),
      inked(Ink::kDim, state_text(candidate)), distance_of(candidate), reason.empty() ? "" : ". " + reason);
}

void print_candidates(simdjson::dom::array candidates) {
  bool first = true;
  bool header = false;
  for (const element candidate : candidates) {
    if (first && member(candidate, "verdict") == "matches") {
      say("\n");
      print_hops(candidate);
      first = false;
      continue;
    }
    first = false;
    if (!header) say("\nOther candidates\n");
    header = true;
    print_candidate(candidate);
  }
}

// True iff the answer names no owner.
bool without_owner(element answer) {
  const std::string verdict = member(answer, "verdict");
  return verdict == "nobody" || verdict == "not_covered" || verdict == "incomplete";
}

int print_answer(std::string_view json, bool as_json) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(json);
  element answer;
  if (parser.parse(padded).get(answer) != simdjson::SUCCESS) return report({ErrorCode::kIo, "the book's answer is not JSON"});
  const int code = without_owner(answer) ? kExitNoMatch : 0;
  if (as_json) {
    write_json(json);
    return code;
  }
  say("{}\n", inked(Ink::kBold, member(answer, "sentence")));
  const std::string detail = member(answer, "detail");
  if (!detail.empty()) say("{}\n", detail);
  element completeness;
  if (answer["completeness"].get(completeness) == simdjson::SUCCESS) {
    const bool complete = member(completeness, "state") == "complete";
    say("{}\n", inked(complete ? Ink::kGood : Ink::kWarn, member(completeness, "sentence")));
  }
  simdjson::dom::array candidates;
  if (answer["candidates"].get(candidates) == simdjson::SUCCESS) print_candidates(candidates);
  return code;
}

Client::Params params_of(const Options& options, const std::string& question) {
  return {{"q", question}, {"at", options.at}, {"peer", options.peer}, {"host", options.host}, {"window", options.window}};
}

int who(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  if (!options.from_file.empty()) {
    const ListForm form = options.json ? ListForm::kJson : options.csv ? ListForm::kCsv : ListForm::kText;
    return ask_list(*client, {options.from_file, options.columns, form, params_of(options, "")});
  }
  const std::string question = fmt::format("{}", fmt::join(options.question, " "));
  if (question.empty()) return report({ErrorCode::kBadInput, "name an endpoint, such as 203.0.113.5:41234, or paste a log line"});
  const auto answer = client->get("/api/v1/who", params_of(options, question));
  if (!answer) return report(answer.error());
  return print_answer(*answer, options.json);
}

}  // namespace

void add_who(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("who", "Who had an endpoint at a moment");
  command->add_option("question", options->question, "ENDPOINT, ENDPOINT@TIME, or any text that holds them, such as a log line");
  command->add_option("--at", options->at, "The moment (default: now); a whole second when written without a fraction");
  command->add_option("--peer", options->peer, "The other end, ADDRESS or ADDRESS:PORT: tells owners of one port apart");
  command->add_option("--host", options->host, "Only owners on that host");
  command->add_option("--window", options->window, "Widen the moment on both sides, such as 2s");
  auto* from = command->add_option("--from", options->from_file,
                                   "Answer each line of a file (- for standard input), in order: log lines, or a table whose first "
                                   "line names its columns");
  command->add_option("--column", options->columns, "Of that table read only these columns, such as endpoint,time")
      ->delimiter(',')
      ->needs(from);
  auto* json = command->add_flag("--json", options->json, "The whole answer as JSON; with --from one a line");
  command->add_flag("--csv", options->csv, "With --from: one row for each line")->needs(from)->excludes(json);
  add_place_options(*command, options->place);
  command->footer(
      "Examples:\n"
      "  portbook who 203.0.113.5:41234 --at 2026-11-22T12:03:04.123Z --peer 198.51.100.9:443\n"
      "  portbook who --from samples.csv --csv > answers.csv\n"
      "  grep blocked waf.log | portbook who --from - --json | jq -r '[.question.endpoint,.sentence] | @tsv'\n"
      "Exit code 1: nobody, not covered, or not whole and without an owner; with --from, 2: a line without an endpoint.");
  command->callback([options, &run] { run = [options] { return who(*options); }; });
}

}  // namespace portbook

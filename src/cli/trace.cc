// portbook trace: the path of a connection, as a tree.
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/trace_tree.h"

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
};

int trace(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  const std::string question = fmt::format("{}", fmt::join(options.question, " "));
  if (question.empty())
    return report({ErrorCode::kBadInput, "name a record such as #412, an endpoint such as 203.0.113.5:41234, or paste a log line"});
  const auto answer = client->get(
      "/api/v1/trace",
      {{"q", question}, {"at", options.at}, {"peer", options.peer}, {"host", options.host}, {"window", options.window}});
  if (!answer) return report(answer.error());
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(*answer);
  element parsed;
  simdjson::dom::array nodes;
  simdjson::dom::array edges;
  if (parser.parse(padded).get(parsed) != simdjson::SUCCESS || parsed["nodes"].get(nodes) != simdjson::SUCCESS ||
      parsed["edges"].get(edges) != simdjson::SUCCESS) {
    return report({ErrorCode::kIo, "the book's answer is not JSON"});
  }
  const int code = nodes.size() == 0 ? kExitNoMatch : 0;
  if (options.json) {
    write_json(*answer);
    return code;
  }
  say("{}\n", inked(Ink::kBold, member(parsed, "sentence")));
  element completeness;
  if (parsed["completeness"].get(completeness) == simdjson::SUCCESS) {
    const bool complete = member(completeness, "state") == "complete";
    say("{}\n", inked(complete ? Ink::kGood : Ink::kWarn, member(completeness, "sentence")));
  }
  write_out(trace_tree(nodes, edges));
  simdjson::dom::array contradictions;
  if (parsed["contradictions"].get(contradictions) == simdjson::SUCCESS) {
    for (const element one : contradictions) say("{}\n", inked(Ink::kBad, fmt::format("Contradiction: {}", member(one, "text"))));
  }
  simdjson::dom::array bounds;
  if (parsed["bounds"].get(bounds) == simdjson::SUCCESS) {
    for (const element bound : bounds) say("{}\n", inked(Ink::kWarn, bound.get_c_str().value()));
  }
  return code;
}

}  // namespace

void add_trace(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("trace", "The path of a connection over hosts, NAT and proxies, both ways");
  command->add_option("question", options->question,
                      "A record's number, ENDPOINT, ENDPOINT@TIME, or any text that holds them, such as a log line");
  command->add_option("--at", options->at, "The moment (default: now); a whole second when written without a fraction");
  command->add_option("--peer", options->peer, "The other end, ADDRESS or ADDRESS:PORT");
  command->add_option("--host", options->host, "Only owners on that host");
  command->add_option("--window", options->window, "Widen the moment on both sides, such as 2s");
  command->add_flag("--json", options->json, "The path as a graph of nodes and edges");
  add_place_options(*command, options->place);
  command->footer(
      "Examples:\n"
      "  portbook trace 203.0.113.5:41234 --at 2026-11-22T12:03:04.123Z\n"
      "  portbook trace '#412' --json | jq '.edges[] | [.class,.method]'\n"
      "proven: kernel records match uniquely. stated: a program's log names both legs, and the kernel's records have both.\n"
      "possible: one process held the one connection while it opened the other; there may be several.\n"
      "Exit code 1: no connection is known there.");
  command->callback([options, &run] { run = [options] { return trace(*options); }; });
}

}  // namespace portbook

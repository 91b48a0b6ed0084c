// portbook who: who had this endpoint then.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "cli/client.h"
#include "cli/rows.h"
#include "cli/table.h"

namespace portbook {

namespace {

using Json = simdjson::dom::element;

struct Options {
  BookChoice book;
  Format format = Format::kTable;
  std::vector<std::string> words;
  std::string at;
  std::string peer;
  std::string host;
  std::string window;
};

// Calls visit for each element of the object's member; nothing when it is no array.
template <typename Visit>
void for_each(Json object, std::string_view name, Visit visit) {
  simdjson::dom::array array;
  if (object[name].get(array) != simdjson::SUCCESS) return;
  for (const Json element : array) visit(element);
}

std::string record_list(Json object) {
  std::string list;
  for_each(object, "records", [&](Json id) { list += (list.empty() ? "#" : " #") + simdjson::minify(id); });
  return list;
}

Ink completeness_ink(std::string_view state) {
  if (state == "complete") return Ink::kGood;
  return state == "not_covered" ? Ink::kBad : Ink::kWarn;
}

void print_hops(Json candidate) {
  for_each(candidate, "hops", [](Json hop) {
    const std::string how = member_text(hop, "class");
    const std::string method = member_text(hop, "method");
    if (!method.empty()) {
      fmt::print("     {} {}  {}\n", in_ink(how == "proven" ? Ink::kBold : Ink::kPlain, fmt::format("{:<8}", how)), method,
                 in_ink(Ink::kDim, record_list(hop)));
    }
    const std::string kind = member_text(hop, "kind");
    const Ink ink = kind == "endpoint" ? Ink::kExternal : kind == "lease" || kind == "socket" ? Ink::kInternal : Ink::kBold;
    fmt::print("   {}  {}\n", in_ink(ink, member_text(hop, "title")), member_text(hop, "text"));
  });
}

void print_candidate(Json candidate) {
  const std::string verdict = member_text(candidate, "verdict");
  const std::string reason = member_text(candidate, "reason");
  std::string process = "process unknown";
  Json about;
  if (candidate["process"].get(about) == simdjson::SUCCESS && !about.is_null()) {
    process = fmt::format("{} {}", member_text(about, "exe"), member_text(about, "pid"));
  }
  std::string line = fmt::format("{}  {}  {}", member_text(candidate, "internal"), process, member_text(candidate, "state"));
  if (const std::string peer = member_text(candidate, "peer"); !peer.empty()) line += "  towards " + peer;
  const std::string relation = member_text(candidate, "relation");
  const std::string_view shown = verdict == "matches"     ? (relation == "seen_by"    ? "seen by"
                                                             : relation == "listener" ? "listener"
                                                                                      : "matches")
                                 : verdict == "ruled_out" ? "ruled out"
                                                          : "not covering";
  fmt::print("   {}  {}  {}\n", in_ink(verdict == "matches" ? Ink::kGood : Ink::kDim, fmt::format("{:<12}", shown)), line,
             in_ink(Ink::kDim, record_list(candidate)));
  if (!reason.empty()) fmt::print("                 {}\n", in_ink(Ink::kDim, reason));
}

void print_answer(Json answer) {
  fmt::print("{}\n", in_ink(Ink::kBold, member_text(answer, "sentence")));
  if (const std::string detail = member_text(answer, "detail"); !detail.empty()) fmt::print("{}\n", detail);
  Json completeness;
  if (answer["completeness"].get(completeness) == simdjson::SUCCESS) {
    fmt::print("{}\n", in_ink(completeness_ink(member_text(completeness, "state")), member_text(completeness, "sentence")));
  }
  size_t count = 0;
  for_each(answer, "candidates", [&](Json candidate) {
    if (count++ == 0) {
      fmt::print("\n");
      print_hops(candidate);
    }
  });
  if (count == 0) return;
  fmt::print("\n{} {}\n", count, count == 1 ? "candidate:" : "candidates:");
  for_each(answer, "candidates", print_candidate);
}

int who(const Options& options) {
  auto client = Client::connect(options.book);
  if (!client) return report(client.error());
  std::string text;
  for (const std::string& word : options.words) text += (text.empty() ? "" : " ") + word;
  Params params;
  const bool plain = !options.at.empty() || !options.peer.empty() || options.words.size() == 1;
  params.emplace_back(plain && text.find(' ') == std::string::npos ? "endpoint" : "q", text);
  if (!options.at.empty()) params.emplace_back("at", options.at);
  if (!options.peer.empty()) params.emplace_back("peer", options.peer);
  if (!options.host.empty()) params.emplace_back("host", options.host);
  if (!options.window.empty()) params.emplace_back("window", options.window);
  const auto body = (*client)->get("/api/v1/who", params);
  if (!body) return report(body.error());
  simdjson::dom::parser parser;
  Json answer;
  if (parser.parse(*body).get(answer) != simdjson::SUCCESS)
    return report({ErrorCode::kCorrupt, "the book answered with something that is no JSON"});
  if (options.format == Format::kJson) {
    fmt::print("{}", *body);
  } else {
    print_answer(answer);
  }
  bool matched = false;
  for_each(answer, "candidates", [&](Json candidate) { matched = matched || member_text(candidate, "verdict") == "matches"; });
  return matched ? 0 : kExitNoMatch;
}

}  // namespace

void add_who(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();  // shared by the parser's callbacks and the run
  CLI::App* command = app.add_subcommand("who", "tell who had an endpoint at a moment");
  command->add_option("question", options->words, "ENDPOINT, ENDPOINT@TIME, or a log line that holds an endpoint and a time")
      ->required()
      ->type_name("TEXT");
  command->add_option("--at", options->at, "the moment; without a fraction the whole second; default now")->type_name("TIME");
  command->add_option("--peer", options->peer, "the other end, which tells reused ports apart")->type_name("ENDPOINT");
  command->add_option("--host", options->host, "only what this host captured")->type_name("NAME");
  command->add_option("--window", options->window, "widen the moment to both sides, such as 500ms")->type_name("DURATION");
  add_json_option(*command, options->format);
  add_book_options(*command, options->book);
  command->footer(
      "Examples:\n  portbook who 203.0.113.5:41234 --at 2026-11-22T12:03:04.123Z --peer 198.51.100.9:443\n"
      "  portbook who '2026-11-22T12:03:04.123Z waf: blocked client=203.0.113.5:41234 server=198.51.100.9:443' --json | jq "
      ".sentence\n"
      "Exit codes: 0 somebody matches, 1 nobody does or the moment is not covered, 2 wrong question, 8 no running book");
  command->callback([options, &run] { run = [options] { return who(*options); }; });
}

}  // namespace portbook

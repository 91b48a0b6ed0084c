// portbook trace: the path of a connection, as a tree.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
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
};

// The answer, and what of it has been printed: a node stands in full once.
class Tree {
 public:
  Tree(simdjson::dom::array nodes, simdjson::dom::array edges) {
    for (const element node : nodes) nodes_.push_back(node);
    for (const element edge : edges) edges_.push_back(edge);
  }

  void print() {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (member(nodes_[i], "start") == "true") print_start(i);
    }
  }

 private:
  static size_t number(element object, std::string_view name) {
    uint64_t value = 0;
    return object[name].get(value) == simdjson::SUCCESS ? value : 0;
  }

  // Edges that lead to `node` from its causes, or from it to its effects.
  std::vector<element> edges_at(size_t node, bool causes) const {
    std::vector<element> found;
    for (const element edge : edges_) {
      if (number(edge, causes ? "to" : "from") == node) found.push_back(edge);
    }
    return found;
  }

  void print_start(size_t node) {
    print_out("\n");
    print_node(node, "", "");
    printed_ = {node};
    print_branch("came from", node, true, edges_at(node, false).empty());
    print_branch("led to", node, false, true);
  }

  void print_branch(std::string_view title, size_t node, bool causes, bool last) {
    if (edges_at(node, causes).empty()) return;
    print_out("{} {}\n", last ? "└─" : "├─", inked(Ink::kBold, title));
    print_edges(node, causes, last ? "   " : "│  ");
  }

  void print_edges(size_t node, bool causes, const std::string& indent) {
    const std::vector<element> edges = edges_at(node, causes);
    for (size_t i = 0; i < edges.size(); ++i) {
      const bool last = i + 1 == edges.size();
      const size_t next = number(edges[i], causes ? "from" : "to");
      print_edge(edges[i], indent + (last ? "└─ " : "├─ "), indent + (last ? "   " : "│  "));
      const std::string below = indent + (last ? "   " : "│  ");
      if (!printed_.insert(next).second) {
        print_out("{}{}\n", below, inked(Ink::kDim, fmt::format("#{}, as above", member(nodes_[next], "record"))));
        continue;
      }
      print_node(next, below, below);
      print_edges(next, causes, below);
    }
  }

  static void print_edge(element edge, const std::string& first, const std::string& rest) {
    const std::string certainty = member(edge, "class");
    const Ink ink = certainty == "proven" ? Ink::kGood : certainty == "stated" ? Ink::kInternal : Ink::kWarn;
    print_out("{}{}  {}\n", first, inked(ink, certainty), member(edge, "method"));
    simdjson::dom::array leases;
    if (edge["leases"].get(leases) == simdjson::SUCCESS) {
      for (const element lease : leases) print_lease(lease, rest);
    }
    print_out("{}{}\n", rest, inked(Ink::kDim, member(edge, "order")));
  }

  static void print_lease(element lease, const std::string& indent) {
    const std::string external = member(lease, "external");
    const std::string server = member(lease, "server");
    print_out("{}lease of {}: {}{}{}  {}\n", indent, member(lease, "host"), inked(Ink::kInternal, member(lease, "internal")),
              external.empty() ? "" : " ‖ " + inked(Ink::kExternal, external),
              server.empty() ? "" : fmt::format(", {} → {}", member(lease, "asked_for"), server),
              inked(Ink::kDim, records_text(lease, "records")));
  }

  // "nginx 812 (www-data)  on web-7", and below it what it came from.
  void print_node(size_t index, const std::string& first, const std::string& rest) const {
    const element node = nodes_[index];
    const bool inbound = member(node, "direction") == "in";
    element process;
    const bool known = node["process"].get(process) == simdjson::SUCCESS && process.is_object();
    const std::string host = member(node, "host");
    const std::string lineage = known ? lineage_text(node) : "";
    print_out("{}{}{}{}{}\n", first, inked(Ink::kBold, known ? process_text(process) : "process unknown"),
              host.empty() ? "" : " on " + host, lineage.empty() ? "" : "  ", lineage);
    const std::string external = member(node, "external");
    print_out("{}{} {} {} {}  {} {}  {}\n", rest, inbound ? "accepted" : "opened",
              inked(Ink::kInternal, member(node, "src")) + (external.empty() ? "" : " ‖ " + inked(Ink::kExternal, external)), "→",
              member(node, "dst"), member(node, "proto"), member(node, "state"),
              inked(Ink::kDim, fmt::format("#{}", member(node, "record"))));
    print_out("{}{}\n", rest, inked(Ink::kDim, interval_of(node)));
    const std::string beyond = member(node, "beyond");
    if (!beyond.empty()) print_out("{}{}\n", rest, inked(Ink::kWarn, beyond));
  }

  static std::string process_text(element process) {
    std::string name = member(process, "comm");
    if (name.empty()) name = member(process, "exe");
    const std::string user = member(process, "user");
    const std::string login = member(process, "login_user");
    const std::string container = member(process, "container");
    return fmt::format("{} {}{}{}{}", name, member(process, "pid"), user.empty() ? "" : ", user " + user,
                       login.empty() ? "" : ", login " + login, container.empty() ? "" : ", container " + container.substr(0, 12));
  }

  static std::string lineage_text(element node) {
    simdjson::dom::array ancestors;
    std::string out;
    if (node["ancestors"].get(ancestors) != simdjson::SUCCESS) return out;
    for (const element parent : ancestors) out += fmt::format(" ← {} {}", member(parent, "comm"), member(parent, "pid"));
    return out.empty() ? out : inked(Ink::kDim, out.substr(1));
  }

  static std::string interval_of(element node) {
    element interval;
    if (node["interval"].get(interval) != simdjson::SUCCESS) return {};
    const auto time = [&](std::string_view name) {
      const auto parsed = parse_time(member(interval, name), 0);
      return parsed && !member(interval, name).empty() ? std::optional(parsed->time) : std::nullopt;
    };
    return interval_text(time("start"), time("end"));
  }

  static std::string records_text(element object, std::string_view name) {
    simdjson::dom::array records;
    std::string out;
    if (object[name].get(records) != simdjson::SUCCESS) return out;
    for (const element record : records) out += fmt::format("{}#{}", out.empty() ? "" : " ", simdjson::minify(record));
    return out;
  }

  std::vector<element> nodes_;
  std::vector<element> edges_;
  std::set<size_t> printed_;
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
    print_out("{}", *answer);
    return code;
  }
  print_out("{}\n", inked(Ink::kBold, member(parsed, "sentence")));
  element completeness;
  if (parsed["completeness"].get(completeness) == simdjson::SUCCESS) {
    const bool complete = member(completeness, "state") == "complete";
    print_out("{}\n", inked(complete ? Ink::kGood : Ink::kWarn, member(completeness, "sentence")));
  }
  Tree(nodes, edges).print();
  simdjson::dom::array bounds;
  if (parsed["bounds"].get(bounds) == simdjson::SUCCESS) {
    for (const element bound : bounds) print_out("{}\n", inked(Ink::kWarn, bound.get_c_str().value()));
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

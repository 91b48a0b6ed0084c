// portbook map and portbook coverage: who talks to whom, and what of it the book can vouch for.
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/filter_text.h"
#include "cli/output.h"
#include "cli/table.h"
#include "query/moment.h"

namespace portbook {

namespace {

using simdjson::dom::element;

struct Options {
  BookPlace place;
  bool json = false;
  bool html = false;
  bool csv = false;
  std::string since;
  std::string until;
  std::vector<std::string> filter;
};

// The filter with the bounds in time before it.
Result<std::string> filter_of(const Options& options) {
  const auto typed = filter_text(options.filter);
  if (!typed) return typed;
  std::string filter;
  if (!options.since.empty()) filter += fmt::format("since:{} ", options.since);
  if (!options.until.empty()) filter += fmt::format("until:{} ", options.until);
  if (filter.empty()) return typed;
  return typed->empty() ? filter.substr(0, filter.size() - 1) : fmt::format("{}({})", filter, *typed);
}

// Asks, and prints what needs no reading; the parsed answer for the rest. The parser must outlive it.
struct Asked {
  simdjson::dom::parser parser;
  simdjson::padded_string text;
  element answer;
};
Result<bool> ask(Client& client, const Options& options, std::string_view path, Asked& asked) {
  const auto filter = filter_of(options);
  if (!filter) return std::unexpected(filter.error());
  show_progress("Looking at every connection; at most 20 s …");
  const auto answer = client.get(path, {{"q", *filter}, {"format", options.html ? "html" : ""}});
  show_progress("");
  if (!answer) return std::unexpected(answer.error());
  if (options.html || options.json) {
    options.html ? write_out(*answer) : write_json(*answer);
    return false;
  }
  asked.text = simdjson::padded_string(*answer);
  if (asked.parser.parse(asked.text).get(asked.answer) != simdjson::SUCCESS)
    return fail(ErrorCode::kIo, "the book's answer is not JSON");
  return true;
}

std::string service_text(element link, std::string_view side) {
  element service;
  if (link[side].get(service) != simdjson::SUCCESS) return {};
  const std::string host = member(service, "host");
  return host.empty() ? member(service, "name") : fmt::format("{} on {}", member(service, "name"), host);
}

int map(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  Asked asked;
  const auto read = ask(*client, options, "/api/v1/map", asked);
  if (!read) return report(read.error());
  if (!*read) return 0;
  simdjson::dom::array links;
  if (asked.answer["links"].get(links) != simdjson::SUCCESS) return report({ErrorCode::kIo, "the book's answer is not a map"});
  const std::vector<std::string> header = {"from", "to", "port", "count", "failed", "open", "bytes_out", "bytes_in"};
  Table table(header);
  if (options.csv) print_csv(header);
  for (const element link : links) {
    std::vector<std::string> cells = {service_text(link, "from"), service_text(link, "to")};
    for (size_t i = 2; i < header.size(); ++i) cells.push_back(member(link, header[i]));
    if (options.csv) {
      print_csv(cells);
    } else {
      table.add(std::move(cells));
    }
  }
  if (!options.csv)
    table.print([](std::string_view column, std::string_view) { return column == "port" ? Ink::kInternal : Ink::kPlain; });
  if (member(asked.answer, "cut") == "true") tell("A limit was met: only the newest connections are in this map.\n");
  return 0;
}

std::string in_words(std::string name) {
  for (char& c : name) {
    if (c == '_') c = ' ';
  }
  return name;
}

std::optional<TimeNs> time_of(element object, std::string_view name) {
  const auto time = parse_time(member(object, name), 0);
  return time ? std::optional(time->time) : std::nullopt;
}

void print_gaps(element completeness) {
  simdjson::dom::array missing;
  if (completeness["missing"].get(missing) != simdjson::SUCCESS || missing.size() == 0) return;
  say("\nGaps\n");
  Table table({"source", "when", "cause", "record"});
  for (const element gap : missing) {
    table.add({member(gap, "source"), interval_text(time_of(gap, "from"), time_of(gap, "to"), "from the beginning", "not ended"),
               member(gap, "cause"), gap["record"].is_null() ? "none" : "#" + member(gap, "record")});
  }
  table.print([](std::string_view, std::string_view) { return Ink::kPlain; });
}

std::string lacks_of(element exception) {
  std::string lacks;
  simdjson::dom::array names;
  if (exception["lacks"].get(names) != simdjson::SUCCESS) return lacks;
  for (const element name : names) lacks += fmt::format("{}{}", lacks.empty() ? "" : ", ", in_words(name.get_c_str().value()));
  return lacks;
}

void print_exceptions(element answer) {
  constexpr size_t kShown = 50;
  simdjson::dom::array exceptions;
  if (answer["exceptions"].get(exceptions) != simdjson::SUCCESS || exceptions.size() == 0) return;
  say("\nExceptions\n");
  Table table({"record", "began", "connection", "lacks"});
  size_t shown = 0;
  for (const element one : exceptions) {
    if (++shown > kShown) break;
    table.add({"#" + member(one, "record"), short_time(member(one, "start")), member(one, "connection"), lacks_of(one)});
  }
  table.print([](std::string_view, std::string_view) { return Ink::kPlain; });
  if (exceptions.size() > kShown)
    say("{} of {} are shown; --json and --html list them.\n", kShown, member(answer, "exceptions_total"));
}

// The whole report as rows of one form; `part` says what a row is about.
void print_coverage_csv(element answer, element completeness, simdjson::dom::array shares) {
  print_csv({"part", "what", "count", "share", "record", "start", "end"});
  print_csv({"connections", member(completeness, "state"), member(answer, "connections"), "", "", "", ""});
  for (const element share : shares)
    print_csv({"have", in_words(member(share, "what")), member(share, "count"), member(share, "share"), "", "", ""});
  element external;
  if (answer["external"].get(external) == simdjson::SUCCESS) {
    print_csv({"external port", "known", member(external, "known"), "", "", "", ""});
    print_csv({"external port", "not translated", member(external, "same"), "", "", "", ""});
    simdjson::dom::object reasons;
    if (external["unknown"].get(reasons) == simdjson::SUCCESS) {
      for (const auto reason : reasons) {
        print_csv(
            {"external port", "unknown: " + in_words(std::string(reason.key)), simdjson::minify(reason.value), "", "", "", ""});
      }
    }
  }
  simdjson::dom::array missing;
  if (completeness["missing"].get(missing) == simdjson::SUCCESS) {
    for (const element gap : missing) {
      print_csv({"gap", fmt::format("{}: {}", member(gap, "source"), member(gap, "cause")), member(gap, "count"), "",
                 member(gap, "record"), member(gap, "from"), member(gap, "to")});
    }
  }
  simdjson::dom::array exceptions;
  if (answer["exceptions"].get(exceptions) != simdjson::SUCCESS) return;
  for (const element one : exceptions) {
    print_csv({"exception", fmt::format("{} lacks {}", member(one, "connection"), lacks_of(one)), "", "", member(one, "record"),
               member(one, "start"), ""});
  }
  const std::string total = member(answer, "exceptions_total");
  if (total != std::to_string(exceptions.size())) tell("{} of {} exceptions are listed.\n", exceptions.size(), total);
}

int coverage(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  Asked asked;
  const auto read = ask(*client, options, "/api/v1/coverage", asked);
  if (!read) return report(read.error());
  if (!*read) return 0;
  element completeness;
  simdjson::dom::array shares;
  if (asked.answer["completeness"].get(completeness) != simdjson::SUCCESS ||
      asked.answer["shares"].get(shares) != simdjson::SUCCESS)
    return report({ErrorCode::kIo, "the book's answer is not a report"});
  if (member(asked.answer, "cut") == "true") tell("A limit was met: only the newest connections were looked at.\n");
  if (options.csv) {
    print_coverage_csv(asked.answer, completeness, shares);
    return 0;
  }
  say("{} connections. {}\n\n", member(asked.answer, "connections"), member(completeness, "sentence"));
  Table table({"have", "count", "share"});
  for (const element share : shares) table.add({in_words(member(share, "what")), member(share, "count"), member(share, "share")});
  table.print([](std::string_view, std::string_view) { return Ink::kPlain; });
  element external;
  if (asked.answer["external"].get(external) == simdjson::SUCCESS) {
    say("\nExternal ports of outbound connections: {} known, {} not translated", member(external, "known"),
        member(external, "same"));
    simdjson::dom::object reasons;
    if (external["unknown"].get(reasons) == simdjson::SUCCESS) {
      for (const auto reason : reasons) say(", {} unknown ({})", simdjson::minify(reason.value), in_words(std::string(reason.key)));
    }
    say("\n");
  }
  print_gaps(completeness);
  print_exceptions(asked.answer);
  return 0;
}

void add_common(CLI::App& command, Options& options) {
  command.add_option("filter", options.filter, "Filter, as for search");
  command.add_option("--since", options.since, "Only connections that began since then: 30d, or a time");
  command.add_option("--until", options.until, "Only connections that began before then");
  auto* json = command.add_flag("--json", options.json, "The whole answer as JSON");
  auto* html = command.add_flag("--html", options.html, "A page to print, whole in itself")->excludes(json);
  command.add_flag("--csv", options.csv, "Comma-separated values with a header")->excludes(json)->excludes(html);
  add_place_options(command, options.place);
}

}  // namespace

void add_map(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("map", "Who talks to whom, by program and container");
  add_common(*command, *options);
  command->footer(
      "Examples:\n"
      "  portbook map --since 1h\n"
      "  portbook map --html 'dst.port:5432' > databases.html\n"
      "A connection whose both ends are in the book counts once. bytes_out go from the one that connected.");
  command->callback([options, &run] { run = [options] { return map(*options); }; });
}

void add_coverage(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command =
      program.add_subcommand("coverage", "The audit report: what share of connections is known whole, and every exception");
  add_common(*command, *options);
  command->footer(
      "Examples:\n"
      "  portbook coverage --since 30d\n"
      "  portbook coverage --since 2026-11-01 --until 2026-12-01 --html > november.html\n"
      "  portbook coverage --csv 'dst.port:5432' > databases.csv");
  command->callback([options, &run] { run = [options] { return coverage(*options); }; });
}

}  // namespace portbook

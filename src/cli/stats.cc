// portbook stats: counts of connections by fields.
#include <fmt/format.h>

#include <array>
#include <memory>

#include "cli/command.h"
#include "cli/filter_text.h"
#include "cli/output.h"
#include "cli/table.h"

namespace portbook {

namespace {

using simdjson::dom::element;

constexpr uint64_t kGroupsMax = 10'000;  // that the book gives

struct Options {
  BookPlace place;
  bool json = false;
  bool csv = false;
  std::string by = "exe,dst.port";
  std::string sort;
  uint64_t limit = 50;
  std::vector<std::string> filter;
};

constexpr auto kSums = std::to_array<std::string_view>({"count", "failed", "bytes_out", "bytes_in"});

std::vector<std::string> cells_of(element group) {
  std::vector<std::string> cells;
  simdjson::dom::object values;
  if (group["values"].get(values) == simdjson::SUCCESS) {
    for (const auto field : values) {
      std::string_view text;
      cells.emplace_back(field.value.get(text) == simdjson::SUCCESS ? std::string(text) : std::string());
    }
  }
  for (const std::string_view name : kSums) cells.push_back(member(group, name));
  return cells;
}

// The row of all groups that the limit cut off; `columns` is how many fields were asked for.
std::vector<std::string> cells_of_others(element others, size_t columns) {
  const std::string groups = member(others, "groups");
  std::vector<std::string> cells = {fmt::format("({} {})", groups, groups == "1" ? "other" : "others")};
  cells.resize(columns);
  for (const std::string_view name : kSums) cells.push_back(member(others, name));
  return cells;
}

int stats(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  const auto filter = filter_text(options.filter);
  if (!filter) return report(filter.error());
  const auto answer = client->get(
      "/api/v1/stats", {{"q", *filter}, {"by", options.by}, {"sort", options.sort}, {"limit", std::to_string(options.limit)}});
  if (!answer) return report(answer.error());
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(*answer);
  element parsed;
  simdjson::dom::array groups;
  if (parser.parse(padded).get(parsed) != simdjson::SUCCESS || parsed["groups"].get(groups) != simdjson::SUCCESS) {
    return report({ErrorCode::kIo, "the book's answer is not JSON"});
  }
  std::vector<std::string> header = CLI::detail::split(options.by, ',');
  const size_t fields = header.size();
  header.insert(header.end(), kSums.begin(), kSums.end());
  Table table(header);
  if (options.csv) print_csv(header);
  for (const element group : groups) {
    if (options.json) {
      write_json(simdjson::minify(group) + "\n");
    } else if (options.csv) {
      print_csv(cells_of(group));
    } else {
      table.add(cells_of(group));
    }
  }
  element others;
  if (parsed["others"].get(others) == simdjson::SUCCESS && others.is_object()) {
    if (options.json) {
      write_json(fmt::format("{{\"others\":{}}}\n", simdjson::minify(others)));
    } else if (options.csv) {
      print_csv(cells_of_others(others, fields));
    } else {
      table.add(cells_of_others(others, fields));
    }
  }
  if (!options.json && !options.csv) table.print([](std::string_view, std::string_view) { return Ink::kPlain; });
  if (member(parsed, "sampled") == "true") tell("A limit was met: only the {} newest rows were counted.\n", member(parsed, "rows"));
  return 0;
}

}  // namespace

void add_stats(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("stats", "Counts of connections by fields");
  command->add_option("filter", options->filter, "Filter, as for search");
  command->add_option("--by", options->by, "One to four fields, with commas between them (default exe,dst.port)");
  command->add_option("--sort", options->sort, "What the greatest of comes first (default count)")
      ->check(CLI::IsMember({"count", "failed", "bytes_out", "bytes_in"}));
  command->add_option("--limit,-n", options->limit, "How many groups at most (default 50)")
      ->check(CLI::Range(uint64_t{1}, kGroupsMax));
  auto* json = command->add_flag("--json", options->json, "One JSON object a line");
  command->add_flag("--csv", options->csv, "Comma-separated values with a header")->excludes(json);
  add_place_options(*command, options->place);
  command->footer(
      "Examples:\n"
      "  portbook stats --by exe,dst.port 'since:1h'\n"
      "  portbook stats --by pid,src.port --sort bytes_out -n 5 'exe:psql since:1h'\n"
      "  portbook stats --by user,outcome --csv 'kind:failed' > failed.csv\n"
      "The last row says what the groups beyond --limit add up to: \"(12 others)\"; with --json its one member is others.");
  command->callback([options, &run] { run = [options] { return stats(*options); }; });
}

}  // namespace portbook

// portbook token: who may read this book from another machine.
#include <fmt/format.h>
#include <simdjson.h>

#include <memory>

#include "base/hash.h"
#include "cli/command.h"
#include "cli/output.h"
#include "server/credentials.h"

namespace portbook {

namespace {

struct Options {
  BookPlace place;
  std::string name;
  std::string expires;
};

constexpr std::string_view kPath = "/api/v1/tokens";

std::string_view without_line_end(std::string_view text) {
  return text.ends_with('\n') ? text.substr(0, text.size() - 1) : text;
}

int add(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  const std::string token = make_token();
  const auto done =
      client->send("POST", kPath, {{"name", options.name}, {"sha256", hex(token_hash(token))}, {"expires", options.expires}});
  if (!done) return report(done.error());
  tell("{}\nIt is shown this once; the book keeps its hash alone:\n", without_line_end(*done));
  say("{}\n", token);
  return 0;
}

int remove(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  const auto done = client->send("DELETE", kPath, {{"name", options.name}});
  if (!done) return report(done.error());
  say("{}\n", without_line_end(*done));
  return 0;
}

int list(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  const auto text = client->get(kPath);
  if (!text) return report(text.error());
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(*text);
  simdjson::dom::array tokens;
  if (parser.parse(padded).get(tokens) != simdjson::SUCCESS) return report({ErrorCode::kIo, "the book answered something else"});
  for (const simdjson::dom::element one : tokens) {
    std::string_view name;
    std::string_view scope;
    std::string_view added;
    std::string_view expires;
    if (one["name"].get(name) != simdjson::SUCCESS || one["scope"].get(scope) != simdjson::SUCCESS ||
        one["added"].get(added) != simdjson::SUCCESS) {
      return report({ErrorCode::kIo, "the book answered something else"});
    }
    const bool ends = one["expires"].get(expires) == simdjson::SUCCESS;
    say("{}  {}  added {}  {}\n", name, scope, added.substr(0, 19),
        ends ? fmt::format("until {}", expires.substr(0, 19)) : "until removed");
  }
  return 0;
}

CLI::App* add_action(CLI::App& command, const std::string& name, const std::string& text, const std::shared_ptr<Options>& options,
                     int (*action)(const Options&), Run& run) {
  auto* made = command.add_subcommand(name, text);
  add_folder_option(*made, options->place);
  made->callback([options, action, &run] { run = [options, action] { return action(*options); }; });
  return made;
}

}  // namespace

void add_token(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("token", "Let somebody read this book from another machine, or take that back");
  command->require_subcommand(1);
  auto* adding = add_action(*command, "add", "Make a token; it is shown once", options, add, run);
  adding->add_option("name", options->name, "What the book's records of questions call who has it")->required();
  adding->add_option("--expires", options->expires, "Moment from which it is refused (default: none)");
  add_action(*command, "list", "Show whose tokens there are", options, list, run);
  add_action(*command, "remove", "Take a token back: at once, also from browsers that logged in with it", options, remove, run)
      ->add_option("name", options->name, "Its name")
      ->required();
  command->footer(
      "Examples:\n"
      "  sudo portbook token add audit --expires 2027-01-01T00:00Z > audit.token\n"
      "  portbook who 203.0.113.5:41234 --server https://book.example.org:7171 --token-file audit.token\n"
      "  sudo portbook token remove audit\n"
      "The book must run. Each change, each login and each question is recorded in it.");
}

}  // namespace portbook

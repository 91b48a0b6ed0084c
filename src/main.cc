// portbook: a list of commands.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/output.h"
#include "query/filter.h"
#include "record/version.h"

namespace {

using namespace portbook;

// What was probably meant, or where to look.
std::string hint(const std::string& word, const std::vector<std::string>& names, const std::string& help) {
  const std::string near = nearest_name(word, std::vector<std::string_view>(names.begin(), names.end()));
  return near.empty() ? fmt::format("; see `{} --help`", help) : fmt::format("; did you mean {}?", near);
}

std::vector<std::string> commands_of(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* one : command.get_subcommands([](const CLI::App*) { return true; })) names.push_back(one->get_name());
  return names;
}

std::vector<std::string> options_of(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (!option->get_group().empty()) names.push_back("--" + name);
    }
  }
  return names;
}

// The parser complains of what is missing before it complains of what it does not know; a person wants it the other way round.
std::string what_was_wrong(const CLI::App& program, const CLI::ParseError& wrong, std::span<char*> args) {
  const CLI::App* command = &program;
  std::string path = "portbook";
  for (const std::string word : args) {
    const std::vector<std::string> commands = commands_of(*command);
    if (std::ranges::find(commands, word) != commands.end()) {
      command = command->get_subcommand(word);
      path += " " + word;
    } else if (!commands.empty() && !word.starts_with('-')) {
      return fmt::format("there is no command \"{}\"{}", word, hint(word, commands, path));
    } else if (const std::string option = word.substr(0, word.find('='));
               option.starts_with("--") && option.size() > 2 && command->get_option_no_throw(option) == nullptr) {
      return fmt::format("{} has no option {}{}", command->get_name(), option, hint(option, options_of(*command), path));
    }
  }
  return fmt::format("{}; see `{} --help`", wrong.what(), path);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Who had that port? Records every connection of this host with both ports and its owner, in a log that nobody can change "
      "unnoticed.",
      "portbook");
  app.set_version_flag("--version", std::string("portbook ") + std::string(kVersion));
  app.require_subcommand(1);
  app.footer("Start with `portbook up`; then ask `portbook who ADDRESS:PORT`. Each command's --help has two examples.");
  Run run;
  for (const auto add : {add_up,     add_serve, add_agent,  add_follow, add_receive, add_enroll, add_token,
                         add_who,    add_trace, add_search, add_tail,   add_stats,   add_map,    add_coverage,
                         add_fields, add_prove, add_verify, add_export, add_import,  add_doctor, add_completion})
    add(app, run);
  for (const char* name : {"who", "trace", "search", "tail", "stats", "map", "coverage", "fields", "verify", "doctor"})
    add_colour_option(*app.get_subcommand(name));
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help, --version
    std::ostringstream text;
    const int code = app.exit(wanted, text);
    write_out(text.str());
    flush_out();
    return code;
  } catch (const CLI::ParseError& wrong) {
    tell("portbook: {}\n", what_was_wrong(app, wrong, std::span(argv, static_cast<size_t>(argc)).subspan(1)));
    return exit_code(ErrorCode::kBadInput);
  }
  const int code = run();
  flush_out();
  return code;
}

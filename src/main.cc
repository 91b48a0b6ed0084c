// portbook: a list of commands.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "cli/command.h"
#include "cli/output.h"
#include "record/version.h"

namespace {

using namespace portbook;

// The parser complains of what is missing before it complains of what it does not know; a person wants it the other way round.
std::string what_was_wrong(CLI::App& app, const CLI::ParseError& wrong, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return fmt::format("{}; see `portbook --help`", wrong.what());
  const std::string name = argv[1];
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    if (command->get_name() != name) continue;
    for (int i = 2; i < argc; ++i) {
      const std::string option = std::string(argv[i]).substr(0, std::string_view(argv[i]).find('='));
      if (option.starts_with("--") && option.size() > 2 && command->get_option_no_throw(option) == nullptr) {
        return fmt::format("{} has no option {}; see `portbook {} --help`", name, option, name);
      }
    }
    return fmt::format("{}; see `portbook {} --help`", wrong.what(), name);
  }
  return fmt::format("there is no command \"{}\"; see `portbook --help`", name);
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
  for (const auto add :
       {add_up, add_serve, add_agent, add_enroll, add_token, add_who, add_trace, add_search, add_tail, add_stats, add_map,
        add_coverage, add_fields, add_prove, add_verify, add_export, add_import, add_doctor, add_completion})
    add(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app.exit(wanted);
  } catch (const CLI::ParseError& wrong) {
    print_err("portbook: {}\n", what_was_wrong(app, wrong, argc, argv));
    return exit_code(ErrorCode::kBadInput);
  }
  return finish_output(run());
}

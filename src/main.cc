// portbook: a list of commands.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "cli/command.h"
#include "record/version.h"

int main(int argc, char** argv) {
  using namespace portbook;
  CLI::App app(
      "Who had that port? Records every connection of this host with both ports and its owner, in a log that nobody can change "
      "unnoticed.",
      "portbook");
  app.set_version_flag("--version", std::string("portbook ") + std::string(kVersion));
  app.require_subcommand(1);
  app.footer("Start with `portbook up`; then ask `portbook who ADDRESS:PORT`. Each command's --help has two examples.");
  Run run;
  for (const auto add : {add_up, add_who, add_search, add_tail, add_fields, add_prove, add_doctor}) add(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app.exit(wanted);
  } catch (const CLI::ParseError& wrong) {
    const bool is_command = argc > 1 && argv[1][0] != '-';
    if (is_command && app.get_subcommand_no_throw(argv[1]) == nullptr) {
      fmt::print(stderr, "portbook: there is no command \"{}\"; see `portbook --help`\n", argv[1]);
    } else {
      fmt::print(stderr, "portbook: {}; see `portbook {}--help`\n", wrong.what(), is_command ? std::string(argv[1]) + " " : "");
    }
    return exit_code(ErrorCode::kBadInput);
  }
  const int code = run();
  return std::fflush(stdout) == 0 ? code : exit_code(ErrorCode::kIo);
}

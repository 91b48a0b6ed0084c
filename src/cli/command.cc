#include "cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace portbook {

std::filesystem::path default_data() {
  if (geteuid() == 0) return "/var/lib/portbook";
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return std::filesystem::path(state) / "portbook";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::filesystem::path(home) / ".local/state/portbook";
  return "portbook-data";
}

void add_data_option(CLI::App& command, BookChoice& choice) {
  choice.data = default_data();
  command.add_option("--data", choice.data, "folder of the book")->type_name("DIR")->capture_default_str();
}

void add_book_options(CLI::App& command, BookChoice& choice) {
  add_data_option(command, choice);
  command.add_option("--server", choice.server, "ask the book at this URL instead, such as http://127.0.0.1:7171")
      ->type_name("URL");
}

void add_json_option(CLI::App& command, Format& format) {
  command.add_flag_callback("--json", [&format] { format = Format::kJson; }, "print JSON");
}

void add_format_options(CLI::App& command, Format& format) {
  command.add_flag_callback("--json", [&format] { format = Format::kJson; }, "print one JSON object a line");
  command.add_flag_callback("--csv", [&format] { format = Format::kCsv; }, "print comma-separated values");
}

int report(const Error& error) {
  std::fflush(stdout);
  fmt::print(stderr, "portbook: {}\n", error.message);
  return exit_code(error.code);
}

}  // namespace portbook

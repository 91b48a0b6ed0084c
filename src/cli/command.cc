#include "cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace portbook {

std::filesystem::path default_folder() {
  if (geteuid() == 0) return "/var/lib/portbook";
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return std::filesystem::path(state) / "portbook";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::filesystem::path(home) / ".local/state/portbook";
  return "portbook-data";
}

std::filesystem::path BookPlace::folder() const {
  return data.empty() ? default_folder() : std::filesystem::path(data);
}

Result<Client> BookPlace::connect() const {
  return server.empty() ? Client::over_unix_socket(folder() / "portbook.sock") : Client::over_url(server);
}

CLI::Option* add_folder_option(CLI::App& command, BookPlace& place) {
  return command.add_option("--data", place.data, fmt::format("Folder of the book (default {})", default_folder().string()));
}

void add_place_options(CLI::App& command, BookPlace& place) {
  auto* data = add_folder_option(command, place);
  command.add_option("--server", place.server, "URL of the running book, such as http://127.0.0.1:7171")->excludes(data);
}

int report(const Error& error) {
  fmt::print(stderr, "portbook: {}\n", error.message);
  return exit_code(error.code);
}

}  // namespace portbook

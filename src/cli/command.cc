#include "cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "cli/output.h"
#include "cli/remembered.h"

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

std::expected<Client, CommandError> BookPlace::connect() const {
  auto client = reach();
  if (!client) return std::unexpected(CommandError(client.error(), exit_code(client.error().code)));
  const auto folder = remembered_folder();
  if (!folder) return std::move(*client);
  const auto held = RememberedBooks(*folder).check(server, [&](const std::string& target) { return client->get(target); });
  if (!held) return std::unexpected(CommandError(held.error(), exit_code(held.error().code)));
  if (held->verdict == Held::kRewritten) return std::unexpected(CommandError({ErrorCode::kCorrupt, held->why}, kExitRewritten));
  if (held->verdict == Held::kNotRemembered && !server.empty())
    tell("The book’s checkpoint cannot be remembered for the next time: {}.\n", held->why);
  return std::move(*client);
}

Result<Client> BookPlace::reach() const {
  if (server.empty()) return Client::over_unix_socket(folder() / "portbook.sock");
  RemoteAccess access;
  access.authority = authority;
  if (const char* token = std::getenv("PORTBOOK_TOKEN"); token != nullptr) access.token = token;
  if (!token_file.empty()) {
    std::ifstream file(token_file);
    if (!(file >> access.token)) return fail(ErrorCode::kBadInput, fmt::format("there is no token in {}", token_file));
  }
  return Client::over_url(server, access);
}

CLI::Option* add_folder_option(CLI::App& command, BookPlace& place) {
  return command.add_option("--data", place.data, fmt::format("Folder of the book (default {})", default_folder().string()));
}

void add_place_options(CLI::App& command, BookPlace& place) {
  auto* data = add_folder_option(command, place);
  auto* server = command.add_option("--server", place.server, "URL of the running book, such as https://book.example.org:7171");
  server->excludes(data);
  command.add_option("--token-file", place.token_file, "File with the token for --server (default: the variable PORTBOOK_TOKEN)")
      ->needs(server);
  command.add_option("--ca", place.authority, "PEM file of the authority to believe for --server (default: this machine's)")
      ->needs(server);
}

void add_colour_option(CLI::App& command) {
  command
      .add_option_function<std::string>(
          "--color",
          [](const std::string& wanted) {
            choose_colour(wanted == "always" ? Colour::kAlways : wanted == "never" ? Colour::kNever : Colour::kAuto);
          },
          "Colours: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}));
}

int report(const Error& error) {
  tell("portbook: {}\n", error.message);
  return exit_code(error.code);
}

int report(const CommandError& error) {
  report(error.error);
  return error.exit_code;
}

}  // namespace portbook

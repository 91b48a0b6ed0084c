// portbook agent: capture alone; ships to a book.
#include <fmt/format.h>

#include <memory>

#include "cli/boundaries.h"
#include "cli/command.h"
#include "cli/roles.h"

namespace portbook {

namespace {

struct Options {
  std::string book;
  std::string spool;
  std::string spool_max;
  std::string token_file;
  bool again = false;
  AgentRole role;
};

int agent(const Options& options) {
  AgentRole role = options.role;
  role.book = options.book.empty() ? default_ingest_socket(default_folder()) : std::filesystem::path(options.book);
  role.spool = options.spool.empty() ? default_spool(default_folder()) : std::filesystem::path(options.spool);
  if (role.host.empty()) role.host = host_name();
  if (!options.spool_max.empty()) {
    const auto bytes = parse_bytes(options.spool_max);
    if (!bytes) return report(bytes.error());
    role.spool_bytes_max = *bytes;
  }
  if (!options.token_file.empty()) {
    auto token = read_token_file(options.token_file);
    if (!token) return report(token.error());
    role.token = std::move(*token);
  }
  return run_agent(role);
}

}  // namespace

void add_agent(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("agent", "Record this host and ship to a book");
  command->add_option("--book", options->book,
                      fmt::format("The book's ingest socket (default {})", default_ingest_socket(default_folder()).string()));
  command->add_option("--spool", options->spool,
                      fmt::format("Folder for records while the book is away; made when missing (default {})",
                                  default_spool(default_folder()).string()));
  command->add_option("--spool-max", options->spool_max, "Most that the spool takes on disk (default 1GiB)");
  command->add_option("--token-file", options->token_file, "File with the token that `portbook enroll` made");
  command->add_option("--host", options->role.host, "Name of this host in its records (default: its host name)");
  command->add_flag("--no-cmdline", options->role.no_cmdline, "Never record the arguments of processes");
  command->add_flag("--no-bpf", options->role.no_bpf, "Look at the open sockets again and again instead of watching the kernel");
  command->add_option("--supervisor-fd", options->role.supervisor)->group("");
  command->add_flag("--again", options->again)->group("");
  command->footer(
      "Examples:\n"
      "  sudo portbook agent\n"
      "  sudo portbook agent --book /run/portbook/ingest.sock --token-file /etc/portbook/token --spool-max 256MiB");
  command->callback([options, &run] { run = [options] { return agent(*options); }; });
}

}  // namespace portbook

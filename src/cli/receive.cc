// portbook receive: syslog of other programs, over sockets, into a running book.
#include <fmt/format.h>

#include <memory>

#include "cli/boundaries.h"
#include "cli/command.h"
#include "cli/roles.h"

namespace portbook {

namespace {

struct Options {
  std::string udp;
  std::string tcp;
  std::string local;
  std::string zone = "local";
  std::string book;
  std::string data;
  std::string spool;
  std::string token_file;
  ReceiveRole role;
};

int receive(const Options& options) {
  ReceiveRole role = options.role;
  const std::filesystem::path folder = options.data.empty() ? default_folder() : std::filesystem::path(options.data);
  role.book = options.book.empty() ? default_ingest_socket(folder) : std::filesystem::path(options.book);
  role.spool = options.spool.empty() ? meeting_folder(folder) / "syslog" : std::filesystem::path(options.spool);
  if (role.host.empty()) role.host = host_name();
  if (!options.udp.empty()) role.places.udp = {options.udp};
  if (!options.tcp.empty()) role.places.tcp = {options.tcp};
  if (!options.local.empty()) role.places.unix = {options.local};
  const auto zone = choose_zone(options.zone);
  if (!zone) return report(zone.error());
  role.zone = *zone;
  if (!options.token_file.empty()) {
    auto token = read_token_file(options.token_file);
    if (!token) return report(token.error());
    role.token = std::move(*token);
  }
  return run_receive(role);
}

}  // namespace

void add_receive(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("receive", "Syslog of other programs, over sockets, into a running book");
  command->add_option("--syslog-udp", options->udp, "Receive datagrams at this loopback address and port");
  command->add_option("--syslog-tcp", options->tcp, "Receive connections there; octet counting and lines");
  command->add_option("--syslog-unix", options->local, "Receive at this unix datagram socket; made, for everybody to write to");
  command->add_option("--rate", options->role.rate_max, "Most messages a second of one sender (default 10000)")
      ->check(CLI::Range(1U, 1'000'000U));
  command->add_option("--zone", options->zone,
                      "Zone of times that name none: +01:00, Europe/Berlin, UTC, or local, this machine's (default)");
  command->add_option("--book", options->book, "The book's ingest socket (default: that of --data)");
  command->add_option("--data", options->data, fmt::format("Folder of the book (default {})", default_folder().string()));
  command->add_option("--spool", options->spool,
                      "Folder for messages while the book is away (default: beside the book's, with -agent/syslog)");
  command->add_option("--token-file", options->token_file, "File with the token that `portbook enroll` made");
  command->add_option("--host", options->role.host, "Name of this host in its records (default: its host name)");
  command->footer(
      "Examples:\n"
      "  sudo portbook receive --syslog-udp 127.0.0.1:5514 --syslog-tcp 127.0.0.1:5514\n"
      "  sudo portbook receive --syslog-unix /run/portbook-syslog --zone Europe/Berlin\n"
      "RFC 5424 and RFC 3164, a record for each message; the program that it names says how it is read. docs/sources.md has how\n"
      "rsyslog and syslog-ng are pointed at it, and what each transport can lose.");
  command->callback([options, &run] { run = [options] { return receive(*options); }; });
}

}  // namespace portbook

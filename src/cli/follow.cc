// portbook follow: the logs of other programs, while they are written, into a running book.
#include <fmt/format.h>

#include <memory>

#include "cli/boundaries.h"
#include "cli/command.h"
#include "cli/pools.h"
#include "cli/roles.h"
#include "logs/find_logs.h"

namespace portbook {

namespace {

struct Options {
  std::vector<std::string> files;
  std::string format;
  std::string zone = "local";
  std::string clock_error;
  std::string book;
  std::string data;
  std::string positions;
  std::string token_file;
  std::string spool;
  PoolOptions pools;
  bool again = false;
  FollowRole role;
};

// As follow(), of the consoles of PgBouncers.
int follow_pools(const Options& options) {
  PoolRole role;
  const std::filesystem::path folder = options.data.empty() ? default_folder() : std::filesystem::path(options.data);
  role.book = options.book.empty() ? default_ingest_socket(folder) : std::filesystem::path(options.book);
  role.spool = options.spool.empty() ? default_pool_spool(folder, true) : std::filesystem::path(options.spool);
  role.host = options.role.host.empty() ? host_name() : options.role.host;
  role.supervisor = options.role.supervisor;
  if (const Status read = read_pool_options(options.pools, role); !read) return report(read.error());
  const auto clock_error = choose_clock_error(options.clock_error);
  if (!clock_error) return report(clock_error.error());
  role.clock_error_ns = *clock_error;
  if (!options.token_file.empty()) {
    auto token = read_token_file(options.token_file);
    if (!token) return report(token.error());
    role.token = std::move(*token);
  }
  return run_pools(role);
}

int follow(const Options& options) {
  if (!options.pools.places.empty() && !options.files.empty())
    return report({ErrorCode::kBadInput, "logs and PgBouncer’s console are followed by a process each"});
  if (!options.pools.places.empty()) return follow_pools(options);
  if (options.files.empty()) return report({ErrorCode::kBadInput, "nothing to follow: name a log, or --pgbouncer"});
  FollowRole role = options.role;
  const std::filesystem::path folder = options.data.empty() ? default_folder() : std::filesystem::path(options.data);
  role.book = options.book.empty() ? default_ingest_socket(folder) : std::filesystem::path(options.book);
  role.positions = options.positions.empty() ? default_positions(folder, true) : std::filesystem::path(options.positions);
  if (role.host.empty()) role.host = host_name();
  const auto zone = choose_zone(options.zone);
  if (!zone) return report(zone.error());
  const auto clock_error = choose_clock_error(options.clock_error);
  if (!clock_error) return report(clock_error.error());
  for (const std::string& file : options.files) {
    auto log = parse_followed_log(file, options.format, role.logs);
    if (!log) return report(log.error());
    log->zone = *zone;
    log->clock_error_ns = *clock_error;
    role.logs.push_back(std::move(*log));
  }
  if (!options.token_file.empty()) {
    auto token = read_token_file(options.token_file);
    if (!token) return report(token.error());
    role.token = std::move(*token);
  }
  return run_follow(role);
}

}  // namespace

void add_follow(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("follow", "Logs of other programs, while they are written, into a running book");
  command->add_option("files", options->files, "A log, through its rotations; FILE, or FILE:PROGRAM where they differ");
  add_pool_options(*command, options->pools);
  command->add_option(
      "--format", options->format,
      "Whose logs they are: haproxy, postgresql, pgbouncer, sshd, nginx, or syslog, whose lines name their program");
  command->add_option("--zone", options->zone,
                      "Zone of times that name none: +01:00, Europe/Berlin, UTC, or local, this machine's (default)");
  command->add_option("--clock-error", options->clock_error, std::string(kClockErrorHelp));
  command->add_option("--book", options->book, "The book's ingest socket (default: that of --data)");
  command->add_option("--data", options->data, fmt::format("Folder of the book (default {})", default_folder().string()));
  command->add_option("--positions", options->positions,
                      "Folder in which it is kept how far each log was read; made when missing (default: beside the book's, with "
                      "-agent/follow)");
  command->add_option("--spool", options->spool,
                      "With --pgbouncer, folder for records while the book is away (default: beside the book's, with "
                      "-agent/pgbouncer)");
  command->add_option("--token-file", options->token_file, "File with the token that `portbook enroll` made");
  command->add_option("--host", options->role.host, "Name of this host in its records (default: its host name)");
  command->add_option("--supervisor-fd", options->role.supervisor)->group("");
  command->add_flag("--again", options->again)->group("");
  command->footer(
      "Examples:\n"
      "  sudo portbook follow /var/log/haproxy.log --format haproxy\n"
      "  sudo portbook follow /var/log/postgresql/postgresql-15-main.log:postgresql /var/log/auth.log:sshd --zone +01:00\n"
      "  sudo portbook follow --pgbouncer /run/postgresql/.s.PGSQL.6432\n"
      "Each line once, over rotations and kills; while the book is away, the logs keep their lines. `portbook up` follows the "
      "logs\n"
      "that it finds by itself. docs/sources.md has the programs, and what to set so that their lines name every port.");
  command->callback([options, &run] { run = [options] { return follow(*options); }; });
}

}  // namespace portbook

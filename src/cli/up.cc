// portbook up: records this host and answers, until it is stopped.
#include <fmt/format.h>

#include <memory>

#include "cli/boundaries.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/pools.h"
#include "cli/roles.h"
#include "cli/supervisor.h"
#include "logs/find_logs.h"

namespace portbook {

namespace {

struct Options {
  std::string data;
  std::string listen = "127.0.0.1:7171";
  std::string host;
  std::string origin;
  std::string spool;
  std::string spool_max;
  std::string cache_max;
  uint32_t keep_days = 0;
  std::string keep_size;
  std::string self_check;
  std::string certificate;
  std::string key;
  bool no_cmdline = false;
  bool no_bpf = false;
  bool no_logs = false;
  std::vector<std::string> follow;
  PoolOptions pools;
};

// What is followed, said for each; nothing is found that was named.
Result<std::vector<FollowedLog>> logs_to_follow(const Options& options) {
  std::vector<FollowedLog> logs;
  for (const std::string& text : options.follow) {
    auto log = parse_followed_log(text, {}, logs);
    if (!log) return fail_in("--follow", log);
    logs.push_back(std::move(*log));
  }
  if (!options.no_logs) {
    for (const FollowedLog& found : find_logs()) {
      const std::string text = fmt::format("{}:{}", found.path.string(), name_of(found.format));
      if (auto log = parse_followed_log(text, {}, logs); log) logs.push_back(std::move(*log));
    }
  }
  for (const FollowedLog& log : logs) tell("Following {}, a log of {}.\n", log.path.string(), name_of(log.format));
  return logs;
}

// Nothing where there is no log.
Result<std::vector<Child>> child_for_logs(const Options& options, const std::filesystem::path& folder, const std::string& host) {
  const auto logs = logs_to_follow(options);
  if (!logs) return std::unexpected(logs.error());
  if (logs->empty()) return std::vector<Child>();
  Child child{"follower of logs",
              {"follow", "--book", default_ingest_socket(folder).string(), "--positions", default_positions(folder, false).string(),
               "--host", host}};
  for (const FollowedLog& log : *logs) child.args.push_back(fmt::format("{}:{}", log.path.string(), name_of(log.format)));
  return std::vector{child};
}

int up(const Options& options) {
  const std::filesystem::path folder = options.data.empty() ? default_folder() : std::filesystem::path(options.data);
  const std::string host = options.host.empty() ? host_name() : options.host;
  const std::filesystem::path spool = options.spool.empty() ? default_spool(folder) : std::filesystem::path(options.spool);
  Child book{"book", {"serve", "--data", folder.string(), "--listen", options.listen, "--host", host}};
  if (!options.origin.empty()) book.args.insert(book.args.end(), {"--origin", options.origin});
  if (!options.cache_max.empty()) {
    if (const auto bytes = parse_bytes(options.cache_max); !bytes) return report(bytes.error());
    book.args.insert(book.args.end(), {"--cache-max", options.cache_max});
  }
  if (!options.self_check.empty()) {
    if (const auto rate = parse_rate(options.self_check); !rate) return report(rate.error());
    book.args.insert(book.args.end(), {"--self-check", options.self_check});
  }
  if (options.keep_days > 0) book.args.insert(book.args.end(), {"--keep-days", std::to_string(options.keep_days)});
  if (!options.keep_size.empty()) {
    if (const auto bytes = parse_bytes(options.keep_size); !bytes) return report(bytes.error());
    book.args.insert(book.args.end(), {"--keep-size", options.keep_size});
  }
  if (!options.certificate.empty())
    book.args.insert(book.args.end(), {"--tls-cert", options.certificate, "--tls-key", options.key});
  Child agent{"agent", {"agent", "--book", default_ingest_socket(folder).string(), "--spool", spool.string(), "--host", host}};
  if (!options.spool_max.empty()) {
    if (const auto bytes = parse_bytes(options.spool_max); !bytes) return report(bytes.error());
    agent.args.insert(agent.args.end(), {"--spool-max", options.spool_max});
  }
  if (options.no_cmdline) agent.args.emplace_back("--no-cmdline");
  if (options.no_bpf) agent.args.emplace_back("--no-bpf");
  auto children = child_for_logs(options, folder, host);
  if (!children) return report(children.error());
  auto pools = pool_arguments(options.pools, !options.no_logs, folder, host);
  if (!pools) return report(pools.error());
  if (!pools->empty()) children->push_back({"sampler of PgBouncer", std::move(*pools)});
  children->insert(children->begin(), std::move(agent));
  return supervise(std::move(book), std::move(*children));
}

}  // namespace

void add_up(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("up", "Record this host and answer questions, until stopped");
  command->add_option("--data", options->data,
                      fmt::format("Folder of the book; made when missing (default {})", default_folder().string()));
  command->add_option("--listen", options->listen, "Address and port of the page and API (default 127.0.0.1:7171)");
  auto* certificate = command->add_option("--tls-cert", options->certificate,
                                          "PEM file of the certificate, for --listen elsewhere than on loopback");
  auto* key = command->add_option("--tls-key", options->key, "PEM file of its key; SIGHUP to the book reads both anew");
  certificate->needs(key);
  key->needs(certificate);
  command->add_option("--host", options->host, "Name of this host in its records (default: its host name)");
  command->add_option("--origin", options->origin, "Name of a new book in its checkpoints (default portbook/HOST)");
  command->add_option("--spool", options->spool, "Folder for records while the book is away (default: the book's, with -agent)");
  command->add_option("--spool-max", options->spool_max, "Most that the spool takes on disk (default 1GiB)");
  command->add_option("--cache-max", options->cache_max, "Most memory for blocks that were read back (default 256MiB)");
  command->add_option("--keep-days", options->keep_days, "Remove records that are older, in whole blocks (default: keep all)")
      ->check(CLI::Range(1U, kKeepDaysMax));
  command->add_option("--keep-size", options->keep_size,
                      "Remove the oldest blocks when all take more, such as 50GiB (default: keep all)");
  command->add_option("--self-check", options->self_check,
                      "Bytes a second of sealed data that the book reads again and checks, or off (default 256KiB)");
  command->add_flag("--no-cmdline", options->no_cmdline, "Never record the arguments of processes");
  command->add_flag("--no-bpf", options->no_bpf, "Look at the open sockets again and again instead of watching the kernel");
  command->add_option("--follow", options->follow, "Also follow this log; FILE:PROGRAM, such as /srv/proxy.log:haproxy")
      ->allow_extra_args(false);
  command->add_flag("--no-logs", options->no_logs, "Do not look for logs of other programs to follow, nor for a PgBouncer to ask");
  add_pool_options(*command, options->pools);
  command->footer(
      "Examples:\n"
      "  sudo portbook up\n"
      "  sudo portbook up --data /srv/portbook --listen 127.0.0.1:8080\n"
      "  sudo portbook up --keep-days 90 --keep-size 50GiB\n"
      "It runs `portbook serve`, `portbook agent` and, where it finds logs, `portbook follow` as processes of their own and "
      "starts\n"
      "a dead one again.\n"
      "Without root it looks at the open sockets again and again, and says what it cannot see.");
  command->callback([options, &run] { run = [options] { return up(*options); }; });
}

}  // namespace portbook

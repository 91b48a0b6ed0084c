// The process that follows logs: reads them, and ships their lines to a book.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <set>
#include <system_error>

#include "base/clock.h"
#include "cli/boundaries.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/roles.h"
#include "privilege/confine.h"
#include "record/version.h"

namespace portbook {

namespace {

constexpr int kLookEveryMs = 1000;

// Those of the logs, and of what links among them lead to.
std::vector<std::filesystem::path> folders_of(const std::vector<FollowedLog>& logs) {
  std::set<std::filesystem::path> folders;
  for (const FollowedLog& log : logs) {
    std::error_code error;
    folders.insert(log.path.parent_path());
    if (const auto real = std::filesystem::canonical(log.path, error); !error) folders.insert(real.parent_path());
  }
  return {folders.begin(), folders.end()};
}

// Gives up everything but reading the logs' folders, before anything of them is read. `role` names paths as they are reached then.
Status go_apart(FollowRole& role) {
  std::error_code error;
  role.book = std::filesystem::absolute(role.book, error);
  role.positions = std::filesystem::absolute(role.positions, error);
  const auto user = prepare_logs(role.positions);
  if (!user) return fail_in("the folder of the positions", user);
  if (!*user) {
    std::filesystem::create_directories(role.positions, error);
    if (error) return fail(ErrorCode::kIo, fmt::format("{}: {}", role.positions.string(), error.message()));
    return {};
  }
  role.book = seen_from_spool(role.book, role.positions);
  role.positions = ".";
  ConfineOptions options;
  options.part = Part::kLogs;
  options.user = **user;
  options.writable = {role.positions};
  options.readable = folders_of(role.logs);
  const auto confined = confine(options);
  if (!confined) return fail_in("the follower of logs cannot give up its privileges, and does not run", confined);
  return {};
}

}  // namespace

int run_follow(const FollowRole& given_role) {
  FollowRole role = given_role;
  block_stop_signals();
  // The token says more than this process needs to say: whose it is is enough where its book is.
  if (role.supervisor != kNoSupervisor) {
    if (const auto given = read_supervisor_token(role.supervisor); !given) return report(given.error());
  }
  if (Status apart = go_apart(role); !apart) return report(apart.error());
  LogShipperOptions options;
  options.logs = role.logs;
  options.socket = role.book;
  options.host = role.host;
  options.program = kVersion;
  options.token = role.token;
  options.folder = role.positions;
  options.say = [](const std::string& sentence) { tell("portbook follow: {}\n", sentence); };
  auto shipper = LogShipper::start(std::move(options), system_clock());
  if (!shipper) return report(shipper.error());
  while (!wait_for_stop(role.supervisor, kLookEveryMs)) {
  }
  if (const Status stopped = (*shipper)->stop(); !stopped) return report(stopped.error());
  return 0;
}

}  // namespace portbook

// The agent's process: captures, and ships to a book.
#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

#include "base/clock.h"
#include "capture/capture.h"
#include "cli/boundaries.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/roles.h"
#include "privilege/confine.h"
#include "privilege/helper.h"
#include "record/version.h"
#include "ship/sender.h"

namespace portbook {

namespace {

constexpr int kReportEveryMs = 1000;

AgentReport report_of(const Capture& capture) {
  AgentReport report;
  report.capturing = true;
  for (const Capability& one : capture.report()) report.lines.push_back({one.what, to_text(one.state), one.means, one.detail});
  const CaptureStatistics statistics = capture.statistics();
  report.numbers = {{"events", statistics.events},
                    {"records", statistics.records},
                    {"lost_events", statistics.lost_events},
                    {"parked_opens", statistics.parked_opens},
                    {"unnamed_uses", statistics.unnamed_uses},
                    {"open_connections", statistics.open_connections},
                    {"processes", statistics.processes},
                    {"passes", statistics.passes},
                    {"batches", statistics.batches}};
  return report;
}

// Agent and helper hold two descriptors for each network namespace, and anybody may make namespaces. The helper inherits it.
void allow_many_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

// What an agent that root starts has afterwards instead of root's rights.
struct Apart {
  std::unique_ptr<Operations> operations;  // null: not root, and nothing to give up
  std::string confined;
};

// Forks the helper and gives up everything else, before anything is read from outside. `role` names paths as they are reached then.
Result<Apart> go_apart(AgentRole& role) {
  Apart apart;
  // Where the process stands changes.
  std::error_code error;
  role.book = std::filesystem::absolute(role.book, error);
  role.spool = std::filesystem::absolute(role.spool, error);
  const auto user = prepare_agent(role.spool);
  if (!user) return fail_in("the agent's folder", user);
  if (!*user) return apart;
  auto helper = start_helper();
  if (!helper) return std::unexpected(helper.error());
  role.book = seen_from_spool(role.book, role.spool);
  role.spool = ".";
  ConfineOptions options;
  options.part = Part::kAgent;
  options.user = **user;
  options.writable = {role.spool};
  const auto confined = confine(options);
  if (!confined) return fail_in("the agent cannot give up its privileges, and does not run", confined);
  apart.confined = confined->to_text();
  apart.operations = make_remote_operations(std::move(helper->socket));
  return apart;
}

Result<std::unique_ptr<Sender>> start_sender(const AgentRole& role, const std::string& spool_shown, std::string token) {
  SenderOptions options;
  options.socket = role.book;
  options.host = role.host;
  options.program = kVersion;
  options.token = std::move(token);
  options.spool = role.spool;
  options.spool_shown = spool_shown;
  options.spool_bytes_max = role.spool_bytes_max == 0 ? kSpoolBytesDefault : role.spool_bytes_max;
  options.say = [](const std::string& sentence) { tell("portbook agent: {}\n", sentence); };
  return Sender::start(std::move(options), system_clock());
}

Result<std::unique_ptr<Capture>> start_capture(const AgentRole& role, Sender& sender, Apart apart) {
  CaptureOptions options;
  options.host = role.host;
  options.version = kVersion;
  options.with_cmdline = !role.no_cmdline;
  options.without_programs = role.no_bpf;
  options.operations = std::move(apart.operations);
  options.confined = std::move(apart.confined);
  options.last_seq = [&](std::string_view source) { return sender.last_seq(source); };
  options.untold = [&](std::string_view source) -> std::optional<Untold> {
    const auto untold = sender.untold(source);
    return untold ? std::optional(Untold{untold->first, untold->second}) : std::nullopt;
  };
  options.told = [&](const std::string& source, TimeNs until) { sender.told(source, until); };
  options.sink = [&](Batch batch, CaptureOptions::Done done) { sender.submit(std::move(batch), std::move(done)); };
  return Capture::start(std::move(options), system_clock());
}

}  // namespace

int run_agent(const AgentRole& given_role) {
  AgentRole role = given_role;
  block_stop_signals();
  std::string token = role.token;
  if (role.supervisor != kNoSupervisor) {
    auto given = read_supervisor_token(role.supervisor);
    if (!given) return report(given.error());
    token = std::move(*given);
  }
  allow_many_descriptors();
  auto apart = go_apart(role);
  if (!apart) return report(apart.error());
  auto sender = start_sender(role, given_role.spool.string(), std::move(token));
  if (!sender) return report(sender.error());
  auto capture = start_capture(role, **sender, std::move(*apart));
  if (!capture) return report(capture.error());
  do {
    (*sender)->report(report_of(**capture));
  } while (!wait_for_stop(role.supervisor, kReportEveryMs) && !(*capture)->lost());
  const bool lost = (*capture)->lost();
  (*capture)->stop();
  (*sender)->stop();
  if (!lost) return 0;
  return report({ErrorCode::kUnavailable, "the privileged helper is gone: the agent has to be started again"});
}

}  // namespace portbook

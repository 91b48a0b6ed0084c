// The process that receives syslog: takes messages from its sockets, and ships them to a book.
#include <fmt/format.h>

#include <filesystem>
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

constexpr int kReportEveryMs = 1000;

// Gives up everything but its sockets and its spool, before anything is read. `role` names paths as they are reached then.
Status go_apart(ReceiveRole& role) {
  std::error_code error;
  role.book = std::filesystem::absolute(role.book, error);
  role.spool = std::filesystem::absolute(role.spool, error);
  const auto user = prepare_receiver(role.spool);
  if (!user) return fail_in("the folder of the spool", user);
  if (!*user) return {};
  role.book = seen_from_spool(role.book, role.spool);
  role.spool = ".";
  ConfineOptions options;
  options.part = Part::kReceiver;
  options.user = **user;
  options.writable = {role.spool};
  const auto confined = confine(options);
  if (!confined) return fail_in("the receiver of syslog cannot give up its privileges, and does not run", confined);
  return {};
}

AgentReport report_of(const SyslogReceiver& receiver) {
  const SyslogReceiver::Counts counts = receiver.counts();
  AgentReport report;
  report.capturing = true;
  report.numbers = {
      {"messages", counts.messages}, {"messages_not_understood", counts.not_understood}, {"messages_dropped", counts.dropped}};
  report.lines.push_back(
      {"Syslog", counts.dropped == 0 ? "ok" : "warn", "received",
       fmt::format("{} messages since this run began, {} not understood, {} dropped above the limit of their sender.",
                   counts.messages, counts.not_understood, counts.dropped)});
  return report;
}

}  // namespace

int run_receive(const ReceiveRole& given_role) {
  ReceiveRole role = given_role;
  block_stop_signals();
  auto sockets = open_syslog_sockets(role.places);
  if (!sockets) return report(sockets.error());
  if (Status apart = go_apart(role); !apart) return report(apart.error());
  SenderOptions options;
  options.socket = role.book;
  options.host = role.host;
  options.part = kSyslogOfHost;
  options.program = kVersion;
  options.token = role.token;
  options.spool = role.spool;
  options.spool_shown = given_role.spool.string();
  options.say = [](const std::string& sentence) { tell("portbook receive: {}\n", sentence); };
  auto sender = Sender::start(std::move(options), system_clock());
  if (!sender) return report(sender.error());
  auto receiver = SyslogReceiver::start(std::move(*sockets), {role.host, role.zone, role.rate_max}, **sender, system_clock());
  if (!receiver) return report(receiver.error());
  do {
    (*sender)->report(report_of(**receiver));
  } while (!wait_for_stop(kNoSupervisor, kReportEveryMs));
  (*receiver)->stop();
  (*sender)->stop();  // before the receiver goes, which it may answer
  return 0;
}

}  // namespace portbook

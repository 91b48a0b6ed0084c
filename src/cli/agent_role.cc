// The agent's process: captures, and ships to a book.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "capture/capture.h"
#include "cli/command.h"
#include "cli/roles.h"
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

Result<std::unique_ptr<Sender>> start_sender(const AgentRole& role, std::string token) {
  SenderOptions options;
  options.socket = role.book;
  options.host = role.host;
  options.program = kVersion;
  options.token = std::move(token);
  options.spool = role.spool;
  options.spool_bytes_max = role.spool_bytes_max == 0 ? kSpoolBytesDefault : role.spool_bytes_max;
  options.say = [](const std::string& sentence) { fmt::print(stderr, "portbook agent: {}\n", sentence); };
  return Sender::start(std::move(options), system_clock());
}

Result<std::unique_ptr<Capture>> start_capture(const AgentRole& role, Sender& sender) {
  CaptureOptions options;
  options.host = role.host;
  options.version = kVersion;
  options.with_cmdline = !role.no_cmdline;
  options.without_programs = role.no_bpf;
  options.last_seq = [&](std::string_view source) { return sender.last_seq(source); };
  options.sink = [&](Batch batch, CaptureOptions::Done done) { sender.submit(std::move(batch), std::move(done)); };
  return Capture::start(std::move(options), system_clock());
}

}  // namespace

int run_agent(const AgentRole& role) {
  block_stop_signals();
  std::string token = role.token;
  if (role.supervisor != kNoSupervisor) {
    auto given = read_supervisor_token(role.supervisor);
    if (!given) return report(given.error());
    token = std::move(*given);
  }
  auto sender = start_sender(role, std::move(token));
  if (!sender) return report(sender.error());
  auto capture = start_capture(role, **sender);
  if (!capture) return report(capture.error());
  do {
    (*sender)->report(report_of(**capture));
  } while (!wait_for_stop(role.supervisor, kReportEveryMs));
  (*capture)->stop();
  (*sender)->stop();
  return 0;
}

}  // namespace portbook

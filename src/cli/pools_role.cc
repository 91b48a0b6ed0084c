// The process that asks PgBouncer's console: connects through a process of its own, and ships what it is told to a book.
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <memory>
#include <system_error>

#include "base/clock.h"
#include "capture/boot_clock.h"
#include "cli/boundaries.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/pools.h"
#include "cli/roles.h"
#include "privilege/confine.h"
#include "privilege/connector.h"
#include "record/version.h"

namespace portbook {

namespace {

constexpr int kReportEveryMs = 1000;

std::optional<UserIdentity> owner_of(const std::filesystem::path& path) {
  struct stat about{};
  if (stat(path.c_str(), &about) != 0 || about.st_uid == 0) return std::nullopt;
  return UserIdentity{about.st_uid, about.st_gid, fmt::format("uid {}", about.st_uid)};
}

std::optional<UserIdentity> user_named(const std::string& name) {
  std::array<char, 16 * 1024> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr || found->pw_uid == 0)
    return std::nullopt;
  return UserIdentity{found->pw_uid, found->pw_gid, name};
}

// As whom root connects: never as root. PgBouncer knows the one that it runs as, and with peer the one of that name.
Result<UserIdentity> user_to_connect(const PoolPlace& place, const PoolRole& role) {
  if (!place.socket.empty()) {
    if (role.user == "pgbouncer") {
      // Where it does not run yet, by whose folder it is.
      for (const auto& path : {place.socket, place.socket.parent_path()}) {
        if (auto owner = owner_of(path)) return *owner;
      }
    }
    for (const std::string& name : {role.user, std::string(role.user == "pgbouncer" ? "postgres" : "")}) {
      if (auto named = user_named(name)) return *named;
    }
  }
  return logs_user();
}

using Connect = std::function<Result<FileDescriptor>()>;

// Forks what connects, and gives up everything but the spool, before anything is read. `role` names paths as they are reached then.
Result<std::vector<Connect>> go_apart(PoolRole& role) {
  std::error_code error;
  role.book = std::filesystem::absolute(role.book, error);
  role.spool = std::filesystem::absolute(role.spool, error);
  const auto user = prepare_receiver(role.spool);
  if (!user) return fail_in("the folder of the spool", user);
  std::vector<Connect> connects;
  for (const PoolPlace& one : role.places) {
    const ConnectorPlace place{one.socket.string(), one.address, one.port};
    if (!*user) {
      connects.emplace_back([place] { return connect_to(place); });
      continue;
    }
    const auto as = user_to_connect(one, role);
    if (!as) return std::unexpected(as.error());
    auto started = start_connector(place, *as);
    if (!started) return std::unexpected(started.error());
    connects.emplace_back([connector = std::shared_ptr<Connector>(std::move(*started))] { return connector->connect(); });
  }
  if (!*user) return connects;
  role.book = seen_from_spool(role.book, role.spool);
  role.spool = ".";
  ConfineOptions options;
  options.part = Part::kSampler;
  options.user = **user;
  options.writable = {role.spool};
  const auto confined = confine(options);
  if (!confined) return fail_in("what asks PgBouncer cannot give up its privileges, and does not run", confined);
  return connects;
}

AgentReport::Line line_of(const PoolSampler::State& state, const PoolRole& role) {
  AgentReport::Line line{"PgBouncer " + state.name, state.problem.empty() && state.refusal.empty() ? "ok" : "warn",
                         fmt::format("{}{}/{}", role.host, kPoolsOfHost, state.name), ""};
  line.detail =
      fmt::format("{}, asked each {} ms as {}: {} answers since this run began, {} failed; {} records. Now {} links.", state.shown,
                  role.interval_ns / kNsPerMs, state.user, state.samples, state.failures, state.records, state.linked);
  if (state.without_ports > 0)
    line.detail += fmt::format(" {} of them have no port on either side (unix sockets) and are no records.", state.without_ports);
  if (!state.problem.empty())
    line.detail += fmt::format(" Now it is not known which client uses which connection: {}.", state.problem);
  if (!state.refusal.empty()) line.detail += fmt::format(" The book refused: {}.", state.refusal);
  return line;
}

AgentReport report_of(const PoolSampler& sampler, const PoolRole& role) {
  AgentReport report;
  report.capturing = true;
  uint64_t samples = 0;
  uint64_t failures = 0;
  uint64_t linked = 0;
  for (const PoolSampler::State& state : sampler.states()) {
    samples += state.samples;
    failures += state.failures;
    linked += state.linked;
    report.lines.push_back(line_of(state, role));
  }
  report.numbers = {{"samples", samples}, {"samples_failed", failures}, {"links", linked}};
  return report;
}

PoolSamplerOptions sampler_options(const PoolRole& role, const std::vector<Connect>& connects) {
  PoolSamplerOptions options;
  for (size_t i = 0; i < role.places.size(); ++i)
    options.consoles.push_back({role.places[i].to_text(), role.places[i].name, role.user, role.password, connects[i]});
  options.host = role.host;
  options.interval_ns = role.interval_ns;
  options.clock_error_ns = [stated = role.clock_error_ns]() -> std::optional<uint64_t> {
    if (stated) return stated;
    const ClockDiscipline discipline = read_clock_discipline();
    return discipline.synchronised ? std::optional(discipline.error_ns) : std::nullopt;
  };
  options.say = [](const std::string& sentence) { tell("portbook follow: {}.\n", sentence); };
  return options;
}

}  // namespace

int run_pools(const PoolRole& given_role) {
  PoolRole role = given_role;
  block_stop_signals();
  if (role.supervisor != kNoSupervisor) {
    if (const auto given = read_supervisor_token(role.supervisor); !given) return report(given.error());
  }
  const auto connects = go_apart(role);
  if (!connects) return report(connects.error());
  SenderOptions options;
  options.socket = role.book;
  options.host = role.host;
  options.part = kPoolsOfHost;
  options.program = kVersion;
  options.token = role.token;
  options.spool = role.spool;
  options.spool_shown = given_role.spool.string();
  options.say = [](const std::string& sentence) { tell("portbook follow: {}\n", sentence); };
  auto sender = Sender::start(std::move(options), system_clock());
  if (!sender) return report(sender.error());
  auto sampler = PoolSampler::start(sampler_options(role, *connects), **sender, system_clock());
  if (!sampler) return report(sampler.error());
  do {
    (*sender)->report(report_of(**sampler, role));
  } while (!wait_for_stop(role.supervisor, kReportEveryMs));
  (*sampler)->stop();
  (*sender)->stop();  // before the sampler goes, which it may answer
  return 0;
}

}  // namespace portbook

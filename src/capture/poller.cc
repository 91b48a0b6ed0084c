#include "capture/poller.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

namespace portbook {

namespace {

constexpr uint64_t kBusyIntervalNs = 100 * kNsPerMs;
constexpr uint64_t kQuietIntervalNs = 250 * kNsPerMs;
constexpr uint32_t kLooksUntilQuiet = 50;
// Looking may take this share of a core, a search for namespaces a fifth of it.
constexpr uint64_t kLookCostShare = 20;
constexpr uint64_t kSearchCostShare = 100;
constexpr uint64_t kSearchEveryNs = kNsPerSecond;
constexpr uint64_t kFindEndedEveryNs = 10 * kNsPerSecond;
// Notices are read at most this often: a wake-up for each would cost the host more than the notice.
constexpr int kNoticesPauseMs = 10;
// What cannot be looked at for longer is a gap that is written this often, so that no answer waits for its end.
constexpr uint64_t kUnlistedGapEveryNs = 10 * kNsPerSecond;
constexpr std::string_view kMeans = "sock_diag lists and /proc, again and again";

}  // namespace

uint64_t poll_interval_ns(uint64_t look_took_ns, bool quiet) {
  return std::max(quiet ? kQuietIntervalNs : kBusyIntervalNs, look_took_ns * kLookCostShare);
}

Poller::Poller(const PollerOptions& options, Operations& operations, const NatTable& nat, Stream& stream, Clock& clock)
    : operations_(operations),
      stream_(stream),
      clock_(clock),
      boot_clock_(clock),
      proc_(make_proc_reader(operations, options.with_cmdline)),
      containers_([&operations](std::string_view path) { return operations.open_runtime_file(path); }),
      processes_(boot_clock_, cgroups_, *proc_, options.with_cmdline),
      owners_(operations, options.cgroups, cgroups_, processes_, boot_clock_, options.with_cmdline),
      sockets_(options.host_boot, boot_clock_, processes_, owners_, nat,
               [this](Record& record) {
                 ++records_;
                 stream_.add(record);
               }),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  processes_.name_containers(containers_);
  const ClockDiscipline discipline = read_clock_discipline();
  boot_clock_.sample(discipline);
  synchronised_ = discipline.synchronised;
  Record record;
  boot_clock_.put_state({}, record);
  stream_.add(record);
}

Poller::~Poller() {
  stop();
  close(stop_fd_);
}

void Poller::start() {
  find_namespaces();
  look();
  publish_report();
  stream_.flush();
  thread_ = std::thread([this] { run(); });
}

void Poller::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  eventfd_write(stop_fd_, 1);
  thread_.join();
}

void Poller::run() {
  while (!stopping_) {
    wait();
    sample_clock();
    second();
    // A book that is behind makes the interval longer, and each record says how long it was.
    if (!stream_.crowded()) {
      const uint64_t began = clock_.boot_ns();
      look();
      stream_.told(boot_clock_.utc(began));
    }
    stream_.flush();
  }
  stream_.flush();
}

void Poller::look() {
  const uint64_t began = clock_.boot_ns();
  const uint64_t records = records_;
  owners_.begin_pass();
  read_notices();
  for (auto& [netns, space] : namespaces_) look_at(netns, space);
  looks_.fetch_add(1, std::memory_order_relaxed);
  open_.store(sockets_.open_connections(), std::memory_order_relaxed);
  quiet_looks_ = records_ == records ? quiet_looks_ + 1 : 0;
  const uint64_t now = clock_.boot_ns();
  interval_ns_ = poll_interval_ns(now - began, quiet_looks_ > kLooksUntilQuiet);
  next_look_ = now + interval_ns_;
}

void Poller::look_at(uint32_t netns, Namespace& space) {
  const TimeNs now = clock_.now();
  const uint64_t began = clock_.boot_ns();
  const bool was_whole = space.trouble.empty();
  if (space.lister) {
    const Status listed = space.lister->list(buffers_, listed_);
    space.trouble = listed.has_value() ? std::string() : listed.error().message;
  }
  const bool whole = space.trouble.empty();
  if (!was_whole && (whole || now - std::min(now, space.lists_whole_until) >= kUnlistedGapEveryNs)) {
    write_gap(space.lists_whole_until, netns, "the sockets of this network namespace could not be listed");
    space.lists_whole_until = now;
  }
  if (!whole) return;
  space.lists_whole_until = now;
  sockets_.apply(netns, listed_, began, clock_.boot_ns());
}

void Poller::read_notices() {
  for (auto& [netns, space] : namespaces_) {
    if (!space.lister) continue;
    const bool lost = space.lister->read_notices(
        buffers_, [&](const SocketMessage& socket) { sockets_.destroyed(netns, socket, clock_.boot_ns()); });
    const TimeNs now = clock_.now();
    if (lost)
      write_gap(space.notices_whole_until, netns,
                "the buffer for notices of ended sockets was full: short connections may be missing");
    space.notices_whole_until = now;
  }
}

void Poller::wait() {
  while (!stopping_) {
    const uint64_t now = clock_.boot_ns();
    if (now >= next_look_) return;
    const int timeout_ms = static_cast<int>((next_look_ - now) / kNsPerMs) + 1;
    std::vector<pollfd> waits = {{stop_fd_, POLLIN, 0}};
    for (const auto& [netns, space] : namespaces_) {
      if (space.lister && space.lister->notices_fd() >= 0) waits.push_back({space.lister->notices_fd(), POLLIN, 0});
    }
    if (poll(waits.data(), waits.size(), timeout_ms) <= 0 || waits[0].revents != 0) return;
    if (!stream_.crowded()) read_notices();
    stream_.flush();
    poll(waits.data(), 1, kNoticesPauseMs);
  }
}

// Leaves it without trouble and lister when the namespace is gone.
void Poller::open_lister(uint32_t netns, uint64_t nothing_before_boot_ns, Namespace& space) {
  auto lister = SocketLister::open(operations_, netns);
  if (lister.has_value()) {
    space.lister = std::move(*lister);
    sockets_.watch(netns, nothing_before_boot_ns);
    return;
  }
  if (lister.error().code != ErrorCode::kNotFound) space.trouble = lister.error().message;
}

void Poller::find_namespaces() {
  const uint64_t began = clock_.boot_ns();
  const auto found = operations_.find_network_namespaces();
  if (!found.has_value()) return;
  for (const uint32_t netns : *found) {
    const auto known = namespaces_.find(netns);
    if (known != namespaces_.end() && known->second.lister) continue;
    Namespace fresh;
    fresh.notices_whole_until = fresh.lists_whole_until = clock_.now();
    Namespace& space = known != namespaces_.end() ? known->second : fresh;
    open_lister(netns, known == namespaces_.end() ? searched_ : 0, space);
    const bool gone = !space.lister && space.trouble.empty();
    if (known == namespaces_.end() && !gone) namespaces_.emplace(netns, std::move(fresh));
  }
  for (auto at = namespaces_.begin(); at != namespaces_.end();) {
    // Our sockets would keep a namespace alive that nobody else uses any more.
    at->second.unseen = std::ranges::binary_search(*found, at->first) ? 0 : at->second.unseen + 1;
    if (at->second.unseen < 2) {
      ++at;
      continue;
    }
    sockets_.forget(at->first, clock_.boot_ns());
    at = namespaces_.erase(at);
  }
  searched_ = began;
  const uint64_t now = clock_.boot_ns();
  next_search_ = now + std::max(kSearchEveryNs, (now - began) * kSearchCostShare);
}

void Poller::second() {
  const uint64_t now = clock_.boot_ns();
  if (now >= next_search_) find_namespaces();
  if (now >= next_ended_) {
    next_ended_ = now + kFindEndedEveryNs;
    owners_.find_ended(now);
  }
  if (now < next_second_) return;
  next_second_ = now + kNsPerSecond;
  processes_.forget_old(now);
  process_count_.store(processes_.count(), std::memory_order_relaxed);
  publish_report();
}

void Poller::sample_clock() {
  const ClockDiscipline discipline = read_clock_discipline();
  synchronised_ = discipline.synchronised;
  const auto change = boot_clock_.sample(discipline);
  if (!change) return;
  Record record;
  boot_clock_.put_state(*change, record);
  stream_.add(record);
}

void Poller::write_gap(TimeNs from, uint32_t netns, std::string_view cause) {
  const TimeNs now = clock_.now();
  Record record;
  record.set(Field::kKind, Kind::kGap);
  record.set(Field::kTime, now);
  record.set(Field::kVantage, Vantage::kSocket);
  record.set(Field::kStart, std::min(from, now));
  record.set(Field::kEnd, now);
  record.set(Field::kNetns, uint64_t{netns});
  record.set(Field::kCause, cause);
  record.set(Field::kAbout, std::string_view(stream_.source()));
  boot_clock_.put_quality(record);
  stream_.add(record);
}

void Poller::publish_report() {
  size_t watched = 0;
  size_t noticed = 0;
  std::string trouble;
  for (const auto& [netns, space] : namespaces_) {
    watched += space.lister && space.trouble.empty() ? 1 : 0;
    noticed += space.lister && space.lister->notices_fd() >= 0 ? 1 : 0;
    if (space.lister && !space.lister->missing().empty())
      trouble = fmt::format(" This kernel does not list {} sockets (its diagnostics module is missing).", space.lister->missing());
    if (!space.trouble.empty()) trouble = fmt::format(" Namespace {}: {}.", netns, space.trouble);
  }
  const bool others = !owners_.sees(geteuid() + 1);
  CaptureReport report;
  report.push_back(
      {"Connections, by looking", CaptureState::kWarn, std::string(kMeans),
       fmt::format("portbook looks every {} ms at {} of {} network namespaces and records what it then finds; {}. A connection "
                   "that is shorter may lack its process or be missing, and times are known to one interval.{}",
                   interval_ns_ / kNsPerMs, watched, namespaces_.size(),
                   noticed > 0 ? "the kernel tells it of connections that ended in between"
                               : "what ends in between is known from TIME_WAIT only",
                   trouble)});
  report.push_back(
      {"Processes, by looking", others ? CaptureState::kWarn : CaptureState::kOk, "/proc",
       others ? "Your own. Those of other users cannot be looked into: their connections name the user, not the process. Run as "
                "root to see them all."
              : "Those that hold a socket when it is first seen, with their ancestors."});
  const std::lock_guard lock(report_mutex_);
  report_ = std::move(report);
}

CaptureReport Poller::report() const {
  const std::lock_guard lock(report_mutex_);
  return report_;
}

void Poller::fill(CaptureStatistics& statistics) const {
  statistics.passes = looks_.load();
  statistics.open_connections = open_.load();
  statistics.processes = process_count_.load();
}

}  // namespace portbook

#include "capture/network_watcher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

namespace portbook {

namespace {

// Sockets are looked at this often, never waited on: each event would wake the thread and cost the connection that caused it.
constexpr int kBusyPollMs = 4;
constexpr int kIdlePollMs = 8;
constexpr uint64_t kDumpEveryNs = 300 * kNsPerSecond;
constexpr uint64_t kSearchEveryNs = kNsPerSecond;
// A search through /proc may use this share of the time.
constexpr uint64_t kSearchCostShare = 100;
// Where somebody was noticed in a namespace that nobody watches: so soon again, if that is no more than this share of the time.
constexpr uint64_t kSearchForUnknownEveryNs = 10 * kNsPerMs;
constexpr uint64_t kSearchForUnknownCostShare = 4;
// More that were gone before a search could find them are told of in one gap.
constexpr size_t kUnwatchedToldMax = 16;
// A name in /run/netns is mounted a moment after it appears.
constexpr uint64_t kSearchAgainNs = 100 * kNsPerMs;
// Of one namespace, so that a flood in it does not keep the others waiting.
constexpr int kReadsInARow = 32;
constexpr int kRouteReceiveBytes = 1 << 20;
// Between an event's own moment and its place in the socket's buffer.
constexpr uint64_t kQueueNs = 5 * kNsPerMs;
constexpr uint64_t kStartTimeoutNs = 2 * kNsPerSecond;

}  // namespace

struct NetworkWatcher::Namespace {
  Namespace(uint32_t number, Leases made_leases, Addresses made_addresses)
      : netns(number), leases(std::move(made_leases)), addresses(std::move(made_addresses)) {}

  uint32_t netns;
  std::optional<NetlinkSocket> conntrack;
  std::optional<NetlinkSocket> route;
  Leases leases;
  Addresses addresses;
  uint32_t conntrack_seq = 0;  // of the dump under way; 0: none
  uint32_t route_seq = 0;
  uint16_t route_dump = 0;  // RTM_GETLINK, then RTM_GETADDR
  bool initial = true;
  bool lost = false;              // since the last dump
  bool must_dump = false;         // as soon as the buffer was empty once
  bool dump_interrupted = false;  // the table changed its shape while it was read
  TimeNs good_until = 0;          // nothing was lost up to here
  uint64_t next_dump = 0;
  uint32_t unseen = 0;  // searches that did not find it
  uint64_t seen_at = 0;
  std::string trouble;
};

NetworkWatcher::NetworkWatcher(Operations& operations, uint64_t host_boot, int conntrack_receive_bytes, NatTable& nat,
                               Stream& leases, Stream& addresses, Clock& clock)
    : operations_(operations),
      host_boot_(host_boot),
      conntrack_receive_bytes_(conntrack_receive_bytes),
      nat_(nat),
      leases_(leases),
      addresses_(addresses),
      clock_(clock),
      boot_clock_(clock),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      names_fd_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  boot_clock_.sample(read_clock_discipline());
  if (names_fd_ >= 0) inotify_add_watch(names_fd_, "/run/netns", IN_CREATE | IN_DELETE);
}

NetworkWatcher::~NetworkWatcher() {
  stop();
  close(stop_fd_);
  if (names_fd_ >= 0) close(names_fd_);
}

void NetworkWatcher::start() {
  find_namespaces();
  const uint64_t deadline = clock_.boot_ns() + kStartTimeoutNs;
  auto dumping = [&] {
    for (const auto& [netns, watched] : namespaces_) {
      if (watched->conntrack_seq != 0 || watched->route_seq != 0) return true;
    }
    return false;
  };
  while (dumping() && clock_.boot_ns() < deadline) {
    if (!read_all()) poll(nullptr, 0, 1);
  }
  publish_report();
  leases_.flush();
  addresses_.flush();
  thread_ = std::thread([this] { run(); });
}

void NetworkWatcher::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  eventfd_write(stop_fd_, 1);
  thread_.join();
}

CaptureReport NetworkWatcher::report() const {
  const std::lock_guard lock(report_mutex_);
  return report_;
}

void NetworkWatcher::run() {
  while (true) {
    const bool last = stopping_.load();
    const bool busy = read_all();
    second();
    // Who enters namespaces went with the helper: a new one would not be seen.
    if (known_until_ != 0 && !operations_.lost()) {
      leases_.told(known_until_);
      addresses_.told(known_until_);
    }
    leases_.flush();
    addresses_.flush();
    if (last) return;
    std::array<pollfd, 2> waits = {pollfd{stop_fd_, POLLIN, 0}, pollfd{names_fd_, POLLIN, 0}};
    // The kernel's buffers have more, unless the book is behind.
    const bool at_once = !behind_.empty() && !leases_.crowded();
    poll(waits.data(), waits.size(), at_once ? 0 : busy ? kBusyPollMs : kIdlePollMs);
    if (waits[1].revents != 0) {
      std::array<char, 4096> names;
      while (read(names_fd_, names.data(), names.size()) > 0) {
      }
      next_search_ = 0;
      search_again_until_ = clock_.boot_ns() + kSearchAgainNs;
    }
  }
}

bool NetworkWatcher::read_all() {
  std::vector<pollfd> waits;
  std::vector<std::pair<Namespace*, bool>> whose;
  for (const auto& [netns, watched] : namespaces_) {
    if (watched->conntrack) waits.push_back({watched->conntrack->fd(), POLLIN, 0}), whose.emplace_back(watched.get(), true);
    if (watched->route) waits.push_back({watched->route->fd(), POLLIN, 0}), whose.emplace_back(watched.get(), false);
  }
  const TimeNs before = clock_.now();
  const uint64_t before_boot_ns = clock_.boot_ns();
  if (poll(waits.data(), waits.size(), 0) < 0) return false;
  bool busy = false;
  behind_.clear();
  for (size_t i = 0; i < waits.size(); ++i) {
    auto [watched, is_conntrack] = whose[i];
    if (waits[i].revents == 0 && !(is_conntrack && watched->must_dump)) {
      // A loss would have shown as an error.
      if (is_conntrack && !watched->lost) watched->good_until = before;
      continue;
    }
    if (is_conntrack) {
      // While the book is behind, the kernel's buffer holds on, and says when it no longer can.
      if (leases_.crowded() || !read_conntrack(*watched)) behind_.push_back(watched->netns);
    } else {
      read_addresses(*watched);
    }
    busy = true;
  }
  nat_.read_until(before_boot_ns, behind_);
  const bool whole = behind_.empty() && std::ranges::none_of(namespaces_, [](const auto& entry) {
                       const Namespace& one = *entry.second;
                       return one.lost || (one.initial && one.conntrack_seq != 0);
                     });
  if (whole) known_until_ = before - std::min(before, kQueueNs);
  return busy;
}

bool NetworkWatcher::read_conntrack(Namespace& watched) {
  ConntrackMessage message;
  bool dump_failed = false;
  auto take = [&](const NetlinkMessage& one) {
    const TimeNs now = clock_.now();
    const bool of_dump = one.seq != 0 && one.seq == watched.conntrack_seq;
    if (of_dump && (one.flags & NLM_F_DUMP_INTR) != 0) watched.dump_interrupted = true;
    if (of_dump && (one.type == NLMSG_DONE || one.type == NLMSG_ERROR)) {
      watched.conntrack_seq = 0;
      dump_failed = one.type == NLMSG_ERROR || std::exchange(watched.dump_interrupted, false);
      // What a loss came into the middle of is asked for again.
      if (dump_failed || watched.must_dump) return;
      watched.leases.end_dump(now, "its end was lost; it was gone when the kernel was asked");
      if (watched.lost) write_gap(leases_, watched.netns, watched.good_until, "the conntrack socket's buffer was full");
      if (watched.lost || watched.initial)
        nat_.set_coverage(watched.netns,
                          watched.leases.entries() > 0 ? NatTable::Coverage::kWatched : NatTable::Coverage::kNoConntrack);
      watched.lost = false;
      watched.initial = false;
      watched.good_until = now;
      return;
    }
    if (decode_conntrack(one.type, one.payload, message) != ConntrackDecoded::kConntrack) return;
    if (of_dump) {
      watched.leases.apply_dumped(message, now);
    } else {
      watched.leases.apply(message, now);
    }
  };
  NetlinkSocket::Received received = NetlinkSocket::Received::kMore;
  // A loss is reported by the next call after it.
  TimeNs before = clock_.now();
  for (int reads = 0; received == NetlinkSocket::Received::kMore && reads < kReadsInARow && !leases_.crowded(); ++reads) {
    before = clock_.now();
    received = watched.conntrack->receive(buffers_, take);
  }
  if (received == NetlinkSocket::Received::kLost) {
    if (!watched.lost) nat_.set_coverage(watched.netns, NatTable::Coverage::kGap);
    watched.lost = true;
    watched.must_dump = true;
  } else if (dump_failed) {
    watched.next_dump = clock_.boot_ns() + kNsPerSecond;
  } else if (!watched.lost) {
    watched.good_until = before;
  }
  // Until its buffer was empty once, the kernel goes on dropping messages without another word: a table read before that would
  // already lack what was dropped since.
  if (watched.must_dump && received == NetlinkSocket::Received::kEmpty) {
    watched.must_dump = false;
    dump_conntrack(watched, watched.initial);
  }
  return received != NetlinkSocket::Received::kMore;
}

void NetworkWatcher::read_addresses(Namespace& watched) {
  AddressMessage message;
  auto take = [&](const NetlinkMessage& one) {
    const TimeNs now = clock_.now();
    if (one.seq != 0 && one.seq == watched.route_seq && (one.type == NLMSG_DONE || one.type == NLMSG_ERROR)) {
      const bool addresses_done = watched.route_dump == RTM_GETADDR;
      watched.route_seq = 0;
      if (!addresses_done) {
        watched.route_dump = RTM_GETADDR;
        watched.route_seq = next_seq_++;
        if (!operations_.request_dump(watched.netns, DumpKind::kAddresses, watched.route_seq).has_value()) watched.route_seq = 0;
        return;
      }
      watched.addresses.end_dump(now, "its end was lost; it was gone when the kernel was asked");
      return;
    }
    if (decode_address(one.type, one.payload, message) == AddressDecoded::kAddress) watched.addresses.apply(message, now);
  };
  NetlinkSocket::Received received = NetlinkSocket::Received::kMore;
  while (received == NetlinkSocket::Received::kMore) received = watched.route->receive(buffers_, take);
  if (received != NetlinkSocket::Received::kLost) return;
  write_gap(addresses_, watched.netns, clock_.now(), "the address socket's buffer was full");
  dump_addresses(watched);
}

void NetworkWatcher::dump_conntrack(Namespace& watched, bool initial) {
  watched.next_dump = clock_.boot_ns() + kDumpEveryNs;
  watched.conntrack_seq = next_seq_++;
  watched.dump_interrupted = false;
  watched.leases.begin_dump(initial, clock_.now());
  const Status asked = operations_.request_dump(watched.netns, DumpKind::kConntrack, watched.conntrack_seq);
  if (asked.has_value()) return;
  watched.conntrack_seq = 0;
  watched.trouble = asked.error().message;
}

void NetworkWatcher::dump_addresses(Namespace& watched) {
  watched.addresses.begin_dump();
  // Interfaces first: addresses are shown with their names.
  watched.route_dump = RTM_GETLINK;
  watched.route_seq = next_seq_++;
  if (!operations_.request_dump(watched.netns, DumpKind::kLinks, watched.route_seq).has_value()) watched.route_seq = 0;
}

Status NetworkWatcher::open_sockets(Namespace& watched) {
  auto route = operations_.open_netlink(watched.netns, NetlinkKind::kRoute, kRouteReceiveBytes);
  if (route.has_value()) watched.route.emplace(std::move(*route));
  auto conntrack = operations_.open_netlink(watched.netns, NetlinkKind::kConntrack, conntrack_receive_bytes_);
  if (!conntrack.has_value()) return std::unexpected(conntrack.error());
  watched.conntrack.emplace(std::move(*conntrack));
  return {};
}

void NetworkWatcher::watch(uint32_t netns) {
  auto watched = std::make_unique<Namespace>(
      netns, Leases(host_boot_, netns, nat_, boot_clock_, [this](Record& record) { leases_.add(record); }),
      Addresses(netns, boot_clock_, [this](Record& record) { addresses_.add(record); }));
  const Status entered = open_sockets(*watched);
  if (!entered.has_value()) {
    if (entered.error().code == ErrorCode::kNotFound) return;
    watched->trouble = entered.error().message;
    nat_.set_coverage(
        netns, entered.error().code == ErrorCode::kDenied ? NatTable::Coverage::kNotPermitted : NatTable::Coverage::kNotCovered);
  }
  watched->good_until = clock_.now();
  if (watched->conntrack) {
    nat_.set_coverage(netns, NatTable::Coverage::kStarting);
    dump_conntrack(*watched, true);
    // Not before: where connection tracking is a module, the question loads it, and brings the settings.
    const auto missing = operations_.set_conntrack_settings(netns);
    if (!missing.has_value()) {
      settings_missing_ = missing.error().message;
    } else if (!missing->empty()) {
      settings_missing_ = missing->back() + " cannot be set";
    }
  }
  if (watched->route) dump_addresses(*watched);
  namespaces_.emplace(netns, std::move(watched));
}

void NetworkWatcher::drop(uint32_t netns, Namespace& watched) {
  operations_.leave_namespace(netns);
  const TimeNs now = clock_.now();
  watched.leases.end_all(now, "its network namespace is gone");
  watched.addresses.end_all(now, "its network namespace is gone");
  nat_.forget(netns);
  nat_.told_until(netns, clock_.boot_ns());
}

void NetworkWatcher::find_namespaces() {
  const uint64_t began = clock_.boot_ns();
  const TimeNs began_at = clock_.now();
  const std::map<uint32_t, uint64_t> noticed = nat_.take_unknown();
  const auto searched = operations_.find_network_namespaces();
  // Who cannot search does not know that one is gone.
  const std::vector<uint32_t> found = searched.value_or(std::vector<uint32_t>());
  bool changed = false;
  for (const uint32_t netns : found) {
    if (namespaces_.contains(netns)) continue;
    watch(netns);
    changed = true;
  }
  for (auto at = namespaces_.begin(); searched.has_value() && at != namespaces_.end();) {
    // Our sockets would keep a namespace alive that nobody else uses any more.
    const bool seen = std::ranges::binary_search(found, at->first);
    at->second->unseen = seen ? 0 : at->second->unseen + 1;
    if (seen) at->second->seen_at = began;
    if (at->second->unseen < 2 || began < at->second->seen_at + kSearchEveryNs) {
      ++at;
      continue;
    }
    drop(at->first, *at->second);
    at = namespaces_.erase(at);
    changed = true;
  }
  if (searched.has_value()) {
    tell_of_unwatched(noticed);
    searched_at_ = began_at;
  }
  const uint64_t now = clock_.boot_ns();
  next_search_for_unknown_ = now + std::max(kSearchForUnknownEveryNs, (now - began) * kSearchForUnknownCostShare);
  next_search_ = now + std::max(kSearchEveryNs, (now - began) * kSearchCostShare);
  if (now < search_again_until_) next_search_ = now + kSearchAgainNs / 10;
  if (changed) publish_report();
}

// Those among them that the search did not find: nobody knows what they translated since the search before.
void NetworkWatcher::tell_of_unwatched(const std::map<uint32_t, uint64_t>& noticed) {
  const uint64_t now = clock_.boot_ns();
  size_t told = 0;
  for (const auto& [netns, since] : noticed) {
    if (namespaces_.contains(netns)) continue;
    nat_.told_until(netns, now);
    if (++told <= kUnwatchedToldMax)
      write_gap(leases_, netns, searched_at_, "the network namespace was gone before its connection tracking could be watched");
  }
  if (told > kUnwatchedToldMax) {
    write_gap(leases_, 0, searched_at_,
              fmt::format("{} more network namespaces were gone before their connection tracking could be watched",
                          told - kUnwatchedToldMax));
  }
}

void NetworkWatcher::second() {
  const uint64_t now = clock_.boot_ns();
  if (now >= next_search_ || (nat_.has_unknown() && now >= next_search_for_unknown_)) find_namespaces();
  if (now < next_second_) return;
  next_second_ = now + kNsPerSecond;
  boot_clock_.sample(read_clock_discipline());
  for (const auto& [netns, watched] : namespaces_) {
    if (watched->conntrack && watched->conntrack_seq == 0 && now >= watched->next_dump) dump_conntrack(*watched, watched->initial);
  }
  publish_report();
}

void NetworkWatcher::write_gap(Stream& stream, uint32_t netns, TimeNs from, std::string_view cause) {
  const TimeNs now = clock_.now();
  Record record;
  record.set(Field::kKind, Kind::kGap);
  record.set(Field::kTime, now);
  record.set(Field::kVantage, Vantage::kNat);
  record.set(Field::kStart, from);
  record.set(Field::kEnd, now);
  if (netns != 0) record.set(Field::kNetns, uint64_t{netns});
  record.set(Field::kCause, cause);
  record.set(Field::kAbout, std::string_view(stream.source()));
  boot_clock_.put_quality(record);
  stream.add(record);
}

void NetworkWatcher::publish_report() {
  size_t entries = 0;
  size_t translating = 0;
  size_t whole = 0;
  size_t addressed = 0;
  std::string trouble;
  for (const auto& [netns, watched] : namespaces_) {
    whole += watched->trouble.empty() ? 1 : 0;
    addressed += watched->route ? 1 : 0;
    entries += watched->leases.entries();
    translating += watched->leases.entries() > 0 ? 1 : 0;
    if (!watched->trouble.empty()) trouble = fmt::format(" Namespace {}: {}.", netns, watched->trouble);
  }
  CaptureReport report;
  const std::string means = "netlink conntrack events and dumps";
  report.push_back({"Address translation", trouble.empty() ? CaptureState::kOk : CaptureState::kWarn, means,
                    fmt::format("{} of {} network namespaces watched, {} of them track connections now ({} entries).{}", whole,
                                namespaces_.size(), translating, entries, trouble)});
  report.push_back(
      {"Conntrack settings", settings_missing_.empty() && whole > 0 ? CaptureState::kOk : CaptureState::kWarn, "sysctl",
       whole == 0 ? std::string("No namespace could be watched, so nothing was set: leases may lack start, end or bytes.")
       : settings_missing_.empty()
           ? std::string("portbook has set nf_conntrack_events, nf_conntrack_timestamp and nf_conntrack_acct to 1 in each "
                         "watched namespace.")
           : fmt::format("{}: leases may lack start, end or bytes.", settings_missing_)});
  report.push_back({"Addresses", addressed == namespaces_.size() ? CaptureState::kOk : CaptureState::kWarn, "rtnetlink",
                    fmt::format("{} of {} network namespaces watched.", addressed, namespaces_.size())});
  const std::lock_guard lock(report_mutex_);
  report_ = std::move(report);
}

}  // namespace portbook

#include "capture/datagrams.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

#include "capture/socket_record.h"
#include "capture/sockets.h"

namespace portbook {

namespace {

bool is_named(const std::vector<uint32_t>& named, uint32_t tgid) {
  return std::ranges::find(named, tgid) != named.end();
}

// As for TCP: an open waits this long for its translation, its end, the last chance to tell it, longer.
constexpr uint64_t kOpenWaitNs = 20 * kNsPerMs;
constexpr uint64_t kCloseWaitNs = 200 * kNsPerMs;

Endpoint local_end_of(const pb_peer_key& key) {
  return {Ip::v6(key.local), key.local_port};
}
Endpoint remote_end_of(const pb_peer_key& key) {
  return {Ip::v6(key.remote), key.remote_port};
}

uint64_t most_peers(size_t share_of) {
  return share_of / 4 * 3;
}

}  // namespace

Datagrams::Datagrams(uint64_t host_boot, BootClock& clock, Processes& processes, const NatTable& nat, KernelPeers& kernel,
                     Emit emit)
    : host_boot_(host_boot), clock_(clock), processes_(processes), nat_(nat), kernel_(kernel), emit_(std::move(emit)) {}

void Datagrams::apply(const pb_datagram_event& event) {
  switch (event.type) {
    case PB_PEER_OPEN:
    case PB_PEER_EXISTING: open(event); break;
    case PB_PEER_CLOSE: close(event); break;
    case PB_PEER_IDLE: idle(event); break;
    case PB_PEER_USED: use(event); break;
    case PB_BOUND:
    case PB_BOUND_EXISTING: bound(event); break;
    case PB_SOCKET_CLOSED: socket_closed(event); break;
    case PB_UNREAD:
    case PB_UNRECORDED: unrecorded(event); break;
    case PB_PEER_ALIVE: {
      const auto at = flows_.find(event.flow);
      if (at != flows_.end()) at->second.swept = true;
      break;
    }
    case PB_SOCKET_ALIVE: {
      const auto at = sockets_.find(event.key.cookie);
      if (at != sockets_.end()) at->second.swept = true;
      break;
    }
    default: break;
  }
}

bool Datagrams::crowded() const {
  if (peers_in_map_ >= most_peers(PB_PEERS_MAX)) return true;
  return peers_in_map_ >= most_peers(PB_PEERS_PER_SOCKET_MAX) && std::ranges::any_of(sockets_, [](const auto& entry) {
           return entry.second.in_map.size() >= most_peers(PB_PEERS_PER_SOCKET_MAX);
         });
}

Who Datagrams::identify(const pb_owner& owner, uint64_t at_boot_ns) {
  return processes_.identify(owner, at_boot_ns, emit_);
}

Datagrams::Flow Datagrams::make_flow(const pb_datagram_event& event) {
  const bool in = (event.flags & PB_PEER_IN) != 0;
  Flow flow;
  flow.key = event.key;
  flow.direction = in ? Direction::kIn : Direction::kOut;
  flow.role = in && (event.flags & PB_SOCKET_BOUND) != 0          ? Role::kListener
              : !in && (event.flags & PB_PEER_OTHER_CREATOR) != 0 ? Role::kUser
                                                                  : Role::kCreator;
  flow.mapped = event.family == AF_INET6 && Ip::v6(event.key.remote).is_v4();
  flow.existing = (event.flags & PB_PEER_WAS_THERE) != 0;
  flow.in_map = (event.flags & PB_PEER_IN_MAP) != 0;
  flow.netns = event.netns;
  flow.start_boot_ns = event.start;
  flow.open_boot_ns = event.start != 0 ? event.start : event.time;
  flow.who = identify(event.owner, flow.open_boot_ns);
  flow.named = {event.owner.tgid};
  return flow;
}

Datagrams::Flows::iterator Datagrams::enter(const pb_datagram_event& event) {
  const auto at = flows_.try_emplace(event.flow, make_flow(event)).first;
  if (at->second.in_map) {
    enter_socket(event).in_map.insert(event.flow);
    ++peers_in_map_;
  }
  at->second.waits = true;
  return at;
}

void Datagrams::open(const pb_datagram_event& event) {
  if (flows_.contains(event.flow)) return;
  const auto at = enter(event);
  if ((event.flags & PB_PEER_OTHER_CREATOR) != 0 && event.user.tgid != 0) {
    at->second.uses.push_back({event.time, identify(event.user, event.time), Role::kCreator});
    at->second.named.push_back(event.user.tgid);
  }
  settle_or_wait(at, event.time);
}

void Datagrams::settle_or_wait(Flows::iterator at, uint64_t now_boot_ns) {
  const uint64_t number = at->first;
  // Behind what waits already, as TCP's.
  if (!waiting_.empty() || !try_settle(at, now_boot_ns)) waiting_.push_back(number);
}

// True when nothing waits any more; the flow may be over then, and erased.
bool Datagrams::try_settle(Flows::iterator at, uint64_t now_boot_ns) {
  auto& [number, flow] = *at;
  // What was there before is in the table, or is not tracked.
  const uint64_t tracked_by = flow.existing ? 0 : flow.open_boot_ns;
  const NatQuestion question{flow.netns, Proto::kUdp, flow.direction, local_end_of(flow.key), remote_end_of(flow.key), tracked_by};
  if (flow.waits) {
    const bool final = now_boot_ns >= flow.open_boot_ns + kOpenWaitNs;
    flow.nat = nat_.ask(question, final);
    if (!flow.nat) return false;
    write_open(number, flow);
  }
  if (!flow.end) return true;
  if (!flow.nat || flow.nat->nat == Nat::kUnknown) {
    const bool final = now_boot_ns >= flow.end->time + kCloseWaitNs;
    flow.nat = nat_.ask(question, final);
    if (!flow.nat) return false;
  }
  if (flow.closer.pid != 0) write_use(number, flow, {flow.end->time, flow.closer, Role::kCloser});
  write_close(number, flow, *flow.end);
  erase(at);
  return true;
}

void Datagrams::erase(Flows::iterator at) {
  if (at->second.in_map) {
    --peers_in_map_;
    const auto socket = sockets_.find(at->second.key.cookie);
    if (socket != sockets_.end()) socket->second.in_map.erase(at->first);
  }
  flows_.erase(at);
}

void Datagrams::settle(uint64_t now_boot_ns) {
  std::erase_if(waiting_, [&](uint64_t number) {
    const auto at = flows_.find(number);
    return at == flows_.end() || try_settle(at, now_boot_ns);
  });
}

void Datagrams::settle_all() {
  settle(UINT64_MAX);
}

std::optional<uint64_t> Datagrams::waiting_since() const {
  std::optional<uint64_t> oldest;
  for (const uint64_t number : waiting_) {
    const auto at = flows_.find(number);
    if (at == flows_.end() || (!at->second.waits && !at->second.end)) continue;
    const uint64_t since = at->second.waits ? at->second.open_boot_ns : at->second.end->time;
    oldest = std::min(oldest.value_or(since), since);
  }
  return oldest;
}

void Datagrams::close(const pb_datagram_event& event) {
  auto at = flows_.find(event.flow);
  const bool is_new = at == flows_.end();
  // Its open found the ring full and is made good here; what is in the map ends with its socket.
  if (is_new) at = enter(event);
  if (at->second.end) return;
  Flow& flow = at->second;
  const bool queued = flow.waits && !is_new;
  flow.end = std::make_unique<pb_datagram_event>(event);
  if (!flow.in_map && flow.who.pid != 0 && !is_named(flow.named, event.user.tgid)) flow.closer = identify(event.user, event.time);
  if (queued) {
    try_settle(at, event.time);
  } else {
    settle_or_wait(at, event.time);
  }
}

void Datagrams::end_in_map(uint64_t flow, pb_datagram_event event) {
  pb_peer last{};
  if (kernel_.take_peer(event.key, last) && last.flow == flow) {
    event.start = last.first;
    event.last = last.last;
    event.bytes_out = last.bytes_out;
    event.bytes_in = last.bytes_in;
    event.packets_out = last.packets_out;
    event.packets_in = last.packets_in;
    event.error = last.error;
  } else if (const auto at = flows_.find(flow); at != flows_.end()) {
    at->second.uncounted = true;
  }
  event.flow = flow;
  close(event);
}

void Datagrams::idle(const pb_datagram_event& event) {
  const auto at = flows_.find(event.flow);
  pb_peer now{};
  // A peer that came back after it was found idle, and was taken for new, is another flow of the same ends.
  const bool in_map = (event.flags & PB_PEER_IN_MAP) != 0 && kernel_.find_peer(event.key, now) && now.flow == event.flow;
  if (at == flows_.end()) {
    // Its socket was closed meanwhile, or it was given up: the kernel must not keep its place.
    if (in_map && kernel_.take_peer(event.key, now)) count_ended(event.key.cookie);
  } else if (at->second.end) {
    return;
  } else if (!in_map) {
    close(event);
  } else if (now.last > event.last) {
    at->second.swept = true;  // it spoke after it was found idle
  } else {
    end_in_map(event.flow, event);
    count_ended(event.key.cookie);
  }
}

void Datagrams::count_ended(uint64_t cookie) {
  const auto socket = sockets_.find(cookie);
  if (socket != sockets_.end()) kernel_.set_peers_ended(cookie, ++socket->second.ended);
}

void Datagrams::use(const pb_datagram_event& event) {
  const auto at = flows_.find(event.flow);
  if (event.flow != 0 && at == flows_.end()) return;  // its open was refused by the ring
  if (event.flow != 0) {
    Flow& flow = at->second;
    // The kernel tells who receives apart from who sends.
    if (is_named(flow.named, event.user.tgid)) return;
    flow.named.push_back(event.user.tgid);
    Use use{event.time, identify(event.user, event.time), Role::kUser};
    if (flow.waits) {
      flow.uses.push_back(std::move(use));
    } else {
      write_use(event.flow, flow, use);
    }
    return;
  }
  // Somebody receives on a socket of many peers.
  const auto socket = sockets_.find(event.key.cookie);
  if (socket != sockets_.end()) socket->second.named.push_back(event.user.tgid);
  const Who who = identify(event.user, event.time);
  start_record(Kind::kUsedBy, event.time);
  put_conn(record_, host_boot_, event.key.cookie);
  record_.set(Field::kDirection, Direction::kIn);
  if (socket != sockets_.end() && socket->second.bound) {
    record_.set(Field::kDstIp, Field::kDstPort, socket->second.local);
  } else if (const Endpoint local = local_end_of(event.key); !local.ip.is_unspecified()) {
    record_.set(Field::kDstIp, Field::kDstPort, local);
  } else {
    record_.set(Field::kDstPort, uint64_t{local.port});
  }
  if (event.netns != 0) record_.set(Field::kNetns, uint64_t{event.netns});
  put_who(record_, who);
  record_.set(Field::kRole, Role::kUser);
  emit_(record_);
}

Datagrams::Socket& Datagrams::enter_socket(const pb_datagram_event& event) {
  const auto [at, is_new] = sockets_.try_emplace(event.key.cookie);
  if (is_new) at->second.known_boot_ns = event.time;
  return at->second;
}

void Datagrams::bound(const pb_datagram_event& event) {
  Socket& socket = enter_socket(event);
  socket.bound = true;
  const bool bound_by_other = (event.flags & PB_PEER_OTHER_CREATOR) != 0;
  socket.owner = bound_by_other ? event.user : event.owner;
  socket.local = local_end_of(event.key);
  socket.netns = event.netns;
  socket.family = event.family;
  socket.named = {event.owner.tgid, socket.owner.tgid};
  socket.bound_boot_ns = event.type == PB_BOUND ? event.time : 0;
  write_listen(event.key.cookie, socket, event.time);
  if (event.type == PB_BOUND_EXISTING) record_.set(Field::kCause, "was there when capture began");
  emit_(record_);
  if (!bound_by_other) return;
  write_socket_use(event.key.cookie, socket, event.owner, event.time, Role::kCreator);
}

void Datagrams::write_socket_use(uint64_t cookie, const Socket& socket, const pb_owner& user, uint64_t time_boot_ns, Role role) {
  const Who who = identify(user, time_boot_ns);
  write_listen(cookie, socket, time_boot_ns);
  record_.set(Field::kKind, Kind::kUsedBy);
  put_who(record_, who);
  record_.set(Field::kRole, role);
  emit_(record_);
}

void Datagrams::socket_closed(const pb_datagram_event& event) {
  if (event.start != 0) unrecorded(event);
  const auto at = sockets_.find(event.key.cookie);
  if (at == sockets_.end()) return;
  const std::vector<uint64_t> numbers(at->second.in_map.begin(), at->second.in_map.end());
  for (const uint64_t number : numbers) {
    const auto flow = flows_.find(number);
    if (flow == flows_.end() || flow->second.end) continue;
    pb_datagram_event end = event;
    end.type = PB_PEER_CLOSE;
    end.key = flow->second.key;
    end.owner = {};
    end.start = flow->second.start_boot_ns;
    end.packets_in = end.packets_out = 0;
    end_in_map(number, end);
  }
  if (at->second.ended > 0 || !numbers.empty()) kernel_.set_peers_ended(event.key.cookie, 0);
  if (at->second.bound) {
    if (event.user.tgid != 0 && at->second.owner.tgid != 0 && !is_named(at->second.named, event.user.tgid))
      write_socket_use(event.key.cookie, at->second, event.user, event.time, Role::kCloser);
    write_listen_end(event.key.cookie, at->second, event.time, {});
  }
  sockets_.erase(at);
}

void Datagrams::write_listen_end(uint64_t cookie, const Socket& socket, uint64_t time_boot_ns, std::string_view cause) {
  write_listen(cookie, socket, time_boot_ns);
  if (socket.bound_boot_ns != 0) record_.set(Field::kStart, clock_.utc(socket.bound_boot_ns));
  record_.set(Field::kEnd, clock_.utc(time_boot_ns));
  if (!cause.empty()) record_.set(Field::kCause, cause);
  emit_(record_);
}

void Datagrams::unrecorded(const pb_datagram_event& event) {
  const Who who = identify(event.owner, event.time);
  start_record(Kind::kGap, event.time);
  record_.set(Field::kStart, clock_.utc(event.start));
  record_.set(Field::kEnd, clock_.utc(event.time));
  record_.set(Field::kCount, event.packets_in + event.packets_out);
  if (event.type == PB_UNREAD) {
    record_.set(Field::kCause,
                "packets of a UDP socket in front of whose UDP header stands what is not followed: IPsec, or many headers");
  } else {
    record_.set(Field::kCause,
                fmt::format("more than {} peers at a UDP socket, or {} in all: packets of further ones are counted here",
                            PB_PEERS_PER_SOCKET_MAX, PB_PEERS_MAX));
  }
  if (event.key.local_port != 0) record_.set(Field::kDstIp, Field::kDstPort, local_end_of(event.key));
  if (event.netns != 0) record_.set(Field::kNetns, uint64_t{event.netns});
  put_who(record_, who);
  emit_(record_);
}

Record& Datagrams::start_record(Kind kind, uint64_t time_boot_ns) {
  record_.clear();
  record_.set(Field::kKind, kind);
  record_.set(Field::kTime, clock_.utc(time_boot_ns));
  record_.set(Field::kVantage, Vantage::kSocket);
  record_.set(Field::kProto, Proto::kUdp);
  clock_.put_quality(record_, time_boot_ns);
  return record_;
}

void Datagrams::put_flow(uint64_t number, const Flow& flow) {
  put_ends(record_, flow.direction, local_end_of(flow.key), remote_end_of(flow.key));
  put_conn(record_, host_boot_, number);
  if (flow.netns != 0) record_.set(Field::kNetns, uint64_t{flow.netns});
  if (flow.mapped) record_.set(Field::kFamily, Family::kInet6);
}

void Datagrams::write_open(uint64_t number, Flow& flow) {
  flow.waits = false;
  start_record(flow.existing ? Kind::kExisting : Kind::kOpen, flow.open_boot_ns);
  if (!flow.existing) record_.set(Field::kOutcome, Outcome::kOk);
  put_flow(number, flow);
  put_who(record_, flow.who);
  if (flow.who.pid != 0) record_.set(Field::kRole, flow.role);
  put_nat(record_, flow.direction, *flow.nat);
  emit_(record_);
  for (const Use& use : std::exchange(flow.uses, {})) write_use(number, flow, use);
}

void Datagrams::write_use(uint64_t number, const Flow& flow, const Use& use) {
  start_record(Kind::kUsedBy, use.boot_ns);
  put_flow(number, flow);
  put_who(record_, use.who);
  record_.set(Field::kRole, use.role);
  emit_(record_);
}

void Datagrams::write_close(uint64_t number, const Flow& flow, const pb_datagram_event& event) {
  const bool silent = event.type == PB_PEER_IDLE;
  start_record(Kind::kClose, event.time);
  if (!flow.uncounted) record_.set(Field::kOutcome, outcome_of_error(event.error));
  put_flow(number, flow);
  put_who(record_, flow.who);
  if (flow.who.pid != 0) record_.set(Field::kRole, flow.role);
  put_nat(record_, flow.direction, *flow.nat);
  if (flow.start_boot_ns != 0) record_.set(Field::kStart, clock_.utc(flow.start_boot_ns));
  record_.set(Field::kEnd, clock_.utc(silent ? std::min(event.last, event.time) : event.time));
  if (!flow.uncounted) {
    record_.set(Field::kBytesOut, uint64_t{event.bytes_out});
    record_.set(Field::kBytesIn, uint64_t{event.bytes_in});
    record_.set(Field::kPacketsOut, uint64_t{event.packets_out});
    record_.set(Field::kPacketsIn, uint64_t{event.packets_in});
  }
  if (event.error != 0) record_.set(Field::kErrno, uint64_t{event.error});
  // A packet may have come between the look for it and its end.
  const uint64_t silent_ns = event.time - std::min(event.last, event.time);
  const std::string idle = silent ? fmt::format("no packet for {} s", silent_ns / kNsPerSecond) : "";
  const std::string uncounted = flow.uncounted ? "the kernel had lost count of this peer: how much passed is not known" : "";
  if (silent || flow.uncounted) record_.set(Field::kCause, idle + (silent && flow.uncounted ? "; " : "") + uncounted);
  emit_(record_);
}

// Fills the record of a bound socket; the caller may add to it and emits it.
void Datagrams::write_listen(uint64_t cookie, const Socket& socket, uint64_t time_boot_ns) {
  const Who who = identify(socket.owner, time_boot_ns);
  start_record(Kind::kListen, time_boot_ns);
  record_.set(Field::kDirection, Direction::kIn);
  record_.set(Field::kDstIp, Field::kDstPort, socket.local);
  put_conn(record_, host_boot_, cookie);
  if (socket.netns != 0) record_.set(Field::kNetns, uint64_t{socket.netns});
  if (socket.family == AF_INET6 && socket.local.ip.is_v4()) record_.set(Field::kFamily, Family::kInet6);
  put_who(record_, who);
  if (who.pid != 0) record_.set(Field::kRole, Role::kListener);
}

void Datagrams::begin_sweep(uint64_t now_boot_ns) {
  sweep_began_ = now_boot_ns;
  for (auto& [number, flow] : flows_) flow.swept = false;
  for (auto& [cookie, socket] : sockets_) socket.swept = false;
}

bool Datagrams::is_unswept(const Flow& flow) const {
  return !flow.swept && !flow.waits && !flow.end && flow.open_boot_ns < sweep_began_;
}

bool Datagrams::is_unswept(const Socket& socket) const {
  return !socket.swept && socket.known_boot_ns < sweep_began_;
}

bool Datagrams::has_unswept() const {
  const auto unswept = [&](const auto& entry) { return is_unswept(entry.second); };
  return std::ranges::any_of(flows_, unswept) || std::ranges::any_of(sockets_, unswept);
}

void Datagrams::end_sweep(uint64_t now_boot_ns, std::string_view cause) {
  std::vector<Flows::iterator> gone;
  pb_peer now{};
  for (auto at = flows_.begin(); at != flows_.end(); ++at) {
    const Flow& flow = at->second;
    if (!is_unswept(flow)) continue;
    const bool there = flow.in_map && kernel_.find_peer(flow.key, now) && now.flow == at->first;
    if (!there) gone.push_back(at);
  }
  for (const auto at : gone) write_lost_end(at, now_boot_ns, cause);
  for (auto at = sockets_.begin(); at != sockets_.end();) {
    const auto socket = at++;
    if (is_unswept(socket->second)) end_lost_socket(socket, now_boot_ns, cause);
  }
}

void Datagrams::end_lost_socket(SocketTable::iterator at, uint64_t now_boot_ns, std::string_view cause) {
  const auto& [cookie, socket] = *at;
  pb_peer last{};
  const std::vector<uint64_t> numbers(socket.in_map.begin(), socket.in_map.end());
  for (const uint64_t number : numbers) {
    const auto flow = flows_.find(number);
    if (flow == flows_.end() || flow->second.end) continue;
    kernel_.take_peer(flow->second.key, last);
    // One that still waits for its translation ends with the next sweep.
    if (!flow->second.waits) write_lost_end(flow, now_boot_ns, cause);
  }
  if (socket.ended > 0 || !numbers.empty()) kernel_.set_peers_ended(cookie, 0);
  if (socket.bound) write_listen_end(cookie, socket, now_boot_ns, cause);
  sockets_.erase(at);
}

void Datagrams::write_lost_end(Flows::iterator at, uint64_t now_boot_ns, std::string_view cause) {
  const Flow& flow = at->second;
  start_record(Kind::kClose, now_boot_ns);
  put_flow(at->first, flow);
  put_who(record_, flow.who);
  put_nat(record_, flow.direction, *flow.nat);
  if (flow.start_boot_ns != 0) record_.set(Field::kStart, clock_.utc(flow.start_boot_ns));
  record_.set(Field::kCause, cause);
  emit_(record_);
  erase(at);
}

}  // namespace portbook

#include "capture/sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "capture/socket_record.h"

namespace portbook {

namespace {

// An open record waits this long for its translation; later it is written with nat unknown, and the close carries it.
constexpr uint64_t kOpenWaitNs = 20 * kNsPerMs;
// A close is the last chance to tell it.
constexpr uint64_t kCloseWaitNs = 200 * kNsPerMs;
// So is a failure; but it is also all that is told of its connection, and a moment is called complete 100 ms later.
constexpr uint64_t kFailureWaitNs = 60 * kNsPerMs;
constexpr std::string_view kEndUntold = "the kernel did not tell of its end when it came; found gone when the socket was freed";
// A connection's own start is written on its open record only if the handshake took longer.
constexpr uint64_t kHandshakeWorthTellingNs = kNsPerMs;

Ip ip_of(const pb_socket_event& event, const __u8* bytes) {
  return event.family == AF_INET ? Ip::v4(bytes) : Ip::v6(bytes);
}

// Told by what frees the socket, the last net: when it ended, and how unless there is an error, was told by nothing.
bool is_untold(const pb_socket_event& event) {
  return event.old_state == 0;
}

uint64_t port_key(uint32_t netns, uint16_t port) {
  return uint64_t{netns} << 16 | port;
}

Role role_of_use(const pb_socket_event& event, bool accepts) {
  return event.type == PB_CLOSED_BY ? Role::kCloser : accepts ? Role::kAcceptor : Role::kUser;
}

bool is_mapped(const pb_socket_event& event) {
  return event.family == AF_INET6 && ip_of(event, event.remote).is_v4();
}

}  // namespace

Endpoint local_end_of(const pb_socket_event& event) {
  return {ip_of(event, event.local), event.local_port};
}

Endpoint remote_end_of(const pb_socket_event& event) {
  return {ip_of(event, event.remote), event.remote_port};
}

uint64_t payload_sent(const pb_socket_event& event) {
  const uint64_t control = ((event.flags & PB_SYN_COUNTED) != 0 ? 1 : 0) + ((event.flags & PB_FIN_ACKED) != 0 ? 1 : 0);
  return event.bytes_acked > control ? event.bytes_acked - control : 0;
}

uint64_t payload_received(const pb_socket_event& event) {
  const uint64_t control = (event.flags & PB_FIN_RECEIVED) != 0 ? 1 : 0;
  return event.bytes_received > control ? event.bytes_received - control : 0;
}

Outcome outcome_of_error(int error) {
  switch (error) {
    case 0: return Outcome::kOk;
    case ECONNREFUSED: return Outcome::kRefused;
    case ETIMEDOUT: return Outcome::kTimeout;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case ENOPROTOOPT: return Outcome::kUnreachable;
    case ECONNRESET: return Outcome::kReset;
    case EACCES:
    case EPERM: return Outcome::kDenied;
    default: return Outcome::kError;
  }
}

Outcome outcome_of_failure(const pb_socket_event& event, bool& given_up) {
  const bool no_packet = (event.flags & PB_NO_PACKET) != 0;
  given_up = event.error == 0 && !no_packet;
  if (no_packet && event.error == 0) return Outcome::kError;
  return given_up ? Outcome::kTimeout : outcome_of_error(event.error);
}

Outcome outcome_of_close(const pb_socket_event& event) {
  switch (event.error) {
    // Straight from a state in which data could flow: this side dropped the connection with a reset.
    case 0: return event.old_state == TCP_ESTABLISHED || event.old_state == TCP_CLOSE_WAIT ? Outcome::kReset : Outcome::kOk;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED: return Outcome::kReset;
    case ETIMEDOUT: return Outcome::kTimeout;
    case EHOSTUNREACH:
    case ENETUNREACH: return Outcome::kUnreachable;
    default: return Outcome::kError;
  }
}

Sockets::Sockets(uint64_t host_boot, BootClock& clock, Processes& processes, const NatTable& nat, Emit emit)
    : host_boot_(host_boot), clock_(clock), processes_(processes), nat_(nat), emit_(std::move(emit)) {}

void Sockets::apply(const pb_socket_event& event) {
  switch (event.type) {
    case PB_OPEN: open(event); break;
    case PB_CLOSE: close(event); break;
    case PB_FAILED: fail(event); break;
    case PB_LISTEN: listen(event); break;
    case PB_LISTEN_END: listen_end(event); break;
    case PB_USED:
    case PB_CLOSED_BY: use(event); break;
    case PB_EXISTING: existing(event); break;
    case PB_ALIVE: {
      const auto at = connections_.find(event.cookie);
      if (at != connections_.end()) at->second.swept = true;
      const auto listener = listeners_.find(event.cookie);
      if (listener != listeners_.end()) listener->second.swept = true;
      break;
    }
    default: break;
  }
}

Who Sockets::identify(const pb_owner& owner, uint64_t at_boot_ns) {
  return processes_.identify(owner, at_boot_ns, emit_);
}

const pb_owner* Sockets::listener_of(uint32_t netns, const Endpoint& local) const {
  const auto [first, last] = listeners_of_port_.equal_range(port_key(netns, local.port));
  for (auto at = first; at != last; ++at) {
    const Listener& listener = listeners_.at(at->second);
    if (listener.about.local.ip == local.ip || listener.about.local.ip.is_unspecified()) return &listener.owner;
  }
  return nullptr;
}

Sockets::Connection Sockets::make_connection(const pb_socket_event& event) {
  const bool passive = (event.flags & PB_PASSIVE) != 0;
  Connection connection;
  connection.local = local_end_of(event);
  connection.remote = remote_end_of(event);
  connection.direction = passive ? Direction::kIn : Direction::kOut;
  connection.mapped = is_mapped(event);
  connection.role = passive ? Role::kListener : (event.flags & PB_OTHER_CREATOR) != 0 ? Role::kUser : Role::kCreator;
  connection.netns = event.netns;
  connection.start_boot_ns = event.start;
  connection.open_boot_ns = event.time;
  const pb_owner* owner = &event.owner;
  // A listener older than the programs had no storage to hand down.
  if (passive && owner->tgid == 0) {
    if (const pb_owner* listener = listener_of(event.netns, connection.local)) owner = listener;
  }
  connection.who = identify(*owner, event.time);
  if (const auto early = early_uses_.find(event.cookie); early != early_uses_.end()) {
    for (const pb_socket_event& use : early->second) {
      const bool accepts = passive && !connection.accepted && use.type == PB_USED;
      connection.accepted = connection.accepted || accepts;
      connection.uses.push_back({use.time, identify(use.user, use.time), role_of_use(use, accepts)});
    }
    early_uses_.erase(early);
  }
  return connection;
}

void Sockets::open(const pb_socket_event& event) {
  // Seen by the snapshot that ended a gap before its own event came.
  if (connections_.contains(event.cookie)) return;
  const auto at = connections_.emplace(event.cookie, make_connection(event)).first;
  Connection& connection = at->second;
  if ((event.flags & PB_OTHER_CREATOR) != 0) {
    connection.uses.push_back({event.time, identify(event.user, event.time), Role::kCreator});
  }
  connection.waits = true;
  settle_or_wait(at, event.time);
}

NatQuestion Sockets::question_of(const Connection& connection) {
  // What was there before is in the table, or is not tracked.
  const uint64_t tracked_by = connection.existing ? 0 : connection.open_boot_ns;
  return {connection.netns, Proto::kTcp, connection.direction, connection.local, connection.remote, tracked_by};
}

void Sockets::settle_or_wait(Connections::iterator at, uint64_t now_boot_ns) {
  const uint64_t cookie = at->first;
  // Behind what waits already: what the last words of the kernel answer is written in the order in which it happened.
  if (!waiting_.empty() || !try_settle(at, now_boot_ns)) waiting_.push_back(cookie);
}

bool Sockets::try_settle(Connections::iterator at, uint64_t now_boot_ns) {
  auto& [cookie, connection] = *at;
  const bool failed = connection.end && connection.end->type == PB_FAILED;
  if (connection.waits && !failed) {
    const bool final = now_boot_ns >= connection.open_boot_ns + kOpenWaitNs;
    connection.nat = nat_.ask(question_of(connection), final);
    if (!connection.nat) return false;
    write_open(cookie, connection);
  }
  return !connection.end || try_close(at, now_boot_ns);
}

bool Sockets::try_close(Connections::iterator at, uint64_t now_boot_ns) {
  auto& [cookie, connection] = *at;
  if (!connection.nat || connection.nat->nat == Nat::kUnknown) {
    const bool failed = connection.end->type == PB_FAILED;
    const bool final = now_boot_ns >= connection.end->time + (failed ? kFailureWaitNs : kCloseWaitNs);
    connection.nat = nat_.ask(question_of(connection), final);
    if (!connection.nat) return false;
  }
  if (connection.end->type == PB_FAILED) {
    write_failed(cookie, connection, *connection.end);
  } else {
    write_close(cookie, connection, *connection.end);
  }
  connections_.erase(at);
  return true;
}

void Sockets::settle(uint64_t now_boot_ns) {
  std::erase_if(waiting_, [&](uint64_t cookie) {
    const auto at = connections_.find(cookie);
    return at == connections_.end() || try_settle(at, now_boot_ns);
  });
}

void Sockets::settle_all() {
  settle(UINT64_MAX);
}

Record& Sockets::start_record(Kind kind, uint64_t time_boot_ns) {
  record_.clear();
  record_.set(Field::kKind, kind);
  record_.set(Field::kTime, clock_.utc(time_boot_ns));
  record_.set(Field::kVantage, Vantage::kSocket);
  record_.set(Field::kProto, Proto::kTcp);
  clock_.put_quality(record_, time_boot_ns);
  return record_;
}

void Sockets::put_connection(uint64_t cookie, const Connection& connection) {
  put_ends(record_, connection.direction, connection.local, connection.remote);
  put_conn(record_, host_boot_, cookie);
  if (connection.netns != 0) record_.set(Field::kNetns, uint64_t{connection.netns});
  if (connection.mapped) record_.set(Field::kFamily, Family::kInet6);
}

void Sockets::put_nat(const Connection& connection) {
  const NatAnswer answer = connection.nat.value_or(NatAnswer{Nat::kUnknown, NatReason::kNoEntry, {}});
  portbook::put_nat(record_, connection.direction, answer);
}

void Sockets::write_open(uint64_t cookie, Connection& connection) {
  connection.waits = false;
  start_record(connection.existing ? Kind::kExisting : Kind::kOpen, connection.open_boot_ns);
  if (!connection.existing) record_.set(Field::kOutcome, Outcome::kOk);
  put_connection(cookie, connection);
  put_who(record_, connection.who);
  if (connection.who.pid != 0) record_.set(Field::kRole, connection.role);
  put_nat(connection);
  if (connection.start_boot_ns != 0 && connection.open_boot_ns - connection.start_boot_ns >= kHandshakeWorthTellingNs) {
    record_.set(Field::kStart, clock_.utc(connection.start_boot_ns));
  }
  emit_(record_);
  for (const Use& use : std::exchange(connection.uses, {})) write_use(cookie, connection, use);
}

void Sockets::write_use(uint64_t cookie, const Connection& connection, const Use& use) {
  start_record(Kind::kUsedBy, use.boot_ns);
  put_connection(cookie, connection);
  put_who(record_, use.who);
  record_.set(Field::kRole, use.role);
  emit_(record_);
}

void Sockets::use(const pb_socket_event& event) {
  const auto at = connections_.find(event.cookie);
  if (at == connections_.end()) {
    early_uses_[event.cookie].push_back(event);
    return;
  }
  Connection& connection = at->second;
  const bool accepts =
      event.type == PB_USED && connection.direction == Direction::kIn && !connection.accepted && connection.role == Role::kListener;
  connection.accepted = connection.accepted || accepts;
  Use use{event.time, identify(event.user, event.time), role_of_use(event, accepts)};
  if (connection.waits) {
    connection.uses.push_back(std::move(use));
  } else {
    write_use(event.cookie, connection, use);
  }
}

void Sockets::close(const pb_socket_event& event) {
  auto at = connections_.find(event.cookie);
  const bool is_new = at == connections_.end();
  if (is_new) {
    if (event.family == 0) return;
    at = connections_.emplace(event.cookie, make_connection(event)).first;
    if (event.start != 0) at->second.open_boot_ns = event.start;
    if (event.opened != 0) at->second.open_boot_ns = event.opened;
    // Its open found the ring full and is made good here; of one older than the programs there is only this end.
    at->second.waits = (event.flags & PB_OLD) == 0;
  }
  const bool queued = at->second.waits && !is_new;
  at->second.end = std::make_unique<pb_socket_event>(event);
  if ((event.flags & PB_HAS_ACCEPTOR) != 0) at->second.acceptor = identify(event.user, event.time);
  if (queued) {
    try_settle(at, event.time);
  } else {
    settle_or_wait(at, event.time);
  }
}

void Sockets::write_close(uint64_t cookie, Connection& connection, const pb_socket_event& event) {
  Who who = connection.who;
  Role role = connection.role;
  if (connection.direction == Direction::kIn) {
    role = Role::kListener;
    if ((event.flags & PB_HAS_ACCEPTOR) != 0) {
      who = connection.acceptor;
      role = Role::kAcceptor;
    }
  }
  const bool untold = is_untold(event);
  start_record(Kind::kClose, event.time);
  if (!untold || event.error != 0) record_.set(Field::kOutcome, outcome_of_close(event));
  put_connection(cookie, connection);
  put_who(record_, who);
  if (who.pid != 0) record_.set(Field::kRole, role);
  put_nat(connection);
  if (connection.start_boot_ns != 0) record_.set(Field::kStart, clock_.utc(connection.start_boot_ns));
  if (!untold) record_.set(Field::kEnd, clock_.utc(event.time));
  record_.set(Field::kBytesOut, payload_sent(event));
  record_.set(Field::kBytesIn, payload_received(event));
  record_.set(Field::kPacketsOut, uint64_t{event.packets_out});
  record_.set(Field::kPacketsIn, uint64_t{event.packets_in});
  if (event.srtt_us != 0) record_.set(Field::kRtt, uint64_t{event.srtt_us} * 1000 / 8);
  record_.set(Field::kRetransmits, uint64_t{event.retransmits});
  if (event.error != 0) record_.set(Field::kErrno, uint64_t{event.error});
  if (untold) record_.set(Field::kCause, kEndUntold);
  emit_(record_);
}

void Sockets::fail(const pb_socket_event& event) {
  const auto [at, is_new] = connections_.try_emplace(event.cookie);
  if (!is_new) return;
  at->second = make_connection(event);
  at->second.end = std::make_unique<pb_socket_event>(event);
  at->second.waits = true;
  settle_or_wait(at, event.time);
}

void Sockets::write_failed(uint64_t cookie, const Connection& connection, const pb_socket_event& event) {
  bool given_up = false;
  const Outcome outcome = outcome_of_failure(event, given_up);
  const bool untold = is_untold(event) && (event.flags & PB_NO_PACKET) == 0;
  start_record(Kind::kFailed, event.time);
  if (!untold || event.error != 0) record_.set(Field::kOutcome, outcome);
  put_connection(cookie, connection);
  put_who(record_, connection.who);
  if (connection.who.pid != 0) record_.set(Field::kRole, connection.role);
  put_nat(connection);
  if (event.start != 0) record_.set(Field::kStart, clock_.utc(event.start));
  if (!untold) record_.set(Field::kEnd, clock_.utc(event.time));
  record_.set(Field::kRetransmits, uint64_t{event.retransmits});
  if (event.error != 0) record_.set(Field::kErrno, uint64_t{event.error});
  if (untold) record_.set(Field::kCause, kEndUntold);
  if (given_up && !untold) record_.set(Field::kCause, "given up by the process before an answer came");
  if ((event.flags & PB_NO_PACKET) != 0) record_.set(Field::kCause, "failed before a packet left: mostly for want of a free port");
  emit_(record_);
}

Sockets::Listener Sockets::make_listener(const pb_socket_event& event) {
  Listener listener;
  listener.about = make_connection(event);
  listener.about.direction = Direction::kIn;
  // A dual-stack socket has no remote end that could be a mapped one.
  listener.about.mapped = false;
  listener.six = event.family == AF_INET6 && listener.about.local.ip.is_v4();
  listener.owner = event.owner;
  return listener;
}

void Sockets::listen(const pb_socket_event& event) {
  const bool existing = event.type == PB_EXISTING;
  const auto known = listeners_.find(event.cookie);
  if (known != listeners_.end()) {
    // Seen by the snapshot that ended a gap before its own event came; or it stopped unseen and listens again.
    if (existing || known->second.about.start_boot_ns == event.start) return;
    forget_listener(event.cookie);
  }
  const Listener& listener = listeners_.emplace(event.cookie, make_listener(event)).first->second;
  listeners_of_port_.emplace(port_key(event.netns, event.local_port), event.cookie);
  write_listen(event.cookie, listener, event.time, std::nullopt, existing ? "was there when capture began" : "");
}

void Sockets::listen_end(const pb_socket_event& event) {
  const Listener listener = make_listener(event);
  // Its beginning found the ring full.
  if (!listeners_.contains(event.cookie) && (event.flags & (PB_OLD | PB_OPEN_REPORTED)) == 0)
    write_listen(event.cookie, listener, event.start, std::nullopt, {});
  write_listen(event.cookie, listener, event.time, event.time, {});
  forget_listener(event.cookie);
}

void Sockets::write_listen(uint64_t cookie, const Listener& listener, uint64_t time_boot_ns, std::optional<uint64_t> end_boot_ns,
                           std::string_view cause) {
  start_record(Kind::kListen, time_boot_ns);
  put_connection(cookie, listener.about);
  record_.remove(Field::kSrcIp);
  record_.remove(Field::kSrcPort);
  put_who(record_, listener.about.who);
  if (listener.about.who.pid != 0) record_.set(Field::kRole, Role::kListener);
  if (listener.six) record_.set(Field::kFamily, Family::kInet6);
  if (!cause.empty()) record_.set(Field::kCause, cause);
  if (end_boot_ns) {
    if (listener.about.start_boot_ns != 0) record_.set(Field::kStart, clock_.utc(listener.about.start_boot_ns));
    record_.set(Field::kEnd, clock_.utc(*end_boot_ns));
  }
  emit_(record_);
}

void Sockets::forget_listener(uint64_t cookie) {
  const auto listener = listeners_.find(cookie);
  if (listener == listeners_.end()) return;
  const auto [first, last] =
      listeners_of_port_.equal_range(port_key(listener->second.about.netns, listener->second.about.local.port));
  for (auto at = first; at != last; ++at) {
    if (at->second != cookie) continue;
    listeners_of_port_.erase(at);
    break;
  }
  listeners_.erase(listener);
}

void Sockets::existing(const pb_socket_event& event) {
  if (event.old_state == TCP_LISTEN) {
    listen(event);
    return;
  }
  Connection connection = make_connection(event);
  connection.existing = true;
  connection.start_boot_ns = 0;
  // Who connected is not to be read from an established socket: that it came in follows from a listener on its local end.
  if (const pb_owner* listener = listener_of(event.netns, connection.local)) {
    connection.direction = Direction::kIn;
    connection.role = Role::kUser;
    if (connection.who.pid == 0) {
      connection.who = identify(*listener, event.time);
      connection.role = Role::kListener;
    }
  }
  const auto [at, is_new] = connections_.try_emplace(event.cookie, std::move(connection));
  if (!is_new) return;
  at->second.waits = true;
  settle_or_wait(at, event.time);
}

void Sockets::adopt(const pb_socket_event& event) {
  if (connections_.contains(event.cookie)) return;
  const auto at = connections_.emplace(event.cookie, make_connection(event)).first;
  at->second.existing = true;
  at->second.waits = true;
  settle_or_wait(at, event.time);
}

std::optional<uint64_t> Sockets::waiting_since() const {
  std::optional<uint64_t> oldest;
  for (const uint64_t cookie : waiting_) {
    const auto at = connections_.find(cookie);
    if (at == connections_.end()) continue;
    const Connection& connection = at->second;
    const uint64_t since = connection.waits ? connection.open_boot_ns : connection.end ? connection.end->time : UINT64_MAX;
    if (since != UINT64_MAX) oldest = std::min(oldest.value_or(since), since);
  }
  return oldest;
}

std::vector<uint64_t> Sockets::missing_from(std::span<const uint64_t> alive, uint64_t until_boot_ns) const {
  std::vector<uint64_t> missing;
  for (const auto& [cookie, connection] : connections_) {
    if (connection.waits || connection.end || connection.open_boot_ns >= until_boot_ns) continue;
    if (!std::ranges::binary_search(alive, cookie)) missing.push_back(cookie);
  }
  return missing;
}

void Sockets::begin_sweep(uint64_t now_boot_ns) {
  sweep_began_ = now_boot_ns;
  for (auto& [cookie, connection] : connections_) connection.swept = false;
  for (auto& [cookie, listener] : listeners_) listener.swept = false;
}

bool Sockets::has_unswept() const {
  const bool connection = std::ranges::any_of(connections_, [&](const auto& entry) {
    const Connection& one = entry.second;
    return !one.swept && !one.waits && !one.end && one.open_boot_ns < sweep_began_;
  });
  return connection || std::ranges::any_of(listeners_, [&](const auto& entry) {
           return !entry.second.swept && entry.second.about.open_boot_ns < sweep_began_;
         });
}

uint64_t Sockets::end_sweep(uint64_t now_boot_ns, std::string_view cause) {
  uint64_t ended = 0;
  for (auto at = connections_.begin(); at != connections_.end();) {
    Connection& connection = at->second;
    // What still waits for its translation has its end, if any, beside it.
    if (connection.swept || connection.waits || connection.end || connection.open_boot_ns >= sweep_began_) {
      ++at;
      continue;
    }
    start_record(Kind::kClose, now_boot_ns);
    put_connection(at->first, connection);
    put_who(record_, connection.who);
    if (connection.who.pid != 0) record_.set(Field::kRole, connection.role);
    put_nat(connection);
    if (connection.start_boot_ns != 0) record_.set(Field::kStart, clock_.utc(connection.start_boot_ns));
    record_.set(Field::kCause, cause);
    emit_(record_);
    at = connections_.erase(at);
    ++ended;
  }
  std::vector<uint64_t> silent;
  for (const auto& [cookie, listener] : listeners_) {
    if (!listener.swept && listener.about.open_boot_ns < sweep_began_) silent.push_back(cookie);
  }
  for (const uint64_t cookie : silent) {
    write_listen(cookie, listeners_.at(cookie), now_boot_ns, now_boot_ns, cause);
    forget_listener(cookie);
  }
  // Their connections came and went within a loss that is counted: the event itself says all that there is to say.
  for (auto at = early_uses_.begin(); at != early_uses_.end();) {
    std::erase_if(at->second, [&](const pb_socket_event& use) { return use.time < sweep_began_ && use.family == 0; });
    const bool over = at->second.empty() || at->second.back().time < sweep_began_;
    if (!over) {
      ++at;
      continue;
    }
    const std::vector<pb_socket_event> uses = std::exchange(at->second, {});
    at = early_uses_.erase(at);
    for (const pb_socket_event& use : uses) {
      const bool accepts = use.type == PB_USED && (use.flags & PB_PASSIVE) != 0 && &use == uses.data();
      write_use(use.cookie, make_connection(use), {use.time, identify(use.user, use.time), role_of_use(use, accepts)});
    }
  }
  return ended + silent.size();
}

}  // namespace portbook

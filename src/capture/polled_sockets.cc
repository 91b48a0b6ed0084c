#include "capture/polled_sockets.h"

#include <fmt/format.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <functional>

#include "capture/bpf/events.h"
#include "capture/socket_record.h"

namespace portbook {

namespace {

// A list that is read in parts, while sockets come and go, may leave one out; two in a row do not.
constexpr uint8_t kUnseenMax = 2;
// How many lists an ended connection's ends are remembered for, so that its TIME_WAIT entry is not taken for another's.
constexpr uint64_t kEndedLists = 3;

uint64_t listener_key(uint32_t netns, Proto proto, uint16_t port) {
  return uint64_t{netns} << 24 | static_cast<uint64_t>(proto == Proto::kUdp) << 16 | port;
}

// Of a socket that is not known by its cookie. A TIME_WAIT entry in its first phase calls itself FIN_WAIT2.
bool is_waiting(const SocketMessage& socket) {
  return socket.proto == Proto::kTcp && (socket.state == TCP_TIME_WAIT || (socket.state == TCP_FIN_WAIT2 && socket.inode == 0));
}

bool is_listener(const SocketMessage& socket) {
  return socket.proto == Proto::kTcp ? socket.state == TCP_LISTEN : socket.remote.port == 0;
}

// Neither a connection nor a listener: unbound, or a handshake that has not been finished.
bool is_nothing(const SocketMessage& socket) {
  if (socket.local.port == 0) return true;
  return socket.proto == Proto::kTcp && (socket.state == TCP_CLOSE || socket.state == TCP_SYN_RECV || socket.state > TCP_CLOSING);
}

}  // namespace

std::string rounded_up(uint64_t duration_ns) {
  uint64_t ms = 1;
  for (int step = 0; ms * kNsPerMs < duration_ns; ++step) ms = step % 3 == 1 ? ms / 2 * 5 : ms * 2;
  return ms >= 1000 ? fmt::format("{} s", ms / 1000) : fmt::format("{} ms", ms);
}

size_t PolledSockets::HashTuple::operator()(const Tuple& tuple) const {
  const auto hash = [](const Endpoint& end) { return std::hash<std::string_view>()(as_text(end.ip.bytes)) * 31 + end.port; };
  return hash(tuple.local) * 0x9e3779b97f4a7c15 ^ hash(tuple.remote) ^ static_cast<size_t>(tuple.proto);
}

PolledSockets::PolledSockets(uint64_t host_boot, BootClock& clock, Processes& processes, SocketOwners& owners, const NatTable& nat,
                             Emit emit)
    : host_boot_(host_boot), clock_(clock), processes_(processes), owners_(owners), nat_(nat), emit_(std::move(emit)) {}

void PolledSockets::watch(uint32_t netns, uint64_t nothing_before_boot_ns) {
  Namespace& space = namespaces_[netns];
  space.previous = nothing_before_boot_ns;
  space.before_previous = nothing_before_boot_ns;
}

void PolledSockets::forget(uint32_t netns, uint64_t now_boot_ns) {
  for (auto at = sockets_.begin(); at != sockets_.end();) {
    if (at->second.netns != netns) {
      ++at;
      continue;
    }
    if (!at->second.connecting) end(at->second, {at->second.last_listed, now_boot_ns}, {}, "its network namespace is gone");
    listeners_.erase(listener_key(netns, at->second.last.proto, at->second.last.local.port));
    at = sockets_.erase(at);
  }
  namespaces_.erase(netns);
}

std::vector<uint32_t> PolledSockets::holders_wanted(std::span<const SocketMessage> listed) const {
  std::vector<uint32_t> inodes;
  for (const SocketMessage& one : listed) {
    if (one.inode == 0 || is_nothing(one) || !owners_.sees(one.uid)) continue;
    const auto known = sockets_.find(one.cookie);
    if (known == sockets_.end() || !known->second.accepted) inodes.push_back(one.inode);
  }
  return inodes;
}

void PolledSockets::apply(uint32_t netns, std::span<const SocketMessage> listed, uint64_t began_boot_ns, uint64_t ended_boot_ns) {
  Namespace& space = namespaces_[netns];
  ++space.lists;
  const When when{space.previous, ended_boot_ns};
  const std::vector<uint32_t> wanted = holders_wanted(listed);
  const Holders holders = wanted.empty() ? Holders() : owners_.find(wanted);
  std::vector<SocketMessage> waiting;
  // Listeners first: they tell which connections came in.
  for (const bool listeners : {true, false}) {
    for (const SocketMessage& one : listed) {
      const auto known = sockets_.find(one.cookie);
      const bool is_new = known == sockets_.end();
      if (is_new && is_waiting(one)) {
        if (listeners) waiting.push_back(one);
        continue;
      }
      if ((is_new ? is_listener(one) : known->second.listens) != listeners || (is_new && is_nothing(one))) continue;
      if (is_new) {
        begin(netns, space, one, 0, when, holders);
      } else if (known->second.last_listed != began_boot_ns && !is_nothing(one)) {
        go_on(one.cookie, known->second, one, when, holders);
      }
      Socket& socket = sockets_.at(one.cookie);
      socket.last_listed = began_boot_ns;
      socket.unseen = 0;
    }
  }
  judge_waiting(netns, space, std::move(waiting), ended_boot_ns);
  end_missing(netns, began_boot_ns, ended_boot_ns);
  std::erase_if(space.ended, [&](const auto& one) { return one.second + kEndedLists < space.lists; });
  space.before_previous = space.had_first ? space.previous : began_boot_ns;
  space.previous = began_boot_ns;
  space.had_first = true;
}

const PolledSockets::Socket* PolledSockets::listener_of(uint32_t netns, const SocketMessage& socket) const {
  const auto found = listeners_.find(listener_key(netns, socket.proto, socket.local.port));
  if (found == listeners_.end()) return nullptr;
  const Socket* any = nullptr;
  for (const uint64_t cookie : found->second) {
    const auto listener = sockets_.find(cookie);
    if (listener == sockets_.end() || listener->first == socket.cookie) continue;
    if (listener->second.last.local.ip == socket.local.ip) return &listener->second;
    if (listener->second.last.local.ip.is_unspecified()) any = &listener->second;
  }
  return any;
}

void PolledSockets::begin(uint32_t netns, const Namespace& space, const SocketMessage& message, uint32_t attempt, When when,
                          const Holders& holders) {
  Socket& socket = sockets_[message.cookie];
  socket = {};
  socket.last = message;
  socket.netns = netns;
  socket.attempt = attempt;
  socket.listens = is_listener(message);
  socket.connecting = message.proto == Proto::kTcp && message.state == TCP_SYN_SENT;
  socket.existing = when.after == 0 && !space.had_first;
  socket.began_after = when.after;
  const Socket* listener = socket.listens || socket.connecting ? nullptr : listener_of(netns, message);
  socket.direction = socket.listens || listener != nullptr ? Direction::kIn : Direction::kOut;
  find_owner(socket, holders, when.seen);
  // Nobody has accepted it yet.
  if (listener != nullptr && message.inode == 0) {
    socket.who = listener->who;
    socket.role = Role::kListener;
    socket.unknown_owner = listener->unknown_owner;
  }
  if (socket.listens) {
    socket.role = Role::kListener;
    listeners_[listener_key(netns, message.proto, message.local.port)].insert(message.cookie);
  }
  if (!socket.connecting) write_begin(socket, when);
}

void PolledSockets::go_on(uint64_t cookie, Socket& known, const SocketMessage& message, When when, const Holders& holders) {
  const bool other = message.remote != known.last.remote || is_listener(message) != known.listens;
  // The same socket, with another peer: a UDP socket that connected, a TCP socket that connected again.
  if (other) {
    if (!known.connecting) end(known, {known.last_listed, when.seen}, {});
    if (known.listens) listeners_[listener_key(known.netns, known.last.proto, known.last.local.port)].erase(cookie);
    const uint32_t netns = known.netns;
    const uint32_t attempt = (known.attempt + 1) & PB_ATTEMPT_MASK;
    begin(netns, namespaces_[netns], message, attempt, when, holders);
    return;
  }
  const bool established = known.connecting && message.state != TCP_SYN_SENT;
  const bool taken = !known.accepted && message.inode != 0 && holders.contains(message.inode);
  const bool was_listeners = known.role == Role::kListener && !known.listens;
  known.last = message;
  if (taken) {
    find_owner(known, holders, when.seen);
    if (!known.connecting && known.who.pid != 0) {
      known.role = was_listeners ? Role::kAcceptor : Role::kUser;
      start_record(Kind::kUsedBy, known, when);
      put_owner(known);
      put_cause("was first seen to be held", when, known);
      emit_(record_);
    }
  }
  if (established) {
    known.connecting = false;
    known.existing = false;
    write_begin(known, {known.last_listed, when.seen});
  }
}

void PolledSockets::find_owner(Socket& socket, const Holders& holders, uint64_t at) {
  socket.unknown_owner.clear();
  const auto holder = holders.find(socket.last.inode);
  if (socket.last.inode != 0 && holder != holders.end()) {
    socket.accepted = true;
    if (const auto owner = owners_.observe(holder->second)) {
      socket.who = processes_.identify(*owner, at, emit_);
      return;
    }
    socket.unknown_owner = "its process ended before it could be looked at";
  } else if (socket.last.inode == 0) {
    socket.unknown_owner = "no process held it any more when it was seen";
  } else if (!owners_.sees(socket.last.uid)) {
    socket.accepted = true;  // asking again would not help
    socket.unknown_owner = "its process is another user's and cannot be seen";
  } else {
    socket.unknown_owner = "the process that holds it was not found";
  }
}

// TIME_WAIT entries tell of connections that came and went between two lists. One whose connection is known, or was seen to end, is
// its.
void PolledSockets::judge_waiting(uint32_t netns, Namespace& space, std::vector<SocketMessage> fresh, uint64_t ended) {
  std::unordered_set<uint64_t> now;
  std::vector<SocketMessage> unknown;
  for (SocketMessage& one : fresh) {
    now.insert(one.cookie);
    if (space.had_first && !space.waiting.contains(one.cookie)) unknown.push_back(std::move(one));
  }
  space.waiting = std::move(now);
  std::vector<SocketMessage> judged = std::exchange(space.unexplained, std::move(unknown));
  std::erase_if(judged, [&](const SocketMessage& one) { return space.ended.contains({one.proto, one.local, one.remote}); });
  if (judged.empty()) return;
  std::unordered_set<Tuple, HashTuple> listed;
  for (const auto& [cookie, socket] : sockets_) {
    if (socket.netns == netns) listed.insert({socket.last.proto, socket.last.local, socket.last.remote});
  }
  for (const SocketMessage& one : judged) {
    // The end of a connection that was listed is told by the lists that lack it.
    if (!listed.contains({one.proto, one.local, one.remote})) came_and_went(netns, one, {space.before_previous, ended});
  }
}

void PolledSockets::end_missing(uint32_t netns, uint64_t began, uint64_t ended) {
  Namespace& space = namespaces_[netns];
  for (auto at = sockets_.begin(); at != sockets_.end();) {
    Socket& socket = at->second;
    if (socket.netns != netns || socket.last_listed == began || ++socket.unseen < kUnseenMax) {
      ++at;
      continue;
    }
    space.ended[{socket.last.proto, socket.last.local, socket.last.remote}] = space.lists;
    end(socket, {socket.last_listed, ended}, {});
    if (socket.listens) listeners_[listener_key(netns, socket.last.proto, socket.last.local.port)].erase(at->first);
    at = sockets_.erase(at);
  }
}

void PolledSockets::destroyed(uint32_t netns, const SocketMessage& message, uint64_t received_boot_ns) {
  const auto found = namespaces_.find(netns);
  if (found == namespaces_.end() || !found->second.had_first) return;
  Namespace& space = found->second;
  const auto known = sockets_.find(message.cookie);
  if (known == sockets_.end()) {
    came_and_went(netns, message, {space.before_previous, received_boot_ns});
    space.ended[{message.proto, message.local, message.remote}] = space.lists;
    return;
  }
  Socket& socket = known->second;
  space.ended[{socket.last.proto, socket.last.local, socket.last.remote}] = space.lists;
  end(socket, {socket.last_listed, received_boot_ns}, message.totals);
  if (socket.listens) listeners_[listener_key(netns, socket.last.proto, socket.last.local.port)].erase(known->first);
  sockets_.erase(known);
}

void PolledSockets::came_and_went(uint32_t netns, const SocketMessage& message, When when) {
  Socket socket;
  socket.last = message;
  socket.netns = netns;
  socket.began_after = when.after;
  socket.unknown_owner = "its process is not known";
  const bool tcp = message.proto == Proto::kTcp;
  if (message.local.port == 0) return;
  if (tcp && message.remote.port == 0) {
    if (message.remote.ip.is_unspecified()) return;  // it never connected
    start_record(Kind::kFailed, socket, when);
    record_.remove(Field::kSrcIp);
    put_cause("a connect() began and failed; the kernel had cleared the rest of its ends", when, socket);
    emit_(record_);
    return;
  }
  if (!tcp && message.remote.port == 0) {
    socket.listens = true;
    socket.direction = Direction::kIn;
    write_listen_end(socket, when);
    return;
  }
  if (listener_of(netns, message) != nullptr) socket.direction = Direction::kIn;
  if (tcp && message.totals && !message.totals->established) {
    socket.connecting = true;
    end(socket, when, message.totals);
    return;
  }
  end(socket, when, message.totals, "came and went between two looks");
}

void PolledSockets::start_record(Kind kind, const Socket& socket, When when) {
  record_.clear();
  record_.set(Field::kKind, kind);
  record_.set(Field::kTime, clock_.utc(when.seen));
  record_.set(Field::kVantage, Vantage::kSocket);
  record_.set(Field::kProto, socket.last.proto);
  clock_.put_quality(record_);
  // It may have happened as much earlier.
  if (when.after != 0 && record_.has(Field::kClockError))
    record_.set(Field::kClockError, record_.uint(Field::kClockError) + when.seen - when.after);
  put_ends(record_, socket.direction, socket.last.local, socket.last.remote);
  if (socket.listens) {
    record_.remove(Field::kSrcIp);
    record_.remove(Field::kSrcPort);
  } else if (socket.last.remote.port == 0) {
    record_.remove(socket.direction == Direction::kOut ? Field::kDstPort : Field::kSrcPort);
  }
  put_conn(record_, host_boot_, socket.last.cookie | uint64_t{socket.attempt} << PB_ATTEMPT_SHIFT);
  record_.set(Field::kNetns, uint64_t{socket.netns});
  if (socket.last.mapped) record_.set(Field::kFamily, Family::kInet6);
}

void PolledSockets::put_owner(const Socket& socket) {
  put_who(record_, socket.who);
  if (socket.who.pid != 0) {
    record_.set(Field::kRole, socket.role);
  } else if (socket.last.inode != 0) {
    record_.set(Field::kUid, uint64_t{socket.last.uid});
  }
}

void PolledSockets::put_cause(std::string_view what, When when, const Socket& socket) {
  const std::string bound = when.after == 0 ? "" : fmt::format(" in the {} before", rounded_up(when.seen - when.after));
  const std::string_view owner = socket.who.pid != 0 ? std::string_view() : std::string_view(socket.unknown_owner);
  record_.set(Field::kCause, fmt::format("polled: {}{}{}{}", what, bound, owner.empty() ? "" : "; ", owner));
}

void PolledSockets::ask_nat(Socket& socket) {
  if (socket.nat && socket.nat->nat != Nat::kUnknown) return;
  socket.nat =
      nat_.ask({socket.netns, socket.last.proto, socket.direction, socket.last.local, socket.last.remote, /*tracked_by*/ 0}, true);
}

void PolledSockets::write_begin(Socket& socket, When when) {
  const Kind kind = socket.listens ? Kind::kListen : socket.existing ? Kind::kExisting : Kind::kOpen;
  if (!socket.listens) ask_nat(socket);
  start_record(kind, socket, when);
  put_owner(socket);
  if (kind == Kind::kOpen) record_.set(Field::kOutcome, Outcome::kOk);
  if (socket.nat) put_nat(record_, socket.direction, *socket.nat);
  if (socket.existing) {
    put_cause("was there when capture began", {0, when.seen}, socket);
  } else {
    if (socket.began_after != 0) record_.set(Field::kStart, clock_.utc(socket.began_after));
    put_cause("began", when, socket);
  }
  emit_(record_);
}

void PolledSockets::write_listen_end(const Socket& socket, When when) {
  start_record(Kind::kListen, socket, when);
  put_owner(socket);
  if (socket.began_after != 0) record_.set(Field::kStart, clock_.utc(socket.began_after));
  record_.set(Field::kEnd, clock_.utc(when.seen));
  put_cause("ended", when, socket);
  emit_(record_);
}

void PolledSockets::end(const Socket& ended, When when, const std::optional<SocketTotals>& totals, std::string_view why) {
  if (ended.listens) {
    write_listen_end(ended, when);
    return;
  }
  Socket socket = ended;
  ask_nat(socket);
  const bool failed = socket.connecting && totals && !totals->established;
  start_record(failed ? Kind::kFailed : Kind::kClose, socket, when);
  put_owner(socket);
  if (socket.nat) put_nat(record_, socket.direction, *socket.nat);
  if (socket.began_after != 0) record_.set(Field::kStart, clock_.utc(socket.began_after));
  record_.set(Field::kEnd, clock_.utc(when.seen));
  if (totals) {
    if (!failed && totals->bytes_sent) record_.set(Field::kBytesOut, *totals->bytes_sent);
    record_.set(Field::kPacketsOut, uint64_t{totals->packets_out});
    record_.set(Field::kPacketsIn, uint64_t{totals->packets_in});
    if (totals->rtt_us != 0 && !failed) record_.set(Field::kRtt, uint64_t{totals->rtt_us} * 1000);
    record_.set(Field::kRetransmits, uint64_t{totals->retransmits});
  }
  put_cause(!why.empty()        ? why
            : failed            ? "a connect() failed, why is not seen,"
            : socket.connecting ? "a connect() was gone; it failed, or was established and closed,"
                                : "ended",
            when, socket);
  emit_(record_);
}

}  // namespace portbook

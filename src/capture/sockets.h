// The sockets of this host: turns the kernel programs' events into the records of each connection's life.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "capture/boot_clock.h"
#include "capture/bpf/events.h"
#include "capture/nat_table.h"
#include "capture/processes.h"
#include "record/record.h"

namespace portbook {

// The address form of an event's end, mapped IPv6 as IPv4.
Endpoint local_end_of(const pb_socket_event& event);
Endpoint remote_end_of(const pb_socket_event& event);
// Payload bytes: the kernel's counters without SYN and FIN.
uint64_t payload_sent(const pb_socket_event& event);
uint64_t payload_received(const pb_socket_event& event);
// What an error number says about a connection; the errors that ICMP brings are among them.
Outcome outcome_of_error(int error);
// Why a connect() failed, or how an established connection ended. `given_up`: by the process, before the kernel had an answer.
Outcome outcome_of_failure(const pb_socket_event& event, bool& given_up);
Outcome outcome_of_close(const pb_socket_event& event);

// Owned by one thread; everything passed in outlives it.
class Sockets {
 public:
  using Emit = std::function<void(Record&)>;
  // `host_boot` is the first half of every `conn`.
  Sockets(uint64_t host_boot, BootClock& clock, Processes& processes, const NatTable& nat, Emit emit);

  // One event, in order of time as far as the kernel gives it; what came before it from Processes must have been applied.
  void apply(const pb_socket_event& event);
  // Writes the opens whose translation is known by now, or will not be waited for any longer.
  void settle(uint64_t now_boot_ns);
  // Something waits for its translation.
  [[nodiscard]] bool waits() const { return !waiting_.empty(); }
  // Writes every open that waits; before stopping.
  void settle_all();
  // Between these, apply() of each socket that the sweep found, and of all events up to its end; connections and listeners that are
  // gone without having been seen to end are ended with `cause`. Only those that were open when the sweep began are judged.
  // Returns how many were ended so.
  void begin_sweep(uint64_t now_boot_ns);
  uint64_t end_sweep(uint64_t now_boot_ns, std::string_view cause);
  // Something that end_sweep() would end now.
  [[nodiscard]] bool has_unswept() const;
  // A connection that is alive and of whose beginning nothing came: it is written as one that was there.
  void adopt(const pb_socket_event& event);
  // Whether a connection of an event's cookie is known and has not ended.
  [[nodiscard]] bool is_open(uint64_t cookie) const { return connections_.contains(cookie); }
  // Those among the known connections that were open before `until_boot_ns` and that nothing of `alive`, which is sorted, names:
  // candidates for having ended unseen.
  [[nodiscard]] std::vector<uint64_t> missing_from(std::span<const uint64_t> alive, uint64_t until_boot_ns) const;

  [[nodiscard]] size_t open_connections() const { return connections_.size(); }
  // When the oldest thing happened whose record still waits; nothing when none does.
  [[nodiscard]] std::optional<uint64_t> waiting_since() const;

 private:
  // Who used a socket is looked up when the event is applied: later the process may have run another program.
  struct Use {
    uint64_t boot_ns;
    Who who;
    Role role;
  };
  struct Connection {
    Endpoint local;
    Endpoint remote;
    Direction direction = Direction::kOut;
    bool mapped = false;  // an IPv6 socket that speaks IPv4
    bool existing = false;
    bool waits = false;     // its open record is not written yet
    bool accepted = false;  // a process other than the listener was named as the one that accepted
    Role role = Role::kCreator;
    uint32_t netns = 0;
    uint64_t start_boot_ns = 0;  // 0: not known
    uint64_t open_boot_ns = 0;
    Who who;
    std::optional<NatAnswer> nat;
    std::vector<Use> uses;                 // that wait for the open record
    Who acceptor;                          // of an end that waits
    std::unique_ptr<pb_socket_event> end;  // that waits for the open record; of a failed connect there is nothing else to write
    bool swept = true;
  };
  struct Listener {
    Connection about;
    bool six = false;  // an IPv6 socket that also speaks IPv4
    pb_owner owner{};
    bool swept = true;
  };
  using Connections = std::unordered_map<uint64_t, Connection>;

  Connection make_connection(const pb_socket_event& event);
  void open(const pb_socket_event& event);
  void close(const pb_socket_event& event);
  void fail(const pb_socket_event& event);
  void listen(const pb_socket_event& event);
  void listen_end(const pb_socket_event& event);
  Listener make_listener(const pb_socket_event& event);
  void write_listen(uint64_t cookie, const Listener& listener, uint64_t time_boot_ns, std::optional<uint64_t> end_boot_ns,
                    std::string_view cause);
  void forget_listener(uint64_t cookie);
  void use(const pb_socket_event& event);
  void existing(const pb_socket_event& event);
  void write_open(uint64_t cookie, Connection& connection);
  void write_use(uint64_t cookie, const Connection& connection, const Use& use);
  void write_close(uint64_t cookie, Connection& connection, const pb_socket_event& event);
  void write_failed(uint64_t cookie, const Connection& connection, const pb_socket_event& event);
  // Writes what waits for the translation, once it is known or waited for long enough; true when nothing waits any more, and then
  // the connection may be over and erased.
  bool try_settle(Connections::iterator at, uint64_t now_boot_ns);
  bool try_close(Connections::iterator at, uint64_t now_boot_ns);
  static NatQuestion question_of(const Connection& connection);
  void settle_or_wait(Connections::iterator at, uint64_t now_boot_ns);

  // The fields that every record of a connection repeats.
  Record& start_record(Kind kind, uint64_t time_boot_ns);
  void put_connection(uint64_t cookie, const Connection& connection);
  void put_nat(const Connection& connection);
  Who identify(const pb_owner& owner, uint64_t at_boot_ns);
  const pb_owner* listener_of(uint32_t netns, const Endpoint& local) const;

  const uint64_t host_boot_;
  BootClock& clock_;
  Processes& processes_;
  const NatTable& nat_;
  const Emit emit_;
  Connections connections_;
  std::deque<uint64_t> waiting_;                                   // cookies
  std::unordered_map<uint64_t, Listener> listeners_;               // by cookie
  std::unordered_multimap<uint64_t, uint64_t> listeners_of_port_;  // cookies by namespace and port
  // Uses of connections that are not known yet: their opening found the ring full.
  std::unordered_map<uint64_t, std::vector<pb_socket_event>> early_uses_;
  uint64_t sweep_began_ = 0;
  Record record_;
};

}  // namespace portbook

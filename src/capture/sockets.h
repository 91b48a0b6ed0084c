// The sockets of this host: turns the kernel programs' events into the records of each connection's life.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
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
  // Writes every open that waits; before stopping.
  void settle_all();
  // Between these, apply() of each socket that the sweep found; connections that are gone without having been seen to end are
  // closed with `cause`. Only those that were open when the sweep began are judged.
  void begin_sweep(uint64_t now_boot_ns);
  void end_sweep(uint64_t now_boot_ns, std::string_view cause);

  [[nodiscard]] size_t open_connections() const { return connections_.size(); }

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
    Endpoint local;
    uint32_t netns;
    pb_owner owner;
  };
  using Connections = std::unordered_map<uint64_t, Connection>;

  Connection make_connection(const pb_socket_event& event);
  void open(const pb_socket_event& event);
  void close(const pb_socket_event& event);
  void fail(const pb_socket_event& event);
  void listen(const pb_socket_event& event);
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
  std::deque<uint64_t> waiting_;                      // cookies
  std::unordered_map<uint64_t, Listener> listeners_;  // by cookie
  uint64_t sweep_began_ = 0;
  Record record_;
};

}  // namespace portbook

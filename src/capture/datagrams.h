// UDP on this host: turns the kernel programs' events into the records of each socket's peers, which are UDP's connections.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "capture/boot_clock.h"
#include "capture/bpf/events.h"
#include "capture/nat_table.h"
#include "capture/processes.h"
#include "record/record.h"

namespace portbook {

// A silent peer is closed after so long while a socket, or all of them together, have used three quarters of the peers that they
// may have; else after CaptureOptions::udp_idle_ns.
inline constexpr uint64_t kPeerIdleCrowdedNs = 2 * kNsPerSecond;

// The map of peers in the kernel, from which portbook takes what has ended.
class KernelPeers {
 public:
  virtual ~KernelPeers() = default;
  // The peer as it is; false when it is not there.
  virtual bool find_peer(const pb_peer_key& key, pb_peer& now) = 0;
  // The peer as it was last, and out of the map; false when it is not there.
  virtual bool take_peer(const pb_peer_key& key, pb_peer& last) = 0;
  // How many of a socket's peers were taken so far; 0 forgets the socket.
  virtual void set_peers_ended(uint64_t cookie, uint64_t ended) = 0;
};

// Owned by one thread; everything passed in outlives it.
class Datagrams {
 public:
  using Emit = std::function<void(Record&)>;
  // `host_boot` is the first half of every `conn`.
  Datagrams(uint64_t host_boot, BootClock& clock, Processes& processes, const NatTable& nat, KernelPeers& kernel, Emit emit);

  // One event, in order of time as far as the kernel gives it; what came before it from Processes must have been applied.
  void apply(const pb_datagram_event& event);
  // Writes the opens and ends whose translation is known by now, or will not be waited for any longer.
  void settle(uint64_t now_boot_ns);
  [[nodiscard]] bool waits() const { return !waiting_.empty(); }
  void settle_all();
  // When the oldest thing happened whose record still waits; nothing when none does.
  [[nodiscard]] std::optional<uint64_t> waiting_since() const;
  // As of Sockets: peers and bound sockets that the kernel does not know any more are ended with `cause`. Peers of the map are
  // looked up before.
  void begin_sweep(uint64_t now_boot_ns);
  [[nodiscard]] bool has_unswept() const;
  void end_sweep(uint64_t now_boot_ns, std::string_view cause);

  [[nodiscard]] size_t open_flows() const { return flows_.size(); }
  [[nodiscard]] size_t peers_in_map() const { return peers_in_map_; }
  // Peers must end sooner, or there will be no place for new ones.
  [[nodiscard]] bool crowded() const;

 private:
  // As of Sockets: looked up when the event is applied.
  struct Use {
    uint64_t boot_ns;
    Who who;
    Role role;
  };
  struct Flow {
    pb_peer_key key{};
    Direction direction = Direction::kOut;
    Role role = Role::kCreator;
    bool mapped = false;  // an IPv6 socket that speaks IPv4
    bool existing = false;
    bool in_map = false;
    bool waits = false;  // its open record is not written yet
    bool swept = true;
    bool uncounted = false;  // the kernel's counters of it were gone at its end
    uint32_t netns = 0;
    std::vector<uint32_t> named;  // processes that were told of
    uint64_t start_boot_ns = 0;   // 0: not known
    uint64_t open_boot_ns = 0;
    Who who;
    std::optional<NatAnswer> nat;
    std::vector<Use> uses;                   // that wait for the open record
    std::unique_ptr<pb_datagram_event> end;  // that waits for its translation
    Who closer;                              // beside it: who is named for the first time
  };
  struct Socket {
    pb_owner owner{};
    Endpoint local;
    uint32_t netns = 0;
    uint8_t family = 0;
    bool bound = false;
    bool swept = true;
    uint64_t known_boot_ns = 0;  // since then
    uint64_t bound_boot_ns = 0;  // 0: not known
    uint64_t ended = 0;          // peers taken out of the kernel's map
    std::vector<uint32_t> named;
    std::unordered_set<uint64_t> in_map;
  };
  using Flows = std::unordered_map<uint64_t, Flow>;
  using SocketTable = std::unordered_map<uint64_t, Socket>;

  Flow make_flow(const pb_datagram_event& event);
  Flows::iterator enter(const pb_datagram_event& event);
  void open(const pb_datagram_event& event);
  void close(const pb_datagram_event& event);
  void idle(const pb_datagram_event& event);
  void use(const pb_datagram_event& event);
  void bound(const pb_datagram_event& event);
  void socket_closed(const pb_datagram_event& event);
  void unrecorded(const pb_datagram_event& event);
  // Takes the peer out of the kernel's map and ends it with what the kernel counted.
  void end_in_map(uint64_t flow, pb_datagram_event event);
  void count_ended(uint64_t cookie);
  Socket& enter_socket(const pb_datagram_event& event);
  [[nodiscard]] bool is_unswept(const Flow& flow) const;
  [[nodiscard]] bool is_unswept(const Socket& socket) const;
  void end_lost_socket(SocketTable::iterator at, uint64_t now_boot_ns, std::string_view cause);
  void write_lost_end(Flows::iterator at, uint64_t now_boot_ns, std::string_view cause);
  void settle_or_wait(Flows::iterator at, uint64_t now_boot_ns);
  bool try_settle(Flows::iterator at, uint64_t now_boot_ns);
  void erase(Flows::iterator at);

  void write_open(uint64_t number, Flow& flow);
  void write_use(uint64_t number, const Flow& flow, const Use& use);
  void write_close(uint64_t number, const Flow& flow, const pb_datagram_event& event);
  void write_listen(uint64_t cookie, const Socket& socket, uint64_t time_boot_ns);
  void write_listen_end(uint64_t cookie, const Socket& socket, uint64_t time_boot_ns, std::string_view cause);
  void write_socket_use(uint64_t cookie, const Socket& socket, const pb_owner& user, uint64_t time_boot_ns, Role role);
  Record& start_record(Kind kind, uint64_t time_boot_ns);
  void put_flow(uint64_t number, const Flow& flow);
  Who identify(const pb_owner& owner, uint64_t at_boot_ns);

  const uint64_t host_boot_;
  BootClock& clock_;
  Processes& processes_;
  const NatTable& nat_;
  KernelPeers& kernel_;
  const Emit emit_;
  Flows flows_;                   // by flow number
  SocketTable sockets_;           // by cookie: those that are bound or have more than one peer
  std::deque<uint64_t> waiting_;  // flow numbers
  size_t peers_in_map_ = 0;
  uint64_t sweep_began_ = 0;
  Record record_;
};

}  // namespace portbook

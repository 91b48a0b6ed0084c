// Sockets as polling sees them: turns what the kernel lists every moment, and its notices of destroyed sockets, into records. What
// it cannot know (when exactly, who, and what was there for less than one interval) each record says or leaves out.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "capture/boot_clock.h"
#include "capture/nat_table.h"
#include "capture/processes.h"
#include "capture/socket_message.h"
#include "record/record.h"

namespace portbook {

// Who holds sockets, as /proc tells it.
class SocketOwners {
 public:
  virtual ~SocketOwners() = default;
  // The process that holds each of these sockets, by inode; those that were not found are absent.
  virtual std::unordered_map<uint32_t, uint32_t> find(std::span<const uint32_t> inodes) = 0;
  // What the process is now; it and its ancestors are made known to the table of processes. Nothing when it is gone.
  virtual std::optional<pb_owner> observe(uint32_t tgid) = 0;
  // Whether the descriptors of this user's processes can be looked into.
  [[nodiscard]] virtual bool sees(uint32_t uid) const = 0;
};

// "2 s", "500 ms": the duration in words, rounded up to 1, 2 or 5 times a power of ten milliseconds, so that few texts are in use.
std::string rounded_up(uint64_t duration_ns);

// Owned by one thread; everything passed in outlives it.
class PolledSockets {
 public:
  using Emit = std::function<void(Record&)>;
  PolledSockets(uint64_t host_boot, BootClock& clock, Processes& processes, SocketOwners& owners, const NatTable& nat, Emit emit);

  // A namespace whose sockets will be listed. `nothing_before`: boot time before which it had no sockets that were not written; 0:
  // not known, and what the first list shows was there before.
  void watch(uint32_t netns, uint64_t nothing_before_boot_ns);
  // Its sockets have ended with it.
  void forget(uint32_t netns, uint64_t now_boot_ns);
  // All TCP and UDP sockets of a watched namespace, as listed between two moments.
  void apply(uint32_t netns, std::span<const SocketMessage> listed, uint64_t began_boot_ns, uint64_t ended_boot_ns);
  // The kernel's notice of a destroyed socket. Those before the first list are of no interest.
  void destroyed(uint32_t netns, const SocketMessage& socket, uint64_t received_boot_ns);

  [[nodiscard]] size_t open_connections() const { return sockets_.size(); }

 private:
  // It happened after the one moment and was seen at the other. after 0: not known.
  struct When {
    uint64_t after;
    uint64_t seen;
  };
  struct Socket {
    SocketMessage last;  // as it was listed last
    uint32_t netns = 0;
    Direction direction = Direction::kOut;
    bool listens = false;     // a TCP listener, or a UDP socket without a peer
    bool connecting = false;  // no record yet
    bool existing = false;
    bool accepted = false;  // some process holds it
    uint32_t attempt = 0;   // how many connections this socket had before
    uint8_t unseen = 0;     // lists in a row without it
    uint64_t began_after = 0;
    uint64_t last_listed = 0;
    Who who;
    Role role = Role::kUser;
    std::optional<NatAnswer> nat;
    std::string unknown_owner;  // why
  };
  struct Tuple {
    Proto proto;
    Endpoint local;
    Endpoint remote;
    auto operator<=>(const Tuple&) const = default;
  };
  struct HashTuple {
    size_t operator()(const Tuple& tuple) const;
  };
  struct Namespace {
    uint64_t previous = 0;         // when the last list was begun
    uint64_t before_previous = 0;  // and the one before
    uint64_t lists = 0;
    bool had_first = false;
    std::unordered_set<uint64_t> waiting;    // TIME_WAIT entries by cookie
    std::vector<SocketMessage> unexplained;  // TIME_WAIT entries whose connection was never listed; judged at the next list
    std::unordered_map<Tuple, uint64_t, HashTuple> ended;  // since which list
  };

  using Holders = std::unordered_map<uint32_t, uint32_t>;
  void begin(uint32_t netns, const Namespace& space, const SocketMessage& socket, uint32_t attempt, When when,
             const Holders& holders);
  void go_on(uint64_t cookie, Socket& known, const SocketMessage& socket, When when, const Holders& holders);
  void find_owner(Socket& socket, const Holders& holders, uint64_t at);
  void judge_waiting(uint32_t netns, Namespace& space, std::vector<SocketMessage> fresh, uint64_t ended);
  void end_missing(uint32_t netns, uint64_t began, uint64_t ended);
  void end(const Socket& socket, When when, const std::optional<SocketTotals>& totals, std::string_view why = {});
  void came_and_went(uint32_t netns, const SocketMessage& socket, When when);
  [[nodiscard]] const Socket* listener_of(uint32_t netns, const SocketMessage& socket) const;
  [[nodiscard]] std::vector<uint32_t> holders_wanted(std::span<const SocketMessage> listed) const;

  void start_record(Kind kind, const Socket& socket, When when);
  void put_owner(const Socket& socket);
  void put_cause(std::string_view what, When when, const Socket& socket);
  void write_begin(Socket& socket, When when);
  void write_listen_end(const Socket& socket, When when);
  void ask_nat(Socket& socket);

  const uint64_t host_boot_;
  BootClock& clock_;
  Processes& processes_;
  SocketOwners& owners_;
  const NatTable& nat_;
  const Emit emit_;
  std::unordered_map<uint32_t, Namespace> namespaces_;
  std::unordered_map<uint64_t, Socket> sockets_;                          // by cookie
  std::unordered_map<uint64_t, std::unordered_set<uint64_t>> listeners_;  // by namespace and port: cookies
  Record record_;
};

}  // namespace portbook

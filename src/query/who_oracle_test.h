// Who held an endpoint at a moment, by going through every record: no index, no joins, no view. What must be among the matching
// candidates of `who`, and what may be; between the two lies what depends on how a moment is widened.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "query/joins.h"
#include "record/record.h"

namespace portbook {

class WhoOracle {
 public:
  explicit WhoOracle(const std::vector<Record>& records) : records_(records) {
    for (uint64_t i = 0; i < records.size(); ++i) {
      const Record& record = records[i];
      const bool nat = record.uint_or(Field::kVantage, 0) == static_cast<uint64_t>(Vantage::kNat);
      if (nat) {
        add_lease_record(i);
      } else if (record.has(Field::kConn) && record.has(Field::kSrcPort)) {
        add_socket_record(i);
      }
    }
    std::erase_if(sockets_, [](const auto& one) { return !one.second.told; });
    for (auto& [name, life] : leases_) finish(life);
    for (auto& [conn, life] : sockets_) finish(life);
    for (const auto& [conn, socket] : sockets_) {
      for (const auto& [name, lease] : leases_) {
        if (belongs(socket, lease)) pairs_.emplace_back(&socket, &lease);
      }
    }
  }

  // What narrows a question: a host's name, the address of the other end.
  struct Narrowed {
    std::string host;
    std::optional<Ip> peer;
  };

  // Those of `sockets` that a narrowed question is about.
  std::set<Id128> about(const Narrowed& narrowed, const Endpoint& endpoint, const std::set<Id128>& sockets) const {
    std::set<Id128> found;
    for (const Id128& conn : sockets) {
      const Life& socket = sockets_.at(conn);
      const Ip& other =
          socket.src == endpoint || socket.external == endpoint || socket.dst != endpoint ? socket.dst.ip : socket.src.ip;
      if ((narrowed.host.empty() || socket.host == narrowed.host) && (!narrowed.peer || other == *narrowed.peer))
        found.insert(conn);
    }
    return found;
  }

  // Sockets that held `endpoint` all through [low, high], whatever the clocks' errors are.
  std::set<Id128> certain(const Endpoint& endpoint, TimeNs low, TimeNs high) const {
    std::set<Id128> found;
    for (const auto& [conn, socket] : sockets_) {
      const bool own = socket.src == endpoint || socket.dst == endpoint;
      if (own && socket.covers(low, high)) found.insert(conn);
    }
    for (const auto& [socket, lease] : pairs_) {
      if (lease->external == endpoint && lease->whole && lease->covers(low, high) && socket->covers(low, high))
        found.insert(socket->conn);
    }
    return found;
  }

  // Sockets that may have held it within `slack` of the moment: themselves, or by a lease.
  std::set<Id128> possible(const Endpoint& endpoint, TimeNs low, TimeNs high, uint64_t slack) const {
    std::set<Id128> found;
    for (const auto& [conn, socket] : sockets_) {
      const bool own = socket.src == endpoint || socket.dst == endpoint || socket.external == endpoint;
      if (own && socket.near(low, high, slack + socket.error)) found.insert(conn);
    }
    for (const auto& [socket, lease] : pairs_) {
      const bool begun = socket->start.value_or(0) <= high + slack + std::max(socket->error, lease->error);
      if (lease->external == endpoint && begun && lease->near(low, high, slack + std::max(socket->error, lease->error))) {
        found.insert(socket->conn);
      }
    }
    return found;
  }

 private:
  static constexpr uint64_t kHeardLateNs = kNsPerSecond;  // before which a lease of unknown start may have begun
  // A socket, or a lease.
  struct Life {
    Id128 conn{};
    std::string host;
    Endpoint src;
    Endpoint dst;
    std::optional<Endpoint> external;
    std::optional<TimeNs> start;
    std::optional<TimeNs> end;
    TimeNs first_seen = UINT64_MAX;
    uint64_t error = 0;
    uint64_t heard_late = 0;  // how long before first_seen it may have begun
    bool told = false;        // by more than who used it
    bool whole = true;        // false for a record of a lease without an id that does not say both ends
    [[nodiscard]] bool covers(TimeNs low, TimeNs high) const {
      return start.value_or(first_seen) <= low && end.value_or(UINT64_MAX) >= high;
    }
    [[nodiscard]] bool near(TimeNs low, TimeNs high, uint64_t slack) const {
      return start.value_or(first_seen - heard_late) <= high + slack && (!end || *end + slack >= low);
    }
  };

  void add_times(const Record& record, Life& life) {
    life.first_seen = std::min(life.first_seen, record.has(Field::kStart) ? record.uint(Field::kStart) : record.time());
    life.host = record.text_or(Field::kHost, "");
    life.src = *record.endpoint(Field::kSrcIp, Field::kSrcPort);
    life.dst = *record.endpoint(Field::kDstIp, Field::kDstPort);
    if (const auto external = record.endpoint(Field::kSrcNatIp, Field::kSrcNatPort)) life.external = external;
    if (record.has(Field::kStart)) life.start = record.uint(Field::kStart);
    const Kind kind = record.kind();
    if ((kind == Kind::kOpen || kind == Kind::kNatOpen) && !life.start) life.start = record.time();
    if (kind == Kind::kClose || kind == Kind::kFailed || kind == Kind::kNatClose)
      life.end = record.uint_or(Field::kEnd, record.time());
    life.error = std::max(life.error, record.uint_or(Field::kClockError, 0));
  }

  void add_socket_record(uint64_t index) {
    const Record& record = records_[index];
    Life& life = sockets_[record.id128(Field::kConn)];
    life.conn = record.id128(Field::kConn);
    life.told = life.told || record.kind() != Kind::kUsedBy;
    add_times(record, life);
  }

  void add_lease_record(uint64_t index) {
    const Record& record = records_[index];
    const Id128 conn = record.has(Field::kConn) ? record.id128(Field::kConn) : Id128{};
    // One without an id stands alone.
    Life& life = leases_[{conn, conn == Id128{} ? index + 1 : 0}];
    add_times(record, life);
    life.heard_late = kHeardLateNs;
    life.whole = conn != Id128{} || (life.start && life.end);
  }

  void finish(Life& life) const {
    if (life.external == life.src) life.external.reset();
  }

  // The socket whose translation the lease is: same ends, at the same time.
  static bool belongs(const Life& socket, const Life& lease) {
    if (socket.src != lease.src || socket.dst != lease.dst) return false;
    if (socket.external && lease.external && socket.external != lease.external) return false;
    return socket.start.value_or(socket.first_seen) <= lease.end.value_or(UINT64_MAX) &&
           socket.end.value_or(UINT64_MAX) >= lease.start.value_or(lease.first_seen - lease.heard_late);
  }

  const std::vector<Record>& records_;
  std::map<Id128, Life> sockets_;
  std::map<std::tuple<Id128, uint64_t>, Life> leases_;
  std::vector<std::pair<const Life*, const Life*>> pairs_;
};

}  // namespace portbook

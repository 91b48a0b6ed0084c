// A small estate's random history for tests of what finds connections: few hosts and fewer ports, so that endpoints are used again,
// by several at once and through leases; ends that come late, at once with others' or never; records in the order of arrival.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "record/record.h"

namespace portbook {

class RandomHistory {
 public:
  static constexpr TimeNs kBegin = 1'795'000'000'000'000'000;
  static constexpr uint64_t kHosts = 3;
  static constexpr uint64_t kPorts = 6;

  explicit RandomHistory(uint64_t seed) : random_(seed) {}

  // About `connections` of them, within some `seconds`.
  std::vector<Record> records(uint32_t connections, uint64_t seconds) {
    told_.clear();
    span_ = seconds * kNsPerSecond;
    for (uint64_t host = 0; host < kHosts; ++host) add_host(host);
    for (uint32_t i = 0; i < connections; ++i) add_connection(i + 1);
    std::ranges::sort(told_, {}, [](const Told& one) { return std::pair(one.at, one.number); });
    std::vector<Record> records;
    for (Told& one : told_) {
      one.record.set(Field::kSource, "bench/socket");
      one.record.set(Field::kSourceSeq, records.size() + 1);
      records.push_back(std::move(one.record));
    }
    return records;
  }

  static Ip address(uint64_t host) { return Ip::v4(0x0a000001 + static_cast<uint32_t>(host)); }
  static Ip gateway() { return Ip::v4(0xcb007105); }
  static uint16_t port(uint64_t n) { return static_cast<uint16_t>(40'000 + n); }

 private:
  struct Told {
    TimeNs at = 0;
    size_t number = 0;  // in the order made
    Record record;
  };
  struct Connection {
    uint64_t number = 0;
    uint64_t host = 0;
    Endpoint src;
    Endpoint dst;
    Endpoint external;
    TimeNs start = 0;
    TimeNs end = 0;
    bool translated = false;
  };

  uint64_t below(uint64_t bound) { return random_() % bound; }
  static std::string host_name(uint64_t host) { return "web-" + std::to_string(host); }

  Record& tell(Kind kind, uint64_t host, TimeNs time) {
    TimeNs at = time;
    if (below(10) == 0) at += below(below(3) == 0 ? span_ : span_ / 50 + 1);
    Record& record = told_.emplace_back(Told{at, told_.size(), {}}).record;
    record.set(Field::kKind, kind);
    record.set(Field::kTime, time);
    record.set(Field::kHost, host_name(host));
    record.set(Field::kVantage, Vantage::kSocket);
    if (below(2) == 0) record.set(Field::kClockError, below(2 * kNsPerMs));
    return record;
  }

  static Id128 conn_of(uint64_t boot, uint64_t cookie) {
    Id128 conn{};
    store_big(conn.data(), boot);
    store_big(conn.data() + 8, cookie);
    return conn;
  }

  void add_host(uint64_t host) {
    Record& starts = tell(Kind::kSourceStart, host, kBegin);
    starts.set(Field::kAbout, host_name(host) + "/socket");
    Record& has = tell(Kind::kAddress, host, kBegin);
    has.set(Field::kAddress, address(host));
    has.set(Field::kState, AddressState::kUp);
    for (uint64_t i = 0; i < 2; ++i) {
      Record& listens = tell(Kind::kListen, host, kBegin + below(span_ / 2));
      listens.set(Field::kDstIp, Field::kDstPort, {address(host), port(i)});
      listens.set(Field::kConn, conn_of(100 + host, i + 1));
    }
  }

  void add_connection(uint64_t number) {
    Connection of;
    of.number = number;
    of.host = below(kHosts);
    of.src = {address(of.host), port(below(kPorts))};
    of.dst = {address(below(kHosts)), port(below(2))};
    of.external = {gateway(), port(below(kPorts))};
    of.start = kBegin + below(span_);
    of.end = of.start + below(below(5) == 0 ? span_ : span_ / 100 + 1);
    of.translated = below(4) == 0;
    if (below(12) == 0) {
      set_ends(of, tell(Kind::kFailed, of.host, of.end), true);
      return;
    }
    add_socket(of);
    if (of.translated) add_lease(of);
  }

  void set_ends(const Connection& of, Record& record, bool ends) {
    record.set(Field::kProto, Proto::kTcp);
    record.set(Field::kDirection, Direction::kOut);
    record.set(Field::kSrcIp, Field::kSrcPort, of.src);
    record.set(Field::kDstIp, Field::kDstPort, of.dst);
    record.set(Field::kConn, conn_of(1 + of.host, of.number));
    record.set(Field::kPid, 1000 + of.number % 7);
    record.set(Field::kProcessStart, kBegin - 5);
    if (!ends) return;
    if (of.translated) record.set(Field::kSrcNatIp, Field::kSrcNatPort, of.external);
    if (below(8) != 0) record.set(Field::kStart, of.start);
    if (below(8) != 0) record.set(Field::kEnd, of.end);
  }

  void add_socket(const Connection& of) {
    if (below(10) != 0) set_ends(of, tell(below(10) == 0 ? Kind::kExisting : Kind::kOpen, of.host, of.start), false);
    if (below(10) == 0) set_ends(of, tell(Kind::kUsedBy, of.host, of.start + 1), false);
    if (below(6) != 0) set_ends(of, tell(Kind::kClose, of.host, of.end), true);
  }

  void add_lease(const Connection& of) {
    for (const bool ends : {false, true}) {
      if (below(8) == 0) continue;
      const Kind begins = below(6) == 0 ? Kind::kExisting : Kind::kNatOpen;
      Record& record = tell(ends ? Kind::kNatClose : begins, 0, ends ? of.end + kNsPerSecond : of.start);
      record.set(Field::kVantage, Vantage::kNat);
      record.set(Field::kProto, Proto::kTcp);
      record.set(Field::kSrcIp, Field::kSrcPort, of.src);
      record.set(Field::kDstIp, Field::kDstPort, of.dst);
      record.set(Field::kSrcNatIp, Field::kSrcNatPort, of.external);
      record.set(Field::kDstNatIp, Field::kDstNatPort, of.dst);
      if (below(10) != 0) record.set(Field::kConn, conn_of(77, of.number));
      if (below(4) != 0) record.set(Field::kStart, of.start);
      if (ends) record.set(Field::kEnd, of.end + kNsPerSecond);
    }
  }

  std::mt19937_64 random_;
  uint64_t span_ = 0;
  std::vector<Told> told_;
};

}  // namespace portbook

// Which client of PgBouncer used which of its connections to servers: from samples of its console to records. Pure.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "base/clock.h"
#include "logs/pool_answer.h"
#include "record/record.h"

namespace portbook {

// The `app` of the records; a log of PgBouncer has "pgbouncer".
inline constexpr std::string_view kPoolConsole = "pgbouncer console";

// One look. `servers` were asked for before and after `clients`: what both have was there in between.
struct PoolSample {
  PoolLegs servers_before;
  PoolLegs clients;
  PoolLegs servers_after;
  PoolModes modes;
  TimeNs time = 0;                         // the middle of when the clients were asked for and answered
  std::optional<uint64_t> clock_error_ns;  // with half of the time between; nothing: this machine's clock is not synchronised
};

// Makes a record when a link is first seen and when it has ended, which a client keeps as long as it is connected (pool_mode
// session); of other modes, where the next statement may go elsewhere, one for each look that has the link: that moment, no more.
class PoolLinks {
 public:
  // The record has no source and number; it is the callee's until the next one.
  using Emit = std::function<void(Record&)>;
  explicit PoolLinks(std::string host) : host_(std::move(host)) {}

  void take(const PoolSample& sample, const Emit& emit);
  // Nobody looks any more, for that reason: every link ends when it was last seen.
  void end(std::string_view cause, const Emit& emit);

  // Of the newest look.
  [[nodiscard]] size_t linked() const { return linked_; }
  // Both legs of which go over unix sockets: without endpoints they are no records.
  [[nodiscard]] size_t without_ports() const { return without_ports_; }

 private:
  using Name = std::tuple<std::string, std::string, std::optional<Endpoint>, std::string, std::string, std::optional<Endpoint>>;
  struct Link {
    PoolLeg client;
    PoolLeg server;
    TimeNs first = 0;
    TimeNs last = 0;
    std::optional<uint64_t> clock_error_ns;  // of `last`
  };
  void make(const Link& link, std::string_view mode, TimeNs time);
  void end(const Link& link, std::string_view cause, const Emit& emit);

  const std::string host_;
  std::map<Name, Link> lasting_;
  size_t linked_ = 0;
  size_t without_ports_ = 0;
  Record record_;
};

}  // namespace portbook

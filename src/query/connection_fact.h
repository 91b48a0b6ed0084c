// One connection as one host saw it, gathered from its records: ends, interval, owner.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "query/process_fact.h"

namespace portbook {

// A process that had the connection's socket: who made or accepted it first, then whoever used it.
struct Holder {
  ProcessId process;
  uint64_t record = 0;  // that says so
};

struct ConnectionFact {
  Id128 conn{};
  uint64_t main = 0;  // index of its close or failed, else its open, else its newest existing
  std::string host;
  std::optional<uint64_t> netns;
  bool inbound = false;
  bool failed = false;
  ConnectionTuple tuple;
  std::optional<Endpoint> external;  // as the socket's own record says
  std::optional<Endpoint> server;
  std::optional<TimeNs> start;  // absent: it was there when capture began
  TimeNs seen = 0;              // when it is first known to have been there
  std::optional<TimeNs> end;
  std::optional<uint64_t> clock_error_ns;
  std::optional<uint64_t> bytes_out;
  std::optional<uint64_t> bytes_in;
  std::optional<ProcessFact> process;
  std::vector<ProcessFact> ancestors;  // nearest first
  std::vector<Holder> holders;
  std::vector<uint64_t> records;  // of the socket and its processes, ascending

  // As its interval is known; the greatest time while nothing says that it ended.
  [[nodiscard]] TimeNs last() const { return end.value_or(UINT64_MAX); }
};

// The connection of that id; nothing when the book has no socket record of it with both ends.
std::optional<ConnectionFact> connection_fact(Joins& joins, const Id128& conn);

}  // namespace portbook

// What one connection may have led to inside a process: the connections that the process, or a child of it, opened while it held
// the first. Kernel records cannot say more than "possible"; a program's own log that names both legs makes it "stated".
#pragma once

#include <chrono>
#include <map>
#include <vector>

#include "query/trace_logs.h"
#include "query/who.h"

namespace portbook {

inline constexpr uint64_t kRelayRowsMax = 3'000'000;  // rows looked at in one trace
inline constexpr size_t kRelayConnectionsMax = 1000;  // connections of one process looked at
inline constexpr size_t kRelayShownMax = 16;          // candidates followed from one connection, nearest in time first

struct Relay {
  ConnectionFact connection;
  Hop::Class certainty = Hop::Class::kPossible;
  std::string method;
  std::vector<uint64_t> records;  // that the step rests on
  uint64_t apart_ns = 0;          // between the beginnings of the two
};

struct RelayAnswer {
  std::vector<Relay> relays;  // nearest first, at most kRelayShownMax
  size_t found = 0;           // before that limit
  bool passing = false;       // only moments of a pool are known: others that no line names may have used the connection, too
  std::vector<Contradiction> contradictions;
  std::vector<LegLine> unseen;            // as in LegAnswer
  std::optional<LegLine> line_of_others;  // as LogLegs::line_beside()
};

// One trace's look-ups inside processes. One thread; `joins` must outlive it. Look-ups that fail: see Joins::status(). With a
// moment, of what a pool's connection was used for only that counts which was there then.
class Relays {
 public:
  Relays(Joins& joins, std::optional<Span> moment) : joins_(joins), moment_(moment), logs_(joins, moment) {}

  // Outbound connections that `inbound` may have led to; inbound ones that may have led to `outbound`.
  // First what a proxy's own record states, or names as possible; else, and beside moments of a pool that gives its connections
  // from hand to hand, the clients that the server's log names; else what was opened while the other was held; else, for a pool,
  // what was held at the same time though it had been opened before.
  RelayAnswer led_to(const ConnectionFact& inbound);
  RelayAnswer caused(const ConnectionFact& outbound);
  // Whether kRelayRowsMax or kRelayConnectionsMax cut a look-up.
  [[nodiscard]] bool bounded() const { return bounded_ || logs_.bounded(); }

 private:
  // Calls visit for the rows whose time is in [from, to], newest block first.
  using VisitRow = std::function<bool(uint64_t index, const Columns& columns, uint32_t row)>;
  void scan(TimeNs from, TimeNs to, const VisitRow& visit);
  // How the process came to be able to use what `holders` had: it is one of them, or a descendant; nothing when it is neither.
  std::optional<std::string> kinship(const ProcessId& process, uint64_t index, const std::vector<Holder>& holders);
  std::vector<ConnectionFact> outbound_of(const std::vector<Holder>& holders, TimeNs from, TimeNs to, bool descendants);
  std::vector<ConnectionFact> inbound_held_by(const std::vector<Holder>& holders, TimeNs from, TimeNs to);
  RelayAnswer stated(const ConnectionFact& of);
  std::vector<Relay> opened_for(const ConnectionFact& inbound);
  std::vector<Relay> opened_by(const ConnectionFact& outbound);
  // Makes the step stated where a log tells of the login over `inbound` that led to `outbound`; else false.
  bool by_login(const ConnectionFact& inbound, const ConnectionFact& outbound, Relay& relay);
  std::vector<Relay> pooled_for(const ConnectionFact& inbound);
  std::vector<Relay> pooled_by(const ConnectionFact& outbound);
  [[nodiscard]] bool held_in_moment(const ConnectionFact& one, const ConnectionFact& other) const;

  Joins& joins_;
  std::optional<Span> moment_;
  LogLegs logs_;
  uint64_t rows_ = 0;
  bool bounded_ = false;
};

}  // namespace portbook

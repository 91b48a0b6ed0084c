// What the logs of proxies and pools say of a connection: which other one was its other leg, and where that cannot be so.
#pragma once

#include <string>
#include <vector>

#include "query/connection_fact.h"

namespace portbook {

inline constexpr size_t kLogRowsMax = 100'000;                 // rows looked at for one endpoint
inline constexpr size_t kLogLinesMax = 1000;                   // lines of one endpoint looked at
inline constexpr size_t kLegConnectionsMax = 1000;             // connections of one endpoint looked at
inline constexpr uint64_t kUnstatedLogErrorNs = kNsPerSecond;  // how wrong a log's clock may be that does not say

// First and last nanosecond.
struct Span {
  TimeNs from = 0;
  TimeNs to = UINT64_MAX;
};

// A `proxy` record that names both legs of what went through a process.
struct LegLine {
  uint64_t record = 0;
  std::string app;
  std::string source;
  Endpoint client;
  std::optional<Endpoint> entry;  // where the client connected to
  Endpoint own;                   // the process's own end towards the server
  std::optional<Endpoint> server;
  Span time;                          // as the line says
  bool sampled = false;               // of a pool's console, which is asked now and then: what is lacking says nothing
  bool lasts = false;                 // sampled: begun, and held until one of the two connections ends
  bool passing = false;               // sampled: the next moment may have been another client's
  uint64_t error = 0;                 // of its clock, ns
  std::optional<uint64_t> bytes_out;  // that the client sent
  std::optional<uint64_t> bytes_in;   // that it got
};

// Something that a log says and that other records speak against.
struct Contradiction {
  std::string text;
  std::vector<uint64_t> records;  // ascending
};

// The other leg of a connection, as a log names it.
struct Leg {
  ConnectionFact connection;
  std::vector<uint64_t> records;  // that name it
  std::string method;
  bool certain = false;   // nothing else can be meant
  bool passing = false;   // as LegLine; others that no line names may have used the connection, too
  uint64_t apart_ns = 0;  // from the middle of the asked moment; without one, between the beginnings of the two
};

struct LegAnswer {
  std::vector<Leg> legs;
  std::vector<Contradiction> contradictions;
  bool silent = false;          // no line names the connection
  std::vector<LegLine> unseen;  // lines that fit the connection, though the kernel's records have no such other leg
};

// A login that a log tells of, as what a process did.
struct LegLogin {
  uint64_t record = 0;
  uint64_t pid = 0;
  std::string user;
  std::string app;
};

// One trace's look-ups in logs. One thread; `joins` must outlive it. Look-ups that fail: see Joins::status(). With a moment only
// what lines say of then counts, give or take their clocks, and connections that were open then.
class LogLegs {
 public:
  LogLegs(Joins& joins, std::optional<Span> moment) : joins_(joins), moment_(moment) {}

  // The other legs of `of` inside its process, as `proxy` records say it. A process's own connection to a server has one client at
  // a time: of two lines that give it two at once, the one holds whose byte counts are the kernel's, else neither is certain.
  LegAnswer stated(const ConnectionFact& of);
  // The clients of a pool's connection `outbound`, as the server's log has them in the application's name (PgBouncer's
  // application_name_add_host): never certain, since a client may choose that name.
  LegAnswer named(const ConnectionFact& outbound);
  // The login over `inbound` that led to `outbound`, as a log such as sshd's has it: by a process from which the one of `outbound`
  // descends, and of no other user than that one ran as or had logged in as. Nothing where the kernel's records do not agree.
  std::optional<LegLogin> login(const ConnectionFact& inbound, const ConnectionFact& outbound);
  // A line that tells of another connection to the same service while `of` was open; `of` has ended, and no line names it. Nothing
  // where there is none, or too much to look at.
  std::optional<LegLine> line_beside(const ConnectionFact& of);

  // Whether a limit cut a look-up.
  [[nodiscard]] bool bounded() const { return bounded_; }

 private:
  // A line with the kernel's connections at both of its legs.
  struct Pair {
    LegLine line;
    ConnectionFact client;
    ConnectionFact up;
    bool ambiguous = false;  // others fit the same line
  };
  enum class Side : uint8_t { kClient, kOwn };
  enum class Holds : uint8_t { kYes, kPerhaps, kNo };

  // The lines that name `endpoint` on that side and speak of a time in `span`, give or take their clocks.
  std::vector<LegLine> lines_naming(const Endpoint& endpoint, Side side, const Span& span);
  std::vector<ConnectionFact> connections_at(const Endpoint& endpoint, const ConnectionFact& of);
  // The pairs of all lines that name `of`; those without another leg go to `unseen`.
  std::vector<Pair> pairs_of(const ConnectionFact& of, std::vector<LegLine>& unseen);
  static Holds judge(const Pair& pair, const std::vector<Pair>& rivals, LegAnswer& answer);
  [[nodiscard]] bool in_moment(const Pair& pair) const;

  Joins& joins_;
  std::optional<Span> moment_;
  bool bounded_ = false;
};

}  // namespace portbook

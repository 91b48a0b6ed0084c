// Trace: the path of a connection over hosts, translations and proxies, both ways from one place, with the evidence of every step.
#pragma once

#include "query/trace_logs.h"
#include "query/who.h"

namespace portbook {

inline constexpr size_t kTraceNodesMax = 200;
inline constexpr size_t kTraceDepthMax = 16;  // steps from where it began

struct TraceQuestion {
  std::string text;                // as it was asked
  std::optional<uint64_t> record;  // a record's number
  std::optional<WhoQuestion> who;  // an endpoint at a moment: asked for without a number, or named by the record, a line of a log
};
// "#412", "412", or what read_who_question() reads. Errors: kBadInput, one sentence.
Result<TraceQuestion> read_trace_question(const WhoParts& parts, TimeNs now);

// One connection as one host saw it.
struct TraceNode {
  ConnectionFact connection;
  std::string beyond;  // why its other end is not known; empty where it is, or was not looked for
};

// A step from what came first in the chain of causes to what came of it.
struct TraceEdge {
  enum class Kind : uint8_t {
    kConnection,  // the same connection at both ends: from the client's record to the server's
    kProcess,     // inside one process or its children: from an inbound connection to an outbound one
  };
  Kind kind = Kind::kConnection;
  Hop::Class certainty = Hop::Class::kProven;
  size_t from = 0;  // nodes
  size_t to = 0;
  std::string method;
  std::string order;  // which began first, as far as the clocks can tell
  std::vector<Lease> leases;
  std::vector<uint64_t> records;
};

struct TraceAnswer {
  TraceQuestion question;
  std::string sentence;
  std::vector<size_t> starts;  // nodes that the question named
  std::vector<TraceNode> nodes;
  std::vector<TraceEdge> edges;
  std::vector<std::string> bounds;  // what was not followed, and why
  std::vector<Contradiction> contradictions;
  CompletenessAnswer completeness;  // from the first to the last moment of the path
  uint64_t size = 0;
};

// Brings `coverage` up to `view` first. Errors: kBadInput (a host that the book does not have), kNotFound (no such record, or one
// that is of no connection), kIo, kCorrupt.
Result<TraceAnswer> trace(const View& view, Coverage& coverage, const TraceQuestion& question, TimeNs now);

// The whole answer as one JSON object (the HTTP contract); `took_us` is added to it.
std::string to_json(const TraceAnswer& answer, uint64_t took_us);

}  // namespace portbook

// Who had an endpoint at a moment: every candidate with its evidence, and whether the answer is whole.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "query/coverage.h"
#include "query/joins.h"
#include "query/paste.h"
#include "query/process_fact.h"

namespace portbook {

struct WhoQuestion {
  std::string text;  // as it was asked
  Endpoint endpoint;
  TimeNs at = 0;
  bool time_given = true;        // false: nothing said when, so `at` is the present
  uint64_t precision_ns = 1;     // the moment is in [at, at + precision_ns)
  std::optional<Endpoint> peer;  // port 0: any port of that address
  std::string host;              // empty: any
  std::optional<uint64_t> window_ns;
  std::vector<PasteSpan> spans;
};

// What a caller gives: a text to read, or the parts. Parts override what the text says.
struct WhoParts {
  std::string text;
  std::string endpoint;
  std::string at;
  std::string peer;
  std::string host;
  std::string window;
};
// Errors: kBadInput, one sentence that says what is missing or wrong.
Result<WhoQuestion> read_who_question(const WhoParts& parts, TimeNs now);

struct Hop {
  enum class Class : uint8_t { kProven, kStated, kPossible };
  enum class Kind : uint8_t { kEndpoint, kLease, kSocket, kProcess, kAncestor };
  Class certainty = Class::kProven;
  Kind kind = Kind::kEndpoint;
  std::string title;
  std::string text;
  std::string method;
  std::vector<uint64_t> records;
};

struct Candidate {
  enum class Verdict : uint8_t { kMatches, kNotCovering, kRuledOut };
  enum class Relation : uint8_t { kListener, kOwned, kSeenBy };
  enum class Position : uint8_t { kCovers, kBefore, kAfter };

  Verdict verdict = Verdict::kMatches;
  Relation relation = Relation::kOwned;
  Position position = Position::kCovers;
  uint64_t distance_ns = 0;  // from the asked moment to the interval; 0 when it covers it without any widening
  std::string reason;
  std::string state;
  std::optional<Id128> conn;  // of the socket; absent where only a lease is known
  std::optional<Endpoint> internal;
  std::optional<Endpoint> external;
  std::optional<Endpoint> peer;
  std::optional<Endpoint> published;        // what clients asked for, where it was translated to `internal`
  std::optional<Endpoint> peer_translated;  // the real server behind `peer`, where it was translated
  std::string host;
  std::optional<uint64_t> netns;
  std::optional<TimeNs> start;
  std::optional<TimeNs> end;
  std::optional<uint64_t> clock_error_ns;
  bool inbound = false;
  std::optional<Lease> lease;
  std::optional<ProcessFact> process;
  std::vector<ProcessFact> ancestors;  // nearest first
  std::vector<Hop> hops;
  std::vector<uint64_t> records;  // ascending
};

enum class WhoVerdict : uint8_t { kOwner, kSeenBy, kListener, kNobody, kNotCovered, kIncomplete, kSeveral };
std::string_view to_text(WhoVerdict verdict);

struct WhoAnswer {
  WhoQuestion question;
  uint64_t window_ns = 0;  // used
  WhoVerdict verdict = WhoVerdict::kNobody;
  std::string sentence;
  std::string detail;
  std::vector<Candidate> candidates;  // matches, then not covering by distance, then ruled out
  CompletenessAnswer completeness;
  uint64_t size = 0;
};

// Limits, so that a question about a busy server endpoint stays bounded; an answer that met one says so.
inline constexpr size_t kWhoRecordsMax = 500'000;  // records looked at for one endpoint
inline constexpr size_t kWhoCandidatesMax = 100;

// Brings `coverage` up to `view` first. Errors: kBadInput (a host that the book does not have), kIo, kCorrupt.
Result<WhoAnswer> who(const View& view, Coverage& coverage, const WhoQuestion& question, TimeNs now);

// Fills verdict, sentence and detail from the rest; part of who().
void describe(WhoAnswer& answer);

// The whole answer as one JSON object (the HTTP contract); `took_us` is added to it.
std::string to_json(const WhoAnswer& answer, uint64_t took_us);

// A process, and a completeness answer, as the JSON objects of that contract.
std::string to_json(const ProcessFact& fact);
std::string to_json(const CompletenessAnswer& completeness);
}  // namespace portbook

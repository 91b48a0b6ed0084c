#include "query/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>

#include "query/moment.h"
#include "query/trace_ends.h"
#include "query/trace_relay.h"

namespace portbook {

namespace {

class Walk {
 public:
  // With a moment, what a pool's connection was used for is asked of that moment alone.
  Walk(const View& view, const Coverage& coverage, std::optional<Span> moment, TimeNs now, TraceAnswer& answer)
      : joins_(view), relays_(joins_, moment), coverage_(coverage), now_(now), answer_(answer) {}

  Joins& joins() { return joins_; }

  void begin_at(const Id128& conn) {
    auto fact = connection_fact(joins_, conn);
    if (!fact) return;
    const size_t node = add(std::move(*fact));
    if (std::ranges::find(answer_.starts, node) == answer_.starts.end()) answer_.starts.push_back(node);
  }

  // Towards the causes, then towards the effects; each way on its own, so that a path never turns round.
  Status run() {
    walk(Way::kBack);
    walk(Way::kOn);
    if (relays_.bounded() || ends_bounded_) {
      answer_.bounds.push_back(fmt::format(
          "A look-up met its limit ({} rows in processes, {} connections of one process, {} rows of one endpoint, {} in logs): "
          "there may be more.",
          kRelayRowsMax, kRelayConnectionsMax, kEndRowsMax, kLogRowsMax));
    }
    settle_completeness();
    describe();
    return joins_.status();
  }

 private:
  enum class Way : uint8_t { kBack, kOn };

  size_t add(ConnectionFact fact) {
    const auto [place, first] = known_.try_emplace(fact.conn, answer_.nodes.size());
    if (first) answer_.nodes.push_back({std::move(fact), {}});
    return place->second;
  }

  // Adds the edge unless it is there; true iff the node at its far side is new on this way.
  bool add_edge(TraceEdge edge) {
    const bool known = std::ranges::any_of(
        answer_.edges, [&](const TraceEdge& one) { return one.kind == edge.kind && one.from == edge.from && one.to == edge.to; });
    if (!known) answer_.edges.push_back(std::move(edge));
    return !known;
  }

  bool room_for(const Id128& conn) {
    if (known_.contains(conn) || answer_.nodes.size() < kTraceNodesMax) return true;
    note(fmt::format("More than {} connections belong to the path; the rest is not followed.", kTraceNodesMax));
    return false;
  }

  void note(std::string bound) {
    if (std::ranges::find(answer_.bounds, bound) == answer_.bounds.end()) answer_.bounds.push_back(std::move(bound));
  }

  void walk(Way way) {
    std::deque<std::pair<size_t, size_t>> waiting;  // node and its depth
    std::map<size_t, size_t> visited;
    for (const size_t start : answer_.starts) {
      waiting.emplace_back(start, 0);
      visited.emplace(start, 0);
    }
    while (!waiting.empty() && joins_.status()) {
      const auto [node, depth] = waiting.front();
      waiting.pop_front();
      if (depth >= kTraceDepthMax) {
        note(fmt::format("The path has more than {} steps one way; the rest is not followed.", kTraceDepthMax));
        continue;
      }
      for (const size_t next : step(node, way)) {
        if (visited.emplace(next, depth + 1).second) waiting.emplace_back(next, depth + 1);
      }
    }
  }

  // Towards a cause: of an inbound connection its client, of an outbound one what its process was serving.
  std::vector<size_t> step(size_t node, Way way) {
    const bool inbound = answer_.nodes[node].connection.inbound;
    return inbound == (way == Way::kBack) ? other_end(node, way) : inside(node, way);
  }

  std::vector<size_t> other_end(size_t node, Way way) {
    const ConnectionFact here = answer_.nodes[node].connection;  // a copy: nodes are added
    std::vector<OtherEnd> ends =
        way == Way::kBack ? ends_that_opened(joins_, here, ends_bounded_) : ends_that_accepted(joins_, here, ends_bounded_);
    if (ends.empty()) answer_.nodes[node].beyond = beyond(here);
    std::vector<size_t> next;
    for (OtherEnd& end : ends) {
      if (!room_for(end.connection.conn)) break;
      // Unique both ways: nothing else fits from there back to here either.
      const auto back = way == Way::kBack ? ends_that_accepted(joins_, end.connection, ends_bounded_)
                                          : ends_that_opened(joins_, end.connection, ends_bounded_);
      const bool unique = ends.size() == 1 && back.size() <= 1 && (back.empty() || back.front().connection.conn == here.conn);
      TraceEdge edge;
      edge.kind = TraceEdge::Kind::kConnection;
      edge.certainty = unique ? Hop::Class::kProven : Hop::Class::kPossible;
      edge.method = connection_method(end, unique, std::max(ends.size(), back.size()));
      edge.order = order_of(way == Way::kBack ? end.connection : here, way == Way::kBack ? here : end.connection);
      edge.records = {here.main, end.connection.main};
      for (const Lease& lease : end.leases) edge.records.insert(edge.records.end(), lease.records.begin(), lease.records.end());
      std::ranges::sort(edge.records);
      edge.leases = std::move(end.leases);
      const size_t there = add(std::move(end.connection));
      edge.from = way == Way::kBack ? there : node;
      edge.to = way == Way::kBack ? node : there;
      add_edge(std::move(edge));
      next.push_back(there);
    }
    return next;
  }

  static std::string connection_method(const OtherEnd& end, bool unique, size_t candidates) {
    std::string method = "kernel records of both ends match on addresses, ports and time";
    if (!end.leases.empty()) {
      std::vector<std::string> hosts;
      for (const Lease& lease : end.leases) hosts.push_back(lease.host);
      method += fmt::format(", over the NAT lease of {}", fmt::join(hosts, " and that of "));
    } else if (end.translated_by_record) {
      method += ", over the translation in the client’s record";
    }
    return unique ? method : fmt::format("{}, but {} connections fit", method, candidates);
  }

  std::vector<size_t> inside(size_t node, Way way) {
    const ConnectionFact here = answer_.nodes[node].connection;
    RelayAnswer found = way == Way::kBack ? relays_.caused(here) : relays_.led_to(here);
    if (found.found > found.relays.size()) {
      note(fmt::format("{} connections may be the {} of #{}; the {} nearest in time are followed.", found.found,
                       way == Way::kBack ? "cause" : "effect", here.main, found.relays.size()));
    }
    doubt(here, found);
    std::vector<size_t> next;
    for (Relay& relay : found.relays) {
      if (!room_for(relay.connection.conn)) break;
      TraceEdge edge;
      edge.kind = TraceEdge::Kind::kProcess;
      edge.certainty = relay.certainty;
      edge.method = found.found > 1 && relay.certainty == Hop::Class::kPossible
                        ? fmt::format("{} (one of {})", relay.method, found.found)
                        : relay.method;
      edge.order = order_of(way == Way::kBack ? relay.connection : here, way == Way::kBack ? here : relay.connection);
      edge.records = std::move(relay.records);
      const size_t there = add(std::move(relay.connection));
      edge.from = way == Way::kBack ? there : node;
      edge.to = way == Way::kBack ? node : there;
      add_edge(std::move(edge));
      next.push_back(there);
    }
    return next;
  }

  // What logs say against each other or against the kernel's records, and where they are silent.
  void doubt(const ConnectionFact& here, RelayAnswer& found) {
    for (Contradiction& one : found.contradictions) contradict(std::move(one));
    for (const LegLine& line : found.unseen) {
      const Endpoint& own_end = here.inbound ? here.tuple.dst : here.tuple.src;
      const TimeNs to = std::min({line.time.to, here.last(), now_});
      const bool covered =
          coverage_.at(own_end.ip, std::max(line.time.from, here.seen), to, now_, 0, here.host).state == Completeness::kComplete;
      const std::string said = fmt::format(
          "#{} ({}’s log) says that {} came through to {}, but the kernel’s records of {} have no such {} then", line.record,
          line.app, to_text(line.client), to_text(line.own), here.host, here.inbound ? "connection onwards" : "client");
      if (covered) {
        contradict({fmt::format("{}.", said), {here.main, line.record}});
      } else {
        note(fmt::format("{}; they may lack it.", said));
      }
    }
    if (found.line_of_others) silent_.push_back({here, std::move(*found.line_of_others)});
  }

  void contradict(Contradiction one) {
    std::ranges::sort(one.records);
    const auto doubled = std::ranges::unique(one.records);
    one.records.erase(doubled.begin(), doubled.end());
    const bool known =
        std::ranges::any_of(answer_.contradictions, [&](const Contradiction& other) { return other.text == one.text; });
    if (!known) answer_.contradictions.push_back(std::move(one));
  }

  // Two moments of one host are on one clock; over hosts both errors stand between them.
  static std::string order_of(const ConnectionFact& from, const ConnectionFact& to) {
    if (!from.start || !to.start) return "which began first is not known: one was there when capture began";
    const bool from_first = *from.start <= *to.start;
    const uint64_t apart = from_first ? *to.start - *from.start : *from.start - *to.start;
    const std::string distance = distance_text(apart);
    if (from.host == to.host)
      return fmt::format("#{} began {} before #{}", (from_first ? from : to).main, distance, (from_first ? to : from).main);
    if (!from.clock_error_ns || !to.clock_error_ns) return "which began first is not claimed: a clock is not synchronised";
    const uint64_t error = *from.clock_error_ns + *to.clock_error_ns;
    if (apart <= error)
      return fmt::format("which began first cannot be told: {} apart, clocks may be wrong by {}", distance, distance_text(error));
    return fmt::format("#{} began {} before #{}", (from_first ? from : to).main, distance, (from_first ? to : from).main);
  }

  std::string beyond(const ConnectionFact& here) const {
    if (here.failed) return "it failed: nothing accepted it";
    const Endpoint far = here.inbound ? here.tuple.src : here.server.value_or(here.tuple.dst);
    const TimeNs to = std::min(here.end.value_or(here.seen), now_);
    const CompletenessAnswer at = coverage_.at(far.ip, here.seen, std::max(here.seen, to), now_, 0);
    if (at.state == Completeness::kNotCovered)
      return fmt::format("its other end {} is not covered: no source of this book had that address", to_text(far));
    return fmt::format("no record of its other end {} fits. {}", to_text(far), at.sentence);
  }

  void settle_completeness() {
    TimeNs from = now_;
    TimeNs to = 0;
    for (const TraceNode& node : answer_.nodes) {
      from = std::min(from, node.connection.seen);
      to = std::max(to, std::min(node.connection.last(), now_));
    }
    CompletenessAnswer& whole = answer_.completeness;
    whole = coverage_.over(from, std::max(from, to));
    for (const auto& [here, line] : silent_) {
      const std::string cause =
          fmt::format("no line of #{}, though lines of others to {} at that time", here.main, to_text(here.tuple.dst));
      whole.missing.push_back({line.source, {here.seen, here.end, std::nullopt, cause, line.record}});
      if (whole.state != Completeness::kComplete && whole.state != Completeness::kClockNotSynchronised) continue;
      whole.state = Completeness::kIncomplete;
      whole.sentence = fmt::format("Incomplete. {} has {}.", line.source, cause);
    }
  }

  void describe() {
    size_t proven = 0;
    size_t stated = 0;
    for (const TraceEdge& edge : answer_.edges) {
      proven += edge.certainty == Hop::Class::kProven ? 1 : 0;
      stated += edge.certainty == Hop::Class::kStated ? 1 : 0;
    }
    std::vector<std::string> hosts;
    for (const TraceNode& node : answer_.nodes) {
      if (std::ranges::find(hosts, node.connection.host) == hosts.end()) hosts.push_back(node.connection.host);
    }
    if (answer_.nodes.empty()) return;
    if (answer_.edges.empty()) {
      answer_.sentence = "One connection; nothing before or behind it is recorded";
      return;
    }
    answer_.sentence = fmt::format("{} connections on {} {}, {} steps: {} proven, {} stated, {} possible", answer_.nodes.size(),
                                   hosts.size(), hosts.size() == 1 ? "host" : "hosts", answer_.edges.size(), proven, stated,
                                   answer_.edges.size() - proven - stated);
  }

  Joins joins_;
  Relays relays_;
  const Coverage& coverage_;
  TimeNs now_;
  TraceAnswer& answer_;
  bool ends_bounded_ = false;
  std::map<Id128, size_t> known_;
  std::vector<std::pair<ConnectionFact, LegLine>> silent_;  // of which a log has no line, and one that it has of others
};

// What a line of a log, which is of no connection itself, asks: who had the endpoint that it names, when it says. Nothing of
// others.
std::optional<WhoQuestion> question_of_line(const Record& record) {
  if (record.has(Field::kConn) || (record.kind() != Kind::kNote && record.kind() != Kind::kProxy)) return std::nullopt;
  const auto own = record.endpoint(Field::kUpSrcIp, Field::kUpSrcPort);
  const auto client = record.endpoint(Field::kSrcIp, Field::kSrcPort);
  if (!own && !client) return std::nullopt;
  WhoQuestion question;
  question.endpoint = own ? *own : *client;
  question.at = record.uint_or(Field::kStart, record.time());
  const TimeNs end = std::max(question.at, record.uint_or(Field::kEnd, record.time()));
  question.precision_ns = end - question.at + 1;
  question.window_ns = record.uint_or(Field::kClockError, kUnstatedLogErrorNs);
  return question;
}

// The connections that a record speaks of: its own, or those of both ends of its lease.
Status begin_at_record(const View& view, uint64_t index, Walk& walk) {
  if (index >= view.size())
    return fail(ErrorCode::kNotFound, fmt::format("there is no record {}: the book has {}", index, view.size()));
  Record record;
  if (auto read = view.read(index, record); !read) return read;
  if (!record.has(Field::kConn)) {
    return fail(ErrorCode::kNotFound, fmt::format("record {} ({}) is of no connection", index,
                                                  enum_name(Field::kKind, static_cast<uint64_t>(record.kind()))));
  }
  const auto lease = lease_of(walk.joins().records_of(record.id128(Field::kConn)));
  if (!lease) {
    walk.begin_at(record.id128(Field::kConn));
    return {};
  }
  for (const Endpoint& end : {lease->internal, lease->external.value_or(lease->internal)}) {
    std::vector<Id128> conns;
    const auto status = view.for_each_with(endpoint_key(end), [&](uint64_t, const Record& row) {
      if (row.has(Field::kConn) && row.id128(Field::kConn) != lease->conn) {
        const Id128 conn = row.id128(Field::kConn);
        if (std::ranges::find(conns, conn) == conns.end()) conns.push_back(conn);
      }
      return conns.size() < kEndRowsMax;
    });
    if (!status) return status;
    for (const Id128& conn : conns) {
      const auto fact = connection_fact(walk.joins(), conn);
      if (!fact) continue;
      const Endpoint dst = fact->inbound ? lease->server.value_or(lease->asked_for) : lease->asked_for;
      const Endpoint src = fact->inbound ? lease->external.value_or(lease->internal) : lease->internal;
      const bool in_time = fact->seen <= lease->end.value_or(UINT64_MAX - kHandshakeNs) + kHandshakeNs &&
                           fact->last() >= lease->seen - std::min(lease->seen, kHandshakeNs);
      if (fact->tuple.src == src && fact->tuple.dst == dst && in_time) walk.begin_at(conn);
    }
  }
  return {};
}

}  // namespace

Result<TraceQuestion> read_trace_question(const WhoParts& parts, TimeNs now) {
  TraceQuestion question;
  question.text = parts.text;
  std::string_view number = parts.text;
  if (number.starts_with('#')) number.remove_prefix(1);
  uint64_t index = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), index);
  if (!number.empty() && error == std::errc{} && end == number.data() + number.size()) {
    question.record = index;
    return question;
  }
  auto who = read_who_question(parts, now);
  if (!who) return std::unexpected(who.error());
  question.text = who->text;
  question.who = std::move(*who);
  return question;
}

Result<TraceAnswer> trace(const View& view, Coverage& coverage, const TraceQuestion& question, TimeNs now) {
  if (auto status = coverage.refresh(view); !status) return std::unexpected(status.error());
  TraceAnswer answer;
  answer.question = question;
  answer.size = view.size();
  if (Record line; question.record && *question.record < view.size()) {
    if (auto read = view.read(*question.record, line); !read) return std::unexpected(read.error());
    answer.question.who = question_of_line(line);
  }
  if (!answer.question.who) {
    Walk walk(view, coverage, std::nullopt, now, answer);
    if (auto begun = begin_at_record(view, *question.record, walk); !begun) return std::unexpected(begun.error());
    if (auto walked = walk.run(); !walked) return std::unexpected(walked.error());
    return answer;
  }
  const WhoQuestion& asked = *answer.question.who;
  const auto owners = who(view, coverage, asked, now);
  if (!owners) return std::unexpected(owners.error());
  answer.sentence = owners->sentence;
  answer.completeness = owners->completeness;
  const TimeNs at = asked.at;
  const uint64_t window = owners->window_ns;
  Walk walk(view, coverage, Span{at - std::min(at, window), at + asked.precision_ns - 1 + window}, now, answer);
  for (const Candidate& candidate : owners->candidates) {
    if (candidate.verdict != Candidate::Verdict::kMatches || candidate.relation == Candidate::Relation::kListener) continue;
    if (candidate.conn) walk.begin_at(*candidate.conn);
  }
  if (answer.starts.empty()) return answer;
  if (auto walked = walk.run(); !walked) return std::unexpected(walked.error());
  return answer;
}

}  // namespace portbook

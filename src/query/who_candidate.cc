// What stands in a candidate: its ends, its interval against the asked moment, its process.
#include <fmt/format.h>

#include <algorithm>

#include "query/evaluate.h"
#include "query/who_search.h"

namespace portbook {

// The interval of a candidate against the moment; its clock error widens it, then the window.
void WhoSearch::place(Candidate& candidate, TimeNs start, TimeNs end) const {
  const uint64_t slack = candidate.clock_error_ns.value_or(0) + answer_.window_ns;
  if (start > high_) {
    candidate.distance_ns = start - high_;
    candidate.position = Candidate::Position::kAfter;
  } else if (end < low_) {
    candidate.distance_ns = low_ - end;
    candidate.position = Candidate::Position::kBefore;
  }
  if (candidate.distance_ns <= slack) {
    candidate.position = Candidate::Position::kCovers;
  } else {
    candidate.verdict = Candidate::Verdict::kNotCovering;
  }
}

void WhoSearch::add_lease_alone(const Lease& lease, LeaseEnd end) {
  Candidate candidate;
  if (end == LeaseEnd::kServer) {
    candidate.inbound = true;
    candidate.published = question_.endpoint;
    candidate.internal = lease.server;
    candidate.peer = lease.external.value_or(lease.internal);
    candidate.reason = "the translation is recorded, but no socket of the real server";
  } else {
    candidate.internal = lease.internal;
    candidate.external = lease.external;
    candidate.peer = lease.asked_for;
    candidate.peer_translated = lease.server;
    candidate.reason = "the lease is recorded, but no socket of the internal endpoint";
  }
  candidate.host = lease.host;
  candidate.netns = lease.netns;
  candidate.start = lease.start;
  candidate.end = lease.end;
  candidate.clock_error_ns = lease.clock_error_ns;
  candidate.state = lease.end ? fmt::format("closed at {}", format_time(*lease.end)) : "open now";
  candidate.records = lease.records;
  place(candidate, lease.start.value_or(lease.seen), lease.end.value_or(UINT64_MAX));
  candidate.lease = lease;
  add_endpoint_hops(candidate);
  answer_.candidates.push_back(std::move(candidate));
}

// Whether the lease is there at the asked moment.
bool WhoSearch::holds(const Lease& lease) const {
  const uint64_t slack = lease.clock_error_ns.value_or(0) + answer_.window_ns;
  return lease.start.value_or(lease.seen) <= high_ + slack && lease.end.value_or(UINT64_MAX - slack) + slack >= low_;
}

// A socket that another lease led to, of another moment, is looked at again by the one that holds at this moment.
bool WhoSearch::make_room(const Id128& conn, const std::optional<Lease>& lease) {
  if (!lease) return false;
  return holds(*lease) && std::erase_if(answer_.candidates, [&](const Candidate& one) {
                            return one.conn == conn && one.verdict == Candidate::Verdict::kNotCovering;
                          }) > 0;
}

void WhoSearch::add_socket(const Id128& conn, const std::optional<Lease>& lease) {
  if (!added_.insert(conn).second && !make_room(conn, lease)) return;
  const std::vector<Indexed>& records = joins_.records_of(conn);  // newest first
  const Indexed* main = nullptr;
  const auto rank = [](Kind kind) {
    return kind == Kind::kClose || kind == Kind::kFailed ? 3 : kind == Kind::kOpen ? 2 : kind == Kind::kExisting ? 1 : 0;
  };
  for (const Indexed& one : records) {
    if (rank(one.record.kind()) > (main == nullptr ? 0 : rank(main->record.kind()))) main = &one;
  }
  if (main == nullptr) return;
  Candidate candidate;
  candidate.conn = conn;
  read_ends(main->record, lease, candidate);
  for (const Indexed& one : records) {
    candidate.records.push_back(one.index);
    if (one.record.has(Field::kClockError))
      candidate.clock_error_ns = std::max(candidate.clock_error_ns.value_or(0), one.record.uint(Field::kClockError));
    if (one.record.kind() == Kind::kOpen && !candidate.start) candidate.start = one.record.time();
  }
  settle_interval(main->record, records, candidate);
  add_process(*main, candidate);
  add_endpoint_hops(candidate);
  add_owner_hops(candidate, main->index);
  answer_.candidates.push_back(std::move(candidate));
}

// Which end the asked endpoint is, and what stands at the other.
void WhoSearch::read_ends(const Record& main, const std::optional<Lease>& lease, Candidate& candidate) {
  const auto tuple = tuple_of(main);
  candidate.inbound = main.uint_or(Field::kDirection, 0) == static_cast<uint64_t>(Direction::kIn);
  candidate.host = main.text_or(Field::kHost, "");
  if (main.has(Field::kNetns)) candidate.netns = main.uint(Field::kNetns);
  const auto translated = main.endpoint(Field::kSrcNatIp, Field::kSrcNatPort);
  const auto server = main.endpoint(Field::kDstNatIp, Field::kDstNatPort);
  if (lease) candidate.lease = lease;
  if (!lease && tuple && !candidate.inbound) {
    const RowInterval interval = row_interval(main);
    const TimeNs from = interval.start.value_or(main.time());
    for (const Lease& one : joins_.leases(*tuple, candidate.host, from, interval.end.value_or(UINT64_MAX / 2))) {
      const bool speaks_of_it = one.host == candidate.host || !has_address(one, tuple->src.ip);
      if ((!one.external && !one.server) || !speaks_of_it) continue;
      // The one that has the asked endpoint before others, of these one that covers the moment.
      const auto rank = [&](const Lease& of) {
        const bool covers = of.start.value_or(of.seen) <= high_ && of.end.value_or(UINT64_MAX) >= low_;
        return of.external != question_.endpoint ? 0 : covers ? 2 : 1;
      };
      if (!candidate.lease || rank(one) > rank(*candidate.lease)) candidate.lease = one;
    }
  }
  candidate.external = translated;
  if (!candidate.external && candidate.lease) candidate.external = candidate.lease->external;
  if (!tuple) return;
  const bool at_src = tuple->src == question_.endpoint || candidate.external == question_.endpoint;
  candidate.relation = at_src != candidate.inbound ? Candidate::Relation::kOwned : Candidate::Relation::kSeenBy;
  candidate.internal = candidate.inbound ? tuple->dst : tuple->src;
  if (candidate.inbound) candidate.external.reset();
  if (candidate.inbound && lease && lease->asked_for == question_.endpoint) candidate.published = question_.endpoint;
  if (!candidate.inbound && server && tuple->dst == question_.endpoint) published_.insert(*server);
  if (candidate.relation == Candidate::Relation::kSeenBy) {
    candidate.peer = candidate.internal;
  } else {
    candidate.peer = candidate.inbound ? tuple->src : tuple->dst;
    candidate.peer_translated = candidate.inbound ? std::nullopt : server;
  }
}

void WhoSearch::settle_interval(const Record& main, const std::vector<Indexed>& records, Candidate& candidate) {
  const RowInterval interval = row_interval(main);
  if (interval.start) candidate.start = interval.start;
  candidate.end = interval.end;
  TimeNs last_seen = 0;
  TimeNs first_seen = UINT64_MAX;
  for (const Indexed& one : records) {
    last_seen = std::max(last_seen, one.record.time());
    first_seen = std::min(first_seen, one.record.time());
  }
  TimeNs end = candidate.end.value_or(UINT64_MAX);
  // One whose end was not told when it came has no `end`, and a cause that says so: its time is when it was known to be over.
  const std::string_view when = !main.has(Field::kEnd) && main.has(Field::kCause) ? "by" : "at";
  if (main.kind() == Kind::kFailed) {
    candidate.state =
        fmt::format("failed {} {}{}", when, format_time(*candidate.end),
                    main.has(Field::kOutcome) ? fmt::format(", {}", enum_name(Field::kOutcome, main.uint(Field::kOutcome))) : "");
  } else if (candidate.end) {
    candidate.state = fmt::format("closed {} {}", when, format_time(*candidate.end));
  } else if (const auto gap = coverage_.break_after(candidate.host, last_seen, now_)) {
    end = unknown_end(last_seen, *gap, candidate);
  } else {
    candidate.state = "open now";
  }
  const TimeNs start = candidate.start.value_or(first_seen);
  const bool says_itself = main.endpoint(Field::kSrcNatIp, Field::kSrcNatPort) == question_.endpoint;
  if (const auto held = held_by_lease(candidate, start, says_itself)) return place_by_lease(candidate, *held);
  place(candidate, start, end);
  if (!candidate.start && candidate.position == Candidate::Position::kAfter) {
    candidate.reason = fmt::format("it was there when capture began at {}; how long before is not known", format_time(first_seen));
  }
}

// Until when it may have been there of which no end is recorded, and which was told of last before the gap.
TimeNs WhoSearch::unknown_end(TimeNs last_seen, const Gap& gap, Candidate& candidate) const {
  candidate.state = "end unknown";
  candidate.reason = gap.to ? fmt::format("no end is recorded, but one may be lost in the gap between {} and {}",
                                          format_time(gap.from), format_time(*gap.to))
                            : fmt::format("capture has not gone on since {}", format_time(gap.from));
  // A gap within a run ends nothing: what lived on through it is not written again before capture begins anew.
  return coverage_.next_run_after(candidate.host, last_seen).value_or(UINT64_MAX);
}

// When the candidate had the asked endpoint, where that is one that a lease gave it: another may have it before and after.
std::optional<WhoSearch::Held> WhoSearch::held_by_lease(const Candidate& candidate, TimeNs socket_start, bool says_itself) {
  if (!candidate.lease || candidate.relation != Candidate::Relation::kOwned || candidate.internal == question_.endpoint) {
    return std::nullopt;
  }
  const Lease& lease = *candidate.lease;
  if (lease.external != question_.endpoint && !candidate.published) return std::nullopt;
  // One that fits other sockets too may be theirs alone: it takes nothing from a socket that says itself that it had the endpoint.
  if (says_itself && !holds(lease) && fitting_sockets(lease, LeaseEnd::kInitiator).size() > 1) return std::nullopt;
  // A socket that says itself what it was translated to had it from its own start on, where the lease's is not known.
  const TimeNs heard_late = says_itself ? socket_start : std::max(socket_start, lease.seen - std::min(lease.seen, kHeardLateMaxNs));
  const TimeNs begun = lease.start.value_or(std::min(lease.seen, heard_late));
  return Held{candidate.start ? std::max(begun, *candidate.start) : begun, lease.end.value_or(UINT64_MAX)};
}

// The external endpoint stays leased after the socket has closed (TIME_WAIT): still this owner's, nobody else can have it. Before
// and after the lease it is not, however long the socket is there.
void WhoSearch::place_by_lease(Candidate& candidate, const Held& held) const {
  const auto error = candidate.clock_error_ns;
  candidate.clock_error_ns = std::max(error, candidate.lease->clock_error_ns);
  place(candidate, held.from, held.to);
  const uint64_t slack = candidate.clock_error_ns.value_or(0) + answer_.window_ns;
  candidate.clock_error_ns = error;
  if (candidate.verdict == Candidate::Verdict::kNotCovering) {
    candidate.reason = candidate.position == Candidate::Position::kBefore
                           ? fmt::format("its lease of {} ended at {}", to_text(question_.endpoint), format_time(held.to))
                           : fmt::format("it had {} from {} on", to_text(question_.endpoint), format_time(held.from));
  } else if (candidate.end && *candidate.end + slack < low_) {
    candidate.state = "lease outlived the connection";
    candidate.reason = fmt::format("the connection closed at {}", format_time(*candidate.end));
    candidate.distance_ns = 0;
  }
}

// The process of the local end: who accepted an inbound connection, else the socket's own.
void WhoSearch::add_process(const Indexed& main, Candidate& candidate) {
  const Indexed* acceptor = acceptor_of(joins_, main.record);
  const Record* owner = acceptor != nullptr && acceptor->record.has(Field::kPid) ? &acceptor->record : &main.record;
  set_process(*owner, main.index, candidate);
}

void WhoSearch::set_process(const Record& owner, uint64_t index, Candidate& candidate) {
  if (!owner.has(Field::kPid)) return;
  candidate.process = process_fact(joins_, owner, index);
  if (candidate.process->id) candidate.records.push_back(*candidate.process->id);
  candidate.ancestors = ancestors_of(joins_, *candidate.process, index);
  for (const ProcessFact& parent : candidate.ancestors) candidate.records.push_back(*parent.id);
}

}  // namespace portbook

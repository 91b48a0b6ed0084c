#include "query/who.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "query/evaluate.h"

namespace portbook {

namespace {

constexpr uint64_t kUnsynchronisedWindowNs = kNsPerSecond;
constexpr size_t kLeasesMax = 64;

// What the rows that name an endpoint say about one connection or lease, by its conn.
struct Sighting {
  Id128 conn{};
  bool lease = false;
  TimeNs start = 0;         // 0 where unknown
  TimeNs end = UINT64_MAX;  // UINT64_MAX while none is known
  bool start_known = false;
  TimeNs last_seen = 0;
  uint64_t index = 0;  // of the newest row
  [[nodiscard]] uint64_t distance(TimeNs low, TimeNs high) const {
    if (start > high) return start - high;
    if (end < low) return low - end;
    return 0;
  }
};

bool matches_peer(const Endpoint& asked, const std::optional<Endpoint>& peer) {
  return peer && peer->ip == asked.ip && (asked.port == 0 || peer->port == asked.port);
}

// Rows of other endpoints may share a key.
bool names(const Columns& columns, uint32_t row, const Endpoint& endpoint) {
  return std::ranges::any_of(kEndpointFields, [&](const auto& fields) {
    return columns.has(row, fields.first) && columns.has(row, fields.second) && columns.uint(row, fields.second) == endpoint.port &&
           columns.ip(row, fields.first) == endpoint.ip;
  });
}

class WhoSearch {
 public:
  WhoSearch(const View& view, const Coverage& coverage, const WhoQuestion& question, TimeNs now, WhoAnswer& answer)
      : joins_(view), coverage_(coverage), question_(question), now_(now), answer_(answer) {}

  Status run() {
    low_ = question_.at;
    high_ = question_.at + question_.precision_ns - 1;
    choose_window();
    std::vector<Sighting> sightings;
    if (auto status = sight(question_.endpoint, sightings); !status) return status;
    add_nearest(sightings);
    add_listeners();
    rule_out();
    order();
    settle_completeness();
    return joins_.status();
  }

 private:
  // Where no clock is synchronised, a moment of another machine's log may be a second off without anybody's fault.
  void choose_window() {
    std::set<std::string> hosts;
    for (const Claim& claim : coverage_.claims(question_.endpoint.ip, low_, high_, question_.host)) hosts.insert(claim.host);
    for (const Source& source : coverage_.sources()) {
      if (!source.synchronised_during(low_, high_) && (hosts.empty() || hosts.contains(source.host))) clock_synchronised_ = false;
    }
    answer_.window_ns = question_.window_ns.value_or(clock_synchronised_ ? 0 : kUnsynchronisedWindowNs);
  }

  // One pass over the rows that name `endpoint`, newest first: a close comes before its open and settles both ends.
  Status sight(const Endpoint& endpoint, std::vector<Sighting>& sightings) {
    std::map<Id128, size_t> known;
    size_t looked_at = 0;
    const auto status =
        joins_.view().for_each_with(endpoint_key(endpoint), [&](uint64_t index, const Columns& columns, uint32_t row) {
          if (names(columns, row, endpoint)) note(index, columns, row, sightings, known);
          return ++looked_at < kWhoRecordsMax;
        });
    bounded_ = bounded_ || looked_at >= kWhoRecordsMax;
    return status;
  }

  void note(uint64_t index, const Columns& columns, uint32_t row, std::vector<Sighting>& sightings,
            std::map<Id128, size_t>& known) {
    if (!columns.has(row, Field::kConn) || !columns.has(row, Field::kTime)) return;
    const auto kind = static_cast<Kind>(columns.uint(row, Field::kKind));
    const bool nat =
        columns.has(row, Field::kVantage) && columns.uint(row, Field::kVantage) == static_cast<uint64_t>(Vantage::kNat);
    if (kind != Kind::kOpen && kind != Kind::kClose && kind != Kind::kFailed && kind != Kind::kExisting && kind != Kind::kNatOpen &&
        kind != Kind::kNatClose) {
      return;
    }
    const auto [place, first] = known.try_emplace(columns.id128(row, Field::kConn), sightings.size());
    if (first) {
      Sighting& one = sightings.emplace_back();
      one.conn = place->first;
      one.lease = nat;
      one.index = index;
    }
    Sighting& one = sightings[place->second];
    const RowInterval interval = row_interval(columns, row);
    const TimeNs time = columns.uint(row, Field::kTime);
    if (interval.start) {
      one.start = *interval.start;
      one.start_known = true;
    } else if (!one.start_known) {
      one.start = one.start == 0 ? time : std::min(one.start, time);  // there by then; before, unknown
    }
    if (interval.end) one.end = *interval.end;
    one.last_seen = std::max(one.last_seen, time);
  }

  // Turns the sightings into candidates: all that are near enough to cover the moment, else the nearest before and after.
  void add_nearest(std::vector<Sighting>& sightings) {
    constexpr uint64_t kErrorMaxNs = kNsPerSecond;  // no stated clock error is taken to be greater
    const uint64_t slack = answer_.window_ns + kErrorMaxNs;
    std::ranges::sort(sightings, {}, [&](const Sighting& one) { return std::pair(one.distance(low_, high_), ~one.index); });
    size_t before = 0;
    size_t after = 0;
    size_t leases = 0;
    for (const Sighting& one : sightings) {
      if (answer_.candidates.size() >= kWhoCandidatesMax) {
        bounded_ = true;
        break;
      }
      const bool near = one.distance(low_, high_) <= slack;
      if (!near && one.start > high_ && after++ > 0) continue;
      if (!near && one.end < low_ && before++ > 0) continue;
      bounded_ = bounded_ || (one.lease && leases >= kLeasesMax);
      if (one.lease && ++leases > kLeasesMax) continue;
      if (one.lease) {
        add_lease(one.conn);
      } else {
        add_socket(one.conn, std::nullopt);
      }
    }
  }

  // A lease names the asked endpoint: as its external one (then its internal one is looked for), or as another of its ends.
  void add_lease(const Id128& conn) {
    auto lease = lease_of(joins_.records_of(conn));
    if (!lease) return;
    const bool external = lease->external == question_.endpoint;
    const bool published = lease->server && lease->asked_for == question_.endpoint;
    if (published) published_.insert(*lease->server);
    if (!external && lease->internal != question_.endpoint) return;
    const std::vector<Id128> sockets = sockets_of(*lease);
    for (const Id128& socket : sockets) add_socket(socket, lease);
    if (sockets.empty()) add_lease_alone(*lease);
  }

  // The sockets whose packets the lease translated: same tuple, overlapping it; in its own namespace, if one is there.
  std::vector<Id128> sockets_of(const Lease& lease) {
    std::vector<Sighting> sightings;
    if (!sight(lease.internal, sightings)) return {};
    struct Found {
      Id128 conn;
      bool same_netns;
      bool covers;
    };
    std::vector<Found> found;
    for (const Sighting& one : sightings) {
      if (one.lease || found.size() >= kLeasesMax) continue;
      const uint64_t slack = lease.clock_error_ns.value_or(0) + kNsPerMs;
      if (one.start > lease.end.value_or(UINT64_MAX - slack) + slack ||
          one.end + std::min(slack, UINT64_MAX - one.end) < lease.seen)
        continue;
      for (const Indexed& record : joins_.records_of(one.conn)) {
        const auto tuple = tuple_of(record.record);
        if (!tuple || tuple->src != lease.internal || (tuple->dst != lease.asked_for && tuple->dst != lease.server)) continue;
        if (record.record.uint_or(Field::kDirection, 0) == static_cast<uint64_t>(Direction::kIn)) continue;
        const bool same = lease.netns && record.record.uint_or(Field::kNetns, 0) == *lease.netns;
        found.push_back({one.conn, same, one.distance(low_, high_) <= lease.clock_error_ns.value_or(0) + answer_.window_ns});
        break;
      }
    }
    const auto keep_only = [&](auto wanted) {
      if (std::ranges::any_of(found, wanted)) std::erase_if(found, [&](const Found& one) { return !wanted(one); });
    };
    keep_only([](const Found& one) { return one.same_netns; });
    keep_only([](const Found& one) { return one.covers; });
    std::vector<Id128> conns;
    for (const Found& one : found) conns.push_back(one.conn);
    return conns;
  }

  // The interval of a candidate against the moment; its clock error widens it, then the window.
  void place(Candidate& candidate, TimeNs start, TimeNs end) const {
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

  void add_lease_alone(const Lease& lease) {
    Candidate candidate;
    candidate.internal = lease.internal;
    candidate.external = lease.external;
    candidate.peer = lease.asked_for;
    candidate.peer_translated = lease.server;
    candidate.host = lease.host;
    candidate.netns = lease.netns;
    candidate.start = lease.start;
    candidate.end = lease.end;
    candidate.clock_error_ns = lease.clock_error_ns;
    candidate.state = lease.end ? fmt::format("closed at {}", format_time(*lease.end)) : "open now";
    candidate.reason = "the lease is recorded, but no socket of the internal endpoint";
    candidate.records = lease.records;
    place(candidate, lease.start.value_or(lease.seen), lease.end.value_or(UINT64_MAX));
    candidate.lease = lease;
    add_endpoint_hops(candidate);
    answer_.candidates.push_back(std::move(candidate));
  }

  void add_socket(const Id128& conn, const std::optional<Lease>& lease) {
    if (!added_.insert(conn).second) return;
    const std::vector<Indexed> records = joins_.records_of(conn);  // newest first
    const Indexed* main = nullptr;
    const auto rank = [](Kind kind) {
      return kind == Kind::kClose || kind == Kind::kFailed ? 3 : kind == Kind::kOpen ? 2 : kind == Kind::kExisting ? 1 : 0;
    };
    for (const Indexed& one : records) {
      if (rank(one.record.kind()) > (main == nullptr ? 0 : rank(main->record.kind()))) main = &one;
    }
    if (main == nullptr) return;
    Candidate candidate;
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
  void read_ends(const Record& main, const std::optional<Lease>& lease, Candidate& candidate) {
    const auto tuple = tuple_of(main);
    candidate.inbound = main.uint_or(Field::kDirection, 0) == static_cast<uint64_t>(Direction::kIn);
    candidate.host = main.text_or(Field::kHost, "");
    if (main.has(Field::kNetns)) candidate.netns = main.uint(Field::kNetns);
    const auto translated = main.endpoint(Field::kSrcNatIp, Field::kSrcNatPort);
    const auto server = main.endpoint(Field::kDstNatIp, Field::kDstNatPort);
    if (lease) candidate.lease = lease;
    if (!lease && tuple && !candidate.inbound) {
      const RowInterval interval = row_interval(main);
      for (const Lease& one : joins_.leases(*tuple, interval.start.value_or(main.time()), interval.end.value_or(UINT64_MAX / 2))) {
        if ((one.external || one.server) && !candidate.lease) candidate.lease = one;
      }
    }
    candidate.external = translated;
    if (!candidate.external && candidate.lease) candidate.external = candidate.lease->external;
    if (!tuple) return;
    const bool at_src = tuple->src == question_.endpoint || candidate.external == question_.endpoint;
    candidate.relation = at_src != candidate.inbound ? Candidate::Relation::kOwned : Candidate::Relation::kSeenBy;
    candidate.internal = candidate.inbound ? tuple->dst : tuple->src;
    if (candidate.inbound) candidate.external.reset();
    if (candidate.relation == Candidate::Relation::kSeenBy) {
      candidate.peer = candidate.internal;
    } else {
      candidate.peer = candidate.inbound ? tuple->src : tuple->dst;
      candidate.peer_translated = candidate.inbound ? std::nullopt : server;
    }
  }

  void settle_interval(const Record& main, const std::vector<Indexed>& records, Candidate& candidate) {
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
    if (main.kind() == Kind::kFailed) {
      candidate.state =
          fmt::format("failed at {}{}", format_time(*candidate.end),
                      main.has(Field::kOutcome) ? fmt::format(", {}", enum_name(Field::kOutcome, main.uint(Field::kOutcome))) : "");
    } else if (candidate.end) {
      candidate.state = fmt::format("closed at {}", format_time(*candidate.end));
    } else if (const auto gap = coverage_.break_after(candidate.host, last_seen, now_)) {
      candidate.state = "end unknown";
      candidate.reason = gap->to ? fmt::format("no end is recorded, but one may be lost in the gap between {} and {}",
                                               format_time(gap->from), format_time(*gap->to))
                                 : fmt::format("capture has not gone on since {}", format_time(gap->from));
      // A gap within a run ends nothing: what lived on through it is not written again before capture begins anew.
      end = coverage_.next_run_after(candidate.host, last_seen).value_or(UINT64_MAX);
    } else {
      candidate.state = "open now";
    }
    place(candidate, candidate.start.value_or(first_seen), end);
    if (!candidate.start && candidate.position == Candidate::Position::kAfter) {
      candidate.reason =
          fmt::format("it was there when capture began at {}; how long before is not known", format_time(first_seen));
    }
    outlive(candidate);
  }

  // The external endpoint stays leased after the socket has closed (TIME_WAIT): still this owner's, nobody else can have it.
  void outlive(Candidate& candidate) const {
    if (!candidate.lease || candidate.external != question_.endpoint || candidate.verdict != Candidate::Verdict::kNotCovering ||
        candidate.position != Candidate::Position::kBefore) {
      return;
    }
    const Lease& lease = *candidate.lease;
    const uint64_t slack = lease.clock_error_ns.value_or(0) + answer_.window_ns;
    if (lease.end && *lease.end + slack < low_) return;
    candidate.verdict = Candidate::Verdict::kMatches;
    candidate.position = Candidate::Position::kCovers;
    candidate.distance_ns = 0;
    candidate.state = "lease outlived the connection";
    candidate.reason = fmt::format("the connection closed at {}", format_time(*candidate.end));
  }

  // The process of the local end: who accepted an inbound connection, else the socket's own.
  void add_process(const Indexed& main, Candidate& candidate) {
    const Indexed* acceptor = acceptor_of(joins_, main.record);
    const Record* owner = acceptor != nullptr && acceptor->record.has(Field::kPid) ? &acceptor->record : &main.record;
    set_process(*owner, main.index, candidate);
  }

  void set_process(const Record& owner, uint64_t index, Candidate& candidate) {
    if (!owner.has(Field::kPid)) return;
    candidate.process = process_fact(joins_, owner, index);
    if (candidate.process->id) candidate.records.push_back(*candidate.process->id);
    candidate.ancestors = ancestors_of(joins_, *candidate.process, index);
    for (const ProcessFact& parent : candidate.ancestors) candidate.records.push_back(*parent.id);
  }

  static std::string interval_text(const std::optional<TimeNs>& start, const std::optional<TimeNs>& end) {
    const auto clock = [](TimeNs time) { return format_time(time).substr(11, 12); };
    return fmt::format("{} – {}", start ? clock(*start) : "before capture began", end ? clock(*end) : "still open");
  }

  void add_endpoint_hops(Candidate& candidate) {
    if (candidate.lease && candidate.lease->external && candidate.relation == Candidate::Relation::kOwned) {
      const Lease& lease = *candidate.lease;
      candidate.hops.push_back({Hop::Class::kProven,
                                Hop::Kind::kEndpoint,
                                to_text(*lease.external),
                                fmt::format("external endpoint, seen by {}", to_text(lease.server.value_or(lease.asked_for))),
                                "",
                                {}});
      candidate.hops.push_back({Hop::Class::kProven, Hop::Kind::kLease, "lease",
                                fmt::format("lease of {}, {}", lease.host, interval_text(lease.start, lease.end)),
                                "conntrack of that host", lease.records});
      candidate.records.insert(candidate.records.end(), lease.records.begin(), lease.records.end());
    } else if (candidate.external && candidate.external != candidate.internal &&
               candidate.relation == Candidate::Relation::kOwned) {
      candidate.hops.push_back(
          {Hop::Class::kProven, Hop::Kind::kEndpoint, to_text(*candidate.external), "external endpoint", "", {}});
    }
    if (candidate.relation == Candidate::Relation::kSeenBy) {
      candidate.hops.push_back(
          {Hop::Class::kProven,
           Hop::Kind::kEndpoint,
           to_text(question_.endpoint),
           fmt::format("remote endpoint, seen by {}", candidate.peer ? to_text(*candidate.peer) : candidate.host),
           "",
           {}});
    }
    if (candidate.internal) {
      candidate.hops.push_back({Hop::Class::kProven,
                                Hop::Kind::kEndpoint,
                                to_text(*candidate.internal),
                                fmt::format("{} endpoint, open {}", candidate.inbound ? "local" : "internal",
                                            interval_text(candidate.start, candidate.end)),
                                "",
                                {}});
    }
  }

  void add_owner_hops(Candidate& candidate, uint64_t main) {
    candidate.hops.push_back({Hop::Class::kProven,
                              Hop::Kind::kSocket,
                              "socket",
                              fmt::format("socket owner, by the kernel of {}", candidate.host),
                              "socket record",
                              {main}});
    if (!candidate.process) return;
    const auto hop = [](Hop::Kind kind, const ProcessFact& fact) {
      const Record& record = fact.record;
      std::string text(
          record.text_or(Field::kUser, record.has(Field::kUid) ? fmt::format("uid {}", record.uint(Field::kUid)) : ""));
      if (record.has(Field::kLoginUser))
        text += fmt::format("{}login {}", text.empty() ? "" : ", ", record.text(Field::kLoginUser));
      return Hop{Hop::Class::kProven,
                 kind,
                 fmt::format("{} {}", process_name(record), record.uint(Field::kPid)),
                 std::move(text),
                 "process record",
                 fact.id ? std::vector<uint64_t>{*fact.id} : std::vector<uint64_t>{}};
    };
    candidate.hops.push_back(hop(Hop::Kind::kProcess, *candidate.process));
    for (const ProcessFact& fact : candidate.ancestors) candidate.hops.push_back(hop(Hop::Kind::kAncestor, fact));
  }

  void add_listeners() {
    std::set<Endpoint> places = published_;
    places.insert(question_.endpoint);
    for (const Ip& any : {*parse_ip("0.0.0.0"), *parse_ip("::")}) places.insert({any, question_.endpoint.port});
    for (const Endpoint& published : published_) {
      for (const Ip& any : {*parse_ip("0.0.0.0"), *parse_ip("::")}) places.insert({any, published.port});
    }
    for (const Endpoint& place : places) {
      if (!joins_.status()) return;
      add_listeners_at(place);
    }
  }

  void add_listeners_at(const Endpoint& endpoint) {
    constexpr size_t kLookedAtMax = 20'000;
    size_t looked_at = 0;
    std::vector<Indexed> found;
    const auto status =
        joins_.view().for_each_with(endpoint_key(endpoint), [&](uint64_t index, const Columns& columns, uint32_t row) {
          if (columns.uint(row, Field::kKind) == static_cast<uint64_t>(Kind::kListen))
            columns.read(row, found.emplace_back(index, Record()).record);
          return ++looked_at < kLookedAtMax && found.size() < kLeasesMax;
        });
    if (!status) return;
    bounded_ = bounded_ || looked_at >= kLookedAtMax || found.size() >= kLeasesMax;
    for (const Indexed& listen : found) add_listener(endpoint, listen);
  }

  void add_listener(const Endpoint& endpoint, const Indexed& listen) {
    const Record& record = listen.record;
    // A listening socket's own endpoint stands at its local end, whichever pair that is.
    const auto local = record.endpoint(Field::kDstIp, Field::kDstPort);
    const auto at_src = record.endpoint(Field::kSrcIp, Field::kSrcPort);
    if (local != endpoint && at_src != endpoint) return;
    if (record.has(Field::kConn) && !added_.insert(record.id128(Field::kConn)).second) return;
    Candidate candidate;
    candidate.relation = Candidate::Relation::kListener;
    candidate.host = record.text_or(Field::kHost, "");
    if (record.has(Field::kNetns)) candidate.netns = record.uint(Field::kNetns);
    const bool own = endpoint.ip == question_.endpoint.ip || published_.contains(endpoint);
    if (!own && !listens_on_claimed_address(candidate)) return;
    candidate.internal = endpoint;
    candidate.start = record.uint_or(Field::kStart, record.time());
    if (record.has(Field::kClockError)) candidate.clock_error_ns = record.uint(Field::kClockError);
    candidate.records.push_back(listen.index);
    if (record.has(Field::kConn)) {
      for (const Indexed& one : joins_.records_of(record.id128(Field::kConn))) {
        if (one.record.kind() == Kind::kClose) candidate.end = row_interval(one.record).end;
      }
    }
    candidate.state = candidate.end ? fmt::format("closed at {}", format_time(*candidate.end)) : "open now";
    if (!candidate.end && coverage_.break_after(candidate.host, record.time(), now_)) candidate.state = "end unknown";
    place(candidate, *candidate.start, candidate.end.value_or(UINT64_MAX));
    set_process(record, listen.index, candidate);
    candidate.hops.push_back({Hop::Class::kProven, Hop::Kind::kEndpoint, to_text(endpoint), "listening endpoint", "", {}});
    add_owner_hops(candidate, listen.index);
    answer_.candidates.push_back(std::move(candidate));
  }

  // 0.0.0.0 and :: stand for the addresses of their own host and namespace only.
  bool listens_on_claimed_address(const Candidate& candidate) const {
    for (const Claim& claim : coverage_.claims(question_.endpoint.ip, low_, high_, candidate.host)) {
      if (!claim.netns || !candidate.netns || *claim.netns == *candidate.netns) return true;
    }
    return false;
  }

  void rule_out() {
    std::erase_if(answer_.candidates, [&](const Candidate& one) {
      return one.verdict == Candidate::Verdict::kNotCovering && !question_.host.empty() && one.host != question_.host;
    });
    for (Candidate& candidate : answer_.candidates) {
      if (candidate.verdict != Candidate::Verdict::kMatches) continue;
      const bool listener = candidate.relation == Candidate::Relation::kListener;
      if (question_.peer && !listener && !matches_peer(*question_.peer, candidate.peer) &&
          !matches_peer(*question_.peer, candidate.peer_translated)) {
        candidate.verdict = Candidate::Verdict::kRuledOut;
        candidate.reason =
            fmt::format("{} {}, not the peer asked for", candidate.relation == Candidate::Relation::kSeenBy ? "seen by" : "towards",
                        candidate.peer ? to_text(*candidate.peer) : "an unknown endpoint");
      } else if (!question_.host.empty() && candidate.host != question_.host) {
        candidate.verdict = Candidate::Verdict::kRuledOut;
        candidate.reason = fmt::format("on host {}, not the host asked for", candidate.host);
      }
    }
  }

  // Owners of another moment are worth a look only where nobody covers this one; then the nearest on each side.
  void drop_distant() {
    const auto matches = [](const Candidate& one) { return one.verdict == Candidate::Verdict::kMatches; };
    const bool found = std::ranges::any_of(answer_.candidates, matches);
    for (const auto side : {Candidate::Position::kBefore, Candidate::Position::kAfter}) {
      uint64_t nearest = UINT64_MAX;
      const auto distant = [&](const Candidate& one) {
        return one.verdict == Candidate::Verdict::kNotCovering && one.position == side;
      };
      for (const Candidate& one : answer_.candidates) {
        if (distant(one)) nearest = std::min(nearest, one.distance_ns);
      }
      std::erase_if(answer_.candidates, [&](const Candidate& one) { return distant(one) && (found || one.distance_ns > nearest); });
    }
  }

  void order() {
    drop_distant();
    std::ranges::sort(answer_.candidates, {}, [](const Candidate& one) {
      const auto relation = one.verdict == Candidate::Verdict::kMatches ? one.relation : Candidate::Relation::kOwned;
      return std::tuple(one.verdict, relation, one.distance_ns, one.records.empty() ? 0 : ~one.records.front());
    });
    for (Candidate& candidate : answer_.candidates) {
      std::ranges::sort(candidate.records);
      const auto doubled = std::ranges::unique(candidate.records);
      candidate.records.erase(doubled.begin(), doubled.end());
    }
  }

  void settle_completeness() {
    uint64_t error = 0;
    for (const Candidate& candidate : answer_.candidates) error = std::max(error, candidate.clock_error_ns.value_or(0));
    for (const Source& source : coverage_.sources()) error = std::max(error, source.clock_error_ns.value_or(0));
    error = std::min<uint64_t>(error, kNsPerSecond);
    const TimeNs from = low_ - std::min(low_, error);
    answer_.completeness = coverage_.at(question_.endpoint.ip, from, high_ + error, now_ + error, question_.host);
    for (const Candidate& candidate : answer_.candidates) {
      if (answer_.completeness.state != Completeness::kComplete) break;
      if (candidate.verdict != Candidate::Verdict::kMatches || !candidate.lease || !candidate.internal) continue;
      CompletenessAnswer inside = coverage_.at(candidate.internal->ip, from, high_ + error, now_ + error);
      if (inside.state == Completeness::kComplete) {
        for (CompletenessAnswer::Resting& one : inside.sources) {
          const bool known =
              std::ranges::any_of(answer_.completeness.sources, [&](const auto& other) { return other.source == one.source; });
          if (!known) answer_.completeness.sources.push_back(std::move(one));
        }
      } else {
        inside.state = Completeness::kIncomplete;
        answer_.completeness = std::move(inside);
      }
    }
    if (bounded_ && answer_.completeness.state == Completeness::kComplete) {
      answer_.completeness.state = Completeness::kIncomplete;
      answer_.completeness.sentence = fmt::format(
          "Incomplete. So many records name this endpoint that only a part was looked at (at most {} records, {} candidates); "
          "--peer narrows it.",
          kWhoRecordsMax, kWhoCandidatesMax);
    }
    if (!clock_synchronised_ && answer_.completeness.state == Completeness::kComplete) {
      answer_.completeness.state = Completeness::kClockNotSynchronised;
      answer_.completeness.sentence +=
          fmt::format(" Its clock is not synchronised, so candidates within {} are given, nearest first.",
                      answer_.window_ns >= kNsPerSecond ? fmt::format("{} s", answer_.window_ns / kNsPerSecond)
                                                        : fmt::format("{} ms", answer_.window_ns / kNsPerMs));
    }
  }

  Joins joins_;
  const Coverage& coverage_;
  const WhoQuestion& question_;
  TimeNs now_;
  WhoAnswer& answer_;
  TimeNs low_ = 0;   // first and
  TimeNs high_ = 0;  // last nanosecond of the asked moment
  bool clock_synchronised_ = true;
  bool bounded_ = false;
  std::set<Id128> added_;
  std::set<Endpoint> published_;  // real servers behind the asked endpoint
};

}  // namespace

Result<WhoAnswer> who(const View& view, Coverage& coverage, const WhoQuestion& question, TimeNs now) {
  if (auto status = coverage.refresh(view); !status) return std::unexpected(status.error());
  WhoAnswer answer;
  answer.question = question;
  answer.size = view.size();
  if (auto status = WhoSearch(view, coverage, question, now, answer).run(); !status) return std::unexpected(status.error());
  describe(answer);
  return answer;
}

}  // namespace portbook

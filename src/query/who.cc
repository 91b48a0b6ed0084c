#include "query/who.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <ranges>
#include <set>
#include <tuple>
#include <utility>

#include "query/evaluate.h"
#include "query/filter.h"
#include "query/who_search.h"

namespace portbook {

namespace {

constexpr uint64_t kUnsynchronisedWindowNs = kNsPerSecond;
constexpr size_t kSettledMax = 1'000;           // connections whose start had to be looked up
constexpr uint64_t kErrorMaxNs = kNsPerSecond;  // no stated clock error is taken to be greater

TimeNs later(TimeNs time, uint64_t by) {
  return time > UINT64_MAX - by ? UINT64_MAX : time + by;
}

bool matches_peer(const Endpoint& asked, const std::optional<Endpoint>& peer) {
  return peer && peer->ip == asked.ip && (asked.port == 0 || peer->port == asked.port);
}

void keep_only_if_any(auto& all, auto wanted) {
  if (std::ranges::any_of(all, wanted)) std::erase_if(all, [&](const auto& one) { return !wanted(one); });
}

// The client of a published port may be named as it called itself, or as the server saw it.
bool is_client_of_published(const Endpoint& asked, const Candidate& candidate) {
  return candidate.published && candidate.lease &&
         (matches_peer(asked, candidate.lease->internal) || matches_peer(asked, candidate.lease->external));
}

// Records of other endpoints may share a key.
bool names(const Record& record, const Endpoint& endpoint) {
  return std::ranges::any_of(kEndpointFields, [&](const auto& fields) {
    return record.has(fields.second) && record.endpoint(fields.first, fields.second) == endpoint;
  });
}

bool names_peer(const Record& record, const Endpoint& peer) {
  return std::ranges::any_of(kEndpointFields, [&](const auto& fields) {
    return record.has(fields.second) && matches_peer(peer, record.endpoint(fields.first, fields.second));
  });
}

// What note() and names() look at.
constexpr FieldSet sight_fields() {
  FieldSet fields = fields_of(kRowFields);
  fields.add(Field::kHost);
  for (const auto& [ip, port] : kEndpointFields) fields.add(fields_of(std::array{ip, port}));
  return fields;
}
constexpr FieldSet kSightFields = sight_fields();

// A host that no source of the book speaks of is a slip of the pen, not a narrower question.
Status check_host(const Coverage& coverage, const std::string& host) {
  if (host.empty()) return {};
  const std::vector<std::string> hosts = coverage.hosts();
  if (std::ranges::find(hosts, host) != hosts.end()) return {};
  const std::vector<std::string_view> names(hosts.begin(), hosts.end());
  const std::string near = nearest_name(host, names);
  constexpr size_t kNamedMax = 8;
  const std::string list = fmt::format("{}{}", fmt::join(hosts | std::views::take(kNamedMax), ", "),
                                       hosts.size() > kNamedMax ? fmt::format(" and {} more", hosts.size() - kNamedMax) : "");
  return fail(ErrorCode::kBadInput, fmt::format("no host of this book is called \"{}\"; {}", host,
                                                !near.empty()   ? fmt::format("did you mean {}?", near)
                                                : hosts.empty() ? std::string("nothing has been captured yet")
                                                                : fmt::format("it has {}", list)));
}

}  // namespace

Status WhoSearch::run() {
  low_ = question_.at;
  high_ = question_.at + question_.precision_ns - 1;
  choose_window();
  if (auto status = add_sighted(); !status) return status;
  add_listeners();
  rule_out();
  order();
  settle_completeness();
  return joins_.status();
}

// Where no clock is synchronised, a moment of another machine's log may be a second off without anybody's fault.
void WhoSearch::choose_window() {
  std::set<std::string> hosts;
  for (const Claim& claim : coverage_.claims(question_.endpoint.ip, low_, high_, question_.host)) hosts.insert(claim.host);
  for (const Source& source : coverage_.sources()) {
    if (!source.synchronised_during(low_, high_) && (hosts.empty() || hosts.contains(source.host))) clock_synchronised_ = false;
  }
  answer_.window_ns = question_.window_ns.value_or(clock_synchronised_ ? 0 : kUnsynchronisedWindowNs);
}

// The rows that name `endpoint`, of blocks that may have something from `from` to `to`, those nearest to `from` first. Of what is
// told in several blocks some may be missing: settle() gets it.
Status WhoSearch::sight(const Endpoint& endpoint, TimeNs from, TimeNs to, Sightings& sightings) {
  sightings.named = joins_.view().blocks_with(endpoint_key(endpoint));
  std::vector<View::KeyBlock> blocks;
  std::ranges::copy_if(sightings.named, std::back_inserter(blocks),
                       [&](const View::KeyBlock& one) { return one.span.meets(from, to); });
  nearest_first(blocks, from);
  for (const View::KeyBlock& block : blocks) {
    if (sightings.looked_at >= kWhoRecordsMax || sightings.covering > kWhoCandidatesMax) break;
    if (auto status = look_into(block, endpoint, sightings); !status) return status;
    if (sightings.asked) count_covering(sightings);
  }
  bounded_ = bounded_ || sightings.looked_at >= kWhoRecordsMax || sightings.covering > kWhoCandidatesMax;
  return {};
}

// An endpoint that is in every block has been looked at enough around the moment.
void WhoSearch::nearest_first(std::vector<View::KeyBlock>& blocks, TimeNs moment) {
  const auto all = joins_.view().blocks();
  const auto at = static_cast<size_t>(
      std::ranges::find_if(all, [&](const BlockRef& ref) { return ref.block->time_max() >= moment; }) - all.begin());
  std::ranges::sort(blocks, {}, [&](const View::KeyBlock& one) {
    return std::pair(one.block > at ? one.block - at : at - one.block, ~one.block);
  });
  if (blocks.size() <= kWhoBlocksMax) return;
  bounded_ = true;
  blocks.resize(kWhoBlocksMax);
}

// Where many rows of a block have the asked endpoint, the peer's tell which of them matter.
Status WhoSearch::rows_to_look_at(const View::KeyBlock& block, const Endpoint& endpoint, bool asked,
                                  std::vector<uint32_t>& rows) const {
  const BlockRef& ref = joins_.view().blocks()[block.block];
  if (Status found = ref.block->rows_with(endpoint_key(endpoint), ref.rows, rows); !found) return found;
  if (!asked || rows.size() <= kBusyRowsMin || !question_.peer || question_.peer->port == 0) return {};
  std::vector<uint32_t> of_peer;
  if (Status found = ref.block->rows_with(endpoint_key(*question_.peer), ref.rows, of_peer); !found) return found;
  std::vector<uint32_t> both;
  std::ranges::set_intersection(rows, of_peer, std::back_inserter(both));
  rows = std::move(both);
  return {};
}

Status WhoSearch::look_into(const View::KeyBlock& block, const Endpoint& endpoint, Sightings& sightings) {
  if (!sightings.blocks.insert(block.block).second) return {};
  std::vector<uint32_t> rows;
  if (Status found = rows_to_look_at(block, endpoint, sightings.asked, rows); !found) return found;
  const auto visit = [&](uint64_t index, const Record& record) {
    if (names(record, endpoint)) note(index, record, sightings);
    return ++sightings.looked_at < kWhoRecordsMax;
  };
  bool more = true;
  return joins_.view().for_rows_of(block.block, rows, kSightFields, visit, more);
}

// Of the connections that the last block told of. Blocks come nearest first, so that those which had ended by the moment are
// mostly known to have, and what is looked up here are candidates.
void WhoSearch::count_covering(Sightings& sightings) {
  for (const size_t place : std::exchange(sightings.touched, {})) {
    const auto covers = [&] { return sightings.all[place].distance(low_, high_) == 0; };
    const Sighting& one = sightings.all[place];
    if (one.counted || one.lease || !one.is_wanted() || !covers()) continue;
    settle(place, sightings);
    if (!covers()) continue;
    sightings.all[place].counted = true;
    if (++sightings.covering > kWhoCandidatesMax) return;
  }
}

// Where no end or no start was seen the connection's other records may say it: they may stand in a block that was passed over, or
// not name the endpoint, as an open does not that came before its translation.
void WhoSearch::settle(size_t place, Sightings& sightings) {
  const Sighting& one = sightings.all[place];
  if (one.settled || (one.end != UINT64_MAX && one.start_known)) return;
  sightings.all[place].settled = true;
  for (const Indexed& of_it : joins_.records_of(one.conn)) {
    note(of_it.index, of_it.record, sightings);
    Sighting& settled = sightings.all[place];
    if (of_it.record.kind() == Kind::kUsedBy && !settled.start_known) settled.start = std::min(settled.start, of_it.record.time());
  }
}

void WhoSearch::note(uint64_t index, const Record& record, Sightings& sightings) const {
  const Kind kind = record.kind();
  const bool nat = record.has(Field::kVantage) && record.uint(Field::kVantage) == static_cast<uint64_t>(Vantage::kNat);
  sightings.leases = sightings.leases || nat || kind == Kind::kNatOpen || kind == Kind::kNatClose;
  if (!record.has(Field::kTime)) return;
  if (!record.has(Field::kConn)) {
    if (is_lease(record)) sightings.lease_without_id = std::min(sightings.lease_without_id, time_of_lease_record(record));
    return;
  }
  if (kind != Kind::kOpen && kind != Kind::kClose && kind != Kind::kFailed && kind != Kind::kExisting && kind != Kind::kNatOpen &&
      kind != Kind::kNatClose) {
    return;
  }
  const auto [place, first] = sightings.by_conn.try_emplace(record.id128(Field::kConn), sightings.all.size());
  if (first) {
    Sighting& one = sightings.all.emplace_back();
    one.conn = place->first;
    one.lease = nat;
  }
  Sighting& one = sightings.all[place->second];
  if (!one.settled) sightings.touched.push_back(place->second);
  one.at_peer = one.at_peer || !question_.peer || names_peer(record, *question_.peer);
  one.at_host = one.at_host || nat || question_.host.empty() || record.text_or(Field::kHost, "") == question_.host;
  one.index = std::max(one.index, index);
  const RowInterval interval = row_interval(record);
  const TimeNs time = record.time();
  if (interval.start) {
    one.start = *interval.start;
    one.start_known = true;
  } else if (!one.start_known) {
    one.start = one.start == 0 ? time : std::min(one.start, time);  // there by then; before, unknown
  }
  if (interval.end && index <= one.end_index) {
    one.end = *interval.end;
    one.end_index = index;
  }
  one.last_seen = std::max(one.last_seen, time);
}

// Turns the sightings that are near enough to cover the moment into candidates. The nearest before and after are added where nobody
// does, and where there are leases: one without an id is only found through a connection that it may have outlived.
Status WhoSearch::add_sighted() {
  const uint64_t slack = slack_ns();
  Sightings sightings;
  sightings.asked = true;
  if (auto status = sight(question_.endpoint, low_ - std::min(low_, slack), later(high_, slack), sightings); !status) return status;
  const auto is_near = [&](const Sighting& one) { return one.distance(low_, high_) <= slack; };
  std::vector<std::tuple<bool, uint64_t, bool, uint64_t, size_t>> near;  // unwanted, distance, not certain, newest first, place
  size_t settled = 0;
  for (size_t place = 0; place < sightings.all.size(); ++place) {
    const Sighting& one = sightings.all[place];
    if (one.start > high_ && !one.start_known && ++settled <= kSettledMax) settle(place, sightings);
    if (is_near(one)) near.emplace_back(!one.is_wanted(), one.distance(low_, high_), !one.counted, ~one.index, place);
  }
  bounded_ = bounded_ || settled > kSettledMax;
  std::ranges::sort(near);
  size_t leases = 0;
  for (const auto& [unwanted, distance, uncertain, order, place] : near) {
    if (answer_.candidates.size() >= kWhoCandidatesMax) {
      bounded_ = true;
      break;
    }
    settle(place, sightings);
    if (is_near(sightings.all[place])) add(sightings.all[place], leases);
  }
  add_leases_without_id(sightings, leases);
  rule_out();
  const bool found =
      std::ranges::any_of(answer_.candidates, [](const Candidate& one) { return one.verdict == Candidate::Verdict::kMatches; });
  return found && !names_leases(sightings) ? Status() : add_nearest(sightings, leases);
}

// Ends before the moment may have been passed over, so what was seen says only from when on to look for them.
void WhoSearch::add_leases_without_id(const Sightings& sightings, size_t& leases) {
  if (sightings.lease_without_id == UINT64_MAX) return;
  const uint64_t slack = slack_ns();
  for (const Lease& lease : joins_.leases_without_id(question_.endpoint, sightings.lease_without_id)) {
    if (lease.start.value_or(lease.seen) > later(high_, slack) || later(lease.end.value_or(UINT64_MAX), slack) < low_) continue;
    bounded_ = bounded_ || leases >= kLeasesMax;
    if (++leases <= kLeasesMax) add_lease(lease);
  }
}

// Whether any lease has the asked endpoint: seen, or in a block not looked into.
bool WhoSearch::names_leases(const Sightings& sightings) const {
  if (sightings.leases) return true;
  const auto blocks = joins_.view().blocks_with(endpoint_key(question_.endpoint), {.marks = kMarkLease});
  return std::ranges::any_of(blocks, [&](const View::KeyBlock& one) { return !sightings.blocks.contains(one.block); });
}

void WhoSearch::add(const Sighting& one, size_t& leases) {
  bounded_ = bounded_ || (one.lease && leases >= kLeasesMax);
  if (one.lease && ++leases > kLeasesMax) return;
  if (one.lease) {
    if (const auto lease = lease_of(joins_.records_of(one.conn))) add_lease(*lease);
  } else {
    add_socket(one.conn, std::nullopt);
  }
}

// Blocks not looked into have nothing near the moment. They are looked into from the moment on, either way, as long as one may have
// something nearer than what was found.
Status WhoSearch::add_nearest(Sightings& sightings, size_t& leases) {
  const uint64_t slack = slack_ns();
  const Sighting* before = nullptr;
  const Sighting* after = nullptr;
  const auto choose = [&] {
    before = after = nullptr;
    for (const Sighting& one : sightings.all) {
      if (one.distance(low_, high_) <= slack) continue;
      const Sighting*& best = one.start > high_ ? after : before;
      const auto key = [&](const Sighting& of) { return std::pair(of.distance(low_, high_), ~of.index); };
      if (best == nullptr || key(one) < key(*best)) best = &one;
    }
  };
  std::vector<View::KeyBlock> blocks = sightings.named;
  const auto distance = [&](const View::KeyBlock& block) {
    return block.span.from > high_ ? block.span.from - high_ : low_ - std::min(low_, block.span.to);
  };
  std::ranges::sort(blocks, {}, [&](const View::KeyBlock& block) { return std::pair(distance(block), ~block.block); });
  choose();
  for (const View::KeyBlock& block : blocks) {
    if (sightings.looked_at >= kWhoRecordsMax || sightings.blocks.size() >= kWhoBlocksMax) break;
    if (sightings.blocks.contains(block.block)) continue;
    const Sighting* const best = block.span.from > high_ ? after : before;
    if (best != nullptr && distance(block) > best->distance(low_, high_)) continue;
    if (auto status = look_into(block, question_.endpoint, sightings); !status) return status;
    choose();
  }
  for (const Sighting* const one : {before, after}) {
    if (one != nullptr) add(Sighting(*one), leases);
  }
  return {};
}

// A lease names the asked endpoint: as its external one (then its internal one is looked for), as what was asked for (then the real
// server is), or as another of its ends.
void WhoSearch::add_lease(const Lease& lease) {
  if (lease.server && lease.asked_for == question_.endpoint) return add_published(lease);
  if (lease.external != question_.endpoint && lease.internal != question_.endpoint) return;
  const std::vector<Id128> sockets = sockets_of(lease, LeaseEnd::kInitiator);
  for (const Id128& socket : sockets) add_socket(socket, lease);
  if (sockets.empty()) add_lease_alone(lease, LeaseEnd::kInitiator);
}

// A published port: behind what the client asked for stands the real server, whose socket has the client as its other end.
void WhoSearch::add_published(const Lease& lease) {
  published_.insert(*lease.server);
  const std::vector<Id128> sockets = sockets_of(lease, LeaseEnd::kServer);
  for (const Id128& socket : sockets) add_socket(socket, lease);
  if (sockets.empty()) add_lease_alone(lease, LeaseEnd::kServer);
}

// The sockets at one end of the lease: same tuple, overlapping it; the initiator's in the lease's own namespace, if one is there,
// else on its host. Other hosts may have the same private addresses: theirs only where the lease's host does not have that address
// itself.
std::vector<WhoSearch::Fitting> WhoSearch::fitting_sockets(const Lease& lease, LeaseEnd end) {
  const bool at_server = end == LeaseEnd::kServer;
  const Endpoint client = at_server ? lease.external.value_or(lease.internal) : lease.internal;
  const uint64_t slack = lease.clock_error_ns.value_or(0) + kNsPerMs;
  const uint64_t begun = lease.start ? lease.seen : lease.seen - std::min(lease.seen, kHeardLateMaxNs);
  Sightings sightings;
  if (!sight(client, begun - std::min(begun, slack), later(lease.end.value_or(UINT64_MAX), slack), sightings)) return {};
  std::vector<Fitting> found;
  const Ip& own_ip = at_server ? lease.server->ip : lease.internal.ip;
  const bool local = has_address(lease, own_ip);
  for (size_t place = 0; place < sightings.all.size(); ++place) {
    if (sightings.all[place].lease || found.size() >= kLeasesMax) continue;
    if (sightings.all[place].end == UINT64_MAX) settle(place, sightings);
    const Sighting& one = sightings.all[place];
    if (one.start > lease.end.value_or(UINT64_MAX - slack) + slack || one.end + std::min(slack, UINT64_MAX - one.end) < begun)
      continue;
    const std::vector<Indexed>& records = joins_.records_of(one.conn);
    const bool of_another_lease = std::ranges::any_of(records, [&](const Indexed& record) {
      const auto translated = record.record.endpoint(Field::kSrcNatIp, Field::kSrcNatPort);
      return translated && lease.external && translated != lease.external;
    });
    if (of_another_lease) continue;
    for (const Indexed& record : records) {
      const auto tuple = tuple_of(record.record);
      if (!tuple || tuple->src != client) continue;
      if (at_server ? tuple->dst != lease.server : tuple->dst != lease.asked_for && tuple->dst != lease.server) continue;
      const bool inbound = record.record.uint_or(Field::kDirection, 0) == static_cast<uint64_t>(Direction::kIn);
      if (inbound != at_server) continue;
      const bool same_host = record.record.text_or(Field::kHost, "") == lease.host;
      if (local && !same_host) break;
      const bool same_netns = same_host && (at_server || (lease.netns && record.record.uint_or(Field::kNetns, 0) == *lease.netns));
      found.push_back(
          {one.conn, same_host, same_netns, one.distance(low_, high_) <= lease.clock_error_ns.value_or(0) + answer_.window_ns});
      break;
    }
  }
  keep_only_if_any(found, [](const Fitting& one) { return one.same_netns; });
  keep_only_if_any(found, [](const Fitting& one) { return one.same_host; });
  return found;
}

// Of those the ones that are there at the moment, if any is.
std::vector<Id128> WhoSearch::sockets_of(const Lease& lease, LeaseEnd end) {
  std::vector<Fitting> found = fitting_sockets(lease, end);
  keep_only_if_any(found, [](const Fitting& one) { return one.covers; });
  std::vector<Id128> conns;
  for (const Fitting& one : found) conns.push_back(one.conn);
  return conns;
}

// An interval that begins at an unknown moment is looked at from when it was first seen.
bool WhoSearch::has_address(const Lease& lease, const Ip& ip) const {
  const TimeNs from = lease.start.value_or(lease.seen);
  return !coverage_.claims(ip, from, lease.end.value_or(std::max(from, now_)), lease.host).empty();
}

uint64_t WhoSearch::slack_ns() const {
  return answer_.window_ns + kErrorMaxNs;
}

void WhoSearch::rule_out() {
  std::erase_if(answer_.candidates, [&](const Candidate& one) {
    return one.verdict == Candidate::Verdict::kNotCovering && !question_.host.empty() && one.host != question_.host;
  });
  for (Candidate& candidate : answer_.candidates) {
    if (candidate.verdict != Candidate::Verdict::kMatches) continue;
    const bool listener = candidate.relation == Candidate::Relation::kListener;
    if (question_.peer && !listener && !matches_peer(*question_.peer, candidate.peer) &&
        !matches_peer(*question_.peer, candidate.peer_translated) && !is_client_of_published(*question_.peer, candidate)) {
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
void WhoSearch::drop_distant() {
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

void WhoSearch::order() {
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

Result<WhoAnswer> who(const View& view, Coverage& coverage, const WhoQuestion& question, TimeNs now) {
  if (auto status = coverage.refresh(view); !status) return std::unexpected(status.error());
  if (const auto known = check_host(coverage, question.host); !known) return std::unexpected(known.error());
  WhoAnswer answer;
  answer.question = question;
  answer.size = view.size();
  if (auto status = WhoSearch(view, coverage, question, now, answer).run(); !status) return std::unexpected(status.error());
  describe(answer);
  return answer;
}

}  // namespace portbook

#include "query/trace_ends.h"

#include <algorithm>
#include <ranges>
#include <set>

namespace portbook {

namespace {

constexpr uint64_t kUnstatedErrorNs = kNsPerSecond;
constexpr uint64_t kDeliveryNs = 20 * kNsPerMs;  // how long after an end closed the other may first hear of the connection

// The tuple as it stands on some stretch of the way, and the leases that led there.
struct Stretch {
  Endpoint src;
  Endpoint dst;
  std::vector<Lease> leases;
  bool by_record = false;
};

uint64_t error_of(const ConnectionFact& one, const ConnectionFact& other) {
  if (one.host == other.host) return 0;
  return one.clock_error_ns.value_or(kUnstatedErrorNs) + other.clock_error_ns.value_or(kUnstatedErrorNs);
}

// Whether something of the connection may have been translated by the lease: they were there together.
bool meets(const Lease& lease, const ConnectionFact& connection) {
  const uint64_t errors = lease.host == connection.host ? 0
                                                        : lease.clock_error_ns.value_or(kUnstatedErrorNs) +
                                                              connection.clock_error_ns.value_or(kUnstatedErrorNs);
  const uint64_t slack = errors + kDeliveryNs;
  const TimeNs from = connection.seen - std::min(connection.seen, slack);
  const TimeNs to = connection.last() > UINT64_MAX - slack ? UINT64_MAX : connection.last() + slack;
  return lease.start.value_or(lease.seen) <= to && lease.end.value_or(UINT64_MAX) >= from;
}

// 127.0.0.1 exists on every host and in every namespace.
bool same_place(const ConnectionFact& one, const ConnectionFact& other) {
  if (!one.tuple.src.ip.is_loopback() && !one.tuple.dst.ip.is_loopback()) return true;
  return one.host == other.host && (!one.netns || !other.netns || *one.netns == *other.netns);
}

bool same_proto(uint64_t one, uint64_t other) {
  return one == 0 || other == 0 || one == other;
}

// The different conns of the rows that name `endpoint` and that `wanted` takes.
std::vector<Id128> conns_at(Joins& joins, const Endpoint& endpoint, bool& bounded, auto wanted) {
  std::vector<Id128> conns;
  std::set<Id128> known;
  size_t looked_at = 0;
  const Status status = joins.view().for_each_with(endpoint_key(endpoint), [&](uint64_t, const Record& record) {
    if (record.has(Field::kConn) && wanted(record) && known.insert(record.id128(Field::kConn)).second)
      conns.push_back(record.id128(Field::kConn));
    return ++looked_at < kEndRowsMax;
  });
  bounded = bounded || !status || looked_at >= kEndRowsMax;
  return conns;
}

bool is_nat(const Record& record) {
  return record.has(Field::kVantage) && record.uint(Field::kVantage) == static_cast<uint64_t>(Vantage::kNat);
}

// Where a lease leads to from `src` to `dst`, on the way that `forward` says; nothing when it translates another pair.
std::optional<std::pair<Endpoint, Endpoint>> led_by(const Lease& lease, const Endpoint& src, const Endpoint& dst, bool forward) {
  const std::pair before{lease.internal, lease.asked_for};
  const std::pair after{lease.external.value_or(lease.internal), lease.server.value_or(lease.asked_for)};
  if ((forward ? before : after) != std::pair{src, dst}) return std::nullopt;
  return forward ? after : before;
}

// Leases that translate the pair on that way and meet the connection. Using a pair again ends its old lease: one that ended when
// the connection began is left out where a later one is there.
std::vector<Lease> leases_at(Joins& joins, const Stretch& here, bool forward, const ConnectionFact& of, bool& bounded) {
  std::vector<Lease> found;
  for (const Id128& conn : conns_at(joins, here.src, bounded, is_nat)) {
    auto lease = lease_of(joins.records_of(conn));
    const bool translates = lease && (lease->external || lease->server) && led_by(*lease, here.src, here.dst, forward);
    if (translates && meets(*lease, of)) found.push_back(std::move(*lease));
  }
  const auto follows = [](const Lease& next, const Lease& one) {
    return next.host == one.host && next.netns == one.netns && next.start && *next.start + kDeliveryNs >= *one.end;
  };
  const std::vector<Lease> all = found;
  std::erase_if(found, [&](const Lease& one) {
    return one.end && *one.end <= of.seen + kDeliveryNs && one.host == of.host &&
           std::ranges::any_of(all, [&](const Lease& next) { return next.conn != one.conn && follows(next, one); });
  });
  return found;
}

void add_stretch(Stretch stretch, std::vector<Stretch>& stretches) {
  const bool known = std::ranges::any_of(
      stretches, [&](const Stretch& one) { return one.src == stretch.src && one.dst == stretch.dst && !one.by_record; });
  if (!known) stretches.push_back(std::move(stretch));
}

// All tuples that the connection may have had on its way, by the leases; `forward` from the client, else back from the server.
std::vector<Stretch> stretches_of(Joins& joins, const ConnectionFact& of, bool forward, bool& bounded) {
  std::vector<Stretch> stretches = {{of.tuple.src, of.tuple.dst, {}, false}};
  for (size_t i = 0; i < stretches.size(); ++i) {
    const Stretch here = stretches[i];
    if (here.leases.size() >= kTranslationsMax) {
      bounded = true;
      continue;
    }
    for (Lease& lease : leases_at(joins, here, forward, of, bounded)) {
      const auto [src, dst] = *led_by(lease, here.src, here.dst, forward);
      Stretch next{src, dst, here.leases, false};
      next.leases.insert(forward ? next.leases.end() : next.leases.begin(), std::move(lease));
      add_stretch(std::move(next), stretches);
    }
  }
  if (forward && (of.external || of.server)) {
    Stretch own{of.external.value_or(of.tuple.src), of.server.value_or(of.tuple.dst), {}, true};
    const bool known = std::ranges::any_of(stretches, [&](const Stretch& one) { return one.src == own.src && one.dst == own.dst; });
    if (!known) stretches.push_back(std::move(own));
  }
  return stretches;
}

// Whether `next` used the tuple of `one` again, at the same end: a tuple is of one connection at a time.
bool succeeds(const ConnectionFact& next, const ConnectionFact& one) {
  return next.conn != one.conn && next.inbound == one.inbound && next.host == one.host && next.netns == one.netns &&
         next.tuple.src == one.tuple.src && next.tuple.dst == one.tuple.dst && same_proto(next.tuple.proto, one.tuple.proto) &&
         next.seen > one.seen;
}

// Whatever is said of its end, it ended before its successor began; nothing of it is delivered after that.
void end_at_successor(ConnectionFact& one, const ConnectionFact& next) {
  if (succeeds(next, one) && one.last() > next.seen) one.end = std::max(one.seen, next.seen - kDeliveryNs - 1);
}

// As it is, but ended before its successor began.
ConnectionFact ended_at_successor(Joins& joins, const ConnectionFact& of, bool& bounded) {
  ConnectionFact here = of;
  for (const Id128& conn : conns_at(joins, of.tuple.src, bounded, [](const Record& record) { return !is_nat(record); })) {
    if (conn == of.conn) continue;
    if (const auto next = connection_fact(joins, conn)) end_at_successor(here, *next);
  }
  return here;
}

std::vector<OtherEnd> other_ends(Joins& joins, const ConnectionFact& of, bool forward, bool& bounded) {
  if (of.failed) return {};
  const ConnectionFact here = ended_at_successor(joins, of, bounded);
  std::vector<OtherEnd> found;
  // The longest way first: a lease says more than the socket's own record.
  for (const Stretch& stretch : stretches_of(joins, here, forward, bounded) | std::views::reverse) {
    const auto socket = [](const Record& record) { return !is_nat(record); };
    for (const Id128& conn : conns_at(joins, stretch.src, bounded, socket)) {
      if (conn == of.conn) continue;
      auto fact = connection_fact(joins, conn);
      if (!fact || fact->inbound != forward || fact->failed || !same_proto(fact->tuple.proto, of.tuple.proto)) continue;
      const bool by_tuple = fact->tuple.src == stretch.src && fact->tuple.dst == stretch.dst;
      const bool by_record = !forward && fact->external.value_or(fact->tuple.src) == stretch.src &&
                             fact->server.value_or(fact->tuple.dst) == stretch.dst;
      if ((!by_tuple && !by_record) || !same_place(of, *fact)) continue;
      if (std::ranges::any_of(found, [&](const OtherEnd& one) { return one.connection.conn == conn; })) continue;
      found.push_back({std::move(*fact), stretch.leases, stretch.by_record || !by_tuple});
    }
  }
  std::vector<OtherEnd> fitting;
  for (OtherEnd& one : found) {
    const std::optional<TimeNs> told = one.connection.end;
    for (const OtherEnd& next : found) end_at_successor(one.connection, next.connection);
    if (!may_coincide(here, one.connection)) continue;
    if (told) one.connection.end = told;
    fitting.push_back(one);
  }
  return fitting;
}

}  // namespace

bool may_coincide(const ConnectionFact& one, const ConnectionFact& other) {
  const uint64_t error = error_of(one, other);
  const auto overlap = [&](uint64_t slack) {
    const auto widened = [&](TimeNs end) { return end > UINT64_MAX - slack ? UINT64_MAX : end + slack; };
    return one.seen <= widened(other.last()) && other.seen <= widened(one.last());
  };
  if (!one.start || !other.start) return overlap(error + kHandshakeNs);
  const uint64_t apart = *one.start > *other.start ? *one.start - *other.start : *other.start - *one.start;
  return apart <= error + kHandshakeNs && overlap(error + kDeliveryNs);
}

std::vector<OtherEnd> ends_that_accepted(Joins& joins, const ConnectionFact& of, bool& bounded) {
  return other_ends(joins, of, true, bounded);
}

std::vector<OtherEnd> ends_that_opened(Joins& joins, const ConnectionFact& of, bool& bounded) {
  return other_ends(joins, of, false, bounded);
}

}  // namespace portbook

#include "query/joins.h"

#include <algorithm>
#include <array>
#include <ranges>
#include <utility>

#include "query/evaluate.h"

namespace portbook {

namespace {

constexpr uint64_t kLeaseSlackMaxNs = 2 * kNsPerSecond;  // no stated clock error is taken to be greater

bool same_tuple(const Record& record, const ConnectionTuple& tuple) {
  const auto found = tuple_of(record);
  if (!found || found->src != tuple.src) return false;
  if (found->proto != 0 && tuple.proto != 0 && found->proto != tuple.proto) return false;
  return found->dst == tuple.dst;
}

bool same_lease(const Record& one, const Record& other) {
  return one.text_or(Field::kHost, "") == other.text_or(Field::kHost, "") &&
         std::ranges::all_of(kEndpointFields, [&](const auto& fields) {
           return one.endpoint(fields.first, fields.second) == other.endpoint(fields.first, fields.second);
         });
}

// Whether `end`, of a lease that was last told of at `begin`, may be its end.
bool may_end(const Record& end, const Record& begin) {
  if (begin.kind() == Kind::kNatClose || !same_lease(end, begin)) return false;
  const uint64_t slack = end.uint_or(Field::kClockError, 0) + begin.uint_or(Field::kClockError, 0) + kNsPerMs;
  if (!end.has(Field::kStart) || begin.kind() != Kind::kNatOpen) return true;
  const TimeNs start = end.uint(Field::kStart);
  const TimeNs begun = time_of_lease_record(begin);
  return begun > start ? begun - start <= slack : start - begun <= slack;
}

bool overlaps(const Lease& lease, TimeNs from, TimeNs to) {
  const uint64_t slack =
      lease.clock_error_ns.value_or(0) + kNsPerMs;  // the conntrack entry is made just before or after the socket's event
  const bool begins_in_time = !lease.start || *lease.start <= to + slack;
  return begins_in_time && (!lease.end || *lease.end + slack >= from);
}

void merge_lease_record(const Record& record, Lease& lease) {
  if (const auto external = record.endpoint(Field::kSrcNatIp, Field::kSrcNatPort)) lease.external = external;
  if (const auto server = record.endpoint(Field::kDstNatIp, Field::kDstNatPort)) lease.server = server;
  // With a cause it began at an unknown moment before.
  if (record.kind() == Kind::kNatOpen && !record.has(Field::kCause)) lease.start = record.time();
  if (record.has(Field::kStart)) lease.start = record.uint(Field::kStart);
  if (record.kind() == Kind::kNatClose) lease.end = record.uint_or(Field::kEnd, record.time());
  if (record.has(Field::kClockError)) {
    lease.clock_error_ns = std::max(lease.clock_error_ns.value_or(0), record.uint(Field::kClockError));
  }
  if (record.has(Field::kNetns)) lease.netns = record.uint(Field::kNetns);
  if (record.has(Field::kHost)) lease.host = record.text(Field::kHost);
}

constexpr FieldSet kLeaseKeyFields = fields_of(std::array{Field::kKind, Field::kVantage, Field::kSrcIp, Field::kSrcPort});

// `existing` may be a lease's: then the rows are looked at.
bool may_be_lease(uint64_t kind) {
  return kind == static_cast<uint64_t>(Kind::kNatOpen) || kind == static_cast<uint64_t>(Kind::kNatClose) ||
         kind == static_cast<uint64_t>(Kind::kExisting);
}

// Adds the source endpoints of the block's lease records.
Status add_lease_keys(const BlockRef& ref, std::vector<RowKey>& keys) {
  if (ref.block->sealed_rows() == ref.rows) {
    const auto narrow = ref.block->narrow(fields_of(std::array{Field::kKind}));
    if (!narrow) return std::unexpected(narrow.error());
    if (*narrow && (*narrow)->column(Field::kKind).has_ids() &&
        std::ranges::none_of((*narrow)->column(Field::kKind).values, may_be_lease))
      return {};
  }
  const auto columns = ref.block->columns(kLeaseKeyFields);
  if (!columns) return std::unexpected(columns.error());
  Record record;
  for (uint32_t row = 0; row < ref.rows; ++row) {
    if (!may_be_lease((*columns)->uint(row, Field::kKind))) continue;
    (*columns)->read(row, kLeaseKeyFields, record);
    if (const auto src = record.endpoint(Field::kSrcIp, Field::kSrcPort); src && is_lease(record))
      keys.push_back(endpoint_key(*src));
  }
  return {};
}

}  // namespace

bool is_lease(const Record& record) {
  return record.kind() == Kind::kNatOpen || record.kind() == Kind::kNatClose ||
         (record.kind() == Kind::kExisting && record.uint_or(Field::kVantage, 0) == static_cast<uint64_t>(Vantage::kNat));
}

std::optional<ConnectionTuple> tuple_of(const Record& record) {
  const auto src = record.endpoint(Field::kSrcIp, Field::kSrcPort);
  const auto dst = record.endpoint(Field::kDstIp, Field::kDstPort);
  if (!src || !dst) return std::nullopt;
  return ConnectionTuple{*src, *dst, record.uint_or(Field::kProto, 0)};
}

std::optional<Lease> lease_of(const std::vector<Indexed>& records) {
  Lease lease;
  bool found = false;
  for (const Indexed& one : records) {
    if (!is_lease(one.record)) continue;
    const auto tuple = tuple_of(one.record);
    if (!tuple) continue;
    const TimeNs seen = one.record.uint_or(Field::kStart, one.record.time());
    lease.seen = found ? std::min(lease.seen, seen) : seen;
    found = true;
    lease.internal = tuple->src;
    lease.asked_for = tuple->dst;
    if (one.record.has(Field::kConn)) lease.conn = one.record.id128(Field::kConn);
    merge_lease_record(one.record, lease);
    lease.records.push_back(one.index);
  }
  if (!found) return std::nullopt;
  std::ranges::sort(lease.records);
  // conntrack gives both tuples always; an unchanged side is no translation.
  if (lease.external == lease.internal) lease.external.reset();
  if (lease.server == lease.asked_for) lease.server.reset();
  return lease;
}

TimeNs time_of_lease_record(const Record& record) {
  return record.kind() == Kind::kNatClose ? record.uint_or(Field::kEnd, record.time())
                                          : record.uint_or(Field::kStart, record.time());
}

std::vector<Lease> leases_without_id(std::vector<Indexed> records) {
  std::ranges::sort(records, {}, [](const Indexed& one) {
    return std::pair(time_of_lease_record(one.record), one.record.kind() == Kind::kNatClose);
  });
  std::vector<std::vector<Indexed>> groups;
  for (Indexed& one : records) {
    const auto begun = one.record.kind() != Kind::kNatClose
                           ? groups.rend()
                           : std::ranges::find_if(groups.rbegin(), groups.rend(), [&](const std::vector<Indexed>& group) {
                               return may_end(one.record, group.back().record);
                             });
    auto& group = begun == groups.rend() ? groups.emplace_back() : *begun;
    group.push_back(std::move(one));
  }
  std::vector<Lease> leases;
  for (const std::vector<Indexed>& group : groups) {
    if (auto lease = lease_of(group)) leases.push_back(std::move(*lease));
  }
  return leases;
}

void Joins::note(const Status& status) {
  if (!status && status_) status_ = status;
}

std::vector<Indexed> Joins::read_process(const ProcessId& id, uint64_t before, size_t maximum) {
  std::vector<Indexed> found;
  note(view_.for_each_with(process_key(id.pid, id.start), [&](uint64_t index, const Record& record) {
    if (index >= before) return true;
    if (record.kind() == Kind::kProcess && record.has(Field::kPid) && record.has(Field::kProcessStart) &&
        record.uint(Field::kPid) == id.pid && record.uint(Field::kProcessStart) == id.start) {
      found.push_back({index, record});
    }
    return found.size() < maximum;
  }));
  return found;
}

const std::vector<Indexed>& Joins::versions_of(const ProcessId& id) {
  const RowKey key = process_key(id.pid, id.start);
  auto known = processes_.find(key);
  if (known != processes_.end() && !known->second.empty() && known->second.front().record.uint_or(Field::kPid, 0) != id.pid) {
    processes_.erase(known);  // another process with the same key
    known = processes_.end();
  }
  if (known == processes_.end()) {
    if (processes_.size() >= kRemembered) processes_.clear();
    known = processes_.emplace(key, read_process(id, UINT64_MAX, kVersionsKept)).first;
  }
  return known->second;
}

const std::vector<Indexed>* Joins::all_of_process(const ProcessId& id) {
  const std::vector<Indexed>& versions = versions_of(id);
  return versions.size() < kVersionsKept ? &versions : nullptr;
}

const Indexed* Joins::process(const ProcessId& id, uint64_t before) {
  const std::vector<Indexed>& versions = versions_of(id);
  if (versions.empty()) return nullptr;
  const auto newest = std::ranges::find_if(versions, [&](const Indexed& one) { return one.index < before; });
  if (newest != versions.end()) return &*newest;
  if (versions.size() < kVersionsKept) return &versions.back();
  std::vector<Indexed> older = read_process(id, before, 1);
  if (older.empty()) return &versions.back();
  older_version_ = std::move(older.front());
  return &*older_version_;
}

const Indexed* Joins::acceptor(const Id128& conn) {
  const RowKey key = conn_key(conn);
  const auto known = acceptors_.find(key);
  if (known != acceptors_.end() && (!known->second || known->second->record.id128(Field::kConn) == conn)) {
    return known->second ? &*known->second : nullptr;
  }
  std::optional<Indexed> found;
  const auto visit = [&](uint64_t index, const Record& record) {
    if (record.kind() != Kind::kUsedBy || !record.has(Field::kConn) || record.id128(Field::kConn) != conn) return true;
    // The first user is who accepted it; later ones were handed the socket.
    const bool accepted = record.has(Field::kRole) && record.uint(Field::kRole) == static_cast<uint64_t>(Role::kAcceptor);
    if (!accepted && found) return true;
    found = Indexed{index, record};
    return !accepted;
  };
  if (const auto all = connections_.find(conn); all != connections_.end() && all->second.size() < kConnRecordsMax) {
    (void)std::ranges::all_of(all->second, [&](const Indexed& one) { return visit(one.index, one.record); });
  } else {
    note(view_.for_each_with(key, visit));
  }
  if (acceptors_.size() >= kRemembered) acceptors_.clear();
  const auto kept = acceptors_.insert_or_assign(key, std::move(found)).first;
  return kept->second ? &*kept->second : nullptr;
}

const std::vector<Indexed>& Joins::records_of(const Id128& conn) {
  if (const auto known = connections_.find(conn); known != connections_.end()) return known->second;
  if (connections_.size() >= kConnectionsRemembered) older_connections_ = std::exchange(connections_, {});
  if (auto older = older_connections_.extract(conn)) return connections_.insert(std::move(older)).position->second;
  std::vector<Indexed>& found = connections_[conn];
  note(view_.for_each_with(conn_key(conn), [&](uint64_t index, const Record& record) {
    if (record.has(Field::kConn) && record.id128(Field::kConn) == conn) found.push_back({index, record});
    return found.size() < kConnRecordsMax;
  }));
  return found;
}

// Reads a few columns of every block, so only where many look-ups found nothing: most connections are not translated.
bool Joins::may_have_leases(const Endpoint& src) {
  if (!lease_keys_) {
    if (too_many_leases_ || lease_misses_ < singly_max()) return true;
    std::vector<RowKey> keys;
    for (const BlockRef& ref : view_.blocks()) {
      if (Status added = add_lease_keys(ref, keys); !added) note(added);
      too_many_leases_ = !status_ || keys.size() > kLeaseKeysMax;
      if (too_many_leases_) return true;
    }
    std::ranges::sort(keys);
    lease_keys_ = std::move(keys);
  }
  return std::ranges::binary_search(*lease_keys_, endpoint_key(src));
}

std::vector<Lease> Joins::leases(const ConnectionTuple& tuple, std::string_view host, TimeNs from, TimeNs to) {
  if (!may_have_leases(tuple.src)) return {};
  std::vector<Id128> conns;
  std::vector<Indexed> loose;
  note(view_.for_each_with(endpoint_key(tuple.src),
                           [&](uint64_t index, const Record& record) {
                             if (!is_lease(record) || !same_tuple(record, tuple)) return true;
                             if (!record.has(Field::kConn)) {
                               loose.push_back({index, record});
                             } else if (std::ranges::find(conns, record.id128(Field::kConn)) == conns.end()) {
                               conns.push_back(record.id128(Field::kConn));
                             }
                             return conns.size() + loose.size() < kConnRecordsMax;
                           },
                           {.from = from - std::min(from, kLeaseSlackMaxNs),
                            .to = to > UINT64_MAX - kLeaseSlackMaxNs ? UINT64_MAX : to + kLeaseSlackMaxNs,
                            .marks = kMarkLease}));
  if (conns.empty() && loose.empty()) ++lease_misses_;
  std::vector<Lease> found;
  const auto keep = [&](std::optional<Lease> lease) {
    if (lease && overlaps(*lease, from, to)) found.push_back(std::move(*lease));
  };
  for (const Id128& conn : conns) keep(lease_of(records_of(conn)));
  if (!loose.empty()) {
    // Ends before `from` may have been passed over.
    const TimeNs begun =
        std::ranges::min(loose | std::views::transform([](const Indexed& one) { return time_of_lease_record(one.record); }));
    for (Lease& one : leases_without_id(tuple.src, begun)) {
      if (one.internal == tuple.src && one.asked_for == tuple.dst) keep(std::move(one));
    }
  }
  std::erase_if(found, [&](const Lease& one) { return one.host != host && has_address(tuple.src.ip, one.host, from, to); });
  std::ranges::sort(found, {}, [&](const Lease& one) { return std::pair(one.host != host, one.seen); });
  return found;
}

std::optional<Lease> Joins::translation_of(const Record& main) {
  const auto tuple = tuple_of(main);
  if (!tuple || tuple->src.port == 0) return std::nullopt;
  const RowInterval interval = row_interval(main);
  auto leases = this->leases(*tuple, main.text_or(Field::kHost, ""), interval.start.value_or(main.time()),
                             interval.end.value_or(UINT64_MAX / 2));
  std::erase_if(leases, [](const Lease& lease) { return !lease.external && !lease.server; });
  if (leases.empty()) return std::nullopt;
  return std::move(leases.front());
}

std::vector<Lease> Joins::leases_without_id(const Endpoint& endpoint, TimeNs from) {
  std::vector<Indexed> records;
  const auto visit = [&](uint64_t index, const Record& record) {
    if (is_lease(record) && !record.has(Field::kConn)) records.push_back({index, record});
    return records.size() < kLooseRecordsMax;
  };
  note(view_.for_each_with(endpoint_key(endpoint), visit, {.from = from, .marks = kMarkLease}));
  return portbook::leases_without_id(std::move(records));
}

// Whether that host had the address itself at some moment of [from, to].
bool Joins::has_address(const Ip& ip, std::string_view host, TimeNs from, TimeNs to) {
  auto known = claims_.find(ip);
  if (known == claims_.end()) {
    if (claims_.size() >= kRemembered) claims_.clear();
    known = claims_.emplace(ip, read_claims(ip)).first;
  }
  return std::ranges::any_of(known->second, [&](const Claim& one) { return one.host == host && one.from <= to && one.to >= from; });
}

std::vector<Joins::Claim> Joins::read_claims(const Ip& ip) {
  std::vector<Indexed> told;
  note(view_.for_each_with(address_key(ip), [&](uint64_t index, const Record& record) {
    if (record.kind() == Kind::kAddress && record.has(Field::kAddress) && record.ip(Field::kAddress) == ip)
      told.push_back({index, record});
    return told.size() < kAddressRecordsMax;
  }));
  std::vector<Claim> claims;
  // Newest first as they are read.
  for (const Indexed& one : std::views::reverse(told)) {
    const std::string host(one.record.text_or(Field::kHost, ""));
    const auto netns = one.record.has(Field::kNetns) ? std::optional(one.record.uint(Field::kNetns)) : std::nullopt;
    const auto open = std::ranges::find_if(
        claims, [&](const Claim& claim) { return claim.to == UINT64_MAX && claim.host == host && claim.netns == netns; });
    const bool up = one.record.uint_or(Field::kState, 0) == static_cast<uint64_t>(AddressState::kUp);
    if (up && open == claims.end()) claims.push_back({host, netns, one.record.time(), UINT64_MAX});
    if (!up && open != claims.end()) open->to = one.record.time();
  }
  return claims;
}

bool Joins::superseded(const Id128& conn, Kind kind, uint64_t index) {
  bool superseded = false;
  note(view_.for_each_with(conn_key(conn), [&](uint64_t other_index, const Record& record) {
    if (other_index == index || !record.has(Field::kConn) || record.id128(Field::kConn) != conn) return true;
    const Kind other = record.kind();
    // A translation's is another thing's that was there.
    if (other == Kind::kExisting &&
        record.uint_or(Field::kVantage, static_cast<uint64_t>(Vantage::kSocket)) != static_cast<uint64_t>(Vantage::kSocket))
      return true;
    superseded = other == Kind::kClose || other == Kind::kFailed || (kind == Kind::kExisting && other == Kind::kOpen) ||
                 (kind == Kind::kExisting && other == Kind::kExisting && other_index > index);
    return !superseded;
  }));
  return superseded;
}

}  // namespace portbook

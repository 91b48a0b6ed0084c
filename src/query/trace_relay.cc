#include "query/trace_relay.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "query/evaluate.h"

namespace portbook {

namespace {

constexpr uint64_t kInitPid = 1;  // the parent of everything says nothing about anything

uint64_t apart(const ConnectionFact& one, const ConnectionFact& other) {
  return one.seen > other.seen ? one.seen - other.seen : other.seen - one.seen;
}

bool held_at(const ConnectionFact& connection, TimeNs moment) {
  return connection.seen <= moment && connection.last() >= moment;
}

std::optional<ProcessId> process_of(const Columns& columns, uint32_t row) {
  if (!columns.has(row, Field::kPid) || !columns.has(row, Field::kProcessStart)) return std::nullopt;
  return ProcessId{columns.uint(row, Field::kPid), columns.uint(row, Field::kProcessStart)};
}

constexpr FieldSet kScanned =
    fields_of(std::array{Field::kTime, Field::kKind, Field::kDirection, Field::kPid, Field::kProcessStart, Field::kConn});

bool is_socket_kind(Kind kind) {
  return kind == Kind::kOpen || kind == Kind::kExisting || kind == Kind::kFailed || kind == Kind::kUsedBy;
}

bool has_direction(const Columns& columns, uint32_t row, Direction direction) {
  return columns.has(row, Field::kDirection) && columns.uint(row, Field::kDirection) == static_cast<uint64_t>(direction);
}

// Who held the connection, and for what was opened below them: their ancestors, but for the first process.
std::vector<Holder> with_ancestors(const ConnectionFact& connection) {
  std::vector<Holder> holders = connection.holders;
  for (const ProcessFact& parent : connection.ancestors) {
    if (parent.record.uint(Field::kPid) == kInitPid || !parent.record.has(Field::kProcessStart)) continue;
    holders.push_back({{parent.record.uint(Field::kPid), parent.record.uint(Field::kProcessStart)}, parent.id.value_or(0)});
  }
  return holders;
}

RelayAnswer nearest_first(std::vector<Relay> relays) {
  std::ranges::sort(relays, {}, [](const Relay& one) { return std::pair(one.apart_ns, one.connection.main); });
  RelayAnswer answer;
  answer.found = relays.size();
  if (relays.size() > kRelayShownMax) relays.resize(kRelayShownMax);
  answer.relays = std::move(relays);
  return answer;
}

Relay possible(ConnectionFact connection, const ConnectionFact& of, std::string method) {
  Relay relay;
  relay.apart_ns = apart(connection, of);
  relay.records = {std::min(of.main, connection.main), std::max(of.main, connection.main)};
  relay.connection = std::move(connection);
  relay.method = std::move(method);
  return relay;
}

}  // namespace

void Relays::scan(TimeNs from, TimeNs to, const VisitRow& visit) {
  const auto blocks = joins_.view().blocks();
  for (size_t i = blocks.size(); i-- > 0;) {
    const BlockRef& ref = blocks[i];
    if (ref.rows == 0 || ref.block->time_min() > to || ref.block->time_max() < from) continue;
    if (rows_ >= kRelayRowsMax) {
      bounded_ = true;
      return;
    }
    const auto columns = ref.block->columns(kScanned);
    if (!columns) {
      bounded_ = true;
      return;
    }
    rows_ += ref.rows;
    for (uint32_t row = ref.rows; row-- > 0;) {
      if (!(*columns)->has(row, Field::kTime)) continue;
      const TimeNs time = (*columns)->uint(row, Field::kTime);
      if (time >= from && time <= to && !visit(ref.block->first_index() + row, **columns, row)) return;
    }
  }
}

std::optional<std::string> Relays::kinship(const ProcessId& process, uint64_t index, const std::vector<Holder>& holders) {
  const auto is_holder = [&](const ProcessId& one) { return std::ranges::find(holders, one, &Holder::process) != holders.end(); };
  if (is_holder(process)) return "the same process held both";
  ProcessId child = process;
  for (size_t level = 0; level < kAncestorsMax; ++level) {
    const Indexed* record = joins_.process(child, index + 1);
    if (record == nullptr || !record->record.has(Field::kPpid) || !record->record.has(Field::kParentStart)) return std::nullopt;
    child = {record->record.uint(Field::kPpid), record->record.uint(Field::kParentStart)};
    if (child.pid != kInitPid && is_holder(child))
      return fmt::format("pid {}, a {} of pid {} that held it, opened the other", process.pid, level == 0 ? "child" : "descendant",
                         child.pid);
  }
  return std::nullopt;
}

std::vector<ConnectionFact> Relays::outbound_of(const std::vector<Holder>& holders, TimeNs from, TimeNs to, bool descendants) {
  std::set<Id128> conns;
  std::map<std::pair<uint64_t, TimeNs>, bool> related;
  scan(from, to, [&](uint64_t index, const Columns& columns, uint32_t row) {
    const auto kind = static_cast<Kind>(columns.uint(row, Field::kKind));
    if (!is_socket_kind(kind) || kind == Kind::kUsedBy || !has_direction(columns, row, Direction::kOut)) return true;
    const auto process = process_of(columns, row);
    if (!process || !columns.has(row, Field::kConn)) return true;
    const auto [place, first] = related.try_emplace({process->pid, process->start}, false);
    if (first) {
      place->second = descendants ? kinship(*process, index, holders).has_value()
                                  : std::ranges::find(holders, *process, &Holder::process) != holders.end();
    }
    if (place->second) conns.insert(columns.id128(row, Field::kConn));
    bounded_ = bounded_ || conns.size() >= kRelayConnectionsMax;
    return conns.size() < kRelayConnectionsMax;
  });
  std::vector<ConnectionFact> found;
  for (const Id128& conn : conns) {
    auto fact = connection_fact(joins_, conn);
    if (fact && !fact->inbound) found.push_back(std::move(*fact));
  }
  return found;
}

std::vector<ConnectionFact> Relays::inbound_held_by(const std::vector<Holder>& holders, TimeNs from, TimeNs to) {
  std::set<Id128> conns;
  scan(from, to, [&](uint64_t, const Columns& columns, uint32_t row) {
    const auto kind = static_cast<Kind>(columns.uint(row, Field::kKind));
    if (!is_socket_kind(kind) || !columns.has(row, Field::kConn)) return true;
    if (kind != Kind::kUsedBy && !has_direction(columns, row, Direction::kIn)) return true;
    const auto process = process_of(columns, row);
    if (process && std::ranges::find(holders, *process, &Holder::process) != holders.end())
      conns.insert(columns.id128(row, Field::kConn));
    bounded_ = bounded_ || conns.size() >= kRelayConnectionsMax;
    return conns.size() < kRelayConnectionsMax;
  });
  std::vector<ConnectionFact> found;
  for (const Id128& conn : conns) {
    auto fact = connection_fact(joins_, conn);
    if (fact && fact->inbound) found.push_back(std::move(*fact));
  }
  return found;
}

// A proxy's own record names both legs; it counts where the kernel's records have both.
RelayAnswer Relays::stated(const ConnectionFact& of, bool forward) {
  struct Legs {
    Endpoint other_src;
    std::optional<Endpoint> other_dst;
    TimeNs from;
    TimeNs to;
    uint64_t slack;
    uint64_t record;
    std::string app;
  };
  std::vector<Legs> legs;
  bounded_ = bounded_ || !joins_.view().for_each_with(endpoint_key(of.tuple.src), [&](uint64_t index, const Record& record) {
    if (record.kind() != Kind::kProxy) return true;
    const auto client = record.endpoint(Field::kSrcIp, Field::kSrcPort);
    const auto entry = record.endpoint(Field::kDstIp, Field::kDstPort);
    const auto own = record.endpoint(Field::kUpSrcIp, Field::kUpSrcPort);
    const auto server = record.endpoint(Field::kUpDstIp, Field::kUpDstPort);
    const auto& here_src = forward ? client : own;
    const auto& here_dst = forward ? entry : server;
    const auto& there_src = forward ? own : client;
    if (here_src != of.tuple.src || (here_dst && *here_dst != of.tuple.dst) || !there_src) return true;
    const TimeNs from = record.uint_or(Field::kStart, record.time());
    const TimeNs to = record.uint_or(Field::kEnd, record.time());
    const uint64_t slack = record.has(Field::kClockError) ? record.uint(Field::kClockError) : kNsPerSecond;
    const bool in_time = from <= (of.last() > UINT64_MAX - slack ? UINT64_MAX : of.last() + slack) && to + slack >= of.seen;
    if (in_time)
      legs.push_back(
          {*there_src, forward ? server : entry, from, to, slack, index, std::string(record.text_or(Field::kApp, "the proxy"))});
    return legs.size() < kRelayShownMax;
  });
  std::vector<Relay> relays;
  for (const Legs& leg : legs) {
    std::set<Id128> conns;
    bounded_ = bounded_ || !joins_.view().for_each_with(endpoint_key(leg.other_src), [&](uint64_t, const Record& record) {
      if (is_socket_kind(record.kind()) && record.has(Field::kConn)) conns.insert(record.id128(Field::kConn));
      return conns.size() < kRelayConnectionsMax;
    });
    // Ports come again: of the connections that had this endpoint, the one of the record's own time.
    std::optional<ConnectionFact> nearest;
    uint64_t nearest_ns = leg.slack;
    for (const Id128& conn : conns) {
      auto fact = connection_fact(joins_, conn);
      const bool fits = fact && fact->inbound != forward && fact->tuple.src == leg.other_src &&
                        (!leg.other_dst || fact->tuple.dst == *leg.other_dst) && fact->host == of.host && fact->seen <= of.last() &&
                        of.seen <= fact->last();
      if (!fits) continue;
      const uint64_t apart_ns = fact->seen > leg.to ? fact->seen - leg.to : leg.from > fact->last() ? leg.from - fact->last() : 0;
      if (apart_ns > nearest_ns) continue;
      nearest_ns = apart_ns;
      nearest = std::move(fact);
    }
    if (!nearest) continue;
    Relay relay =
        possible(std::move(*nearest), of, fmt::format("{} logged both legs, and the kernel’s records have both", leg.app));
    relay.certainty = Hop::Class::kStated;
    relay.records.push_back(leg.record);
    relays.push_back(std::move(relay));
  }
  return nearest_first(std::move(relays));
}

RelayAnswer Relays::led_to(const ConnectionFact& inbound) {
  if (RelayAnswer known = stated(inbound, true); known.found > 0) return known;
  std::vector<Relay> relays;
  for (ConnectionFact& one : outbound_of(inbound.holders, inbound.seen, inbound.last(), true)) {
    if (one.conn == inbound.conn || one.host != inbound.host || !one.start || !held_at(inbound, *one.start)) continue;
    std::string how = "the same process held both";
    if (!one.holders.empty()) how = kinship(one.holders.front().process, one.main, inbound.holders).value_or(how);
    relays.push_back(possible(std::move(one), inbound, fmt::format("{}: opened while the inbound one was held", how)));
  }
  return relays.empty() ? pooled_for(inbound) : nearest_first(std::move(relays));
}

RelayAnswer Relays::pooled_for(const ConnectionFact& inbound) {
  TimeNs born = inbound.seen;
  for (const Holder& holder : inbound.holders) born = std::min(born, holder.process.start);
  std::vector<Relay> relays;
  for (ConnectionFact& one : outbound_of(inbound.holders, born, inbound.seen, false)) {
    if (one.conn == inbound.conn || one.host != inbound.host || one.failed || !held_at(one, inbound.seen)) continue;
    relays.push_back(
        possible(std::move(one), inbound, "the same process held both: the outbound one had been opened before, as a pool does"));
  }
  return nearest_first(std::move(relays));
}

RelayAnswer Relays::caused(const ConnectionFact& outbound) {
  if (RelayAnswer known = stated(outbound, false); known.found > 0) return known;
  if (!outbound.start) return {};
  const std::vector<Holder> holders = with_ancestors(outbound);
  TimeNs born = outbound.seen;
  for (const Holder& holder : holders) born = std::min(born, holder.process.start);
  std::vector<Relay> relays;
  for (ConnectionFact& one : inbound_held_by(holders, born, outbound.seen)) {
    if (one.conn == outbound.conn || one.host != outbound.host || !held_at(one, *outbound.start)) continue;
    std::string how = "the same process held both";
    if (!outbound.holders.empty()) how = kinship(outbound.holders.front().process, outbound.main, one.holders).value_or(how);
    relays.push_back(
        possible(std::move(one), outbound, fmt::format("{}: the inbound one was held when the other was opened", how)));
  }
  return relays.empty() ? pooled_by(outbound) : nearest_first(std::move(relays));
}

RelayAnswer Relays::pooled_by(const ConnectionFact& outbound) {
  if (outbound.failed) return {};
  std::vector<Relay> relays;
  for (ConnectionFact& one : inbound_held_by(outbound.holders, outbound.seen, outbound.last())) {
    if (one.conn == outbound.conn || one.host != outbound.host || !held_at(outbound, one.seen)) continue;
    relays.push_back(possible(std::move(one), outbound, "the same process held both: the inbound one came later, as to a pool"));
  }
  return nearest_first(std::move(relays));
}

}  // namespace portbook

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

Relay by_log(Leg leg, const ConnectionFact& of, Hop::Class certainty) {
  Relay relay = possible(std::move(leg.connection), of, std::move(leg.method));
  relay.certainty = certainty;
  relay.apart_ns = leg.apart_ns;
  relay.records.insert(relay.records.end(), leg.records.begin(), leg.records.end());
  std::ranges::sort(relay.records);
  return relay;
}

// Adds relays to what logs said, nearest first; each connection once.
RelayAnswer nearest_first(std::vector<Relay> relays, RelayAnswer answer) {
  const size_t not_shown = answer.found - answer.relays.size();
  for (Relay& said : answer.relays) {
    const auto same = std::ranges::find_if(relays, [&](const Relay& one) { return one.connection.conn == said.connection.conn; });
    if (same == relays.end()) {
      relays.push_back(std::move(said));
      continue;
    }
    said.records.insert(said.records.end(), same->records.begin(), same->records.end());
    std::ranges::sort(said.records);
    const auto doubled = std::ranges::unique(said.records);
    said.records.erase(doubled.begin(), doubled.end());
    *same = std::move(said);
  }
  RelayAnswer sorted = nearest_first(std::move(relays));
  answer.relays = std::move(sorted.relays);
  answer.found = sorted.found + not_shown;
  return answer;
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

RelayAnswer Relays::stated(const ConnectionFact& of) {
  LegAnswer said = logs_.stated(of);
  std::vector<Relay> relays;
  const bool passing = !said.legs.empty() && std::ranges::all_of(said.legs, &Leg::passing);
  for (Leg& leg : said.legs) {
    const bool certain = leg.certain;
    relays.push_back(by_log(std::move(leg), of, certain ? Hop::Class::kStated : Hop::Class::kPossible));
  }
  RelayAnswer answer = nearest_first(std::move(relays));
  answer.passing = passing;
  answer.contradictions = std::move(said.contradictions);
  answer.unseen = std::move(said.unseen);
  if (said.silent) answer.line_of_others = logs_.line_beside(of);
  return answer;
}

bool Relays::held_in_moment(const ConnectionFact& one, const ConnectionFact& other) const {
  return !moment_ ||
         (one.seen <= moment_->to && one.last() >= moment_->from && other.seen <= moment_->to && other.last() >= moment_->from);
}

RelayAnswer Relays::led_to(const ConnectionFact& inbound) {
  RelayAnswer said = stated(inbound);
  if (said.found > 0 && !said.passing) return said;
  std::vector<Relay> relays = opened_for(inbound);
  for (Relay& relay : relays) by_login(inbound, relay.connection, relay);
  if (relays.empty()) relays = pooled_for(inbound);
  return nearest_first(std::move(relays), std::move(said));
}

std::vector<Relay> Relays::opened_for(const ConnectionFact& inbound) {
  std::vector<Relay> relays;
  for (ConnectionFact& one : outbound_of(inbound.holders, inbound.seen, inbound.last(), true)) {
    if (one.conn == inbound.conn || one.host != inbound.host || !one.start || !held_at(inbound, *one.start)) continue;
    std::string how = "the same process held both";
    if (!one.holders.empty()) how = kinship(one.holders.front().process, one.main, inbound.holders).value_or(how);
    relays.push_back(possible(std::move(one), inbound, fmt::format("{}: opened while the inbound one was held", how)));
  }
  return relays;
}

std::vector<Relay> Relays::pooled_for(const ConnectionFact& inbound) {
  TimeNs born = inbound.seen;
  for (const Holder& holder : inbound.holders) born = std::min(born, holder.process.start);
  std::vector<Relay> relays;
  for (ConnectionFact& one : outbound_of(inbound.holders, born, inbound.seen, false)) {
    if (one.conn == inbound.conn || one.host != inbound.host || one.failed || !held_at(one, inbound.seen) ||
        !held_in_moment(one, inbound))
      continue;
    relays.push_back(
        possible(std::move(one), inbound, "the same process held both: the outbound one had been opened before, as a pool does"));
  }
  return relays;
}

RelayAnswer Relays::caused(const ConnectionFact& outbound) {
  RelayAnswer said = stated(outbound);
  if (said.found > 0 && !said.passing) return said;
  std::vector<Relay> relays;
  for (Leg& leg : logs_.named(outbound).legs) relays.push_back(by_log(std::move(leg), outbound, Hop::Class::kPossible));
  if (!relays.empty()) return nearest_first(std::move(relays), std::move(said));
  if (!outbound.start) return nearest_first({}, std::move(said));
  relays = opened_by(outbound);
  // Of all who came through one listener, the one whose login a log tells of, where only one fits.
  std::vector<Relay> logins;
  for (Relay relay : relays) {
    if (by_login(relay.connection, outbound, relay)) logins.push_back(std::move(relay));
  }
  if (logins.size() == 1) relays = std::move(logins);
  if (relays.empty()) relays = pooled_by(outbound);
  return nearest_first(std::move(relays), std::move(said));
}

std::vector<Relay> Relays::opened_by(const ConnectionFact& outbound) {
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
  return relays;
}

bool Relays::by_login(const ConnectionFact& inbound, const ConnectionFact& outbound, Relay& relay) {
  const auto login = logs_.login(inbound, outbound);
  if (!login) return false;
  relay.certainty = Hop::Class::kStated;
  relay.method = fmt::format("{} logged that {} came in over it, to pid {}; what opened the other descends from that pid",
                             login->app, login->user, login->pid);
  relay.records.push_back(login->record);
  std::ranges::sort(relay.records);
  return true;
}

std::vector<Relay> Relays::pooled_by(const ConnectionFact& outbound) {
  if (outbound.failed) return {};
  std::vector<Relay> relays;
  for (ConnectionFact& one : inbound_held_by(outbound.holders, outbound.seen, outbound.last())) {
    if (one.conn == outbound.conn || one.host != outbound.host || !held_at(outbound, one.seen) || !held_in_moment(one, outbound))
      continue;
    relays.push_back(possible(std::move(one), outbound, "the same process held both: the inbound one came later, as to a pool"));
  }
  return relays;
}

}  // namespace portbook

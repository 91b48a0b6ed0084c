#include "query/connection_fact.h"

#include <algorithm>

#include "query/evaluate.h"

namespace portbook {

namespace {

int rank(const Record& record) {
  if (record.uint_or(Field::kVantage, static_cast<uint64_t>(Vantage::kSocket)) != static_cast<uint64_t>(Vantage::kSocket)) return 0;
  switch (record.kind()) {
    case Kind::kClose:
    case Kind::kFailed: return 3;
    case Kind::kOpen: return 2;
    case Kind::kExisting: return 1;
    default: return 0;
  }
}

void add_holder(const Record& record, uint64_t index, ConnectionFact& fact) {
  if (!record.has(Field::kPid) || !record.has(Field::kProcessStart)) return;
  const ProcessId process{record.uint(Field::kPid), record.uint(Field::kProcessStart)};
  const auto known = std::ranges::find(fact.holders, process, &Holder::process);
  if (known == fact.holders.end()) fact.holders.push_back({process, index});
}

void read_main(const Indexed& main, ConnectionFact& fact) {
  const Record& record = main.record;
  const auto number = [&](Field field) { return record.has(field) ? std::optional(record.uint(field)) : std::nullopt; };
  fact.main = main.index;
  fact.host = record.text_or(Field::kHost, "");
  fact.netns = number(Field::kNetns);
  fact.inbound = record.uint_or(Field::kDirection, 0) == static_cast<uint64_t>(Direction::kIn);
  fact.failed = record.kind() == Kind::kFailed;
  fact.external = record.endpoint(Field::kSrcNatIp, Field::kSrcNatPort);
  fact.server = record.endpoint(Field::kDstNatIp, Field::kDstNatPort);
  const RowInterval interval = row_interval(record);
  fact.start = interval.start;
  fact.end = interval.end;
  fact.bytes_out = number(Field::kBytesOut);
  fact.bytes_in = number(Field::kBytesIn);
}

}  // namespace

std::optional<ConnectionFact> connection_fact(Joins& joins, const Id128& conn) {
  const std::vector<Indexed>& records = joins.records_of(conn);  // newest first
  const Indexed* main = nullptr;
  for (const Indexed& one : records) {
    if (rank(one.record) > (main == nullptr ? 0 : rank(main->record))) main = &one;
  }
  const auto tuple = main == nullptr ? std::nullopt : tuple_of(main->record);
  if (!tuple) return std::nullopt;
  ConnectionFact fact;
  fact.conn = conn;
  fact.tuple = *tuple;
  read_main(*main, fact);
  fact.seen = fact.start.value_or(UINT64_MAX);
  for (auto one = records.rbegin(); one != records.rend(); ++one) {
    fact.records.push_back(one->index);
    if (one->record.kind() == Kind::kOpen && !fact.start) fact.start = one->record.time();
    if (rank(one->record) > 0) fact.seen = std::min(fact.seen, one->record.time());
    if (one->record.has(Field::kClockError))
      fact.clock_error_ns = std::max(fact.clock_error_ns.value_or(0), one->record.uint(Field::kClockError));
    if (rank(one->record) > 0 || one->record.kind() == Kind::kUsedBy) add_holder(one->record, one->index, fact);
  }
  const Indexed* acceptor = acceptor_of(joins, main->record);
  const Record& owner = acceptor != nullptr && acceptor->record.has(Field::kPid) ? acceptor->record : main->record;
  if (owner.has(Field::kPid)) {
    fact.process = process_fact(joins, owner, main->index);
    fact.ancestors = ancestors_of(joins, *fact.process, main->index);
    if (fact.process->id) fact.records.push_back(*fact.process->id);
    for (const ProcessFact& parent : fact.ancestors) fact.records.push_back(*parent.id);
  }
  std::ranges::sort(fact.records);
  const auto doubled = std::ranges::unique(fact.records);
  fact.records.erase(doubled.begin(), doubled.end());
  return fact;
}

}  // namespace portbook

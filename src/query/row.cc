#include "query/row.h"

#include <fmt/format.h>

#include <algorithm>

#include "query/evaluate.h"
#include "record/json.h"

namespace portbook {

namespace {

constexpr auto kJoinedFields =
    std::to_array<Field>({Field::kComm, Field::kCmdline, Field::kCwd, Field::kUser, Field::kLoginUid, Field::kLoginUser,
                          Field::kAuditSession, Field::kContainerName, Field::kPod, Field::kPpid, Field::kRedacted});

// Copies one field's value; `from` must have it.
void copy_field(const Record& from, Field field, Record& to) {
  switch (info(field).type) {
    case FieldType::kSigned: to.set_signed(field, from.signed_value(field)); break;
    case FieldType::kIp: to.set(field, from.ip(field)); break;
    case FieldType::kId128: to.set(field, from.id128(field)); break;
    case FieldType::kText:
    case FieldType::kCbor: to.set(field, from.text(field)); break;
    default: to.set(field, from.uint(field)); break;
  }
}

void join_process(Joins& joins, Row& row) {
  if (!row.record.has(Field::kPid) || !row.record.has(Field::kProcessStart)) return;
  const Indexed* process = joins.process({row.record.uint(Field::kPid), row.record.uint(Field::kProcessStart)}, row.id);
  if (process == nullptr) return;
  for (const Field field : kJoinedFields) {
    if (process->record.has(field) && !row.record.has(field)) copy_field(process->record, field, row.record);
  }
  row.records.push_back(process->index);
}

void join_acceptor(const Indexed& acceptor, Row& row) {
  if (!acceptor.record.has(Field::kPid)) return;
  for (const Field field : kOwnerFields) {
    row.record.remove(field);
    if (acceptor.record.has(field)) copy_field(acceptor.record, field, row.record);
  }
}

void join_lease(Joins& joins, Row& row) {
  if (row.record.has(Field::kSrcNatIp) || row.record.has(Field::kDstNatIp)) return;
  const auto tuple = tuple_of(row.record);
  if (!tuple || tuple->src.port == 0) return;
  const TimeNs from = row.start.value_or(row.record.time());
  const TimeNs to = row.duration_ns ? from + *row.duration_ns : UINT64_MAX / 2;
  for (const Lease& lease : joins.leases(*tuple, row.record.text_or(Field::kHost, ""), from, to)) {
    row.records.insert(row.records.end(), lease.records.begin(), lease.records.end());
    if (!lease.external && !lease.server) continue;
    row.record.set(Field::kNat, Nat::kTranslated);
    row.record.remove(Field::kNatReason);
    if (lease.external) row.record.set(Field::kSrcNatIp, Field::kSrcNatPort, *lease.external);
    if (lease.server) row.record.set(Field::kDstNatIp, Field::kDstNatPort, *lease.server);
    return;
  }
}

void finish(Row& row) {
  row.internal = row.record.endpoint(Field::kSrcIp, Field::kSrcPort);
  row.external = row.record.endpoint(Field::kSrcNatIp, Field::kSrcNatPort);
  std::ranges::sort(row.records);
  const auto doubled = std::ranges::unique(row.records);
  row.records.erase(doubled.begin(), doubled.end());
}

void set_interval(Row& row) {
  const RowInterval interval = row_interval(row.record);
  row.start = interval.start;
  if (interval.start && interval.end) row.duration_ns = *interval.end - std::min(*interval.start, *interval.end);
}

void append_nat(const Row& row, std::string& out) {
  const uint64_t nat = row.record.uint_or(Field::kNat, static_cast<uint64_t>(Nat::kUnknown));
  fmt::format_to(std::back_inserter(out), R"(,"nat":"{}","nat_reason":)", enum_name(Field::kNat, nat));
  if (row.record.has(Field::kNatReason)) {
    fmt::format_to(std::back_inserter(out), R"("{}")", enum_name(Field::kNatReason, row.record.uint(Field::kNatReason)));
  } else {
    out += "null";
  }
}

}  // namespace

std::string_view to_text(RowState state) {
  switch (state) {
    case RowState::kOpen: return "open";
    case RowState::kClosed: return "closed";
    case RowState::kFailed: return "failed";
    case RowState::kRecord: return "record";
  }
  return "record";
}

RowState row_state(Kind main) {
  return main == Kind::kClose ? RowState::kClosed : main == Kind::kFailed ? RowState::kFailed : RowState::kOpen;
}

bool is_joined_field(Field field) {
  return std::ranges::find(kJoinedFields, field) != kJoinedFields.end();
}

Record merged_record(Joins& joins, uint64_t index, const Record& main, bool with_leases) {
  Row row;
  row.id = index;
  row.record = main;
  if (const Indexed* acceptor = acceptor_of(joins, main); acceptor != nullptr) join_acceptor(*acceptor, row);
  join_process(joins, row);
  if (with_leases) {
    set_interval(row);
    join_lease(joins, row);
  }
  return std::move(row.record);
}

Row connection_row(Joins& joins, uint64_t index, const Record& main) {
  Row row;
  row.id = index;
  row.record = main;
  row.state = row_state(main.kind());
  row.records.push_back(index);
  set_interval(row);
  if (main.has(Field::kConn)) {
    const Id128 conn = main.id128(Field::kConn);
    for (const Indexed& one : joins.records_of(conn)) {
      row.records.push_back(one.index);
      if (one.record.kind() == Kind::kOpen && !row.start) row.start = one.record.time();
    }
  }
  if (const Indexed* acceptor = acceptor_of(joins, main); acceptor != nullptr) join_acceptor(*acceptor, row);
  join_process(joins, row);
  join_lease(joins, row);
  finish(row);
  return row;
}

Row record_row(Joins& joins, uint64_t index, const Record& record) {
  Row row;
  row.id = index;
  row.record = record;
  row.records.push_back(index);
  set_interval(row);
  if (record.kind() != Kind::kProcess) join_process(joins, row);
  finish(row);
  return row;
}

void append_json(const Row& row, std::string& out) {
  auto to = std::back_inserter(out);
  fmt::format_to(to, R"({{"id":{},"state":"{}","record":{{)", row.id, to_text(row.state));
  append_json_members(row.record, out);
  out += "},\"start\":";
  if (row.start) {
    fmt::format_to(to, R"("{}")", format_time(*row.start));
  } else {
    out += "null";
  }
  out += ",\"duration_ns\":";
  out += row.duration_ns ? std::to_string(*row.duration_ns) : "null";
  const auto endpoint = [&](std::string_view name, const std::optional<Endpoint>& value) {
    fmt::format_to(to, R"(,"{}":)", name);
    out += value ? '"' + to_text(*value) + '"' : std::string("null");
  };
  endpoint("internal", row.internal);
  endpoint("external", row.external);
  append_nat(row, out);
  fmt::format_to(to, ",\"records\":[{}]}}", fmt::join(row.records, ","));
}

}  // namespace portbook

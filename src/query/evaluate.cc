#include "query/evaluate.h"

#include <algorithm>
#include <array>

#include "query/keep_rows.h"
#include "store/narrow_columns.h"

namespace portbook {

namespace {

constexpr auto kProcessFields = std::to_array<Field>(
    {Field::kPpid, Field::kParentStart, Field::kComm, Field::kCmdline, Field::kCwd, Field::kUser, Field::kGid, Field::kLoginUid,
     Field::kLoginUser, Field::kAuditSession, Field::kCgroup, Field::kContainerName, Field::kPod, Field::kRedacted});

constexpr auto kNatFields =
    std::to_array<Field>({Field::kNat, Field::kSrcNatIp, Field::kSrcNatPort, Field::kDstNatIp, Field::kDstNatPort});

constexpr auto kOwnTexts = std::to_array<Field>({Field::kExe, Field::kHost, Field::kContainer, Field::kSource, Field::kSession,
                                                 Field::kTrace, Field::kPrincipal, Field::kMessage, Field::kApp, Field::kCause,
                                                 Field::kAction, Field::kAbout, Field::kInterface});

constexpr size_t kProcessesKnown = 1024;  // of which a slice of rows remembers the answer

bool in_any(const std::vector<NumberRange>& ranges, uint64_t value) {
  for (const NumberRange& range : ranges) {
    if (range.contains(value)) return true;
  }
  return false;
}
bool in_any(const std::vector<IpRange>& ranges, const Ip& ip) {
  for (const IpRange& range : ranges) {
    if (range.contains(ip)) return true;
  }
  return false;
}
bool in_any(const std::vector<TextPattern>& patterns, std::string_view text) {
  for (const TextPattern& pattern : patterns) {
    if (pattern.matches(text)) return true;
  }
  return false;
}

// What the NAT lease of a row is found by.
constexpr FieldSet kLeaseKeyFields = [] {
  FieldSet set = fields_of(kRowFields);
  set.add(fields_of(std::array{Field::kSrcIp, Field::kSrcPort, Field::kDstIp, Field::kDstPort, Field::kProto, Field::kHost}));
  set.add(fields_of(kNatFields));
  return set;
}();

// One row of columns with Record's names, so that one template serves both.
struct ColumnRow {
  const Columns& columns;
  uint32_t row;
  [[nodiscard]] bool has(Field f) const { return columns.has(row, f); }
  [[nodiscard]] uint64_t uint(Field f) const { return columns.uint(row, f); }
  [[nodiscard]] int64_t signed_value(Field f) const { return columns.signed_value(row, f); }
  [[nodiscard]] Ip ip(Field f) const { return columns.ip(row, f); }
  [[nodiscard]] Id128 id128(Field f) const { return columns.id128(row, f); }
  [[nodiscard]] std::string_view text(Field f) const { return columns.text(row, f); }
};

template <typename Source>
bool value_matches(const Test& test, const Source& source) {
  if (!source.has(test.field)) return false;
  if (test.any_value) return true;
  switch (info(test.field).type) {
    case FieldType::kUint:
    case FieldType::kTime:
    case FieldType::kDuration:
    case FieldType::kPort:
    case FieldType::kEnum: return in_any(test.numbers, source.uint(test.field));
    case FieldType::kSigned: return in_any(test.numbers, biased(source.signed_value(test.field)));
    case FieldType::kIp: return in_any(test.addresses, source.ip(test.field));
    case FieldType::kId128: return std::ranges::find(test.ids, source.id128(test.field)) != test.ids.end();
    case FieldType::kText:
    case FieldType::kCbor: return in_any(test.texts, source.text(test.field));
  }
  return false;
}

template <typename Source>
bool side_matches(const Test& test, const Source& source) {
  for (const auto& [ip, port] : kEndpointFields) {
    const bool ip_fits = source.has(ip) && (test.subject == Subject::kAnyPort || in_any(test.addresses, source.ip(ip)));
    const bool port_fits = source.has(port) && (test.subject == Subject::kAnyIp || in_any(test.numbers, source.uint(port)));
    if (test.subject == Subject::kAnyIp && ip_fits) return true;
    if (test.subject == Subject::kAnyPort && port_fits) return true;
    if (test.subject == Subject::kEndpoint && ip_fits && port_fits) return true;
  }
  return test.subject == Subject::kAnyIp && source.has(Field::kAddress) && in_any(test.addresses, source.ip(Field::kAddress));
}

template <typename Source>
RowInterval interval_of(const Source& source) {
  const auto time_if = [&](Field field) { return source.has(field) ? std::optional<TimeNs>(source.uint(field)) : std::nullopt; };
  RowInterval interval{time_if(Field::kStart), time_if(Field::kEnd)};
  switch (static_cast<Kind>(source.uint(Field::kKind))) {
    case Kind::kExisting: break;
    case Kind::kClose:
    case Kind::kNatClose:
      if (!interval.end) interval.end = time_if(Field::kTime);
      break;
    case Kind::kFailed:
      if (!interval.end) interval.end = time_if(Field::kTime);
      if (!interval.start) interval.start = interval.end;
      break;
    default:
      if (!interval.start) interval.start = time_if(Field::kTime);
      break;
  }
  return interval;
}

bool range_overlaps(const std::vector<NumberRange>& ranges, uint64_t low, uint64_t high) {
  return std::ranges::any_of(ranges, [&](const NumberRange& range) { return range.low <= high && range.high >= low; });
}

// Of kOpenAt and kDuration.
bool time_matches(const Test& test, const ColumnRow& row) {
  if (!row.has(Field::kTime)) return false;
  const RowInterval interval = interval_of(row);
  const TimeNs time = row.uint(Field::kTime);
  switch (test.subject) {
    case Subject::kOpenAt: return range_overlaps(test.numbers, interval.start.value_or(time), interval.end.value_or(UINT64_MAX));
    default:
      if (!interval.start || !interval.end) return false;
      return test.any_value || in_any(test.numbers, *interval.end - std::min(*interval.start, *interval.end));
  }
}

// Rows that are in `all` and not in `some`; both ascending.
std::vector<uint32_t> without(const std::vector<uint32_t>& all, const std::vector<uint32_t>& some) {
  std::vector<uint32_t> rest;
  std::ranges::set_difference(all, some, std::back_inserter(rest));
  return rest;
}

}  // namespace

bool own_value_matches(const Test& test, const Record& record) {
  return value_matches(test, record);
}

std::optional<bool> process_matches(const Test& test, Joins& joins, const ProcessId& process) {
  const std::vector<Indexed>* const records = joins.all_of_process(process);
  if (records == nullptr) return std::nullopt;
  if (records->empty()) return false;
  const bool first = value_matches(test, records->front().record);
  const auto agrees = [&](const Indexed& one) { return value_matches(test, one.record) == first; };
  return std::ranges::all_of(*records, agrees) ? std::optional(first) : std::nullopt;
}

bool is_owner_field(Field field) {
  return std::ranges::find(kOwnerFields, field) != kOwnerFields.end();
}

bool is_nat_field(Field field) {
  return std::ranges::find(kNatFields, field) != kNatFields.end();
}

bool is_process_field(Field field) {
  return std::ranges::find(kProcessFields, field) != kProcessFields.end();
}

const Indexed* acceptor_of(Joins& joins, const Record& record) {
  return has_unnamed_acceptor(record) ? joins.acceptor(record.id128(Field::kConn)) : nullptr;
}

bool may_have_acceptor(const Columns& columns, uint32_t row) {
  return has_unnamed_acceptor(ColumnRow{columns, row});
}

const Indexed* acceptor_of(Joins& joins, const Columns& columns, uint32_t row) {
  return has_unnamed_acceptor(ColumnRow{columns, row}) ? joins.acceptor(columns.id128(row, Field::kConn)) : nullptr;
}

RowInterval row_interval(const Record& record) {
  return interval_of(record);
}
RowInterval row_interval(const Columns& columns, uint32_t row) {
  return interval_of(ColumnRow{columns, row});
}

FieldSet Evaluator::wanted() const {
  FieldSet wanted = fields_of(kRowFields);
  add_wanted(filter_.root, wanted);
  return wanted;
}

void Evaluator::add_wanted(const FilterNode& node, FieldSet& wanted) const {
  for (const FilterNode& child : node.children) add_wanted(child, wanted);
  if (node.op != FilterNode::Op::kTest) return;
  switch (node.test.subject) {
    case Subject::kField: {
      const Field field = node.test.field;
      wanted.add(field);
      if (is_process_field(field) || is_owner_field(field)) wanted.add(fields_of(kProcessKeyFields));
      if (is_nat_field(field)) wanted.add(kLeaseKeyFields);
      break;
    }
    case Subject::kAnyIp:
    case Subject::kAnyPort:
    case Subject::kEndpoint:
      for (const auto& [ip, port] : kEndpointFields) wanted.add(fields_of(std::array{ip, port}));
      wanted.add(Field::kAddress);
      wanted.add(kLeaseKeyFields);
      break;
    case Subject::kAnyText:
      wanted.add(fields_of(kOwnTexts));
      wanted.add(fields_of(kProcessFields));
      wanted.add(fields_of(kProcessKeyFields));
      break;
    case Subject::kStart:
    case Subject::kOpenAt:
    case Subject::kDuration: break;
  }
}

void Evaluator::keep_matching(const Columns& columns, uint64_t first_index, std::vector<uint32_t>& rows) {
  columns_ = &columns;
  first_index_ = first_index;
  keep(filter_.root, rows);
}

void Evaluator::keep(const FilterNode& node, std::vector<uint32_t>& rows) {
  if (rows.empty()) return;
  switch (node.op) {
    case FilterNode::Op::kAll:
      // What a column tells comes first: fewer rows are left for those that need other records.
      for (const bool cheap : {true, false}) {
        for (const FilterNode& child : node.children) {
          if (stands_in_columns(child) == cheap) keep(child, rows);
        }
      }
      break;
    case FilterNode::Op::kNot: {
      std::vector<uint32_t> matching = rows;
      keep(node.children.front(), matching);
      rows = without(rows, matching);
      break;
    }
    case FilterNode::Op::kAny: {
      std::vector<uint32_t> kept;
      std::vector<uint32_t> rest = rows;
      for (const FilterNode& child : node.children) {
        std::vector<uint32_t> matching = rest;
        keep(child, matching);
        rest = without(rest, matching);
        kept.insert(kept.end(), matching.begin(), matching.end());
      }
      std::ranges::sort(kept);
      rows = std::move(kept);
      break;
    }
    case FilterNode::Op::kTest: keep_test(node.test, rows); break;
  }
}

void Evaluator::keep_test(const Test& test, std::vector<uint32_t>& rows) {
  const Columns& columns = *columns_;
  switch (test.subject) {
    case Subject::kField: {
      if (is_process_field(test.field)) {
        keep_process_values(test, rows);
      } else if (is_joined(test.field)) {
        std::erase_if(rows, [&](uint32_t row) { return !field_matches(test, row); });
      } else {
        keep_values(columns, test, rows);
      }
      break;
    }
    case Subject::kAnyIp:
    case Subject::kAnyPort:
    case Subject::kEndpoint: std::erase_if(rows, [&](uint32_t row) { return !any_side_matches(test, row); }); break;
    case Subject::kAnyText: std::erase_if(rows, [&](uint32_t row) { return !any_text_matches(test, row); }); break;
    case Subject::kStart: keep_started(columns, test, rows); break;
    case Subject::kOpenAt:
    case Subject::kDuration: std::erase_if(rows, [&](uint32_t row) { return !time_matches(test, ColumnRow{columns, row}); }); break;
  }
}

bool Evaluator::is_joined(Field field) const {
  return is_process_field(field) || (reading_ == Reading::kConnections && (is_owner_field(field) || is_nat_field(field)));
}

bool Evaluator::stands_in_columns(const FilterNode& node) const {
  if (node.op != FilterNode::Op::kTest)
    return std::ranges::all_of(node.children, [&](const FilterNode& c) { return stands_in_columns(c); });
  switch (node.test.subject) {
    case Subject::kField: return !is_joined(node.test.field);
    case Subject::kStart:
    case Subject::kOpenAt:
    case Subject::kDuration: return true;
    default: return false;
  }
}

const Indexed* Evaluator::acceptor_of(uint32_t row) {
  return reading_ == Reading::kConnections ? portbook::acceptor_of(joins_, *columns_, row) : nullptr;
}

std::optional<ProcessId> Evaluator::process_of(uint32_t row) {
  if (const Indexed* acceptor = acceptor_of(row); acceptor != nullptr && acceptor->record.has(Field::kPid)) {
    return ProcessId{acceptor->record.uint(Field::kPid), acceptor->record.uint_or(Field::kProcessStart, 0)};
  }
  const Columns& columns = *columns_;
  if (!columns.has(row, Field::kPid) || !columns.has(row, Field::kProcessStart)) return std::nullopt;
  return ProcessId{columns.uint(row, Field::kPid), columns.uint(row, Field::kProcessStart)};
}

const Indexed* Evaluator::process_record(uint32_t row) {
  const auto id = process_of(row);
  return id ? joins_.process(*id, first_index_ + row) : nullptr;
}

std::optional<Lease> Evaluator::lease_of_row(uint32_t row) {
  const Columns& columns = *columns_;
  if (reading_ != Reading::kConnections || columns.has(row, Field::kSrcNatIp) || !columns.has(row, Field::kSrcPort) ||
      !columns.has(row, Field::kDstIp) || !columns.has(row, Field::kDstPort)) {
    return std::nullopt;
  }
  Record record;
  columns.read(row, kLeaseKeyFields, record);
  return joins_.translation_of(record);
}

bool Evaluator::field_matches(const Test& test, uint32_t row) {
  const ColumnRow own{*columns_, row};
  if (is_owner_field(test.field)) {
    const Indexed* acceptor = acceptor_of(row);
    return acceptor != nullptr && acceptor->record.has(test.field) ? value_matches(test, acceptor->record)
                                                                   : value_matches(test, own);
  }
  if (is_process_field(test.field)) {
    if (own.has(test.field)) return value_matches(test, own);
    const Indexed* process = process_record(row);
    return process != nullptr && value_matches(test, process->record);
  }
  if (own.has(Field::kSrcNatIp) || own.has(Field::kDstNatIp)) return value_matches(test, own);
  const auto lease = lease_of_row(row);
  if (!lease) return value_matches(test, own);
  Record translated;
  translated.set(Field::kNat, Nat::kTranslated);
  if (lease->external) translated.set(Field::kSrcNatIp, Field::kSrcNatPort, *lease->external);
  if (lease->server) translated.set(Field::kDstNatIp, Field::kDstNatPort, *lease->server);
  return value_matches(test, translated);
}

void Evaluator::keep_process_values(const Test& test, std::vector<uint32_t>& rows) {
  const Columns& columns = *columns_;
  const HasField has_own(columns, test.field, rows);
  const HasField has_pid(columns, Field::kPid, rows);
  const HasField has_start(columns, Field::kProcessStart, rows);
  const HasField has_direction(columns, Field::kDirection, rows);
  const uint64_t* const pids = columns.storage().array<uint64_t>(Field::kPid);
  const uint64_t* const starts = columns.storage().array<uint64_t>(Field::kProcessStart);
  const uint16_t* const directions = columns.storage().array<uint16_t>(Field::kDirection);
  struct Known {
    ProcessId id;
    bool known = false;
    bool matches = false;
  };
  std::vector<Known> known(kProcessesKnown);
  std::erase_if(rows, [&](uint32_t row) {
    const bool inbound = has_direction(row) && directions[row] == static_cast<uint16_t>(Direction::kIn);
    const bool other = reading_ == Reading::kConnections && inbound && may_have_acceptor(columns, row);
    if (has_own(row) || other || !has_pid(row) || !has_start(row)) return !field_matches(test, row);
    const ProcessId id{pids[row], starts[row]};
    Known& one = known[((id.pid ^ id.start) * 0x9e3779b97f4a7c15U >> 32) % kProcessesKnown];
    if (one.known && one.id == id) return !one.matches;
    const std::optional<bool> matches = process_matches(test, joins_, id);
    if (!matches) return !field_matches(test, row);
    one = {id, true, *matches};
    return !one.matches;
  });
}

bool Evaluator::any_side_matches(const Test& test, uint32_t row) {
  if (side_matches(test, ColumnRow{*columns_, row})) return true;
  const auto lease = lease_of_row(row);
  if (!lease) return false;
  Record translated;
  if (lease->external) translated.set(Field::kSrcNatIp, Field::kSrcNatPort, *lease->external);
  if (lease->server) translated.set(Field::kDstNatIp, Field::kDstNatPort, *lease->server);
  return side_matches(test, translated);
}

bool Evaluator::any_text_matches(const Test& test, uint32_t row) {
  const ColumnRow own{*columns_, row};
  for (const Field field : kOwnTexts) {
    if (own.has(field) && in_any(test.texts, own.text(field))) return true;
  }
  const Indexed* process = process_record(row);
  for (const Field field : kProcessFields) {
    if (info(field).type != FieldType::kText) continue;
    if (own.has(field) && in_any(test.texts, own.text(field))) return true;
    if (process != nullptr && process->record.has(field) && in_any(test.texts, process->record.text(field))) return true;
  }
  const Indexed* acceptor = acceptor_of(row);
  return acceptor != nullptr && acceptor->record.has(Field::kExe) && in_any(test.texts, acceptor->record.text(Field::kExe));
}

}  // namespace portbook

#include "query/count.h"

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>

#include "base/check.h"
#include "record/json.h"

namespace portbook {

namespace {

constexpr auto kFacetFields = std::to_array<Field>(
    {Field::kExe, Field::kUser, Field::kLoginUser, Field::kDstPort, Field::kDstIp, Field::kSrcIp, Field::kDirection,
     Field::kOutcome, Field::kProto, Field::kNat, Field::kContainer, Field::kHost, Field::kKind, Field::kVantage, Field::kSource});

using Clock_ = std::chrono::steady_clock;

// Runs visit over the matching rows' merged records, newest first, until a limit is met; true when one was.
template <typename Visit>
Result<bool> each_record(Search& search, const CountLimits& limits, bool with_leases, uint64_t& rows, Visit visit) {
  constexpr auto kSlice = std::chrono::milliseconds(5);
  const auto stop_at = Clock_::now() + limits.time;
  Record record;
  while (rows < limits.rows) {
    const auto done = search.scan(kSlice, [&](const Columns& columns, uint32_t row, uint64_t index) {
      if (rows >= limits.rows) return;
      ++rows;
      columns.read(row, record);
      visit(merged_record(search.joins(), index, record, with_leases));
    });
    if (!done) return std::unexpected(done.error());
    if (*done) return rows >= limits.rows;
    if (Clock_::now() >= stop_at || limits.cancelled()) return true;
  }
  return true;
}

// Fields that only a NAT lease may know.
bool may_stand_in_a_lease(Field field) {
  return field == Field::kNat || field == Field::kSrcNatIp || field == Field::kSrcNatPort || field == Field::kDstNatIp ||
         field == Field::kDstNatPort;
}

using Counts = std::unordered_map<std::string, uint64_t>;

// Counts one value; false once there are too many different ones.
bool add(Counts& counts, std::string value, size_t distinct_max) {
  const auto known = counts.find(value);
  if (known != counts.end()) {
    ++known->second;
    return true;
  }
  if (counts.size() >= distinct_max) return false;
  counts.emplace(std::move(value), 1);
  return true;
}

std::vector<ValueCount> greatest(const Counts& counts, size_t limit) {
  std::vector<ValueCount> values;
  for (const auto& [value, count] : counts) values.push_back({value, count});
  std::ranges::sort(values, {}, [](const ValueCount& one) { return std::pair(~one.count, std::string_view(one.value)); });
  if (values.size() > limit) values.resize(limit);
  return values;
}

// A program is recognised by the last part of its path.
std::string facet_value(const Record& record, Field field) {
  std::string value = to_display(record, field);
  if (field == Field::kExe) value.erase(0, value.rfind('/') + 1);
  return value;
}

}  // namespace

Result<Histogram> histogram(const View& view, Filter filter, TimeNs from, TimeNs to, size_t buckets, const CountLimits& limits) {
  PB_CHECK(from < to && buckets > 0 && buckets <= kHistogramBucketsMax);
  Histogram result;
  result.from = from;
  result.bucket_ns = std::max<uint64_t>(1, (to - from + buckets - 1) / buckets);
  result.to = from + result.bucket_ns * buckets;
  result.counts.resize(buckets);
  result.failed.resize(buckets);
  FilterNode since;
  since.op = FilterNode::Op::kTest;
  since.test.subject = Subject::kStart;
  since.test.numbers.push_back({from, result.to - 1});
  FilterNode both;
  both.children.push_back(std::move(filter.root));
  both.children.push_back(std::move(since));
  filter.root = std::move(both);
  Search search(view, std::move(filter), std::nullopt);
  const auto stop_at = Clock_::now() + limits.time;
  while (!search.done()) {
    const auto done = search.scan(std::chrono::milliseconds(20), [&](const Columns& columns, uint32_t row, uint64_t) {
      const TimeNs start = row_interval(columns, row).start.value_or(columns.uint(row, Field::kTime));
      const size_t bucket = static_cast<size_t>((start - from) / result.bucket_ns);
      ++result.counts[bucket];
      ++result.rows;
      if (columns.uint(row, Field::kKind) == static_cast<uint64_t>(Kind::kFailed)) ++result.failed[bucket];
    });
    if (!done) return std::unexpected(done.error());
    if (!*done && (Clock_::now() >= stop_at || limits.cancelled())) {
      result.sampled = true;
      break;
    }
  }
  return result;
}

Result<Facets> facets(const View& view, Filter filter, const CountLimits& limits) {
  Facets result;
  std::array<Counts, kFacetFields.size()> counts;
  std::array<uint64_t, kFacetFields.size()> present{};
  std::array<bool, kFacetFields.size()> too_wide{};
  Search search(view, std::move(filter), std::nullopt);
  const auto cut = each_record(search, limits, false, result.rows, [&](const Record& record) {
    for (size_t i = 0; i < kFacetFields.size(); ++i) {
      if (!record.has(kFacetFields[i]) || too_wide[i]) continue;
      ++present[i];
      too_wide[i] = !add(counts[i], facet_value(record, kFacetFields[i]), limits.distinct);
    }
  });
  if (!cut) return std::unexpected(cut.error());
  result.sampled = *cut;
  for (size_t i = 0; i < kFacetFields.size(); ++i) {
    const size_t distinct = counts[i].size();
    const bool constant = distinct < 2 && present[i] == result.rows;
    const bool wide = too_wide[i] || (distinct > kFacetValuesMax && distinct * 2 > result.rows);
    if (distinct == 0 || constant || wide) continue;
    result.facets.push_back({kFacetFields[i], distinct, greatest(counts[i], kFacetValuesMax)});
  }
  return result;
}

Result<FieldValues> field_values(const View& view, Filter filter, Field field, std::string_view prefix, size_t limit,
                                 const CountLimits& limits) {
  FieldValues result;
  Counts counts;
  uint64_t rows = 0;
  bool too_wide = false;
  Search search(view, std::move(filter), std::nullopt);
  const auto cut = each_record(search, limits, may_stand_in_a_lease(field), rows, [&](const Record& record) {
    if (!record.has(field)) return;
    std::string value = facet_value(record, field);
    if (value.starts_with(prefix)) too_wide = !add(counts, std::move(value), limits.distinct) || too_wide;
  });
  if (!cut) return std::unexpected(cut.error());
  // Names that no row has yet can still be meant.
  for (const EnumName& name : enum_names(field)) {
    if (name.name.starts_with(prefix)) counts.try_emplace(std::string(name.name), 0);
  }
  result.sampled = *cut || too_wide;
  result.total = counts.size();
  result.values = greatest(counts, limit);
  return result;
}

Result<Groups> count_by(const View& view, Filter filter, const std::vector<Field>& fields, size_t limit, GroupOrder order,
                        const CountLimits& limits) {
  PB_CHECK(!fields.empty() && fields.size() <= kGroupFieldsMax);
  Groups result;
  std::map<std::vector<std::string>, Group> groups;
  bool too_wide = false;
  Search search(view, std::move(filter), std::nullopt);
  const bool with_leases = std::ranges::any_of(fields, may_stand_in_a_lease);
  const auto cut = each_record(search, limits, with_leases, result.rows, [&](const Record& record) {
    std::vector<std::string> values;
    for (const Field field : fields) values.push_back(record.has(field) ? to_display(record, field) : std::string());
    auto known = groups.find(values);
    if (known == groups.end()) {
      if (groups.size() >= limits.distinct) {
        too_wide = true;
        return;
      }
      known = groups.emplace(values, Group{values}).first;
    }
    Group& group = known->second;
    ++group.count;
    if (record.kind() == Kind::kFailed) ++group.failed;
    group.bytes_out += record.uint_or(Field::kBytesOut, 0);
    group.bytes_in += record.uint_or(Field::kBytesIn, 0);
  });
  if (!cut) return std::unexpected(cut.error());
  result.sampled = *cut || too_wide;
  result.total = groups.size();
  for (auto& [values, group] : groups) result.groups.push_back(std::move(group));
  std::ranges::sort(result.groups, {}, [order](const Group& one) {
    const uint64_t first = order == GroupOrder::kFailed     ? one.failed
                           : order == GroupOrder::kBytesOut ? one.bytes_out
                           : order == GroupOrder::kBytesIn  ? one.bytes_in
                                                            : one.count;
    return std::tuple(~first, ~one.count, one.values);
  });
  if (result.groups.size() > limit) result.groups.resize(limit);
  return result;
}

}  // namespace portbook

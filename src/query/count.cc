#include "query/count.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>

#include "base/check.h"
#include "query/keep_rows.h"
#include "query/row_values.h"
#include "query/scan_parts.h"

namespace portbook {

namespace {

constexpr auto kFacetFields = std::to_array<Field>(
    {Field::kExe, Field::kUser, Field::kLoginUser, Field::kDstPort, Field::kDstIp, Field::kSrcIp, Field::kDirection,
     Field::kOutcome, Field::kProto, Field::kNat, Field::kContainer, Field::kHost, Field::kKind, Field::kVantage, Field::kSource});

using Clock_ = std::chrono::steady_clock;

// Runs visit(columns, first, rows) over the matching rows, newest first, until a limit is met; true when one was.
template <typename Visit>
Result<bool> each_row(Search& search, const CountLimits& limits, uint64_t& rows, Visit visit) {
  constexpr auto kSlice = std::chrono::milliseconds(5);
  const auto stop_at = Clock_::now() + limits.time;
  if (Status prepared = search.prepare(Clock_::now() + limits.time / 2); !prepared) return std::unexpected(prepared.error());
  while (rows < limits.rows) {
    const auto done = search.scan(kSlice, [&](const Columns& columns, uint64_t first, std::span<const uint32_t> found) {
      const size_t taken = std::min<uint64_t>(found.size(), limits.rows - rows);
      rows += taken;
      visit(columns, first, found.last(taken));
    });
    if (!done) return std::unexpected(done.error());
    if (*done) return rows >= limits.rows;
    if (Clock_::now() >= stop_at || limits.cancelled()) return true;
  }
  return true;
}

// How often each number came by.
using Counts = std::vector<uint64_t>;
void add(Counts& counts, uint32_t id) {
  if (counts.size() <= id) counts.resize(id + 1);
  ++counts[id];
}
size_t distinct_of(const Counts& counts) {
  return static_cast<size_t>(std::ranges::count_if(counts, [](uint64_t count) { return count > 0; }));
}

std::vector<ValueCount> greatest(std::vector<ValueCount> values, size_t limit) {
  std::ranges::sort(values, {}, [](const ValueCount& one) { return std::pair(~one.count, std::string_view(one.value)); });
  if (values.size() > limit) values.resize(limit);
  return values;
}
std::vector<ValueCount> values_of(const Counts& counts, const ValueIds& ids) {
  std::vector<ValueCount> values;
  for (uint32_t id = 0; id < counts.size(); ++id) {
    if (counts[id] > 0) values.push_back({ids.value(id), counts[id]});
  }
  return values;
}

using GroupKey = std::array<uint32_t, kGroupFieldsMax>;
struct GroupKeyHash {
  size_t operator()(const GroupKey& key) const {
    uint64_t hash = 0;
    for (const uint32_t part : key) hash = (hash ^ part) * 0x9e3779b97f4a7c15U;
    return hash >> 16;
  }
};

// Calls visit(row) for those of the rows that failed. Kinds have ids always: there are few.
template <typename Visit>
void each_failed(const NarrowColumns& columns, std::span<const uint16_t> rows, Visit visit) {
  const NarrowColumn& kinds = columns.column(Field::kKind);
  const auto failed = std::ranges::find(kinds.values, static_cast<uint64_t>(Kind::kFailed));
  if (failed == kinds.values.end()) return;
  const auto id = static_cast<uint32_t>(failed - kinds.values.begin() + 1);
  for (const uint16_t row : rows) {
    if (kinds.id(row) == id) visit(row);
  }
}

// What rows of one value add up to.
struct ValueSums {
  uint64_t count = 0;
  uint64_t failed = 0;
  uint64_t bytes_out = 0;
  uint64_t bytes_in = 0;
};

// sums[ids[row]] += the row's number, 0 where it has none. `sum` is one of ValueSums.
template <uint64_t ValueSums::* sum, typename Ids>
void add_numbers(const NarrowColumn& numbers, std::span<const uint16_t> rows, const Ids* ids, std::vector<ValueSums>& sums) {
  const auto add_each = [&](auto number_of) {
    for (const uint16_t row : rows) sums[ids[row]].*sum += number_of(row);
  };
  const uint64_t below = numbers.least - 1;
  const auto add_numbers_of = [&](const auto* stored) {
    add_each([=](uint16_t row) { return stored[row] == 0 ? 0 : below + stored[row]; });
  };
  switch (numbers.form) {
    case NarrowColumn::Form::kNumbers32: add_numbers_of(numbers.numbers32.data()); break;
    case NarrowColumn::Form::kNumbers64: add_numbers_of(numbers.numbers64.data()); break;
    default:
      add_each([&](uint16_t row) {
        const uint32_t id = numbers.id(row);
        return id == 0 ? 0 : numbers.values[id - 1];
      });
      break;
  }
}

bool has_values(const NarrowColumns& columns, Field field) {
  return columns.column(field).form != NarrowColumn::Form::kNone;
}

struct HistogramPart {
  HistogramPart(const View& view, std::shared_ptr<const Filter> filter, const Histogram& empty)
      : search(view, std::move(filter), std::nullopt), counted(empty) {}

  void add(const Columns& columns, uint64_t, std::span<const uint32_t> rows) {
    for (const uint32_t row : rows) {
      const size_t bucket = bucket_of(row_began(columns, row));
      ++counted.counts[bucket];
      if (columns.uint(row, Field::kKind) == static_cast<uint64_t>(Kind::kFailed)) ++counted.failed[bucket];
    }
  }

  Result<bool> add_block(const BlockRef& ref, uint64_t& rows) {
    return search.scan_narrow(ref, {}, false, [&](const NarrowColumns& columns, std::span<const uint16_t> found) {
      rows += found.size();
      const uint64_t* const began = columns.beginnings->began.data();
      for (const uint16_t row : found) ++counted.counts[bucket_of(began[row])];
      each_failed(columns, found, [&](uint16_t row) { ++counted.failed[bucket_of(began[row])]; });
    });
  }

  Search search;
  Histogram counted;

 private:
  [[nodiscard]] size_t bucket_of(TimeNs began) const { return static_cast<size_t>((began - counted.from) / counted.bucket_ns); }
};

using GroupMap = std::map<std::vector<std::string>, Group>;

class GroupPart {
 public:
  GroupPart(const View& view, std::shared_ptr<const Filter> filter, const std::vector<Field>& fields, const CountLimits& limits)
      : search(view, std::move(filter), std::nullopt),
        values_(search.joins(), fields, false, std::ranges::any_of(fields, is_nat_field)),
        fields_(fields.size()),
        limits_(limits) {
    search.want(values_.wanted());
    search.want(fields_of(std::array{Field::kBytesOut, Field::kBytesIn}));
  }

  void add(const Columns& columns, uint64_t first, std::span<const uint32_t> rows) {
    std::array<std::span<const uint32_t>, kGroupFieldsMax> ids;
    for (size_t i = 0; i < fields_; ++i) ids[i] = values_.ids(i, columns, first, rows, limits_);
    const HasField has_out(columns, Field::kBytesOut, rows);
    const HasField has_in(columns, Field::kBytesIn, rows);
    for (size_t k = rows.size(); k-- > 0;) {
      const uint32_t row = rows[k];
      GroupKey key{};
      for (size_t i = 0; i < fields_; ++i) key[i] = ids[i][k] == RowValues::kAbsent ? ValueIds::kEmpty : ids[i][k];
      Group* const group = group_of(key);
      if (group == nullptr) {
        too_wide = true;
        continue;
      }
      ++group->count;
      if (columns.uint(row, Field::kKind) == static_cast<uint64_t>(Kind::kFailed)) ++group->failed;
      if (has_out(row)) group->bytes_out += columns.uint(row, Field::kBytesOut);
      if (has_in(row)) group->bytes_in += columns.uint(row, Field::kBytesIn);
    }
  }

  Result<bool> add_block(const BlockRef& ref, uint64_t& rows) {
    const Field field = values_.values(0).field();
    if (fields_ != 1 || is_process_field(field) || is_nat_field(field)) return false;
    bool counted = true;
    const auto whole =
        search.scan_narrow(ref, fields_of(std::array{field, Field::kBytesOut, Field::kBytesIn}), is_owner_field(field),
                           [&](const NarrowColumns& columns, std::span<const uint16_t> found) {
                             counted = columns.column(field).has_ids() && has_values(columns, Field::kBytesOut) &&
                                       has_values(columns, Field::kBytesIn);
                             if (!counted) return;
                             rows += found.size();
                             if (columns.column(field).form == NarrowColumn::Form::kIds8) {
                               add_narrow(columns, found, columns.column(field).ids8.data());
                             } else {
                               add_narrow(columns, found, columns.column(field).ids16.data());
                             }
                           });
    if (!whole) return whole;
    return *whole && counted;
  }

  // The field whose different values take too much memory; nothing: none.
  [[nodiscard]] std::optional<Field> full_field() const {
    for (size_t i = 0; i < fields_; ++i) {
      if (values_.values(i).bytes() >= limits_.value_bytes) return values_.values(i).field();
    }
    return std::nullopt;
  }

  // Adds what was counted to the groups of all parts, whose numbers of values differ. False when their values, which are written
  // out for each group, take more than `bytes_left`.
  bool add_to(GroupMap& all, size_t& bytes_left) const {
    for (const auto& [key, group] : groups_) {
      std::vector<std::string> values;
      size_t bytes = 0;
      for (size_t i = 0; i < fields_; ++i) bytes += values.emplace_back(values_.values(i).value(key[i])).size();
      if (bytes > bytes_left) return false;
      bytes_left -= bytes;
      Group& sum = all[std::move(values)];
      sum.count += group.count;
      sum.failed += group.failed;
      sum.bytes_out += group.bytes_out;
      sum.bytes_in += group.bytes_in;
    }
    return true;
  }

  Search search;
  bool too_wide = false;  // a group lacks, being one too many

 private:
  // `ids`: of the values of the one field by which rows are counted, for each of the block's rows.
  template <typename Ids>
  void add_narrow(const NarrowColumns& columns, std::span<const uint16_t> rows, const Ids* ids) {
    const NarrowColumn& values = columns.column(values_.values(0).field());
    sums_.assign(values.value_count() + 1, {});
    for (const uint16_t row : rows) ++sums_[ids[row]].count;
    each_failed(columns, rows, [&](uint16_t row) { ++sums_[ids[row]].failed; });
    add_numbers<&ValueSums::bytes_out>(columns.column(Field::kBytesOut), rows, ids, sums_);
    add_numbers<&ValueSums::bytes_in>(columns.column(Field::kBytesIn), rows, ids, sums_);
    for (size_t id = 0; id < sums_.size(); ++id) {
      const ValueSums& sum = sums_[id];
      if (sum.count == 0) continue;
      const uint32_t known = id == 0 ? ValueIds::kEmpty : values_.id_of(0, values, id - 1, values_.may_take(0, limits_));
      Group* const group = group_of({known});
      if (group == nullptr) {
        too_wide = true;
        continue;
      }
      group->count += sum.count;
      group->failed += sum.failed;
      group->bytes_out += sum.bytes_out;
      group->bytes_in += sum.bytes_in;
    }
  }
  // The group; null when it would be a new one too many.
  Group* group_of(const GroupKey& key) {
    if (fields_ == 1 && key[0] < by_id_.size() && by_id_[key[0]] != nullptr) return by_id_[key[0]];
    if (std::ranges::find(key, ValueIds::kRefused) != key.end()) return nullptr;
    const auto known = groups_.find(key);
    if (known != groups_.end()) return &known->second;
    if (groups_.size() >= limits_.distinct) return nullptr;
    Group* const made = &groups_.try_emplace(key).first->second;
    if (fields_ == 1) {
      by_id_.resize(std::max<size_t>(by_id_.size(), key[0] + size_t{1}));
      by_id_[key[0]] = made;
    }
    return made;
  }

  RowValues values_;
  const size_t fields_;
  const CountLimits& limits_;
  std::unordered_map<GroupKey, Group, GroupKeyHash> groups_;
  std::vector<Group*> by_id_;    // of one field's value, its group
  std::vector<ValueSums> sums_;  // of the block under way, by its ids
};

std::string too_much(std::string_view what, size_t bytes) {
  return fmt::format("{} take more than {} MiB: narrow the filter or its time, or ask for another field", what, bytes >> 20);
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
  const auto shared = std::make_shared<const Filter>(std::move(filter));
  CountLimits by_time = limits;
  by_time.rows = UINT64_MAX;
  std::vector<std::unique_ptr<HistogramPart>> parts;
  for (size_t i = scan_parts(view, by_time); i-- > 0;) parts.push_back(std::make_unique<HistogramPart>(view, shared, result));
  const auto scanned = scan_in_parts<HistogramPart>(view, parts, by_time);
  if (!scanned) return std::unexpected(scanned.error());
  result.rows = scanned->rows;
  result.sampled = scanned->cut;
  for (const auto& part : parts) {
    for (size_t i = 0; i < buckets; ++i) {
      result.counts[i] += part->counted.counts[i];
      result.failed[i] += part->counted.failed[i];
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
  RowValues values(search.joins(), kFacetFields, true, false);
  search.want(values.wanted());
  const auto cut =
      each_row(search, limits, result.rows, [&](const Columns& columns, uint64_t first, std::span<const uint32_t> rows) {
        for (size_t i = 0; i < kFacetFields.size(); ++i) {
          if (too_wide[i]) continue;
          for (const uint32_t id : values.ids(i, columns, first, rows, limits)) {
            if (id == RowValues::kAbsent) continue;
            ++present[i];
            too_wide[i] = too_wide[i] || id == ValueIds::kRefused;
            if (!too_wide[i]) add(counts[i], id);
          }
        }
      });
  if (!cut) return std::unexpected(cut.error());
  result.sampled = *cut;
  for (size_t i = 0; i < kFacetFields.size(); ++i) {
    const size_t distinct = distinct_of(counts[i]);
    const bool constant = distinct < 2 && present[i] == result.rows;
    const bool wide = too_wide[i] || (distinct > kFacetValuesMax && distinct * 2 > result.rows);
    if (distinct == 0 || constant || wide) continue;
    result.facets.push_back({kFacetFields[i], distinct, greatest(values_of(counts[i], values.values(i)), kFacetValuesMax)});
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
  RowValues row_values(search.joins(), std::array{field}, true, is_nat_field(field), prefix);
  search.want(row_values.wanted());
  const ValueIds& ids = row_values.values(0);
  const auto cut = each_row(search, limits, rows, [&](const Columns& columns, uint64_t first, std::span<const uint32_t> found) {
    for (const uint32_t id : row_values.ids(0, columns, first, found, limits)) {
      if (id == RowValues::kAbsent || id == ValueIds::kOther) continue;
      if (id == ValueIds::kRefused) {
        too_wide = true;
      } else {
        add(counts, id);
      }
    }
  });
  if (!cut) return std::unexpected(cut.error());
  std::vector<ValueCount> values = values_of(counts, ids);
  // Names that no row has yet can still be meant.
  for (const EnumName& name : enum_names(field)) {
    if (name.name.starts_with(prefix) && std::ranges::find(values, name.name, &ValueCount::value) == values.end())
      values.push_back({std::string(name.name), 0});
  }
  result.sampled = *cut || too_wide;
  result.total = values.size();
  result.values = greatest(std::move(values), limit);
  return result;
}

Result<Groups> count_by(const View& view, Filter filter, const std::vector<Field>& fields, size_t limit, GroupOrder order,
                        const CountLimits& limits) {
  PB_CHECK(!fields.empty() && fields.size() <= kGroupFieldsMax);
  const auto shared = std::make_shared<const Filter>(std::move(filter));
  std::vector<std::unique_ptr<GroupPart>> parts;
  for (size_t i = scan_parts(view, limits); i-- > 0;) parts.push_back(std::make_unique<GroupPart>(view, shared, fields, limits));
  const auto scanned = scan_in_parts<GroupPart>(view, parts, limits);
  if (!scanned) return std::unexpected(scanned.error());
  Groups result;
  result.rows = scanned->rows;
  result.sampled = scanned->cut;
  GroupMap all;
  size_t bytes_left = limits.group_bytes;
  for (const auto& part : parts) {
    if (const auto field = part->full_field())
      return fail(ErrorCode::kLimit, too_much(fmt::format("The values of {}", info(*field).name), limits.value_bytes));
    result.sampled = result.sampled || part->too_wide;
    if (!part->add_to(all, bytes_left)) return fail(ErrorCode::kLimit, too_much("The values of the groups", limits.group_bytes));
  }
  for (auto& [values, group] : all) {
    if (result.groups.size() >= limits.distinct) {
      result.sampled = true;
      break;
    }
    group.values = values;
    result.groups.push_back(std::move(group));
  }
  result.total = result.groups.size();
  std::ranges::sort(result.groups, {}, [order](const Group& one) {
    const uint64_t first = order == GroupOrder::kFailed     ? one.failed
                           : order == GroupOrder::kBytesOut ? one.bytes_out
                           : order == GroupOrder::kBytesIn  ? one.bytes_in
                                                            : one.count;
    return std::tuple(~first, ~one.count, one.values);
  });
  for (size_t i = limit; i < result.groups.size(); ++i) {
    const Group& one = result.groups[i];
    result.others.count += one.count;
    result.others.failed += one.failed;
    result.others.bytes_out += one.bytes_out;
    result.others.bytes_in += one.bytes_in;
  }
  if (result.groups.size() > limit) result.groups.resize(limit);
  return result;
}

}  // namespace portbook

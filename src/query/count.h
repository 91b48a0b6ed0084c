// Counts over the rows that match a filter: histogram, facets, values of one field, groups. Each stops at a time limit and says so.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "query/search.h"

namespace portbook {

struct CountLimits {
  std::chrono::milliseconds time{2000};
  uint64_t rows = 200'000;        // matching rows looked at
  size_t distinct = 20'000;       // different values kept per field
  size_t value_bytes = 16 << 20;  // of the different values of one field, in each of the threads; the last one may end above it
  size_t group_bytes = 64 << 20;  // of the values that groups are written with
  std::function<bool()> cancelled = [] { return false; };
};

struct ValueCount {
  std::string value;  // as people write it
  uint64_t count = 0;
};

struct Histogram {
  TimeNs from = 0;
  TimeNs to = 0;
  uint64_t bucket_ns = 1;
  std::vector<uint64_t> counts;  // rows that began in each bucket
  std::vector<uint64_t> failed;  // those of them that failed
  uint64_t rows = 0;
  bool sampled = false;  // a limit cut it: only the newest rows were counted
};
inline constexpr size_t kHistogramBucketsMax = 1000;
// Needs from < to and 1 to kHistogramBucketsMax buckets, or it aborts.
Result<Histogram> histogram(const View& view, Filter filter, TimeNs from, TimeNs to, size_t buckets, const CountLimits& limits);

struct Facet {
  Field field = Field::kKind;
  size_t distinct = 0;
  std::vector<ValueCount> values;  // greatest count first, at most kFacetValuesMax
};
struct Facets {
  std::vector<Facet> facets;  // without fields that have one value everywhere, or nearly as many as rows
  uint64_t rows = 0;
  bool sampled = false;
};
inline constexpr size_t kFacetValuesMax = 12;
Result<Facets> facets(const View& view, Filter filter, const CountLimits& limits);

struct FieldValues {
  std::vector<ValueCount> values;  // those that begin with the prefix, greatest count first
  size_t total = 0;                // how many there are
  bool sampled = false;
};
Result<FieldValues> field_values(const View& view, Filter filter, Field field, std::string_view prefix, size_t limit,
                                 const CountLimits& limits);

struct Group {
  std::vector<std::string> values;  // one for each field asked; empty where the row has none
  uint64_t count = 0;
  uint64_t failed = 0;
  uint64_t bytes_out = 0;
  uint64_t bytes_in = 0;
};
struct Groups {
  std::vector<Group> groups;  // in the order asked for
  size_t total = 0;           // how many there are
  Group others;               // what those beyond the limit add up to; no values
  uint64_t rows = 0;
  bool sampled = false;
};
enum class GroupOrder : uint8_t { kCount, kFailed, kBytesOut, kBytesIn };  // the greatest first
inline constexpr size_t kGroupFieldsMax = 4;
// Errors: kLimit (the different values of a field, or those of the groups, take too much memory); kIo, kCorrupt.
Result<Groups> count_by(const View& view, Filter filter, const std::vector<Field>& fields, size_t limit, GroupOrder order,
                        const CountLimits& limits);

}  // namespace portbook

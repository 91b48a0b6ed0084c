// Counting and filtering by column against the plain way: every record read whole, every value written out.
#include "query/count.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "query/keep_rows.h"
#include "query/narrow_filter.h"
#include "query/plain_view_test.h"
#include "record/json.h"
#include "record/random_record.h"

namespace portbook {
namespace {

bool plain_in(const std::vector<NumberRange>& ranges, uint64_t value) {
  return std::ranges::any_of(ranges, [&](const NumberRange& range) { return value >= range.low && value <= range.high; });
}

// What docs/query.md says of a test of one field, over a whole record.
bool plain_matches(const portbook::Test& test, const Record& record) {
  if (!record.has(test.field)) return false;
  if (test.any_value) return true;
  switch (info(test.field).type) {
    case FieldType::kIp:
      return std::ranges::any_of(test.addresses, [&](const IpRange& range) { return range.contains(record.ip(test.field)); });
    case FieldType::kId128: return std::ranges::find(test.ids, record.id128(test.field)) != test.ids.end();
    case FieldType::kText:
    case FieldType::kCbor:
      return std::ranges::any_of(test.texts, [&](const TextPattern& one) { return one.matches(record.text(test.field)); });
    case FieldType::kSigned: return plain_in(test.numbers, biased(record.signed_value(test.field)));
    default: return plain_in(test.numbers, record.uint(test.field));
  }
}

// A test of `field` that the record passes, with another record's value as an alternative or a range's end.
portbook::Test test_of(Field field, const Record& one, const Record& other, RandomRecords& random) {
  portbook::Test test;
  test.field = field;
  test.any_value = random.below(8) == 0;
  const bool range = random.below(2) == 0;
  const auto add_numbers = [&](uint64_t a, uint64_t b) {
    if (range) {
      test.numbers.push_back({std::min(a, b), std::max(a, b)});
    } else {
      test.numbers = {{a, a}, {b, b}};
    }
  };
  switch (info(field).type) {
    case FieldType::kIp:
      if (range) {
        test.addresses.push_back({std::min(one.ip(field), other.ip(field)), std::max(one.ip(field), other.ip(field))});
      } else {
        test.addresses.push_back({one.ip(field), one.ip(field)});
      }
      break;
    case FieldType::kId128: test.ids = {one.id128(field)}; break;
    case FieldType::kText:
    case FieldType::kCbor: {
      TextPattern pattern;
      pattern.how = range ? TextPattern::How::kEqual : TextPattern::How::kContains;
      pattern.text = range ? std::string(one.text(field)) : std::string(one.text(field).substr(0, 1));
      test.texts.push_back(std::move(pattern));
      break;
    }
    case FieldType::kSigned: add_numbers(biased(one.signed_value(field)), biased(other.signed_value(field))); break;
    default: add_numbers(one.uint(field), other.uint(field)); break;
  }
  return test;
}

TEST(KeepRows, KeepsWhatTheRecordsSay) {
  RandomRecords random(11);
  for (int round = 0; round < 20; ++round) {
    Columns columns;
    std::vector<Record> records(60);
    for (Record& record : records) {
      random.next(record, 4);
      columns.append(record);
      if (random.below(3) == 0) columns.append(record);  // equal texts share their place
    }
    columns.publish();
    for (const FieldInfo& about : kFields) {
      std::vector<const Record*> with;
      for (const Record& record : records) {
        if (record.has(about.field)) with.push_back(&record);
      }
      if (with.empty()) continue;
      const portbook::Test test = test_of(about.field, *with[random.below(with.size())], *with[random.below(with.size())], random);
      std::vector<uint32_t> rows;
      std::vector<uint32_t> expected;
      Record record;
      for (uint32_t row = 0; row < columns.rows(); ++row) {
        if (random.below(4) == 0) continue;
        rows.push_back(row);
        columns.read(row, record);
        if (plain_matches(test, record)) expected.push_back(row);
      }
      keep_values(columns, test, rows);
      EXPECT_EQ(rows, expected) << about.name;
    }
  }
}

TEST(KeepRows, ABeginningIsWhatTheIntervalSays) {
  RandomRecords random(5);
  Columns columns;
  for (uint64_t kind = 1; kind <= static_cast<uint64_t>(Kind::kAdmin); ++kind) {
    for (int i = 0; i < 40; ++i) {
      Record record;
      random.next(record, 5);
      record.set(Field::kKind, kind);
      record.set(Field::kTime, random.below(1000));
      columns.append(record);
    }
  }
  columns.publish();
  for (uint32_t row = 0; row < columns.rows(); ++row) {
    EXPECT_EQ(row_began(columns, row), row_interval(columns, row).start.value_or(columns.uint(row, Field::kTime))) << row;
  }
}

// A small estate in which everything that counting joins occurs: acceptors, processes that run another program later, leases, and
// records of which any field may lack.
std::vector<Record> estate(uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t end) { return random() % end; };
  std::vector<Record> records;
  for (uint64_t i = 0; i < 300; ++i) {
    Record& record = records.emplace_back();
    record.set(Field::kTime, 1000 + i * 10 + below(30));
    record.set(Field::kSource, "a/socket");
    record.set(Field::kSourceSeq, i + 1);
    if (below(4) != 0) record.set(Field::kHost, below(2) == 0 ? "web-1" : "");
    if (below(4) != 0) record.set(Field::kPid, 1 + below(20));  // more processes than are asked for singly
    if (below(4) != 0) record.set(Field::kProcessStart, below(2));
    if (below(4) != 0) record.set(Field::kUid, below(3));
    if (below(3) != 0) record.set(Field::kExe, std::array{"/usr/bin/a", "/usr/bin/b", "/sbin/a", "/x\xff", "a"}[below(5)]);
    Id128 conn{};
    conn[15] = static_cast<Byte>(below(60));
    if (below(5) != 0) record.set(Field::kConn, conn);
    const uint64_t what = below(10);
    record.set(Field::kKind, what == 0   ? Kind::kProcess
                             : what == 1 ? Kind::kUsedBy
                             : what == 2 ? Kind::kNatOpen
                             : what == 3 ? Kind::kFailed
                             : what == 4 ? Kind::kExisting
                             : what < 7  ? Kind::kOpen
                                         : Kind::kClose);
    if (what == 0) {
      record.set(Field::kUser, below(2) == 0 ? "alice" : "bob");
      if (below(2) == 0) record.set(Field::kContainerName, "c1");
      continue;
    }
    if (what == 1) {
      if (below(2) == 0) record.set(Field::kRole, Role::kAcceptor);
      continue;
    }
    record.set(Field::kProto, below(2) == 0 ? Proto::kTcp : Proto::kUdp);
    record.set(Field::kSrcIp, Field::kSrcPort, {Ip::v4(0x0a000001), static_cast<uint16_t>(1000 + below(20))});
    record.set(Field::kDstIp, Field::kDstPort, {Ip::v4(0x0a000100 + static_cast<uint32_t>(below(3))), 443});
    if (what == 2) {
      record.set(Field::kSrcNatIp, Field::kSrcNatPort, {Ip::v4(0xcb007101), static_cast<uint16_t>(2000 + below(3))});
      continue;
    }
    if (below(2) == 0) record.set(Field::kDirection, Direction::kIn);
    if (below(4) == 0) record.set(Field::kRole, below(2) == 0 ? Role::kListener : Role::kAcceptor);
    if (below(6) == 0) record.set(Field::kUser, "carol");
    if (below(3) != 0) record.set(Field::kBytesOut, below(5000));
    if (below(3) != 0) record.set(Field::kBytesIn, below(5000));
    if (below(3) == 0) record.set(Field::kStart, 900 + below(1000));
  }
  return records;
}

constexpr const char* kFilters[] = {"",
                                    "records:all",
                                    "user:alice",
                                    "user:(alice or bob) -direction:in",
                                    "-direction:in (container.name:c1 or user:carol)",
                                    "records:all user:alice bytes_out:>100",
                                    "not user:(alice or carol) bytes_out:>100",
                                    "exe:a",
                                    "exe:*/a or uid:2",
                                    "dst.port:443 -direction:in bytes_in:<4000",
                                    "records:all kind:(process or used_by) pid:1..12",
                                    "host:*",
                                    "src.ip:10.0.0.0/8 proto:tcp dst.ip:10.0.1.1..10.0.1.2",
                                    "nat:translated",
                                    "port:2001 or container.name:c1",
                                    "records:all kind:close -dst.port:80 exe:*/a",
                                    "records:all not (proto:tcp or bytes_out:>1000) bytes_in:*",
                                    "dst.ip:10.0.1.1 or bytes_out:<700",
                                    "kind:(close or failed) -(src.port:1000..1010 proto:udp)"};

Filter filter_of(std::string_view text) {
  auto filter = parse_filter(text, 0);
  EXPECT_TRUE(filter.has_value()) << text;
  return std::move(*filter);
}

// Calls visit(record) for each matching row, merged.
template <typename Visit>
void plain_rows(const View& view, std::string_view filter, bool with_leases, Visit visit) {
  Search search(view, filter_of(filter), std::nullopt);
  Record record;
  const auto done =
      search.scan(std::chrono::minutes(1), [&](const Columns& columns, uint64_t first, std::span<const uint32_t> rows) {
        for (const uint32_t row : rows) {
          columns.read(row, record);
          visit(merged_record(search.joins(), first + row, record, with_leases));
        }
      });
  ASSERT_TRUE(done.has_value() && *done);
}

class Counting : public testing::TestWithParam<uint64_t> {};

TEST_P(Counting, GroupsAreThoseOfTheWholeRecords) {
  const View view = view_of(estate(GetParam()), std::make_shared<ConnectionRows>());
  const std::vector<std::vector<Field>> by = {{Field::kExe},
                                              {Field::kUser},
                                              {Field::kDstIp, Field::kProto},
                                              {Field::kSrcNatPort, Field::kNat},
                                              {Field::kHost, Field::kPid, Field::kUid, Field::kContainerName},
                                              {Field::kConn},
                                              {Field::kBytesOut, Field::kOutcome}};
  for (const char* const text : kFilters) {
    for (const std::vector<Field>& fields : by) {
      std::map<std::vector<std::string>, std::array<uint64_t, 4>> expected;
      plain_rows(view, text, true, [&](const Record& record) {
        std::vector<std::string> values;
        for (const Field field : fields) values.push_back(record.has(field) ? to_display(record, field) : "");
        auto& sums = expected[values];
        ++sums[0];
        sums[1] += record.kind() == Kind::kFailed ? 1 : 0;
        sums[2] += record.uint_or(Field::kBytesOut, 0);
        sums[3] += record.uint_or(Field::kBytesIn, 0);
      });
      const auto groups = count_by(view, filter_of(text), fields, 10'000, GroupOrder::kBytesOut, {});
      ASSERT_TRUE(groups.has_value());
      EXPECT_FALSE(groups->sampled);
      EXPECT_EQ(groups->total, expected.size()) << text;
      std::map<std::vector<std::string>, std::array<uint64_t, 4>> found;
      for (const Group& one : groups->groups) found[one.values] = {one.count, one.failed, one.bytes_out, one.bytes_in};
      EXPECT_EQ(found, expected) << text << " by " << info(fields.front()).name;
      EXPECT_TRUE(std::ranges::is_sorted(groups->groups, std::ranges::greater(), &Group::bytes_out));
    }
  }
}

TEST_P(Counting, ValuesAndFacetsAreThoseOfTheWholeRecords) {
  const View view = view_of(estate(GetParam()));
  for (const char* const text : kFilters) {
    for (const Field field : {Field::kExe, Field::kUser, Field::kHost, Field::kDstIp, Field::kPid}) {
      std::map<std::string, uint64_t> expected;
      uint64_t with_field = 0;
      plain_rows(view, text, false, [&](const Record& record) {
        if (!record.has(field)) return;
        ++with_field;
        std::string value = to_display(record, field);
        if (field == Field::kExe) value.erase(0, value.rfind('/') + 1);
        ++expected[value];
      });
      const auto same = [&](const std::vector<ValueCount>& values, std::string_view prefix) {
        std::map<std::string, uint64_t> found;
        for (const ValueCount& one : values) found[one.value] = one.count;
        std::map<std::string, uint64_t> wanted = expected;
        std::erase_if(wanted, [&](const auto& one) { return !one.first.starts_with(prefix); });
        EXPECT_EQ(found, wanted) << text << " " << info(field).name;
      };
      for (const std::string_view prefix : {"", "a", "10.0.1.1"}) {
        const auto values = field_values(view, filter_of(text), field, prefix, 1000, {});
        ASSERT_TRUE(values.has_value());
        same(values->values, prefix);
      }
      const auto found = facets(view, filter_of(text), {});
      ASSERT_TRUE(found.has_value());
      const auto facet = std::ranges::find(found->facets, field, &Facet::field);
      if (facet != found->facets.end()) {
        same(facet->values, "");
      } else if (field == Field::kExe || field == Field::kUser) {
        EXPECT_TRUE(expected.empty() || (expected.size() == 1 && with_field == found->rows)) << text;
      }
    }
  }
}

TEST_P(Counting, AHistogramHasEveryRowInItsBucket) {
  const View view = view_of(estate(GetParam()), std::make_shared<ConnectionRows>());
  for (const char* const text : kFilters) {
    std::vector<uint64_t> expected(50);
    plain_rows(view, text, false, [&](const Record& record) {
      const TimeNs began = row_interval(record).start.value_or(record.time());
      if (began >= 1000 && began < 4000) ++expected[(began - 1000) / 60];
    });
    const auto found = histogram(view, filter_of(text), 1000, 4000, 50, {});
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->counts, expected) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Counting, testing::Values(1, 2, 3));

// Narrow columns against the rows they were made of, by each way in which they may stand.
TEST(NarrowColumns, KeepEveryValue) {
  RandomRecords random(23);
  Columns columns;
  Record record;
  for (uint32_t row = 0; row < 5000; ++row) {
    random.next(record, 3);
    record.set(Field::kTime, random.below(1000));
    record.set(Field::kBytesOut, random.below(1'000'000));                                               // too many for ids
    if (row % 2 == 0 || record.has(Field::kEnd)) record.set(Field::kEnd, random.below(UINT64_MAX / 2));  // and far apart
    columns.append(record);
  }
  columns.publish();
  const auto narrow = with_columns(nullptr, columns, columns.rows(), kEveryField);
  std::set<NarrowColumn::Form> forms;
  for (const FieldInfo& about : kFields) {
    const NarrowColumn& column = narrow->column(about.field);
    forms.insert(column.form);
    for (uint32_t row = 0; row < columns.rows() && column.form != NarrowColumn::Form::kNone; ++row) {
      if (!column.has_ids()) {
        const uint64_t number = column.number(row);
        ASSERT_EQ(number != 0, columns.has(row, about.field)) << about.name;
        if (number != 0) ASSERT_EQ(column.value_of(number), columns.uint(row, about.field)) << about.name;
        continue;
      }
      ASSERT_EQ(column.id(row) != 0, columns.has(row, about.field)) << about.name;
      if (column.id(row) == 0) continue;
      Record found;
      Record expected;
      column.set_value(about.field, column.id(row) - 1, found);
      columns.read(row, fields_of(std::array{about.field}), expected);
      ASSERT_EQ(found, expected) << about.name;
    }
  }
  EXPECT_TRUE(forms.contains(NarrowColumn::Form::kIds8) && forms.contains(NarrowColumn::Form::kIds16) &&
              forms.contains(NarrowColumn::Form::kNumbers32) && forms.contains(NarrowColumn::Form::kNumbers64));
}

TEST(NarrowColumns, HaveNoNumberLeftForRowsThatLackAnyOfAll) {
  Columns columns;
  Record record;
  for (uint64_t row = 0; row < 5000; ++row) {
    record.set(Field::kKind, Kind::kClose);
    record.set(Field::kTime, row);
    record.set(Field::kBytesOut, row < 4999 ? row : UINT64_MAX);
    columns.append(record);
  }
  columns.publish();
  EXPECT_EQ(narrow_column(columns, Field::kBytesOut, 5000).form, NarrowColumn::Form::kNone);
  EXPECT_EQ(narrow_column(columns, Field::kBytesOut, 4999).form, NarrowColumn::Form::kNumbers32);
}

// Filters that narrow columns can answer find the same rows in narrow columns as in whole ones.
TEST(NarrowFilter, FindsTheRowsThatTheFilterFinds) {
  RandomRecords random(31);
  for (int round = 0; round < 30; ++round) {
    std::vector<Record> records(40);
    Columns columns;
    for (Record& record : records) {
      random.next(record, 3);
      if (random.below(10) != 0) record.set(Field::kTime, random.below(1000));
      record.set(Field::kKind, 1 + random.below(6));
      columns.append(record);
    }
    columns.publish();
    Joins joins((View()));
    for (const FieldInfo& about : kFields) {
      std::vector<const Record*> with;
      for (const Record& record : records) {
        if (record.has(about.field)) with.push_back(&record);
      }
      if (with.empty() || is_process_field(about.field)) continue;
      const auto any = [&]() -> const Record& { return *with[random.below(with.size())]; };
      Filter filter;
      FilterNode& root = filter.root;
      root.op = std::array{FilterNode::Op::kAll, FilterNode::Op::kAny, FilterNode::Op::kNot}[random.below(3)];
      for (int i = root.op == FilterNode::Op::kNot ? 1 : 2; i > 0; --i) {
        FilterNode test;
        test.op = FilterNode::Op::kTest;
        test.test = test_of(about.field, any(), any(), random);
        if (random.below(3) == 0) {
          test.test = {};
          test.test.subject = Subject::kStart;
          const uint64_t low = random.below(1000);
          test.test.numbers.push_back({low, low + random.below(500)});
        }
        root.children.push_back(std::move(test));
      }
      Evaluator plain(filter, joins, Reading::kRecords);
      std::vector<uint32_t> expected(records.size());
      for (uint32_t row = 0; row < expected.size(); ++row) expected[row] = row;
      plain.keep_matching(columns, 0, expected);
      auto narrow_filter = NarrowFilter::of(filter, Reading::kRecords, joins);
      ASSERT_TRUE(narrow_filter.has_value());
      const auto narrow = with_columns(nullptr, columns, columns.rows(), narrow_filter->wanted());
      std::vector<uint16_t> rows;
      ASSERT_TRUE(narrow_filter->keep_matching(*narrow, nullptr, false, rows));
      EXPECT_TRUE(std::ranges::equal(rows, expected)) << about.name << " " << round;
    }
  }
}

TEST(CountLimits, ACancelledCountSaysThatItIsNotWhole) {
  const View view = view_of(estate(4), std::make_shared<ConnectionRows>());
  CountLimits limits;
  limits.rows = UINT64_MAX;
  limits.cancelled = [] { return true; };
  for (const char* const text : kFilters) {
    const auto groups = count_by(view, filter_of(text), {Field::kExe}, 100, GroupOrder::kCount, limits);
    ASSERT_TRUE(groups.has_value());
    EXPECT_TRUE(groups->sampled) << text;
    const auto buckets = histogram(view, filter_of(text), 0, 5000, 10, limits);
    ASSERT_TRUE(buckets.has_value());
    EXPECT_TRUE(buckets->sampled) << text;
  }
}

TEST(CountLimits, WithoutTimeNothingIsCounted) {
  const View view = view_of(estate(4), std::make_shared<ConnectionRows>());
  CountLimits limits;
  limits.time = std::chrono::milliseconds(0);
  limits.rows = UINT64_MAX;
  const auto groups = count_by(view, filter_of("records:all"), {Field::kExe}, 100, GroupOrder::kCount, limits);
  ASSERT_TRUE(groups.has_value());
  EXPECT_TRUE(groups->sampled);
  EXPECT_EQ(groups->rows, 0U);
}

TEST(CountLimits, ASmallNumberOfGroupsIsKeptAndSaid) {
  const View view = view_of(estate(4));
  CountLimits limits;
  limits.distinct = 3;
  const auto groups = count_by(view, filter_of("records:all"), {Field::kPid, Field::kExe}, 100, GroupOrder::kCount, limits);
  ASSERT_TRUE(groups.has_value());
  EXPECT_TRUE(groups->sampled);
  EXPECT_EQ(groups->total, 3U);
  EXPECT_EQ(groups->rows, 300U);
}

TEST(CountLimits, AfterSoManyRowsItEnds) {
  const View view = view_of(estate(4));
  CountLimits limits;
  limits.rows = 7;
  const auto few = count_by(view, filter_of("records:all"), {Field::kPid}, 100, GroupOrder::kCount, limits);
  ASSERT_TRUE(few.has_value());
  EXPECT_TRUE(few->sampled);
  EXPECT_EQ(few->rows, 7U);
}

// `count` connections, each of a program of its own whose path is about a thousand bytes long.
std::vector<Record> long_paths(size_t count) {
  std::vector<Record> records(count);
  for (size_t i = 0; i < count; ++i) {
    records[i].set(Field::kKind, Kind::kOpen);
    records[i].set(Field::kTime, 1000 + i);
    records[i].set(Field::kDstPort, i % 10);
    records[i].set(Field::kExe, "/" + std::string(1000, 'x') + std::to_string(i));
  }
  return records;
}

TEST(CountLimits, ValuesThatTakeTooMuchMemoryAreAnErrorThatSaysSo) {
  constexpr size_t kMiB = 1 << 20;
  const View view = view_of(long_paths(2 * kMiB / 1000 + 1));  // of two threads one has too many
  CountLimits limits;
  limits.value_bytes = kMiB;
  const auto groups = count_by(view, filter_of(""), {Field::kExe}, 10, GroupOrder::kCount, limits);
  ASSERT_FALSE(groups.has_value());
  EXPECT_EQ(groups.error().code, ErrorCode::kLimit);
  EXPECT_EQ(groups.error().message,
            "The values of exe take more than 1 MiB: narrow the filter or its time, or ask for another field");
  // Others of the same rows are counted, and what is left out is said.
  EXPECT_TRUE(count_by(view, filter_of(""), {Field::kDstPort}, 10, GroupOrder::kCount, limits).has_value());
  const auto values = field_values(view, filter_of(""), Field::kExe, "", 5, limits);
  ASSERT_TRUE(values.has_value());
  EXPECT_TRUE(values->sampled);
  EXPECT_LT(values->total, 1100U);
  const auto found = facets(view, filter_of(""), limits);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->facets.size(), 1U);  // the port's
}

TEST(CountLimits, GroupsWhoseValuesTakeTooMuchMemoryAreAnError) {
  // One value of the one field, but many pairs, each with its thousand bytes.
  std::vector<Record> records = long_paths(1100);
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].set(Field::kExe, "/" + std::string(1000, 'x'));
    records[i].set(Field::kSrcPort, i);
  }
  const View view = view_of(records);
  CountLimits limits;
  limits.group_bytes = 1 << 20;
  const auto groups = count_by(view, filter_of(""), {Field::kExe, Field::kSrcPort}, 10, GroupOrder::kCount, limits);
  ASSERT_FALSE(groups.has_value());
  EXPECT_EQ(groups.error().code, ErrorCode::kLimit);
  EXPECT_TRUE(groups.error().message.starts_with("The values of the groups take more than 1 MiB"));
}

}  // namespace
}  // namespace portbook

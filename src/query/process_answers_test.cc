#include "query/process_answers.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "query/evaluate.h"
#include "query/plain_view_test.h"

namespace portbook {
namespace {

constexpr uint64_t kPids = 12;
constexpr uint64_t kStarts = 3;

// Process records of which several may be of one process, and agree or not, among others.
std::vector<Record> records_of(uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t end) { return random() % end; };
  std::vector<Record> records;
  for (uint64_t i = 0; i < 100; ++i) {
    Record& record = records.emplace_back();
    record.set(Field::kKind, below(3) == 0 ? Kind::kOpen : Kind::kProcess);
    record.set(Field::kTime, 1000 + i);
    if (below(10) != 0) record.set(Field::kPid, below(kPids));
    if (below(10) != 0) record.set(Field::kProcessStart, below(kStarts));
    if (below(4) != 0) record.set(Field::kUser, below(3) == 0 ? "alice" : "bob");
    if (below(4) != 0) record.set(Field::kPpid, below(3));
  }
  return records;
}

ProcessAnswer plain_answer(const std::vector<Record>& records, const portbook::Test& test, const ProcessId& process) {
  size_t passing = 0;
  size_t all = 0;
  for (const Record& record : records) {
    if (record.kind() != Kind::kProcess || !record.has(Field::kPid) || !record.has(Field::kProcessStart)) continue;
    if (record.uint(Field::kPid) != process.pid || record.uint(Field::kProcessStart) != process.start) continue;
    ++all;
    passing += own_value_matches(test, record) ? 1 : 0;
  }
  return passing == 0 ? ProcessAnswer::kNo : passing == all ? ProcessAnswer::kYes : ProcessAnswer::kDepends;
}

portbook::Test user_test(std::string_view name) {
  portbook::Test test;
  test.field = Field::kUser;
  TextPattern pattern;
  pattern.how = TextPattern::How::kEqual;
  pattern.text = std::string(name);
  test.texts.push_back(std::move(pattern));
  return test;
}

portbook::Test parent_test(uint64_t low, uint64_t high) {
  portbook::Test test;
  test.field = Field::kPpid;
  test.numbers.push_back({low, high});
  return test;
}

TEST(ProcessAnswers, AreThoseOfEachProcessByItself) {
  std::set<ProcessAnswer> given;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<Record> records = records_of(seed);
    const View view = view_of(records);
    Joins joins(view);
    for (const portbook::Test& test : {user_test("alice"), user_test("nobody"), parent_test(1, 2)}) {
      const auto all = ProcessAnswers::of(view, test);
      ASSERT_TRUE(all.has_value() && all->has_value());
      for (uint64_t pid = 0; pid <= kPids; ++pid) {
        for (TimeNs start = 0; start < kStarts; ++start) {
          const ProcessId process{pid, start};
          const ProcessAnswer expected = plain_answer(records, test, process);
          given.insert(expected);
          EXPECT_EQ((*all)->answer(process), expected) << pid << " " << start;
          const std::optional<bool> singly = process_matches(test, joins, process);
          EXPECT_EQ(singly, expected == ProcessAnswer::kDepends ? std::nullopt : std::optional(expected == ProcessAnswer::kYes));
        }
      }
    }
  }
  EXPECT_EQ(given.size(), 3U);
}

TEST(ProcessAnswers, AreNotRememberedForMoreProcessesThanTheLimit) {
  const View view = view_of(records_of(1));
  portbook::Test any = user_test("");
  any.any_value = true;
  EXPECT_FALSE(ProcessAnswers::of(view, any, 5)->has_value());
  EXPECT_TRUE(ProcessAnswers::of(view, any, 100)->has_value());
}

}  // namespace
}  // namespace portbook

// Up to when an answer may call itself complete: what a source's agent says that it has told.
#include "query/coverage.h"

#include <gtest/gtest.h>

#include "query/plain_view_test.h"

namespace portbook {
namespace {

constexpr TimeNs kBegin = 1'795'000'000'000'000'000;
const Ip kIp = Ip::v4(std::array<Byte, 4>{10, 0, 0, 1}.data());

TimeNs at(uint64_t ms) {
  return kBegin + ms * kNsPerMs;
}

Record record(Kind kind, std::string_view source, TimeNs time) {
  Record one;
  one.set(Field::kKind, kind);
  one.set(Field::kTime, time);
  one.set(Field::kVantage, Vantage::kBook);
  one.set(Field::kHost, "web-7");
  one.set(Field::kSource, source);
  return one;
}

// A host that captures its sockets and leases since `kBegin`, and its agent delivers.
struct World {
  World() {
    Record address = record(Kind::kAddress, "web-7/address", kBegin);
    address.set(Field::kAddress, kIp);
    address.set(Field::kState, static_cast<uint64_t>(AddressState::kUp));
    records = {address, record(Kind::kSourceStart, "web-7/nat", kBegin), record(Kind::kSourceStart, "web-7/socket", kBegin)};
    absences.agents["web-7"] = std::nullopt;
  }
  CompletenessAnswer ask(TimeNs moment, TimeNs now, uint64_t error = 0) {
    EXPECT_TRUE(coverage.refresh(view_of(records)).has_value());
    coverage.note_absences(absences);
    return coverage.at(kIp, moment, moment + error, now, error);
  }
  std::vector<Record> records;
  Absences absences;
  Coverage coverage;
};

TEST(Coverage, a_moment_is_complete_once_every_source_has_told_it) {
  World world;
  world.absences.told = {{"web-7/socket", at(500)}, {"web-7/nat", at(400)}};
  EXPECT_EQ(world.ask(at(400), at(500)).state, Completeness::kComplete) << "no fixed time has to pass";
  const auto later = world.ask(at(450), at(5000));
  EXPECT_EQ(later.state, Completeness::kIncomplete) << "nor does it help that time passed";
  EXPECT_TRUE(later.young);
  EXPECT_TRUE(later.sentence.contains("web-7/nat has told everything up to")) << later.sentence;
  world.absences.told["web-7/nat"] = at(600);
  EXPECT_EQ(world.ask(at(450), at(5000)).state, Completeness::kComplete);
}

TEST(Coverage, the_clock_s_error_moves_question_and_present_alike) {
  World world;
  world.absences.told = {{"web-7/socket", at(500)}, {"web-7/nat", at(500)}};
  EXPECT_EQ(world.ask(at(500), at(510), 300 * kNsPerMs).state, Completeness::kComplete);
  EXPECT_EQ(world.ask(at(501), at(510), 300 * kNsPerMs).state, Completeness::kIncomplete);
}

TEST(Coverage, a_source_whose_agent_says_nothing_is_waited_for) {
  World world;
  const auto young = world.ask(at(500), at(599));
  EXPECT_EQ(young.state, Completeness::kIncomplete);
  EXPECT_TRUE(young.young);
  EXPECT_EQ(world.ask(at(500), at(600)).state, Completeness::kComplete);
}

TEST(Coverage, what_lies_ahead_is_worth_waiting_for_only_if_it_is_near) {
  World world;
  world.absences.told = {{"web-7/socket", at(500)}, {"web-7/nat", at(500)}};
  EXPECT_TRUE(world.ask(at(510), at(500)).young);
  EXPECT_FALSE(world.ask(at(60'000), at(500)).young);
}

TEST(Coverage, a_source_that_stopped_has_told_everything) {
  World world;
  world.absences.told = {{"web-7/socket", at(450)}, {"web-7/nat", at(450)}};
  world.records.push_back(record(Kind::kSourceStop, "web-7/nat", at(500)));
  world.records.push_back(record(Kind::kSourceStop, "web-7/socket", at(500)));
  EXPECT_EQ(world.ask(at(490), at(5000)).state, Completeness::kComplete);
  const auto after = world.ask(at(510), at(5000));
  EXPECT_EQ(after.state, Completeness::kIncomplete);
  EXPECT_FALSE(after.young) << "nothing will come";
}

TEST(Coverage, an_agent_that_went_away_is_missing_from_what_each_source_told_last) {
  World world;
  world.absences.agents["web-7"] = at(300);
  world.absences.told = {{"web-7/socket", at(500)}, {"web-7/nat", at(600)}};
  EXPECT_EQ(world.ask(at(499), at(9000)).state, Completeness::kComplete);
  const auto after = world.ask(at(501), at(9000));
  EXPECT_EQ(after.state, Completeness::kIncomplete);
  EXPECT_FALSE(after.young);
  ASSERT_EQ(after.missing.size(), 1u);
  EXPECT_EQ(after.missing[0].source, "web-7/socket");
  EXPECT_EQ(after.missing[0].gap.from, at(500));
}

TEST(Coverage, a_span_up_to_the_present_is_whole_unless_a_source_is_late) {
  World world;
  world.absences.told = {{"web-7/socket", at(4900)}, {"web-7/nat", at(4800)}};
  (void)world.ask(at(400), at(5000));
  EXPECT_EQ(world.coverage.over(at(100), at(5000)).state, Completeness::kComplete);
  world.absences.told["web-7/nat"] = at(2000);
  (void)world.ask(at(400), at(5000));
  const auto late = world.coverage.over(at(100), at(5000));
  EXPECT_EQ(late.state, Completeness::kIncomplete);
  EXPECT_TRUE(late.sentence.contains("web-7/nat has told everything up to")) << late.sentence;
  EXPECT_EQ(world.coverage.over(at(100), at(2100)).state, Completeness::kComplete);
}

TEST(Coverage, the_time_before_capture_began_is_missing_where_it_was_asked_about) {
  World world;
  world.absences.told = {{"web-7/socket", at(4900)}, {"web-7/nat", at(4900)}};
  (void)world.ask(at(400), at(5000));
  const auto partly = world.coverage.over(kBegin - 1000, at(1000));
  EXPECT_EQ(partly.state, Completeness::kIncomplete);
  EXPECT_TRUE(partly.sentence.starts_with("Incomplete before ")) << partly.sentence;
  ASSERT_EQ(partly.missing.size(), 2u);
  EXPECT_EQ(partly.missing[0].gap.to, kBegin);
  for (const TimeNs from : {TimeNs{0}, kBegin - 2000}) {
    const auto before = world.coverage.over(from, kBegin - 1000);
    EXPECT_EQ(before.state, Completeness::kNotCovered) << from;
    EXPECT_TRUE(before.sentence.contains("Capture began at ")) << before.sentence;
  }
  EXPECT_EQ(world.coverage.over(0, at(1000)).state, Completeness::kComplete) << "since capture began: the sentence says when";
}

TEST(Coverage, a_gap_that_was_over_before_a_stop_does_not_hide_it) {
  World world;
  Record gap = record(Kind::kGap, "web-7/socket", at(2000));
  gap.set(Field::kStart, at(1000));
  gap.set(Field::kEnd, at(2000));
  gap.set(Field::kCause, "ring full");
  world.records.push_back(gap);
  for (const std::string_view source : {"web-7/nat", "web-7/socket"})
    world.records.push_back(record(Kind::kSourceStop, source, at(3000)));
  const auto after = world.ask(at(3500), at(9000));
  EXPECT_EQ(after.state, Completeness::kIncomplete);
  EXPECT_EQ(after.missing.size(), 2u) << "both sources stopped";
  const auto stopped = world.coverage.break_after("web-7", at(2500), at(9000));
  ASSERT_TRUE(stopped.has_value());
  EXPECT_EQ(stopped->from, at(3000));
}

TEST(Coverage, a_gap_that_no_record_says_names_none) {
  World world;
  world.absences.agents["web-7"] = at(300);
  const auto after = world.ask(at(501), at(9000));
  ASSERT_FALSE(after.missing.empty());
  EXPECT_EQ(after.missing[0].gap.record, std::nullopt);
}

TEST(Coverage, a_question_about_one_host_does_not_miss_what_another_lost) {
  World world;
  for (const std::string_view source : {"gw-1/socket", "gw-1/nat"}) {
    for (const Kind kind : {Kind::kSourceStart, Kind::kGap}) {
      Record one = record(kind, source, at(1000));
      one.set(Field::kHost, "gw-1");
      if (kind == Kind::kGap) one.set(Field::kStart, at(900));
      world.records.push_back(one);
    }
  }
  (void)world.ask(at(400), at(5000));
  EXPECT_EQ(world.coverage.over(0, at(5000)).missing.size(), 2u);
  EXPECT_EQ(world.coverage.over(0, at(5000), AskedHosts{.hosts = {"web-7"}}).state, Completeness::kComplete);
  EXPECT_EQ(world.coverage.over(0, at(5000), AskedHosts{.hosts = {"gw-1"}}).missing.size(), 2u);
  const auto translations = world.coverage.over(0, at(5000), AskedHosts{.hosts = {"web-7"}, .translations = true});
  ASSERT_EQ(translations.missing.size(), 1u) << "web-7's translations are told by gw-1, its sockets are not";
  EXPECT_EQ(translations.missing[0].source, "gw-1/nat");
  EXPECT_EQ(world.coverage.over(0, at(5000), AskedHosts{}).state, Completeness::kNotCovered);
}

}  // namespace
}  // namespace portbook

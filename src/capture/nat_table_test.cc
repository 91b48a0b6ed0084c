#include "capture/nat_table.h"

#include <gtest/gtest.h>

#include <array>

namespace portbook {
namespace {

constexpr uint32_t kNetns = 4026531840;

Endpoint end(const char* ip, uint16_t port) {
  return {*parse_ip(ip), port};
}
const NatQuestion kQuestion{kNetns, Proto::kUdp, Direction::kOut, end("10.0.0.1", 51420), end("10.0.0.2", 53), 1'000};
const Tracked kTracked{{kQuestion.local, kQuestion.remote}, {kQuestion.remote, end("203.0.113.5", 41234)}, Proto::kUdp};
const Tracked kOther{{end("10.0.0.9", 1), kQuestion.remote}, {kQuestion.remote, end("10.0.0.9", 1)}, Proto::kUdp};

TEST(NatTable, says_nothing_before_all_that_was_told_by_then_is_read) {
  for (const auto& [coverage, reason] : {std::pair(NatTable::Coverage::kNoConntrack, NatReason::kNoConntrack),
                                         std::pair(NatTable::Coverage::kWatched, NatReason::kNoEntry)}) {
    NatTable nat;
    nat.set_coverage(kNetns, coverage);
    nat.read_until(999);
    EXPECT_FALSE(nat.ask(kQuestion, false));
    EXPECT_EQ(nat.ask(kQuestion, true)->reason, NatReason::kNotCovered) << "nobody has looked for it";
    nat.read_until(1'000);
    EXPECT_EQ(nat.ask(kQuestion, false)->reason, reason);
  }
}

TEST(NatTable, an_entry_of_an_earlier_connection_between_the_same_ends_is_no_answer) {
  NatTable nat;
  nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  nat.add(kNetns, kTracked);
  nat.read_until(999);
  EXPECT_FALSE(nat.ask(kQuestion, false));
  EXPECT_EQ(nat.ask(kQuestion, true)->nat, Nat::kUnknown);
  Tracked anew = kTracked;
  anew.reply.dst.port = 41235;
  nat.remove(kNetns, kTracked);
  nat.add(kNetns, anew);
  nat.read_until(1'000);
  EXPECT_EQ(nat.ask(kQuestion, false)->tracked.reply.dst.port, 41235);
}

TEST(NatTable, waits_while_a_namespace_is_read_for_the_first_time) {
  NatTable nat;
  nat.read_until(2'000);
  EXPECT_FALSE(nat.ask(kQuestion, false)) << "nobody watches it yet";
  nat.set_coverage(kNetns, NatTable::Coverage::kStarting);
  nat.add(kNetns, kOther);
  EXPECT_FALSE(nat.ask(kQuestion, false)) << "one entry does not make the list whole";
  nat.add(kNetns, kTracked);
  EXPECT_EQ(nat.ask(kQuestion, false)->tracked.reply.dst.port, 41234);
}

TEST(NatTable, a_namespace_that_is_behind_keeps_nobody_else_waiting) {
  NatTable nat;
  nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  nat.read_until(500);
  for (const uint64_t pass : {1'000, 2'000}) {
    nat.read_until(pass, std::array{kNetns});
    EXPECT_FALSE(nat.ask(kQuestion, false));
    NatQuestion other = kQuestion;
    other.netns = kNetns + 1;
    nat.set_coverage(other.netns, NatTable::Coverage::kWatched);
    EXPECT_TRUE(nat.ask(other, false));
  }
  nat.read_until(3'000);
  EXPECT_EQ(nat.ask(kQuestion, false)->reason, NatReason::kNoEntry);
}

TEST(NatTable, a_gap_lasts_until_it_is_ended) {
  NatTable nat;
  nat.set_coverage(kNetns, NatTable::Coverage::kGap);
  nat.read_until(2'000);
  nat.add(kNetns, kOther);
  EXPECT_FALSE(nat.ask(kQuestion, false));
  EXPECT_EQ(nat.ask(kQuestion, true)->reason, NatReason::kGap);
  nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  EXPECT_EQ(nat.ask(kQuestion, false)->reason, NatReason::kNoEntry);
}

TEST(NatTable, a_namespace_that_nobody_watches_is_noticed_once) {
  NatTable nat;
  EXPECT_FALSE(nat.has_unknown());
  nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  nat.notice(kNetns, 1'000);
  EXPECT_FALSE(nat.has_unknown());
  NatQuestion elsewhere = kQuestion;
  elsewhere.netns = kNetns + 1;
  EXPECT_FALSE(nat.ask(elsewhere, false));
  nat.notice(kNetns + 1, 2'000);
  EXPECT_TRUE(nat.has_unknown());
  EXPECT_EQ(nat.take_unknown(), (std::map<uint32_t, uint64_t>{{kNetns + 1, 1'000}}));
  nat.told_until(kNetns + 1, 5'000);
  nat.notice(kNetns + 1, 5'000);
  EXPECT_FALSE(nat.has_unknown()) << "told of as a gap";
  nat.notice(kNetns + 1, 5'001);
  EXPECT_TRUE(nat.has_unknown()) << "another namespace may have its number now";
}

TEST(NatTable, what_may_not_be_watched_is_said_at_once) {
  NatTable nat;
  nat.set_coverage(kNetns, NatTable::Coverage::kNotPermitted);
  EXPECT_EQ(nat.ask(kQuestion, false)->reason, NatReason::kNotPermitted);
}

}  // namespace
}  // namespace portbook

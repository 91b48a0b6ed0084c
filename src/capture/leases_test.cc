#include "capture/leases.h"

#include <gtest/gtest.h>

#include "capture/fake_world_test.h"

namespace portbook {
namespace {

constexpr uint32_t kNetns = 4026532177;
constexpr TimeNs kNow = StandingClock::kOffset + 200 * kNsPerSecond;

Endpoint end(const char* ip, uint16_t port) {
  return {*parse_ip(ip), port};
}

const Endpoint kInside = end("10.8.3.17", 51420);
const Endpoint kOutside = end("203.0.113.5", 41234);
const Endpoint kPeer = end("198.51.100.9", 443);
const Endpoint kReal = end("10.9.0.2", 8443);

ConntrackMessage masqueraded() {
  ConntrackMessage message;
  message.id = 77;
  message.tracked = {{kInside, kPeer}, {kPeer, kOutside}};
  message.start = kNow - 5;
  message.event = kNow - 1;
  return message;
}

struct LeaseWorld : World {
  LeaseWorld() { nat.set_coverage(kNetns, NatTable::Coverage::kNoConntrack); }
  NatTable nat;
  Leases leases{0x1122334455667788, kNetns, nat, boot_clock, emit};
};

std::string text(const Record& record, Field ip, Field port) {
  const auto endpoint = record.endpoint(ip, port);
  return endpoint ? to_text(*endpoint) : "";
}

TEST(Leases, a_start_that_the_kernel_tells_only_at_the_end_is_not_claimed_before) {
  LeaseWorld world;
  ConntrackMessage message = masqueraded();
  message.start = message.event = 0;
  world.leases.apply(message, kNow);
  message.ended = true;
  message.start = kNow - 9;
  world.leases.apply(message, kNow + 200);
  ASSERT_EQ(world.records.size(), 2u);
  EXPECT_EQ(world.records[0].time(), kNow);
  EXPECT_FALSE(world.records[0].has(Field::kStart));
  EXPECT_TRUE(world.records[0].has(Field::kCause));
  EXPECT_EQ(world.records[1].uint(Field::kStart), kNow - 9);
  EXPECT_EQ(world.records[0].id128(Field::kConn), world.records[1].id128(Field::kConn));
}

TEST(Leases, a_start_that_the_kernel_never_tells_stays_unknown) {
  LeaseWorld world;
  ConntrackMessage message = masqueraded();
  message.start = message.event = 0;
  world.leases.apply(message, kNow);
  message.ended = true;
  world.leases.apply(message, kNow + 200);
  ASSERT_EQ(world.records.size(), 2u);
  EXPECT_FALSE(world.records[1].has(Field::kStart));
}

TEST(Leases, a_translation_is_one_lease_from_its_start_to_its_end) {
  LeaseWorld world;
  world.leases.apply(masqueraded(), kNow);
  ConntrackMessage ended = masqueraded();
  ended.ended = true;
  ended.event = kNow + 100;
  ended.original = ConntrackCounters{4, 221};
  world.leases.apply(ended, kNow + 200);
  ASSERT_EQ(world.records.size(), 2u);
  const Record& open = world.records[0];
  const Record& close = world.records[1];
  EXPECT_EQ(open.kind(), Kind::kNatOpen);
  EXPECT_EQ(open.time(), kNow - 5);
  EXPECT_EQ(text(open, Field::kSrcIp, Field::kSrcPort), "10.8.3.17:51420");
  EXPECT_EQ(text(open, Field::kSrcNatIp, Field::kSrcNatPort), "203.0.113.5:41234");
  EXPECT_EQ(text(open, Field::kDstIp, Field::kDstPort), "198.51.100.9:443");
  EXPECT_FALSE(open.has(Field::kDstNatIp));
  EXPECT_EQ(close.kind(), Kind::kNatClose);
  EXPECT_EQ(close.id128(Field::kConn), open.id128(Field::kConn));
  EXPECT_EQ(close.uint(Field::kStart), kNow - 5);
  EXPECT_EQ(close.uint(Field::kEnd), kNow + 100);
  EXPECT_EQ(close.uint(Field::kBytesOut), 221u);
}

TEST(Leases, a_destination_translation_names_the_real_server) {
  LeaseWorld world;
  ConntrackMessage message = masqueraded();
  message.tracked = {{kPeer, kOutside}, {kReal, kPeer}};
  message.zone = 9;
  world.leases.apply(message, kNow);
  ASSERT_EQ(world.records.size(), 1u);
  EXPECT_FALSE(world.records[0].has(Field::kSrcNatIp));
  EXPECT_EQ(text(world.records[0], Field::kDstNatIp, Field::kDstNatPort), "10.9.0.2:8443");
  EXPECT_EQ(world.records[0].uint(Field::kZone), 9u);
  // The accepting socket stands behind the translation, and finds it by the reply.
  const auto answer = world.nat.ask({kNetns, Proto::kTcp, Direction::kIn, kReal, kPeer}, true);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->nat, Nat::kTranslated);
}

TEST(Leases, an_untranslated_entry_only_answers_sockets) {
  LeaseWorld world;
  ConntrackMessage message = masqueraded();
  message.tracked = {{kInside, kPeer}, {kPeer, kInside}};
  world.leases.apply(message, kNow);
  EXPECT_TRUE(world.records.empty());
  EXPECT_EQ(world.nat.ask({kNetns, Proto::kTcp, Direction::kOut, kInside, kPeer}, true)->nat, Nat::kNone);
  EXPECT_EQ(world.nat.ask({kNetns + 1, Proto::kTcp, Direction::kOut, kInside, kPeer}, true)->reason, NatReason::kNotCovered);
  message.ended = true;
  world.leases.apply(message, kNow);
  EXPECT_EQ(world.nat.ask({kNetns, Proto::kTcp, Direction::kOut, kInside, kPeer}, true)->reason, NatReason::kNoEntry);
}

TEST(Leases, a_dump_ends_what_is_gone_and_keeps_what_came_meanwhile) {
  LeaseWorld world;
  world.leases.apply(masqueraded(), kNow);
  world.leases.begin_dump(false, kNow);
  ConntrackMessage other = masqueraded();
  other.id = 78;
  other.tracked.original.src.port = 51421;
  world.leases.apply(other, kNow);
  world.leases.end_dump(kNow + 50, "lost");
  ASSERT_EQ(world.of(Kind::kNatClose).size(), 1u);
  const Record& close = *world.of(Kind::kNatClose)[0];
  EXPECT_EQ(close.uint(Field::kSrcPort), 51420u);
  EXPECT_EQ(close.text(Field::kCause), "lost; it was there at " + format_time(kNow - 5)) << "no list had it, only its own event";
  EXPECT_FALSE(close.has(Field::kEnd));
  EXPECT_EQ(world.leases.entries(), 1u);
}

TEST(Leases, what_the_first_dump_shows_was_there_before) {
  LeaseWorld world;
  world.leases.begin_dump(true, kNow);
  ConntrackMessage message = masqueraded();
  message.start = message.event = 0;
  world.leases.apply_dumped(message, kNow);
  world.leases.end_dump(kNow, "lost");
  ASSERT_EQ(world.records.size(), 1u);
  EXPECT_EQ(world.records[0].kind(), Kind::kExisting);
  EXPECT_FALSE(world.records[0].has(Field::kStart));
  world.leases.begin_dump(false, kNow);
  world.leases.apply_dumped(message, kNow);
  world.leases.end_dump(kNow, "lost");
  EXPECT_EQ(world.records.size(), 1u);
}

TEST(Leases, an_end_that_was_not_seen_lies_after_the_last_list_that_had_the_entry) {
  LeaseWorld world;
  world.leases.apply(masqueraded(), kNow);
  world.leases.begin_dump(false, kNow + 1'000);
  world.leases.apply_dumped(masqueraded(), kNow + 1'100);
  world.leases.end_dump(kNow + 1'200, "lost");
  world.leases.begin_dump(false, kNow + 2'000);
  world.leases.end_dump(kNow + 2'200, "lost");
  ASSERT_EQ(world.of(Kind::kNatClose).size(), 1u);
  const Record& close = *world.of(Kind::kNatClose)[0];
  EXPECT_EQ(close.time(), kNow + 2'200) << "not later than the record";
  EXPECT_EQ(close.text(Field::kCause), "lost; it was there at " + format_time(kNow + 1'000));
}

TEST(Leases, end_with_their_namespace) {
  LeaseWorld world;
  world.leases.apply(masqueraded(), kNow);
  world.leases.end_all(kNow, "gone");
  EXPECT_EQ(world.of(Kind::kNatClose).size(), 1u);
  EXPECT_EQ(world.nat.ask({kNetns, Proto::kTcp, Direction::kOut, kInside, kPeer}, true)->reason, NatReason::kNotCovered);
}

TEST(Leases, tcp_and_udp_between_the_same_ends_are_two) {
  LeaseWorld world;
  ConntrackMessage message = masqueraded();
  world.leases.apply(message, kNow);
  message.tracked.proto = Proto::kUdp;
  message.tracked.reply.dst.port = 5000;
  world.leases.apply(message, kNow);
  ASSERT_EQ(world.records.size(), 2u);
  EXPECT_EQ(world.records[0].uint(Field::kProto), static_cast<uint64_t>(Proto::kTcp));
  EXPECT_EQ(world.records[1].uint(Field::kProto), static_cast<uint64_t>(Proto::kUdp));
  EXPECT_EQ(world.nat.ask({kNetns, Proto::kTcp, Direction::kOut, kInside, kPeer}, true)->tracked.reply.dst.port, 41234);
  EXPECT_EQ(world.nat.ask({kNetns, Proto::kUdp, Direction::kOut, kInside, kPeer}, true)->tracked.reply.dst.port, 5000);
}

TEST(Leases, other_protocols_are_left_alone) {
  LeaseWorld world;
  ConntrackMessage message = masqueraded();
  message.tracked.proto = Proto::kSctp;
  world.leases.apply(message, kNow);
  EXPECT_TRUE(world.records.empty());
  EXPECT_EQ(world.leases.entries(), 0u);
}

}  // namespace
}  // namespace portbook

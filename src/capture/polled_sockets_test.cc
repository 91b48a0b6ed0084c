#include "capture/polled_sockets.h"

#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <map>

#include "capture/fake_world_test.h"

namespace portbook {
namespace {

constexpr uint32_t kNetns = 4026531840;
constexpr uint64_t kMs = kNsPerMs;

class FakeHolders final : public SocketOwners {
 public:
  std::unordered_map<uint32_t, uint32_t> find(std::span<const uint32_t> inodes) override {
    std::unordered_map<uint32_t, uint32_t> found;
    for (const uint32_t inode : inodes) {
      ++asked;
      if (const auto at = holder_of.find(inode); at != holder_of.end()) found.emplace(inode, at->second);
    }
    return found;
  }
  std::optional<pb_owner> observe(uint32_t tgid) override { return make_owner(tgid, 5 * kNsPerSecond); }
  bool sees(uint32_t uid) const override { return uid == 1000; }
  std::map<uint32_t, uint32_t> holder_of;
  int asked = 0;
};

Endpoint end_of(const char* ip, uint16_t port) {
  return {*parse_ip(ip), port};
}

SocketMessage tcp(uint64_t cookie, uint16_t local, uint16_t remote, uint8_t state = TCP_ESTABLISHED, uint32_t inode = 0) {
  SocketMessage message;
  message.state = state;
  message.cookie = cookie;
  message.uid = 1000;
  message.inode = inode;
  message.local = end_of(state == TCP_LISTEN ? "0.0.0.0" : "10.0.0.1", local);
  message.remote = remote == 0 ? end_of("0.0.0.0", 0) : end_of("10.0.0.2", remote);
  return message;
}

SocketMessage udp(uint64_t cookie, uint16_t local, uint16_t remote, uint32_t inode = 0) {
  SocketMessage message = tcp(cookie, local, remote, remote == 0 ? TCP_CLOSE : TCP_ESTABLISHED, inode);
  message.proto = Proto::kUdp;
  return message;
}

SocketTotals totals(bool established) {
  SocketTotals sum;
  sum.established = established;
  sum.bytes_sent = established ? 5 : 0;
  sum.packets_out = 3;
  return sum;
}

class PolledSocketsTest : public testing::Test {
 protected:
  PolledSocketsTest() { sockets.watch(kNetns, 0); }

  // A list 100 ms after the one before, that takes 1 ms.
  void list(std::vector<SocketMessage> listed) {
    now += 100 * kMs;
    sockets.apply(kNetns, listed, now, now + kMs);
  }
  [[nodiscard]] TimeNs utc(uint64_t boot) const { return boot + StandingClock::kOffset; }
  const Record& last(Kind kind) {
    const auto found = world.of(kind);
    EXPECT_FALSE(found.empty()) << static_cast<int>(kind);
    static const Record kNone;
    return found.empty() ? kNone : *found.back();
  }
  [[nodiscard]] size_t count(Kind kind) const { return world.of(kind).size(); }
  [[nodiscard]] std::string cause(Kind kind) { return std::string(last(kind).text_or(Field::kCause, "")); }

  World world;
  FakeHolders holders;
  NatTable nat;
  PolledSockets sockets{7, world.boot_clock, world.processes, holders, nat, world.emit};
  uint64_t now = 100 * kNsPerSecond;
};

TEST_F(PolledSocketsTest, what_the_first_list_shows_was_there_before) {
  holders.holder_of = {{11, 500}, {12, 501}};
  list({tcp(1, 8080, 0, TCP_LISTEN, 11), tcp(2, 50000, 443, TCP_ESTABLISHED, 12)});
  const Record& existing = last(Kind::kExisting);
  EXPECT_FALSE(existing.has(Field::kStart));
  EXPECT_EQ(existing.uint(Field::kSrcPort), 50000u);
  EXPECT_EQ(existing.uint(Field::kPid), 501u);
  EXPECT_EQ(cause(Kind::kExisting), "polled: was there when capture began");
  EXPECT_EQ(last(Kind::kListen).uint(Field::kDstPort), 8080u);
  EXPECT_FALSE(last(Kind::kListen).has(Field::kSrcIp));
  EXPECT_EQ(count(Kind::kProcess), 2u);
}

TEST_F(PolledSocketsTest, an_open_says_between_which_moments_it_began) {
  list({});
  const uint64_t before = now;
  holders.holder_of = {{12, 501}};
  list({tcp(2, 50000, 443, TCP_ESTABLISHED, 12)});
  const Record& open = last(Kind::kOpen);
  EXPECT_EQ(open.time(), utc(now + kMs));
  EXPECT_EQ(open.uint(Field::kStart), utc(before));
  EXPECT_EQ(open.uint(Field::kDirection), static_cast<uint64_t>(Direction::kOut));
  EXPECT_EQ(open.uint(Field::kPid), 501u);
  EXPECT_EQ(open.uint(Field::kUid), 1000u);
  EXPECT_EQ(cause(Kind::kOpen), "polled: began in the 200 ms before");
  EXPECT_EQ(open.uint(Field::kNatReason), static_cast<uint64_t>(NatReason::kNotCovered));
}

TEST_F(PolledSocketsTest, the_clock_error_covers_the_whole_interval) {
  ClockDiscipline discipline;
  discipline.synchronised = true;
  discipline.error_ns = kMs;
  world.boot_clock.sample(discipline);
  list({});
  list({tcp(2, 50000, 443)});
  EXPECT_EQ(last(Kind::kOpen).uint(Field::kClockError), world.boot_clock.error_ns() + 101 * kMs);
}

TEST_F(PolledSocketsTest, a_socket_that_two_lists_lack_has_ended_since_the_last_that_had_it) {
  list({});
  list({tcp(2, 50000, 443)});
  const uint64_t began_after = now - 100 * kMs;
  list({});
  EXPECT_EQ(count(Kind::kClose), 0u);
  list({});
  const Record& close = last(Kind::kClose);
  EXPECT_EQ(close.uint(Field::kStart), utc(began_after));
  EXPECT_EQ(close.uint(Field::kEnd), utc(now + kMs));
  EXPECT_FALSE(close.has(Field::kOutcome));
  EXPECT_FALSE(close.has(Field::kBytesOut));
  EXPECT_EQ(cause(Kind::kClose), "polled: ended in the 500 ms before; no process held it any more when it was seen");
  EXPECT_EQ(sockets.open_connections(), 0u);
}

TEST_F(PolledSocketsTest, a_list_that_left_one_out_ends_nothing) {
  list({tcp(2, 50000, 443)});
  list({});
  list({tcp(2, 50000, 443)});
  list({});
  EXPECT_EQ(count(Kind::kClose), 0u);
}

TEST_F(PolledSocketsTest, a_notice_ends_at_once_and_tells_the_totals) {
  list({});
  list({tcp(2, 50000, 443)});
  SocketMessage gone = tcp(2, 50000, 443, TCP_CLOSE);
  gone.totals = totals(true);
  sockets.destroyed(kNetns, gone, now + 20 * kMs);
  const Record& close = last(Kind::kClose);
  EXPECT_EQ(close.uint(Field::kEnd), utc(now + 20 * kMs));
  EXPECT_EQ(close.uint(Field::kBytesOut), 5u);
  EXPECT_EQ(close.uint(Field::kPacketsOut), 3u);
  EXPECT_FALSE(close.has(Field::kBytesIn));
  list({});
  list({});
  EXPECT_EQ(count(Kind::kClose), 1u);
}

TEST_F(PolledSocketsTest, a_notice_tells_of_a_connection_that_no_list_had) {
  list({});
  list({});
  const uint64_t lower = now - 100 * kMs;
  SocketMessage gone = tcp(9, 50001, 443, TCP_CLOSE);
  gone.totals = totals(true);
  sockets.destroyed(kNetns, gone, now + 20 * kMs);
  const Record& close = last(Kind::kClose);
  EXPECT_EQ(close.uint(Field::kSrcPort), 50001u);
  EXPECT_EQ(close.uint(Field::kStart), utc(lower));
  EXPECT_FALSE(close.has(Field::kPid));
  EXPECT_FALSE(close.has(Field::kUid));
  EXPECT_EQ(cause(Kind::kClose), "polled: came and went between two looks in the 200 ms before; its process is not known");
  // Its TIME_WAIT entry is nothing new.
  list({tcp(77, 50001, 443, TCP_TIME_WAIT)});
  list({tcp(77, 50001, 443, TCP_TIME_WAIT)});
  EXPECT_EQ(count(Kind::kClose), 1u);
}

TEST_F(PolledSocketsTest, notices_before_the_first_list_are_of_no_interest) {
  SocketMessage gone = tcp(9, 50001, 443, TCP_CLOSE);
  gone.totals = totals(true);
  sockets.destroyed(kNetns, gone, now);
  EXPECT_TRUE(world.records.empty());
}

TEST_F(PolledSocketsTest, time_wait_tells_of_a_connection_that_no_list_had_once) {
  list({tcp(70, 40000, 443, TCP_TIME_WAIT)});
  list({tcp(70, 40000, 443, TCP_TIME_WAIT), tcp(71, 40001, 443, TCP_TIME_WAIT)});
  list({tcp(70, 40000, 443, TCP_TIME_WAIT), tcp(71, 40001, 443, TCP_FIN_WAIT2)});
  list({tcp(71, 40001, 443, TCP_TIME_WAIT)});
  ASSERT_EQ(count(Kind::kClose), 1u);
  EXPECT_EQ(last(Kind::kClose).uint(Field::kSrcPort), 40001u);
  EXPECT_EQ(world.records.size(), 1u);
}

TEST_F(PolledSocketsTest, time_wait_of_a_listed_connection_is_its_own_end) {
  list({});
  list({tcp(2, 50000, 443)});
  list({tcp(72, 50000, 443, TCP_TIME_WAIT)});
  list({tcp(72, 50000, 443, TCP_TIME_WAIT)});
  list({tcp(72, 50000, 443, TCP_TIME_WAIT)});
  EXPECT_EQ(count(Kind::kClose), 1u);
}

TEST_F(PolledSocketsTest, what_a_listener_has_on_its_port_came_in_and_the_acceptor_is_named_later) {
  holders.holder_of = {{11, 500}};
  list({tcp(1, 8080, 0, TCP_LISTEN, 11)});
  SocketMessage child = tcp(2, 8080, 50000);
  list({tcp(1, 8080, 0, TCP_LISTEN, 11), child});
  const Record& open = last(Kind::kOpen);
  EXPECT_EQ(open.uint(Field::kDirection), static_cast<uint64_t>(Direction::kIn));
  EXPECT_EQ(open.uint(Field::kSrcPort), 50000u);
  EXPECT_EQ(open.uint(Field::kDstPort), 8080u);
  EXPECT_EQ(open.uint(Field::kPid), 500u);
  EXPECT_EQ(open.uint(Field::kRole), static_cast<uint64_t>(Role::kListener));
  child.inode = 13;
  holders.holder_of[13] = 502;
  list({tcp(1, 8080, 0, TCP_LISTEN, 11), child});
  EXPECT_EQ(last(Kind::kUsedBy).uint(Field::kPid), 502u);
  EXPECT_EQ(last(Kind::kUsedBy).uint(Field::kRole), static_cast<uint64_t>(Role::kAcceptor));
  list({tcp(1, 8080, 0, TCP_LISTEN, 11)});
  list({tcp(1, 8080, 0, TCP_LISTEN, 11)});
  EXPECT_EQ(last(Kind::kClose).uint(Field::kPid), 502u);
}

TEST_F(PolledSocketsTest, other_users_sockets_name_the_user_and_say_why_not_the_process) {
  list({});
  SocketMessage other = tcp(2, 50000, 443, TCP_ESTABLISHED, 12);
  other.uid = 33;
  list({other});
  list({other});
  EXPECT_EQ(last(Kind::kOpen).uint(Field::kUid), 33u);
  EXPECT_FALSE(last(Kind::kOpen).has(Field::kPid));
  EXPECT_EQ(cause(Kind::kOpen), "polled: began in the 200 ms before; its process is another user's and cannot be seen");
  EXPECT_EQ(holders.asked, 0);
}

TEST_F(PolledSocketsTest, holders_are_asked_for_new_sockets_only) {
  holders.holder_of = {{12, 501}};
  list({tcp(2, 50000, 443, TCP_ESTABLISHED, 12)});
  list({tcp(2, 50000, 443, TCP_ESTABLISHED, 12)});
  list({tcp(2, 50000, 443, TCP_ESTABLISHED, 12)});
  EXPECT_EQ(holders.asked, 1);
}

TEST_F(PolledSocketsTest, a_connect_under_way_is_written_when_it_is_established) {
  list({});
  list({tcp(2, 50000, 443, TCP_SYN_SENT, 12)});
  EXPECT_TRUE(world.records.empty());
  list({tcp(2, 50000, 443, TCP_ESTABLISHED, 12)});
  EXPECT_EQ(count(Kind::kOpen), 1u);
  EXPECT_EQ(cause(Kind::kOpen).substr(0, 34), "polled: began in the 200 ms before");
}

TEST_F(PolledSocketsTest, a_connect_that_is_gone_is_a_failure_only_when_the_kernel_says_so) {
  list({});
  list({tcp(2, 50000, 443, TCP_SYN_SENT), tcp(3, 50001, 443, TCP_SYN_SENT)});
  SocketMessage gone = tcp(2, 50000, 443, TCP_CLOSE);
  gone.totals = totals(false);
  sockets.destroyed(kNetns, gone, now + 5 * kMs);
  EXPECT_EQ(last(Kind::kFailed).uint(Field::kSrcPort), 50000u);
  EXPECT_FALSE(last(Kind::kFailed).has(Field::kOutcome));
  list({});
  list({});
  EXPECT_EQ(count(Kind::kFailed), 1u);
  EXPECT_EQ(last(Kind::kClose).uint(Field::kSrcPort), 50001u);
  EXPECT_TRUE(cause(Kind::kClose).starts_with("polled: a connect() was gone; it failed, or was established and closed,"));
}

TEST_F(PolledSocketsTest, a_refused_connect_lacks_what_the_kernel_had_cleared) {
  list({});
  SocketMessage gone = tcp(2, 50000, 443, TCP_CLOSE);
  gone.local.ip = *parse_ip("0.0.0.0");
  gone.remote.port = 0;
  gone.totals = totals(false);
  sockets.destroyed(kNetns, gone, now + 5 * kMs);
  const Record& failed = last(Kind::kFailed);
  EXPECT_EQ(failed.uint(Field::kSrcPort), 50000u);
  EXPECT_FALSE(failed.has(Field::kSrcIp));
  EXPECT_EQ(to_text(failed.ip(Field::kDstIp)), "10.0.0.2");
  EXPECT_FALSE(failed.has(Field::kDstPort));
}

TEST_F(PolledSocketsTest, udp_with_a_peer_is_a_connection_and_without_one_is_bound) {
  holders.holder_of = {{12, 501}};
  list({});
  list({udp(2, 5353, 0, 12)});
  EXPECT_EQ(last(Kind::kListen).uint(Field::kProto), static_cast<uint64_t>(Proto::kUdp));
  EXPECT_EQ(last(Kind::kListen).uint(Field::kPid), 501u);
  // The same socket connects: it is no longer only bound.
  list({udp(2, 5353, 53, 12)});
  EXPECT_TRUE(last(Kind::kListen).has(Field::kEnd));
  EXPECT_EQ(last(Kind::kOpen).uint(Field::kDstPort), 53u);
  EXPECT_NE(last(Kind::kOpen).id128(Field::kConn), last(Kind::kListen).id128(Field::kConn));
  sockets.destroyed(kNetns, udp(2, 5353, 53), now + kMs);
  EXPECT_EQ(count(Kind::kClose), 1u);
}

TEST_F(PolledSocketsTest, a_later_namespace_had_nothing_before_it_was_there) {
  sockets.watch(9, now - 50 * kMs);
  const std::vector<SocketMessage> listed = {tcp(2, 50000, 443)};
  sockets.apply(9, listed, now, now + kMs);
  EXPECT_EQ(last(Kind::kOpen).uint(Field::kStart), utc(now - 50 * kMs));
  sockets.forget(9, now + 10 * kMs);
  EXPECT_TRUE(cause(Kind::kClose).starts_with("polled: its network namespace is gone in the 10 ms before"));
  EXPECT_EQ(sockets.open_connections(), 0u);
}

TEST(RoundedUp, is_never_less_and_one_of_few) {
  EXPECT_EQ(rounded_up(0), "1 ms");
  EXPECT_EQ(rounded_up(kMs), "1 ms");
  EXPECT_EQ(rounded_up(kMs + 1), "2 ms");
  EXPECT_EQ(rounded_up(3 * kMs), "5 ms");
  EXPECT_EQ(rounded_up(101 * kMs), "200 ms");
  EXPECT_EQ(rounded_up(501 * kMs), "1 s");
  EXPECT_EQ(rounded_up(1001 * kMs), "2 s");
  EXPECT_EQ(rounded_up(21 * kNsPerSecond), "50 s");
}

}  // namespace
}  // namespace portbook

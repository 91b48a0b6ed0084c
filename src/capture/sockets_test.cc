#include "capture/sockets.h"

#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "capture/fake_world_test.h"

namespace portbook {
namespace {

constexpr uint32_t kNetns = 4026531840;
const pb_owner kClient = make_owner(60, 6'000);
const pb_owner kServer = make_owner(70, 7'000);
const pb_owner kWorker = make_owner(71, 7'500);

pb_socket_event make_event(__u8 type, uint64_t cookie, uint64_t time, uint32_t flags = 0) {
  pb_socket_event event{};
  event.type = type;
  event.cookie = cookie;
  event.time = time;
  event.start = time > 500 ? time - 500 : 0;
  event.flags = flags;
  event.netns = kNetns;
  event.family = AF_INET;
  event.local[0] = 10, event.local[3] = 1;
  event.remote[0] = 10, event.remote[3] = 2;
  event.local_port = 51420;
  event.remote_port = 443;
  event.owner = kClient;
  event.old_state = type == PB_FAILED ? TCP_SYN_SENT : TCP_LAST_ACK;
  return event;
}

struct SocketWorld : World {
  SocketWorld() { nat.set_coverage(kNetns, NatTable::Coverage::kNotPermitted); }
  NatTable nat;
  Sockets sockets{0x1122334455667788, boot_clock, processes, nat, emit};
};

TEST(Sockets, an_outgoing_connection_is_one_open_and_one_close) {
  SocketWorld world;
  world.sockets.apply(make_event(PB_OPEN, 9, 10'000));
  pb_socket_event end = make_event(PB_CLOSE, 9, 20'000, PB_SYN_COUNTED | PB_FIN_ACKED | PB_FIN_RECEIVED);
  end.bytes_acked = 102;
  end.bytes_received = 51;
  end.srtt_us = 80;
  end.old_state = TCP_LAST_ACK;
  world.sockets.apply(end);
  ASSERT_EQ(world.of(Kind::kOpen).size(), 1u);
  ASSERT_EQ(world.of(Kind::kClose).size(), 1u);
  const Record& open = *world.of(Kind::kOpen)[0];
  const Record& close = *world.of(Kind::kClose)[0];
  EXPECT_EQ(to_text(*open.endpoint(Field::kSrcIp, Field::kSrcPort)), "10.0.0.1:51420");
  EXPECT_EQ(to_text(*open.endpoint(Field::kDstIp, Field::kDstPort)), "10.0.0.2:443");
  EXPECT_EQ(hex(open.id128(Field::kConn)), "11223344556677880000000000000009");
  EXPECT_EQ(open.uint(Field::kRole), static_cast<uint64_t>(Role::kCreator));
  EXPECT_EQ(open.uint(Field::kNatReason), static_cast<uint64_t>(NatReason::kNotPermitted));
  EXPECT_EQ(close.id128(Field::kConn), open.id128(Field::kConn));
  EXPECT_EQ(close.uint(Field::kBytesOut), 100u);
  EXPECT_EQ(close.uint(Field::kBytesIn), 50u);
  EXPECT_EQ(close.uint(Field::kRtt), 10'000u);
  EXPECT_EQ(close.uint(Field::kEnd) - close.uint(Field::kStart), 10'500u);
  EXPECT_EQ(world.sockets.open_connections(), 0u);
}

TEST(Sockets, the_role_comes_from_the_callback_not_from_the_ports) {
  SocketWorld world;
  pb_socket_event event = make_event(PB_OPEN, 9, 10'000, PB_PASSIVE);
  event.owner = kServer;
  world.sockets.apply(event);
  const Record& open = *world.of(Kind::kOpen)[0];
  EXPECT_EQ(to_text(*open.endpoint(Field::kSrcIp, Field::kSrcPort)), "10.0.0.2:443");
  EXPECT_EQ(to_text(*open.endpoint(Field::kDstIp, Field::kDstPort)), "10.0.0.1:51420");
  EXPECT_EQ(open.uint(Field::kDirection), static_cast<uint64_t>(Direction::kIn));
  EXPECT_EQ(open.uint(Field::kPid), 70u);
}

TEST(Sockets, names_the_worker_that_accepted) {
  SocketWorld world;
  pb_socket_event event = make_event(PB_OPEN, 9, 10'000, PB_PASSIVE);
  event.owner = kServer;
  world.sockets.apply(event);
  pb_socket_event use = make_event(PB_USED, 9, 11'000, PB_PASSIVE | PB_HAS_ACCEPTOR);
  use.owner = kServer;
  use.user = kWorker;
  world.sockets.apply(use);
  use.user = kClient;  // the socket was handed on
  world.sockets.apply(use);
  pb_socket_event end = make_event(PB_CLOSE, 9, 12'000, PB_PASSIVE | PB_HAS_ACCEPTOR);
  end.owner = kServer;
  end.user = kWorker;
  world.sockets.apply(end);
  const auto uses = world.of(Kind::kUsedBy);
  ASSERT_EQ(uses.size(), 2u);
  EXPECT_EQ(uses[0]->uint(Field::kPid), 71u);
  EXPECT_EQ(uses[0]->uint(Field::kRole), static_cast<uint64_t>(Role::kAcceptor));
  EXPECT_EQ(uses[1]->uint(Field::kRole), static_cast<uint64_t>(Role::kUser));
  EXPECT_EQ(world.of(Kind::kClose)[0]->uint(Field::kPid), 71u);
}

TEST(Sockets, a_use_that_waits_with_its_open_names_the_program_that_ran_then) {
  SocketWorld world;
  world.nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  apply_process(world.processes, PB_EXEC, kWorker, {}, 8'000, std::string_view("worker\0bin\0", 11));
  pb_socket_event event = make_event(PB_OPEN, 9, 10'000, PB_PASSIVE);
  event.owner = kServer;
  event.user = kWorker;
  world.sockets.apply(event);
  event.type = PB_USED;
  event.flags |= PB_HAS_ACCEPTOR;
  world.sockets.apply(event);
  event.type = PB_CLOSE;
  world.sockets.apply(event);
  EXPECT_TRUE(world.of(Kind::kUsedBy).empty()) << "the case shows nothing when the open does not wait";
  apply_process(world.processes, PB_EXEC, kWorker, {}, 12'000, std::string_view("later\0bin\0", 10));
  world.sockets.settle_all();
  for (const Kind kind : {Kind::kUsedBy, Kind::kClose}) {
    ASSERT_EQ(world.of(kind).size(), 1u);
    EXPECT_EQ(world.of(kind)[0]->text(Field::kExe), "/bin/worker");
  }
}

TEST(Sockets, mapped_ipv6_is_ipv4_with_its_family_kept) {
  SocketWorld world;
  pb_socket_event event = make_event(PB_OPEN, 9, 10'000);
  event.family = AF_INET6;
  for (auto* end : {event.local, event.remote}) {
    std::copy_n(end, 4, end + 12);
    std::fill_n(end, 10, __u8{0});
    end[10] = end[11] = 0xff;
  }
  world.sockets.apply(event);
  const Record& open = *world.of(Kind::kOpen)[0];
  EXPECT_EQ(to_text(open.ip(Field::kSrcIp)), "10.0.0.1");
  EXPECT_EQ(open.uint(Field::kFamily), static_cast<uint64_t>(Family::kInet6));
}

TEST(Sockets, waits_until_it_is_known_whether_its_namespace_tracks_it) {
  SocketWorld world;
  world.nat.set_coverage(kNetns, NatTable::Coverage::kNoConntrack);
  world.nat.read_until(9'000);
  world.sockets.apply(make_event(PB_OPEN, 9, 10'000));
  world.sockets.apply(make_event(PB_CLOSE, 9, 20'000));
  EXPECT_TRUE(world.of(Kind::kOpen).empty()) << "the first entry that the namespace ever tracked may be on its way";
  const Tuple original{{*parse_ip("10.0.0.1"), 51420}, {*parse_ip("10.0.0.2"), 443}};
  world.nat.add(kNetns, {original, {original.dst, {*parse_ip("10.0.0.9"), 1024}}});
  world.nat.read_until(20'500);
  world.sockets.settle(21'000);
  ASSERT_EQ(world.of(Kind::kClose).size(), 1u);
  EXPECT_EQ(world.of(Kind::kOpen)[0]->uint(Field::kSrcNatPort), 1024u);
  EXPECT_EQ(world.of(Kind::kClose)[0]->uint(Field::kSrcNatPort), 1024u);

  SocketWorld untracked;
  untracked.nat.set_coverage(kNetns, NatTable::Coverage::kNoConntrack);
  untracked.sockets.apply(make_event(PB_OPEN, 9, 10'000));
  untracked.nat.read_until(10'000);
  untracked.sockets.settle(10'001);
  ASSERT_EQ(untracked.of(Kind::kOpen).size(), 1u) << "all that was told by then has been read";
  EXPECT_EQ(untracked.of(Kind::kOpen)[0]->uint(Field::kNatReason), static_cast<uint64_t>(NatReason::kNoConntrack));
}

TEST(Sockets, waits_for_the_translation_but_not_for_ever) {
  SocketWorld world;
  world.nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  world.sockets.apply(make_event(PB_OPEN, 9, 10'000));
  world.sockets.apply(make_event(PB_OPEN, 10, 10'000));
  world.sockets.settle(11'000);
  EXPECT_TRUE(world.of(Kind::kOpen).empty());
  const Endpoint local{*parse_ip("10.0.0.1"), 51420};
  const Endpoint remote{*parse_ip("10.0.0.2"), 443};
  const Endpoint external{*parse_ip("203.0.113.5"), 41234};
  world.nat.add(kNetns, {{local, remote}, {remote, external}});
  world.nat.read_until(11'500);
  world.sockets.settle(12'000);
  ASSERT_EQ(world.of(Kind::kOpen).size(), 2u);
  EXPECT_EQ(to_text(*world.of(Kind::kOpen)[0]->endpoint(Field::kSrcNatIp, Field::kSrcNatPort)), "203.0.113.5:41234");
  EXPECT_FALSE(world.of(Kind::kOpen)[0]->has(Field::kDstNatIp));

  SocketWorld slow;
  slow.nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  slow.sockets.apply(make_event(PB_OPEN, 9, 10'000));
  slow.sockets.apply(make_event(PB_CLOSE, 9, 10'500));
  slow.sockets.settle(10'000 + 20 * kNsPerMs);
  ASSERT_EQ(slow.of(Kind::kOpen).size(), 1u);
  EXPECT_TRUE(slow.of(Kind::kClose).empty()) << "the close is the last chance to tell the translation, so it waits longer";
  slow.sockets.settle(10'500 + 200 * kNsPerMs);
  ASSERT_EQ(slow.of(Kind::kClose).size(), 1u);
  EXPECT_EQ(slow.sockets.open_connections(), 0u);
  EXPECT_EQ(slow.of(Kind::kOpen)[0]->uint(Field::kNatReason), static_cast<uint64_t>(NatReason::kNotCovered));
}

TEST(Sockets, an_open_that_found_the_ring_full_is_made_good_by_the_close) {
  SocketWorld world;
  world.sockets.apply(make_event(PB_CLOSE, 9, 20'000));
  ASSERT_EQ(world.of(Kind::kOpen).size(), 1u);
  ASSERT_EQ(world.of(Kind::kClose).size(), 1u);
  EXPECT_EQ(world.of(Kind::kOpen)[0]->time(), StandingClock::kOffset + 19'500);
}

TEST(Sockets, a_failed_connect_keeps_its_ports_and_says_why) {
  struct Case {
    __u16 error;
    Outcome outcome;
  };
  uint64_t cookie = 100;
  for (const Case& one : {Case{ECONNREFUSED, Outcome::kRefused}, Case{ETIMEDOUT, Outcome::kTimeout},
                          Case{EHOSTUNREACH, Outcome::kUnreachable}, Case{EPERM, Outcome::kDenied}, Case{0, Outcome::kTimeout}}) {
    SocketWorld world;
    pb_socket_event event = make_event(PB_FAILED, cookie++, 10'000);
    event.error = one.error;
    world.sockets.apply(event);
    ASSERT_EQ(world.of(Kind::kFailed).size(), 1u);
    const Record& failed = *world.of(Kind::kFailed)[0];
    EXPECT_EQ(failed.uint(Field::kOutcome), static_cast<uint64_t>(one.outcome));
    EXPECT_EQ(failed.uint(Field::kSrcPort), 51420u);
    EXPECT_EQ(failed.has(Field::kErrno), one.error != 0);
    EXPECT_EQ(failed.has(Field::kCause), one.error == 0);
    EXPECT_EQ(world.sockets.open_connections(), 0u);
  }
}

TEST(Sockets, an_end_that_was_told_only_when_its_socket_was_freed_has_neither_outcome_nor_end) {
  SocketWorld world;
  for (const uint8_t type : {PB_FAILED, PB_CLOSE}) {
    pb_socket_event event = make_event(type, type, 10'000);
    event.old_state = 0;
    world.sockets.apply(event);
  }
  for (const Kind kind : {Kind::kFailed, Kind::kClose}) {
    ASSERT_EQ(world.of(kind).size(), 1u);
    const Record& record = *world.of(kind)[0];
    EXPECT_FALSE(record.has(Field::kOutcome));
    EXPECT_FALSE(record.has(Field::kEnd));
    EXPECT_NE(record.text(Field::kCause).find("did not tell"), std::string_view::npos);
  }
}

TEST(Sockets, a_connect_that_sent_nothing_is_an_error_and_no_timeout) {
  SocketWorld world;
  pb_socket_event event = make_event(PB_FAILED, 9, 10'000, PB_NO_PACKET);
  event.local_port = 0;
  world.sockets.apply(event);
  const Record& failed = *world.of(Kind::kFailed)[0];
  EXPECT_EQ(failed.uint(Field::kOutcome), static_cast<uint64_t>(Outcome::kError));
  EXPECT_FALSE(failed.has(Field::kSrcPort));
  EXPECT_EQ(failed.uint(Field::kDstPort), 443u);
  EXPECT_NE(failed.text(Field::kCause).find("before a packet left"), std::string_view::npos);
}

TEST(Sockets, who_closed_is_told_apart_from_who_accepted) {
  SocketWorld world;
  pb_socket_event event = make_event(PB_OPEN, 9, 10'000, PB_PASSIVE);
  event.owner = kServer;
  world.sockets.apply(event);
  pb_socket_event closed = make_event(PB_CLOSED_BY, 9, 11'000, PB_PASSIVE);
  closed.user = kWorker;
  world.sockets.apply(closed);
  ASSERT_EQ(world.of(Kind::kUsedBy).size(), 1u);
  EXPECT_EQ(world.of(Kind::kUsedBy)[0]->uint(Field::kRole), static_cast<uint64_t>(Role::kCloser));
  EXPECT_EQ(world.of(Kind::kUsedBy)[0]->uint(Field::kPid), 71u);
}

TEST(Sockets, what_was_there_before_is_existing_and_a_listener_tells_that_it_came_in) {
  SocketWorld world;
  pb_socket_event listener = make_event(PB_EXISTING, 1, 10'000, PB_OLD | PB_LISTENER);
  listener.old_state = TCP_LISTEN;
  listener.owner = kServer;
  world.sockets.apply(listener);
  pb_socket_event inbound = make_event(PB_EXISTING, 2, 10'000, PB_OLD);
  inbound.owner = {};
  world.sockets.apply(inbound);
  pb_socket_event outbound = make_event(PB_EXISTING, 3, 10'000, PB_OLD);
  outbound.local_port = 40000;
  world.sockets.apply(outbound);
  const auto found = world.of(Kind::kExisting);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0]->uint(Field::kDirection), static_cast<uint64_t>(Direction::kIn));
  EXPECT_EQ(found[0]->uint(Field::kPid), 70u);
  EXPECT_EQ(found[1]->uint(Field::kDirection), static_cast<uint64_t>(Direction::kOut));
  EXPECT_FALSE(found[1]->has(Field::kStart));
  EXPECT_EQ(world.of(Kind::kListen).size(), 1u);
}

TEST(Sockets, the_sweep_ends_what_is_gone_and_opens_what_is_owed) {
  SocketWorld world;
  world.sockets.apply(make_event(PB_OPEN, 1, 10'000));
  world.sockets.apply(make_event(PB_OPEN, 2, 10'000));
  world.sockets.begin_sweep(20'000);
  world.sockets.apply(make_event(PB_ALIVE, 1, 20'001));
  world.sockets.apply(make_event(PB_OPEN, 3, 20'002));
  world.sockets.end_sweep(30'000, "lost");
  EXPECT_EQ(world.of(Kind::kOpen).size(), 3u);
  const auto closes = world.of(Kind::kClose);
  ASSERT_EQ(closes.size(), 1u);
  EXPECT_EQ(closes[0]->text(Field::kCause), "lost");
  EXPECT_FALSE(closes[0]->has(Field::kEnd));
  EXPECT_EQ(world.sockets.open_connections(), 2u);
}

TEST(Sockets, a_use_before_its_opening_is_told_waits_for_it) {
  SocketWorld world;
  pb_socket_event use = make_event(PB_USED, 9, 11'000, PB_PASSIVE);
  use.owner = kServer;
  use.user = kWorker;
  world.sockets.apply(use);
  EXPECT_TRUE(world.of(Kind::kUsedBy).empty());
  pb_socket_event open = make_event(PB_OPEN, 9, 10'000, PB_PASSIVE);
  open.owner = kServer;
  world.sockets.apply(open);
  ASSERT_EQ(world.of(Kind::kUsedBy).size(), 1u);
  EXPECT_EQ(world.of(Kind::kUsedBy)[0]->uint(Field::kPid), 71u);
  EXPECT_EQ(world.of(Kind::kUsedBy)[0]->uint(Field::kRole), static_cast<uint64_t>(Role::kAcceptor));
}

TEST(Sockets, a_use_whose_connection_was_lost_is_told_after_the_sweep) {
  SocketWorld world;
  pb_socket_event use = make_event(PB_USED, 9, 11'000, PB_PASSIVE);
  use.user = kWorker;
  world.sockets.apply(use);
  world.sockets.begin_sweep(20'000);
  world.sockets.end_sweep(30'000, "lost");
  ASSERT_EQ(world.of(Kind::kUsedBy).size(), 1u);
  EXPECT_TRUE(world.of(Kind::kOpen).empty());
  EXPECT_EQ(world.sockets.open_connections(), 0u);
}

TEST(Sockets, an_opening_made_good_has_the_time_at_which_it_happened) {
  SocketWorld world;
  pb_socket_event end = make_event(PB_CLOSE, 9, 2 * kNsPerSecond);
  end.start = 1'000;
  end.opened = 7'000;
  world.sockets.apply(end);
  ASSERT_EQ(world.of(Kind::kOpen).size(), 1u);
  EXPECT_EQ(world.of(Kind::kOpen)[0]->time(), world.boot_clock.utc(7'000));
}

TEST(Sockets, a_listener_whose_beginning_waited_is_told_with_its_end) {
  SocketWorld world;
  pb_socket_event end = make_event(PB_LISTEN_END, 9, 20'000);
  end.start = 10'000;
  world.sockets.apply(end);
  const auto listens = world.of(Kind::kListen);
  ASSERT_EQ(listens.size(), 2u);
  EXPECT_EQ(listens[0]->time(), world.boot_clock.utc(10'000));
  EXPECT_FALSE(listens[0]->has(Field::kEnd));
  EXPECT_EQ(listens[1]->uint(Field::kEnd), world.boot_clock.utc(20'000));
}

TEST(Sockets, a_listener_that_is_gone_unseen_is_ended_by_the_sweep_and_a_live_one_is_not_told_again) {
  SocketWorld world;
  pb_socket_event gone = make_event(PB_LISTEN, 1, 10'000, PB_LISTENER | PB_OPEN_REPORTED);
  pb_socket_event alive = make_event(PB_LISTEN, 2, 10'000, PB_LISTENER | PB_OPEN_REPORTED);
  world.sockets.apply(gone);
  world.sockets.apply(alive);
  world.sockets.begin_sweep(20'000);
  world.sockets.apply(make_event(PB_ALIVE, 2, 21'000));
  world.sockets.apply(alive);
  EXPECT_EQ(world.sockets.end_sweep(30'000, "lost"), 1u);
  const auto listens = world.of(Kind::kListen);
  ASSERT_EQ(listens.size(), 3u);
  EXPECT_EQ(listens[2]->text(Field::kCause), "lost");
  EXPECT_EQ(listens[2]->id128(Field::kConn), listens[0]->id128(Field::kConn));
  world.sockets.begin_sweep(40'000);
  world.sockets.apply(make_event(PB_ALIVE, 2, 41'000));
  EXPECT_EQ(world.sockets.end_sweep(50'000, "lost"), 0u);
}

TEST(Sockets, what_an_older_listening_socket_ends_is_told_once) {
  SocketWorld world;
  world.sockets.apply(make_event(PB_LISTEN_END, 9, 20'000, PB_OLD));
  EXPECT_EQ(world.of(Kind::kListen).size(), 1u);
}

TEST(Sockets, dropping_a_connection_is_a_reset_and_a_finished_one_is_not) {
  pb_socket_event event = make_event(PB_CLOSE, 1, 1);
  event.old_state = TCP_LAST_ACK;
  EXPECT_EQ(outcome_of_close(event), Outcome::kOk);
  event.old_state = TCP_ESTABLISHED;
  EXPECT_EQ(outcome_of_close(event), Outcome::kReset);
  event.error = ECONNRESET;
  EXPECT_EQ(outcome_of_close(event), Outcome::kReset);
  event.error = ETIMEDOUT;
  EXPECT_EQ(outcome_of_close(event), Outcome::kTimeout);
}

}  // namespace
}  // namespace portbook

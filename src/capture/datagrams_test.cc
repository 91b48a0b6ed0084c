#include "capture/datagrams.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>

#include "capture/fake_world_test.h"

namespace portbook {
namespace {

constexpr uint32_t kNetns = 4026531840;
const pb_owner kClient = make_owner(60, 6'000);
const pb_owner kServer = make_owner(70, 7'000);
const pb_owner kWorker = make_owner(71, 7'500);

void put_ip4(__u8* out, uint8_t last) {
  const std::array<__u8, 16> bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last};
  std::ranges::copy(bytes, out);
}

pb_datagram_event make_event(__u8 type, uint64_t flow, uint64_t time, uint32_t flags = 0) {
  pb_datagram_event event{};
  event.type = type;
  event.flow = flow;
  event.time = time;
  event.start = 9'000;
  event.last = time;
  event.flags = flags;
  event.netns = kNetns;
  event.family = AF_INET;
  event.key.cookie = 5;
  put_ip4(event.key.local, 1);
  put_ip4(event.key.remote, 2);
  event.key.local_port = 51420;
  event.key.remote_port = 53;
  event.owner = kClient;
  return event;
}

class FakePeers final : public KernelPeers {
 public:
  bool find_peer(const pb_peer_key& key, pb_peer& now) override {
    const auto at = held.find(key.remote_port);
    if (at != held.end()) now = at->second;
    return at != held.end();
  }
  bool take_peer(const pb_peer_key& key, pb_peer& last) override {
    const auto at = held.find(key.remote_port);
    if (at == held.end()) return false;
    last = at->second;
    held.erase(at);
    return true;
  }
  void set_peers_ended(uint64_t cookie, uint64_t count) override { ended[cookie] = count; }
  std::map<uint16_t, pb_peer> held;  // by remote port
  std::map<uint64_t, uint64_t> ended;
};

struct DatagramWorld : World {
  DatagramWorld() { nat.set_coverage(kNetns, NatTable::Coverage::kNotPermitted); }
  NatTable nat;
  FakePeers peers;
  Datagrams datagrams{0x1122334455667788, boot_clock, processes, nat, peers, emit};
};

std::string ends_of(const Record& record) {
  return to_text(*record.endpoint(Field::kSrcIp, Field::kSrcPort)) + " " +
         to_text(*record.endpoint(Field::kDstIp, Field::kDstPort));
}

TEST(Datagrams, a_peer_is_one_open_and_one_close_that_repeats_it) {
  DatagramWorld world;
  world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000));
  pb_datagram_event end = make_event(PB_PEER_CLOSE, 77, 20'000);
  end.bytes_out = 40, end.bytes_in = 90, end.packets_out = 1, end.packets_in = 2;
  world.datagrams.apply(end);
  ASSERT_EQ(world.of(Kind::kOpen).size(), 1u);
  ASSERT_EQ(world.of(Kind::kClose).size(), 1u);
  const Record& open = *world.of(Kind::kOpen)[0];
  const Record& close = *world.of(Kind::kClose)[0];
  EXPECT_EQ(open.uint(Field::kProto), static_cast<uint64_t>(Proto::kUdp));
  EXPECT_EQ(ends_of(open), "10.0.0.1:51420 10.0.0.2:53");
  EXPECT_EQ(ends_of(close), ends_of(open));
  EXPECT_EQ(open.time(), StandingClock::kOffset + 9'000) << "when the first packet passed, not when it was told";
  EXPECT_EQ(open.uint(Field::kRole), static_cast<uint64_t>(Role::kCreator));
  EXPECT_EQ(hex(close.id128(Field::kConn)), "1122334455667788000000000000004d");
  EXPECT_EQ(close.uint(Field::kBytesIn), 90u);
  EXPECT_EQ(close.uint(Field::kPacketsIn), 2u);
  EXPECT_EQ(close.uint(Field::kStart), StandingClock::kOffset + 9'000);
  EXPECT_EQ(close.uint(Field::kEnd), StandingClock::kOffset + 20'000);
  EXPECT_EQ(close.uint(Field::kOutcome), static_cast<uint64_t>(Outcome::kOk));
  EXPECT_EQ(world.datagrams.open_flows(), 0u);
}

TEST(Datagrams, who_sent_first_is_the_source) {
  DatagramWorld world;
  pb_datagram_event event = make_event(PB_PEER_OPEN, 77, 10'000, PB_PEER_IN | PB_SOCKET_BOUND);
  event.owner = kServer;
  world.datagrams.apply(event);
  const Record& open = *world.of(Kind::kOpen)[0];
  EXPECT_EQ(ends_of(open), "10.0.0.2:53 10.0.0.1:51420");
  EXPECT_EQ(open.uint(Field::kDirection), static_cast<uint64_t>(Direction::kIn));
  EXPECT_EQ(open.uint(Field::kRole), static_cast<uint64_t>(Role::kListener));
  EXPECT_EQ(open.uint(Field::kPid), 70u);
}

TEST(Datagrams, an_icmp_error_is_the_outcome) {
  struct Case {
    __u16 error;
    Outcome outcome;
  };
  for (const Case& one : {Case{ECONNREFUSED, Outcome::kRefused}, Case{EHOSTUNREACH, Outcome::kUnreachable}}) {
    DatagramWorld world;
    world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000));
    pb_datagram_event end = make_event(PB_PEER_CLOSE, 77, 20'000);
    end.error = one.error;
    world.datagrams.apply(end);
    const Record& close = *world.of(Kind::kClose)[0];
    EXPECT_EQ(close.uint(Field::kOutcome), static_cast<uint64_t>(one.outcome));
    EXPECT_EQ(close.uint(Field::kErrno), one.error);
  }
}

TEST(Datagrams, a_silent_peer_is_closed_and_the_close_says_so) {
  DatagramWorld world;
  world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000));
  pb_datagram_event idle = make_event(PB_PEER_IDLE, 77, 10'000 + 60 * kNsPerSecond);
  idle.last = 10'000;
  world.datagrams.apply(idle);
  const Record& close = *world.of(Kind::kClose)[0];
  EXPECT_EQ(close.text(Field::kCause), "no packet for 60 s");
  EXPECT_EQ(close.uint(Field::kEnd), StandingClock::kOffset + 10'000) << "the last packet";
  EXPECT_TRUE(world.peers.ended.empty()) << "a socket's first peer is not in the map";
  world.datagrams.apply(idle);
  EXPECT_EQ(world.of(Kind::kClose).size(), 1u);
}

TEST(Datagrams, further_peers_are_taken_out_of_the_map_with_what_it_counted) {
  DatagramWorld world;
  world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000, PB_PEER_IN | PB_PEER_IN_MAP));
  EXPECT_EQ(world.datagrams.peers_in_map(), 1u);
  pb_peer last{};
  last.flow = 77;
  last.packets_in = 9;
  last.last = 15'000;
  world.peers.held[53] = last;
  pb_datagram_event idle = make_event(PB_PEER_IDLE, 77, 80'000, PB_PEER_IN | PB_PEER_IN_MAP);
  idle.last = 15'000;
  idle.packets_in = 9;
  world.datagrams.apply(idle);
  const Record& close = *world.of(Kind::kClose)[0];
  EXPECT_EQ(close.uint(Field::kPacketsIn), 9u);
  EXPECT_EQ(close.uint(Field::kEnd), StandingClock::kOffset + 15'000);
  EXPECT_EQ(world.peers.ended[5], 1u);
  EXPECT_EQ(world.datagrams.peers_in_map(), 0u);
}

TEST(Datagrams, a_closed_socket_ends_all_its_peers_and_its_listen) {
  DatagramWorld world;
  pb_datagram_event bound = make_event(PB_BOUND, 0, 5'000);
  bound.owner = kServer;
  world.datagrams.apply(bound);
  for (const uint16_t port : {uint16_t{1000}, uint16_t{1001}}) {
    pb_datagram_event open = make_event(PB_PEER_OPEN, port, 10'000, PB_PEER_IN | PB_PEER_IN_MAP | PB_SOCKET_BOUND);
    open.key.remote_port = port;
    open.owner = kServer;
    world.datagrams.apply(open);
    pb_peer last{};
    last.flow = port;
    last.packets_in = port;
    world.peers.held[port] = last;
  }
  pb_datagram_event closed = make_event(PB_SOCKET_CLOSED, 0, 20'000);
  closed.start = 0;
  world.datagrams.apply(closed);
  const auto closes = world.of(Kind::kClose);
  ASSERT_EQ(closes.size(), 2u);
  for (const Record* close : closes) {
    EXPECT_EQ(close->uint(Field::kPacketsIn), close->uint(Field::kSrcPort));
    EXPECT_EQ(close->uint(Field::kPid), 70u);
    EXPECT_FALSE(close->has(Field::kCause));
  }
  EXPECT_TRUE(world.peers.held.empty());
  const auto listens = world.of(Kind::kListen);
  ASSERT_EQ(listens.size(), 2u);
  EXPECT_FALSE(listens[0]->has(Field::kEnd));
  EXPECT_EQ(listens[1]->uint(Field::kStart), StandingClock::kOffset + 5'000);
  EXPECT_EQ(listens[1]->uint(Field::kEnd), StandingClock::kOffset + 20'000);
  EXPECT_EQ(hex(listens[0]->id128(Field::kConn)), "11223344556677880000000000000005");
}

TEST(Datagrams, a_peer_whose_counters_are_gone_claims_none) {
  DatagramWorld world;
  pb_datagram_event open = make_event(PB_PEER_OPEN, 1000, 10'000, PB_PEER_IN | PB_PEER_IN_MAP | PB_SOCKET_BOUND);
  open.key.remote_port = 1000;
  world.datagrams.apply(open);
  world.datagrams.apply(make_event(PB_SOCKET_CLOSED, 0, 20'000));
  const auto closes = world.of(Kind::kClose);
  ASSERT_EQ(closes.size(), 1u);
  for (const Field field : {Field::kBytesOut, Field::kBytesIn, Field::kPacketsOut, Field::kPacketsIn, Field::kOutcome}) {
    EXPECT_FALSE(closes[0]->has(field));
  }
  EXPECT_TRUE(closes[0]->has(Field::kCause));
}

TEST(Datagrams, peers_beyond_the_maximum_are_a_gap_with_their_packets) {
  DatagramWorld world;
  pb_datagram_event over = make_event(PB_UNRECORDED, 0, 20'000);
  over.packets_in = 30;
  over.packets_out = 12;
  world.datagrams.apply(over);
  const auto gaps = world.of(Kind::kGap);
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0]->uint(Field::kCount), 42u);
  EXPECT_EQ(gaps[0]->uint(Field::kStart), StandingClock::kOffset + 9'000);
  EXPECT_EQ(gaps[0]->uint(Field::kEnd), StandingClock::kOffset + 20'000);
  EXPECT_EQ(gaps[0]->uint(Field::kDstPort), 51420u);
  EXPECT_NE(gaps[0]->text(Field::kCause).find("65536 peers"), std::string_view::npos);
}

TEST(Datagrams, packets_that_were_not_understood_are_a_gap_of_their_own) {
  DatagramWorld world;
  pb_datagram_event unread = make_event(PB_UNREAD, 0, 20'000);
  unread.packets_out = 3;
  world.datagrams.apply(unread);
  const auto gaps = world.of(Kind::kGap);
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0]->uint(Field::kCount), 3u);
  EXPECT_EQ(gaps[0]->uint(Field::kDstPort), 51420u);
  EXPECT_NE(gaps[0]->text(Field::kCause).find("IPsec"), std::string_view::npos);
}

TEST(Datagrams, another_process_that_sends_is_named_after_the_open) {
  DatagramWorld world;
  world.nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000));
  pb_datagram_event use = make_event(PB_PEER_USED, 77, 11'000);
  use.user = kWorker;
  world.datagrams.apply(use);
  EXPECT_TRUE(world.of(Kind::kUsedBy).empty());
  world.datagrams.settle(10'000 + 20 * kNsPerMs);
  ASSERT_EQ(world.of(Kind::kUsedBy).size(), 1u);
  EXPECT_EQ(world.of(Kind::kUsedBy)[0]->uint(Field::kPid), 71u);
  EXPECT_EQ(world.of(Kind::kUsedBy)[0]->id128(Field::kConn), world.of(Kind::kOpen)[0]->id128(Field::kConn));
}

TEST(Datagrams, a_process_that_receives_and_sends_is_named_once_for_each_peer) {
  DatagramWorld world;
  for (const uint64_t flow : {uint64_t{77}, uint64_t{78}}) {
    world.datagrams.apply(make_event(PB_PEER_OPEN, flow, 10'000));
    for (const uint64_t time : {uint64_t{11'000}, uint64_t{12'000}}) {
      pb_datagram_event use = make_event(PB_PEER_USED, flow, time);
      use.user = kWorker;
      world.datagrams.apply(use);
    }
    pb_datagram_event use = make_event(PB_PEER_USED, flow, 13'000);
    use.user = kClient;  // who opened it
    world.datagrams.apply(use);
  }
  const auto uses = world.of(Kind::kUsedBy);
  ASSERT_EQ(uses.size(), 2u);
  EXPECT_NE(uses[0]->id128(Field::kConn), uses[1]->id128(Field::kConn));
  for (const Record* use : uses) {
    EXPECT_EQ(use->uint(Field::kPid), 71u);
    EXPECT_EQ(use->time(), StandingClock::kOffset + 11'000);
  }
}

TEST(Datagrams, whoever_used_or_closed_is_named_with_the_program_of_that_moment) {
  DatagramWorld world;
  world.nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  apply_process(world.processes, PB_EXEC, kWorker, kServer, 9'000, "worker");
  apply_process(world.processes, PB_EXEC, kServer, {}, 9'000, "server");
  world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000));
  pb_datagram_event use = make_event(PB_PEER_USED, 77, 11'000);
  use.user = kWorker;
  world.datagrams.apply(use);
  pb_datagram_event end = make_event(PB_PEER_CLOSE, 77, 12'000);
  end.user = kServer;
  world.datagrams.apply(end);
  EXPECT_TRUE(world.of(Kind::kUsedBy).empty()) << "they wait for the translation";
  apply_process(world.processes, PB_EXEC, kWorker, kServer, 13'000, "later");
  apply_process(world.processes, PB_EXEC, kServer, {}, 13'000, "later");
  world.datagrams.settle_all();
  const auto uses = world.of(Kind::kUsedBy);
  ASSERT_EQ(uses.size(), 2u);
  EXPECT_EQ(uses[0]->text(Field::kExe), "/worker");
  EXPECT_EQ(uses[1]->text(Field::kExe), "/server");
  EXPECT_EQ(uses[1]->uint(Field::kRole), static_cast<uint64_t>(Role::kCloser));
}

TEST(Datagrams, a_sender_that_did_not_make_the_socket_is_told_apart_from_who_did) {
  DatagramWorld world;
  pb_datagram_event open = make_event(PB_PEER_OPEN, 77, 10'000, PB_PEER_OTHER_CREATOR);
  open.owner = kWorker;
  open.user = kServer;
  world.datagrams.apply(open);
  EXPECT_EQ(world.of(Kind::kOpen)[0]->uint(Field::kPid), 71u);
  EXPECT_EQ(world.of(Kind::kOpen)[0]->uint(Field::kRole), static_cast<uint64_t>(Role::kUser));
  ASSERT_EQ(world.of(Kind::kUsedBy).size(), 1u);
  EXPECT_EQ(world.of(Kind::kUsedBy)[0]->uint(Field::kPid), 70u);
  EXPECT_EQ(world.of(Kind::kUsedBy)[0]->uint(Field::kRole), static_cast<uint64_t>(Role::kCreator));
}

TEST(Datagrams, waits_for_the_translation_of_its_own_protocol) {
  DatagramWorld world;
  world.nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  const Endpoint local{*parse_ip("10.0.0.1"), 51420};
  const Endpoint remote{*parse_ip("10.0.0.2"), 53};
  const Endpoint external{*parse_ip("203.0.113.5"), 41234};
  world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000));
  world.nat.add(kNetns, {{local, remote}, {remote, {external.ip, 1}}});
  world.datagrams.settle(11'000);
  EXPECT_TRUE(world.of(Kind::kOpen).empty()) << "a TCP connection between the same ends is another";
  world.nat.add(kNetns, {{local, remote}, {remote, external}, Proto::kUdp});
  world.nat.read_until(11'500);
  world.datagrams.settle(12'000);
  ASSERT_EQ(world.of(Kind::kOpen).size(), 1u);
  EXPECT_EQ(to_text(*world.of(Kind::kOpen)[0]->endpoint(Field::kSrcNatIp, Field::kSrcNatPort)), "203.0.113.5:41234");
}

TEST(Datagrams, a_short_socket_waits_for_the_first_entry_that_its_namespace_ever_tracked) {
  DatagramWorld world;
  world.nat.set_coverage(kNetns, NatTable::Coverage::kNoConntrack);
  world.nat.read_until(8'999);
  world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000));
  pb_datagram_event end = make_event(PB_PEER_CLOSE, 77, 12'000);
  world.datagrams.apply(end);
  world.datagrams.settle(13'000);
  EXPECT_TRUE(world.records.empty() || world.records.back().kind() == Kind::kProcess) << "the entry may be on its way";
  const Tuple original{{*parse_ip("10.0.0.1"), 51420}, {*parse_ip("10.0.0.2"), 53}};
  world.nat.add(kNetns, {original, {original.dst, {*parse_ip("203.0.113.5"), 41234}}, Proto::kUdp});
  world.nat.read_until(13'500);
  world.datagrams.settle(14'000);
  ASSERT_EQ(world.of(Kind::kClose).size(), 1u);
  EXPECT_EQ(world.of(Kind::kOpen)[0]->uint(Field::kSrcNatPort), 41234u);
  EXPECT_EQ(world.of(Kind::kClose)[0]->uint(Field::kSrcNatPort), 41234u);
}

TEST(Datagrams, an_ipv6_socket_that_speaks_ipv4_says_so) {
  DatagramWorld world;
  pb_datagram_event event = make_event(PB_PEER_OPEN, 77, 10'000);
  event.family = AF_INET6;
  world.datagrams.apply(event);
  EXPECT_EQ(ends_of(*world.of(Kind::kOpen)[0]), "10.0.0.1:51420 10.0.0.2:53");
  EXPECT_EQ(world.of(Kind::kOpen)[0]->uint(Field::kFamily), static_cast<uint64_t>(Family::kInet6));
}

TEST(Datagrams, an_open_that_found_the_ring_full_is_made_good_by_the_close) {
  DatagramWorld world;
  world.datagrams.apply(make_event(PB_PEER_CLOSE, 77, 20'000));
  EXPECT_EQ(world.of(Kind::kOpen).size(), 1u);
  EXPECT_EQ(world.of(Kind::kClose).size(), 1u);
}

TEST(Datagrams, the_sweep_ends_what_is_gone) {
  DatagramWorld world;
  pb_datagram_event kept = make_event(PB_PEER_OPEN, 1, 10'000);
  world.datagrams.apply(kept);
  world.datagrams.apply(make_event(PB_PEER_OPEN, 2, 10'000));
  world.datagrams.begin_sweep(20'000);
  kept.type = PB_PEER_ALIVE;
  world.datagrams.apply(kept);
  world.datagrams.end_sweep(30'000, "lost");
  const auto closes = world.of(Kind::kClose);
  ASSERT_EQ(closes.size(), 1u);
  EXPECT_EQ(closes[0]->text(Field::kCause), "lost");
  EXPECT_FALSE(closes[0]->has(Field::kEnd));
  EXPECT_EQ(world.datagrams.open_flows(), 1u);
}

TEST(Datagrams, the_sweep_asks_the_map_for_what_its_list_lacks) {
  DatagramWorld world;
  for (const uint16_t port : {uint16_t{1000}, uint16_t{1001}}) {
    pb_datagram_event open = make_event(PB_PEER_OPEN, port, 10'000, PB_PEER_IN_MAP);
    open.key.remote_port = port;
    world.datagrams.apply(open);
  }
  world.peers.held[1000].flow = 1000;
  world.peers.held[1001].flow = 7;  // another of the same ends
  world.datagrams.begin_sweep(20'000);
  world.datagrams.apply(make_event(PB_SOCKET_ALIVE, 0, 25'000));
  EXPECT_TRUE(world.datagrams.has_unswept());
  world.datagrams.end_sweep(30'000, "lost");
  const auto closes = world.of(Kind::kClose);
  ASSERT_EQ(closes.size(), 1u);
  EXPECT_EQ(closes[0]->uint(Field::kDstPort), 1001u);
  EXPECT_EQ(world.datagrams.open_flows(), 1u);
}

TEST(Datagrams, a_socket_whose_end_was_lost_stops_listening_and_leaves_nothing_behind) {
  DatagramWorld world;
  for (const uint64_t cookie : {uint64_t{5}, uint64_t{6}, uint64_t{7}}) {
    pb_datagram_event event = make_event(PB_BOUND, 0, 5'000);
    event.key.cookie = cookie;
    if (cookie == 7) event.time = 25'000;  // bound while the kernel was asked
    world.datagrams.apply(event);
  }
  world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000, PB_PEER_IN | PB_PEER_IN_MAP));
  world.peers.held[53].flow = 77;
  world.datagrams.begin_sweep(20'000);
  pb_datagram_event alive = make_event(PB_SOCKET_ALIVE, 0, 21'000);
  alive.key.cookie = 6;
  world.datagrams.apply(alive);
  EXPECT_TRUE(world.datagrams.has_unswept());
  world.datagrams.end_sweep(30'000, "lost");
  const auto listens = world.of(Kind::kListen);
  ASSERT_EQ(listens.size(), 4u);
  EXPECT_EQ(hex(listens[3]->id128(Field::kConn)), "11223344556677880000000000000005");
  EXPECT_EQ(listens[3]->uint(Field::kStart), StandingClock::kOffset + 5'000);
  EXPECT_EQ(listens[3]->uint(Field::kEnd), StandingClock::kOffset + 30'000);
  EXPECT_EQ(listens[3]->text(Field::kCause), "lost");
  ASSERT_EQ(world.of(Kind::kClose).size(), 1u);
  EXPECT_TRUE(world.peers.held.empty());
  EXPECT_EQ(world.peers.ended[5], 0u);
  EXPECT_EQ(world.datagrams.open_flows(), 0u);
  world.datagrams.begin_sweep(40'000);
  world.datagrams.apply(alive);
  alive.key.cookie = 7;
  world.datagrams.apply(alive);
  EXPECT_FALSE(world.datagrams.has_unswept());
}

TEST(Datagrams, a_peer_that_spoke_after_it_was_found_silent_goes_on) {
  DatagramWorld world;
  world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000, PB_PEER_IN_MAP));
  world.peers.held[53].flow = 77;
  world.peers.held[53].last = 90'000;
  pb_datagram_event idle = make_event(PB_PEER_IDLE, 77, 80'000, PB_PEER_IN_MAP);
  idle.last = 10'000;
  world.datagrams.begin_sweep(70'000);
  world.datagrams.apply(make_event(PB_SOCKET_ALIVE, 0, 80'000));
  world.datagrams.apply(idle);
  world.datagrams.end_sweep(100'000, "lost");
  EXPECT_TRUE(world.of(Kind::kClose).empty());
  EXPECT_TRUE(world.peers.held.contains(53));
}

TEST(Datagrams, a_packet_that_comes_while_its_silent_peer_is_ended_makes_no_endless_silence) {
  DatagramWorld world;
  world.datagrams.apply(make_event(PB_PEER_OPEN, 77, 10'000));
  pb_datagram_event idle = make_event(PB_PEER_IDLE, 77, 80'000);
  idle.last = 80'001;
  world.datagrams.apply(idle);
  const Record& close = *world.of(Kind::kClose)[0];
  EXPECT_EQ(close.text(Field::kCause), "no packet for 0 s");
  EXPECT_EQ(close.uint(Field::kEnd), close.uint(Field::kTime));
}

TEST(Datagrams, a_silent_peer_that_is_not_known_leaves_the_map) {
  DatagramWorld world;
  world.datagrams.apply(make_event(PB_BOUND, 0, 5'000));
  world.peers.held[53].flow = 77;
  world.datagrams.apply(make_event(PB_PEER_IDLE, 77, 80'000, PB_PEER_IN | PB_PEER_IN_MAP));
  EXPECT_TRUE(world.peers.held.empty());
  EXPECT_EQ(world.peers.ended[5], 1u);
  EXPECT_TRUE(world.of(Kind::kClose).empty());
}

TEST(Datagrams, what_was_connected_before_is_existing) {
  DatagramWorld world;
  pb_datagram_event event = make_event(PB_PEER_EXISTING, 77, 10'000, PB_PEER_WAS_THERE);
  event.start = 0;
  world.datagrams.apply(event);
  ASSERT_EQ(world.of(Kind::kExisting).size(), 1u);
  EXPECT_FALSE(world.of(Kind::kExisting)[0]->has(Field::kStart));
  pb_datagram_event end = make_event(PB_PEER_CLOSE, 77, 20'000, PB_PEER_WAS_THERE);
  end.start = 0;
  world.datagrams.apply(end);
  EXPECT_FALSE(world.of(Kind::kClose)[0]->has(Field::kStart));
}

}  // namespace
}  // namespace portbook

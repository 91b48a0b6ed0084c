// Trace against a slow oracle on random worlds: hosts, proxies, NAT, reused ports; every pair of connections looked at.
#include "query/trace.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "query/plain_view_test.h"
#include "query/trace_ends.h"

namespace portbook {
namespace {

constexpr TimeNs kBegin = 1'795'356'000'000'000'000;  // 2026-11-22T14:00:00Z
constexpr uint64_t kErrorNs = 400'000;

// What the world knows of one socket; the oracle reads nothing else.
struct Socket {
  Id128 conn{};
  size_t host = 0;
  uint64_t pid = 0;
  bool inbound = false;
  Endpoint src;
  Endpoint dst;
  TimeNs start = 0;
  TimeNs end = 0;
  size_t other = SIZE_MAX;  // the socket at the other end
  uint64_t main = 0;        // index of its close
};

struct World {
  std::vector<Socket> sockets;
  std::vector<Record> records;

  uint64_t random(uint64_t below) { return std::uniform_int_distribution<uint64_t>(0, below - 1)(engine); }
  std::mt19937_64 engine;
  uint64_t next_conn = 1;
  std::map<std::string, uint64_t> sequence;

  Id128 new_conn() {
    Id128 id{};
    store_big(id.data() + 8, next_conn++);
    return id;
  }
};

Ip address(uint64_t host) {
  return *parse_ip(fmt::format("10.0.0.{}", host + 1));
}

void write_close(World& world, Socket& socket) {
  Record record;
  record.set(Field::kKind, Kind::kClose);
  record.set(Field::kVantage, Vantage::kSocket);
  record.set(Field::kTime, socket.end);
  record.set(Field::kHost, fmt::format("h{}", socket.host));
  record.set(Field::kProto, Proto::kTcp);
  record.set(Field::kDirection, socket.inbound ? Direction::kIn : Direction::kOut);
  if (socket.inbound) record.set(Field::kRole, Role::kAcceptor);
  record.set(Field::kSrcIp, Field::kSrcPort, socket.src);
  record.set(Field::kDstIp, Field::kDstPort, socket.dst);
  record.set(Field::kConn, socket.conn);
  record.set(Field::kPid, socket.pid);
  record.set(Field::kProcessStart, kBegin - kNsPerSecond);
  record.set(Field::kStart, socket.start);
  record.set(Field::kEnd, socket.end);
  record.set(Field::kClockError, kErrorNs);
  Record open = record;
  open.set(Field::kKind, Kind::kOpen);
  open.set(Field::kTime, socket.start);
  open.remove(Field::kStart);
  open.remove(Field::kEnd);
  world.records.push_back(open);
  socket.main = world.records.size();
  world.records.push_back(record);
}

void write_lease(World& world, const Endpoint& internal, const Endpoint& asked_for, const Endpoint& external, TimeNs from,
                 TimeNs to) {
  Record record;
  record.set(Field::kKind, Kind::kNatClose);
  record.set(Field::kVantage, Vantage::kNat);
  record.set(Field::kTime, to);
  record.set(Field::kHost, "gw");
  record.set(Field::kProto, Proto::kTcp);
  record.set(Field::kSrcIp, Field::kSrcPort, internal);
  record.set(Field::kDstIp, Field::kDstPort, asked_for);
  record.set(Field::kSrcNatIp, Field::kSrcNatPort, external);
  record.set(Field::kNat, Nat::kTranslated);
  record.set(Field::kConn, world.new_conn());
  record.set(Field::kStart, from);
  record.set(Field::kEnd, to);
  record.set(Field::kClockError, kErrorNs);
  world.records.push_back(record);
}

// A connection between two hosts: both ends' records, sometimes through a NAT, some ports used again later.
void connect(World& world, size_t from, size_t to, TimeNs start, TimeNs end) {
  Socket client;
  client.conn = world.new_conn();
  client.host = from;
  client.pid = 100 * (from + 1) + world.random(2);
  client.src = {address(from), static_cast<uint16_t>(20'000 + world.random(6))};
  client.dst = {address(to), static_cast<uint16_t>(80 + world.random(2))};
  client.start = start;
  client.end = end;
  Socket server = client;
  server.conn = world.new_conn();
  server.host = to;
  server.inbound = true;
  server.pid = 100 * (to + 1) + world.random(2);
  server.start = start + 50'000;
  if (world.random(3) == 0) {
    server.src = {*parse_ip("203.0.113.5"), static_cast<uint16_t>(40'000 + world.random(6))};
    write_lease(world, client.src, client.dst, server.src, start, end + kNsPerSecond);
  }
  client.other = world.sockets.size() + 1;
  server.other = world.sockets.size();
  write_close(world, client);
  write_close(world, server);
  world.sockets.push_back(client);
  world.sockets.push_back(server);
}

World random_world(uint64_t seed) {
  World world;
  world.engine.seed(seed);
  const size_t hosts = 2 + world.random(4);
  const size_t connections = 4 + world.random(10);
  for (size_t i = 0; i < connections; ++i) {
    const size_t from = world.random(hosts);
    const size_t to = (from + 1 + world.random(hosts - 1)) % hosts;
    // Ten seconds apart: a tuple that comes again is another connection beyond doubt.
    const TimeNs start = kBegin + i * 10 * kNsPerSecond;
    connect(world, from, to, start, start + (1 + world.random(40)) * kNsPerSecond);
  }
  return world;
}

using Edge = std::string;  // "proven 3>5"

bool opened_while_held(const Socket& in, const Socket& out) {
  return in.inbound && !out.inbound && in.host == out.host && in.pid == out.pid && in.start <= out.start && in.end >= out.start;
}
bool pooled(const Socket& in, const Socket& out) {
  return in.inbound && !out.inbound && in.host == out.host && in.pid == out.pid && out.start < in.start && out.end >= in.start;
}

// Where the step inside a process leads, by looking at every socket.
std::vector<size_t> inside(const World& world, size_t at, bool on) {
  std::vector<size_t> direct;
  std::vector<size_t> held;
  for (size_t i = 0; i < world.sockets.size(); ++i) {
    const Socket& in = world.sockets[on ? at : i];
    const Socket& out = world.sockets[on ? i : at];
    if (opened_while_held(in, out)) direct.push_back(i);
    if (pooled(in, out)) held.push_back(i);
  }
  return direct.empty() ? held : direct;
}

std::set<Edge> oracle(const World& world, size_t start) {
  std::set<Edge> edges;
  for (const bool on : {false, true}) {
    std::set<size_t> visited = {start};
    std::vector<std::pair<size_t, size_t>> waiting = {{start, 0}};
    for (size_t next = 0; next < waiting.size(); ++next) {
      const auto [at, depth] = waiting[next];
      if (depth >= kTraceDepthMax) continue;
      const bool to_other_end = world.sockets[at].inbound != on;
      const std::vector<size_t> steps = to_other_end ? std::vector<size_t>{world.sockets[at].other} : inside(world, at, on);
      for (const size_t step : steps) {
        const size_t from = on ? at : step;
        const size_t to = on ? step : at;
        edges.insert(
            fmt::format("{} {}>{}", to_other_end ? "proven" : "possible", world.sockets[from].main, world.sockets[to].main));
        if (visited.insert(step).second) waiting.emplace_back(step, depth + 1);
      }
    }
  }
  return edges;
}

std::set<Edge> traced(const World& world, size_t start) {
  const TraceQuestion question{"", world.sockets[start].main, std::nullopt};
  Coverage coverage;
  const auto answer = trace(view_of(world.records), coverage, question, kBegin + 1000 * kNsPerSecond);
  std::set<Edge> edges;
  if (!answer) return {answer.error().message};
  for (const TraceEdge& edge : answer->edges) {
    edges.insert(fmt::format("{} {}>{}", edge.certainty == Hop::Class::kProven ? "proven" : "possible",
                             answer->nodes[edge.from].connection.main, answer->nodes[edge.to].connection.main));
  }
  EXPECT_TRUE(answer->bounds.empty()) << answer->bounds.front();
  return edges;
}

TEST(Trace, FindsWhatTheOracleFindsInRandomWorlds) {
  size_t edges = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    const World world = random_world(seed);
    for (size_t start = 0; start < world.sockets.size(); start += 3) {
      const std::set<Edge> expected = oracle(world, start);
      EXPECT_EQ(traced(world, start), expected) << "seed " << seed << ", from #" << world.sockets[start].main;
      edges += expected.size();
    }
  }
  EXPECT_GT(edges, 1000u);
}

// A ring of proxies: each step leads on, and the walk ends.
TEST(Trace, EndsInALoop) {
  World world;
  world.engine.seed(7);
  for (size_t i = 0; i < 3; ++i) {
    const TimeNs start = kBegin + i * kNsPerSecond * 10;
    connect(world, i, (i + 1) % 3, start, kBegin + 100 * kNsPerSecond);
  }
  const std::set<Edge> once = traced(world, 0);
  EXPECT_EQ(once, oracle(world, 0));
  EXPECT_FALSE(once.empty());
}

// Forty clients of one process: the nearest are followed and the rest is said.
TEST(Trace, NamesWhatItDidNotFollow) {
  World world;
  std::vector<Socket> sockets;
  Socket out;
  for (size_t i = 0; i <= 40; ++i) {
    Socket one;
    one.conn = world.new_conn();
    one.host = 1;
    one.pid = 7;
    one.inbound = i < 40;
    one.src = {address(i == 40 ? 1 : i + 5), static_cast<uint16_t>(20'000 + i)};
    one.dst = {address(i == 40 ? 2 : 1), 80};
    one.start = kBegin + i * kNsPerSecond;
    one.end = kBegin + 100 * kNsPerSecond;
    write_close(world, one);
    out = one;
  }
  Coverage coverage;
  const auto answer = trace(view_of(world.records), coverage, {"", out.main, std::nullopt}, kBegin + 1000 * kNsPerSecond);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->edges.size(), 16u);
  ASSERT_EQ(answer->bounds.size(), 1u);
  EXPECT_EQ(answer->bounds.front(),
            fmt::format("40 connections may be the cause of #{}; the 16 nearest in time are followed.", out.main));
}

}  // namespace
}  // namespace portbook

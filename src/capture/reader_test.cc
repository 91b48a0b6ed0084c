#include "capture/reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>

#include "capture/fake_world_test.h"
#include "capture/outbox.h"
#include "record/cbor.h"

namespace portbook {
namespace {

constexpr uint32_t kNetns = 4026531840;

pb_socket_event make_event(__u8 type, uint64_t cookie, uint64_t time, uint64_t seq = 0) {
  pb_socket_event event{};
  event.type = type;
  event.seq = seq;
  event.cookie = cookie;
  event.time = event.opened = time;
  event.netns = kNetns;
  event.family = 2;
  event.local_port = 51420;
  event.remote_port = 443;
  return event;
}

pb_datagram_event make_datagram(__u8 type, uint64_t flow, uint64_t time, uint64_t seq = 0) {
  pb_datagram_event event{};
  event.type = type;
  event.seq = seq;
  event.flow = flow;
  event.time = event.start = event.last = time;
  event.netns = kNetns;
  event.family = 2;
  event.key.cookie = flow;
  return event;
}

// The kernel as the test wants it: what is in the rings and what is alive.
class FakePrograms final : public KernelPrograms {
 public:
  const std::vector<MissingProgram>& missing() const override { return missing_; }
  bool attached(std::string_view) const override { return true; }
  bool drain_sockets(size_t, const TakeSocket& take) override {
    const std::lock_guard lock(mutex);
    for (const pb_socket_event& event : std::exchange(ring, {})) take(event);
    return true;
  }
  bool drain_datagrams(size_t, const TakeDatagram& take) override {
    const std::lock_guard lock(mutex);
    for (const pb_datagram_event& event : std::exchange(datagram_ring, {})) take(event);
    return true;
  }
  bool drain_processes(size_t, const TakeProcess& take) override {
    const std::lock_guard lock(mutex);
    for (const std::string& event : std::exchange(process_ring, {})) take(event);
    ++process_drains;
    return process_ring_whole;
  }
  Counts counts(EventKind kind) override {
    const std::lock_guard lock(mutex);
    auto& [given_now, lost_now] = told_[static_cast<size_t>(kind)];
    given_now = {given[static_cast<size_t>(kind)]};
    lost_now = {lost[static_cast<size_t>(kind)]};
    return {given_now, lost_now};
  }
  Totals totals(EventKind) const override { return {}; }
  Status list_processes(const TakeProcess&) override {
    ++process_lists;
    return {};
  }
  Status find_owners() override { return {}; }
  Status list_sockets(uint32_t, const TakeSocket& take) override {
    const std::lock_guard lock(mutex);
    for (const pb_socket_event& event : std::exchange(unseen, {})) take(event);
    return {};
  }
  Status list_alive(const TakeSocket& take) override {
    const std::lock_guard lock(mutex);
    ++sweeps;
    for (const uint64_t cookie : alive) take(make_event(PB_ALIVE, cookie, 1));
    return {};
  }
  Status list_cookies(const std::function<void(uint64_t)>& take) override {
    const std::lock_guard lock(mutex);
    for (const uint64_t cookie : alive) take(cookie);
    return {};
  }
  Status find_datagram_owners() override { return {}; }
  Status list_datagram_sockets(uint32_t, const TakeDatagram&) override { return {}; }
  Status sweep_peers(uint64_t, bool, bool list_alive, const TakeDatagram& take) override {
    const std::lock_guard lock(mutex);
    if (!list_alive) return {};
    ++datagram_sweeps;
    if (lists_that_lack > 0) {
      --lists_that_lack;
      return {};
    }
    for (const uint64_t flow : alive_flows) take(make_datagram(PB_PEER_ALIVE, flow, 1));
    return {};
  }
  bool find_peer(const pb_peer_key&, pb_peer&) override { return false; }
  bool take_peer(const pb_peer_key&, pb_peer&) override { return false; }
  void set_peers_ended(uint64_t, uint64_t) override {}
  std::vector<std::string> find_detached() override {
    const std::lock_guard lock(mutex);
    return detached;
  }
  Status attach_again(std::string_view name) override {
    const std::lock_guard lock(mutex);
    if (!may_attach) return fail(ErrorCode::kUnavailable, "it is gone");
    std::erase(detached, name);
    return {};
  }

  std::mutex mutex;
  std::vector<pb_socket_event> ring;
  std::vector<std::string> process_ring;
  bool process_ring_whole = true;
  std::array<uint64_t, kEventKinds> given{};
  std::array<uint64_t, kEventKinds> lost{};
  std::vector<pb_socket_event> unseen;  // sockets that no program saw begin
  std::vector<uint64_t> alive;
  std::vector<pb_datagram_event> datagram_ring;
  std::vector<uint64_t> alive_flows;
  int lists_that_lack = 0;  // as the kernel's may, while sockets come and go
  std::vector<std::string> detached;
  bool may_attach = true;
  std::atomic<int> sweeps = 0;
  std::atomic<int> datagram_sweeps = 0;
  std::atomic<int> process_lists = 0;
  std::atomic<int> process_drains = 0;

 private:
  std::vector<MissingProgram> missing_;
  std::array<std::pair<std::vector<uint64_t>, std::vector<uint64_t>>, kEventKinds> told_;
};

// Moves only when the test says so.
class ManualClock final : public Clock {
 public:
  TimeNs now() override { return boot.load() + offset.load(); }
  uint64_t boot_ns() override { return boot.load(); }
  uint64_t awake_ns() override {
    const std::lock_guard lock(mutex_);
    return boot.load() - asleep_;
  }
  void suspend(uint64_t for_ns) {
    const std::lock_guard lock(mutex_);
    boot += for_ns;
    asleep_ += for_ns;
  }
  std::atomic<uint64_t> boot{100 * kNsPerSecond};
  std::atomic<uint64_t> offset{StandingClock::kOffset};

 private:
  std::mutex mutex_;
  uint64_t asleep_ = 0;
};

class ReaderWorld {
 public:
  ReaderWorld() { nat.set_coverage(kNetns, NatTable::Coverage::kNotPermitted); }
  void start() {
    reader.take_snapshot();
    reader.start();
  }
  void take(const Batch& batch, const CaptureOptions::Done& done) {
    {
      const std::lock_guard lock(mutex_);
      Record record;
      for (ByteView rest = batch.bytes; !rest.empty(); rest = rest.subspan(*encoded_length(rest))) {
        EXPECT_TRUE(decode(rest.first(*encoded_length(rest)), record).has_value());
        records_.push_back(record);
      }
    }
    came_.notify_all();
    done({});
  }
  // The first `count` records of that kind, once they are there; fewer after 20 s.
  std::vector<Record> wait_for(Kind kind, size_t count) {
    std::vector<Record> found;
    std::unique_lock lock(mutex_);
    came_.wait_for(lock, std::chrono::seconds(20), [&] {
      found.clear();
      for (const Record& record : records_) {
        if (record.kind() == kind && found.size() < count) found.push_back(record);
      }
      return found.size() == count;
    });
    return found;
  }
  size_t count(Kind kind) {
    const std::lock_guard lock(mutex_);
    return static_cast<size_t>(std::ranges::count(records_, kind, [](const Record& record) { return record.kind(); }));
  }
  // Time passes, by the second, until the condition holds; false after 20 s of the real one.
  template <typename Condition>
  bool pass_until(const Condition& condition) {
    for (int i = 0; i < 4000 && !condition(); ++i) {
      clock.boot += kNsPerSecond;
      std::unique_lock lock(mutex_);
      came_.wait_for(lock, std::chrono::milliseconds(5));
    }
    return condition();
  }

  void put(const pb_socket_event& event) {
    const std::lock_guard lock(programs.mutex);
    programs.given[static_cast<size_t>(EventKind::kSocket)] = event.seq;
    programs.ring.push_back(event);
  }
  // Up to when everything is told, in boot time; after another pass at the present moment of the test's clock.
  uint64_t told_now() {
    const auto passes = [&] {
      CaptureStatistics statistics;
      reader.fill(statistics);
      return statistics.passes;
    };
    clock.boot += 20 * kNsPerMs;
    // One may be under way, and one has begun when the one before it has told.
    for (const uint64_t until = passes() + 3; passes() < until;) std::this_thread::yield();
    const std::lock_guard lock(mutex_);
    return told_ - StandingClock::kOffset;
  }

  FakePrograms programs;
  NatTable nat;
  ManualClock clock;
  std::unique_ptr<Operations> operations = make_direct_operations();

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<Record> records_;
  TimeNs told_ = 0;

 public:
  Outbox outbox{"web-7", [this](const Batch& batch, const CaptureOptions::Done& done) { take(batch, done); }, system_clock(),
                [this](const std::string&, TimeNs until) {
                  {
                    const std::lock_guard lock(mutex_);
                    told_ = until;
                  }
                  came_.notify_all();
                }};
  Stream& stream = outbox.open("web-7/socket", 1);
  Reader reader{{}, *operations, &programs, nat, stream, clock};
};

TEST(Reader, a_detached_program_is_attached_again_and_the_gap_ends_with_a_snapshot) {
  ReaderWorld world;
  world.start();
  const int lists = world.programs.process_lists;
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.detached = {"on_socket"};
    world.programs.unseen = {make_event(PB_EXISTING, 7, 5)};
    world.programs.alive = {7};
  }
  ASSERT_TRUE(world.pass_until([&] { return world.count(Kind::kGap) > 0 && world.count(Kind::kExisting) > 0; }));
  const Record gap = world.wait_for(Kind::kGap, 1)[0];
  EXPECT_EQ(gap.text(Field::kCause), "kernel program on_socket was detached by somebody");
  EXPECT_LE(gap.uint(Field::kStart), gap.uint(Field::kEnd));
  EXPECT_FALSE(world.reader.programs_detached());
  EXPECT_GT(world.programs.process_lists, lists);
  EXPECT_GT(world.programs.sweeps, 0);
  world.reader.stop();
}

TEST(Reader, a_program_that_cannot_be_attached_is_a_gap_without_end_until_it_can) {
  ReaderWorld world;
  world.start();
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.detached = {"on_socket"};
    world.programs.may_attach = false;
  }
  ASSERT_TRUE(world.pass_until([&] { return world.count(Kind::kGap) > 0; }));
  EXPECT_TRUE(world.reader.programs_detached());
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.may_attach = true;
  }
  ASSERT_TRUE(world.pass_until([&] { return world.count(Kind::kGap) > 1; }));
  const auto gaps = world.wait_for(Kind::kGap, 2);
  EXPECT_FALSE(gaps[0].has(Field::kEnd));
  // The same start and cause: readers know it for the same gap.
  EXPECT_EQ(gaps[1].uint(Field::kStart), gaps[0].uint(Field::kStart));
  EXPECT_EQ(gaps[1].text(Field::kCause), gaps[0].text(Field::kCause));
  EXPECT_TRUE(gaps[1].has(Field::kEnd));
  world.reader.stop();
  EXPECT_FALSE(world.reader.programs_detached());
}

TEST(Reader, every_kind_of_loss_is_a_gap_with_its_count_followed_by_a_snapshot) {
  for (const EventKind kind : {EventKind::kSocket, EventKind::kDatagram, EventKind::kProcess}) {
    ReaderWorld world;
    world.start();
    const int lists = world.programs.process_lists;
    const int sweeps = world.programs.sweeps;
    {
      const std::lock_guard lock(world.programs.mutex);
      world.programs.given[static_cast<size_t>(kind)] = world.programs.lost[static_cast<size_t>(kind)] = 12;
    }
    ASSERT_TRUE(world.pass_until([&] { return world.count(Kind::kGap) > 0; }));
    EXPECT_EQ(world.wait_for(Kind::kGap, 1)[0].uint(Field::kCount), 12u);
    if (kind == EventKind::kProcess) EXPECT_TRUE(world.pass_until([&] { return world.programs.process_lists > lists; }));
    if (kind == EventKind::kSocket) EXPECT_TRUE(world.pass_until([&] { return world.programs.sweeps > sweeps; }));
    world.reader.stop();
    EXPECT_EQ(world.count(Kind::kGap), 1u);
  }
}

TEST(Reader, a_loss_shortly_before_the_end_is_told) {
  ReaderWorld world;
  world.start();
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.given[0] = world.programs.lost[0] = 3;
  }
  world.reader.stop();
  ASSERT_EQ(world.wait_for(Kind::kGap, 1).size(), 1u);
}

std::string make_process_event(__u8 type, const pb_owner& owner, uint64_t time, std::string_view exe) {
  pb_process_event head{};
  head.type = type;
  head.time = time;
  head.owner = owner;
  head.exe_bytes = static_cast<__u16>(exe.size());
  return std::string(reinterpret_cast<const char*>(&head), sizeof head) + std::string(exe);
}

TEST(Reader, a_sockets_event_waits_while_its_process_is_on_its_way) {
  ReaderWorld world;
  world.start();
  const pb_owner early = make_owner(60, 10);
  const pb_owner late = make_owner(61, 50);
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.ring = {make_event(PB_OPEN, 1, 30, 1), make_event(PB_OPEN, 2, 60, 2)};
    world.programs.ring[0].owner = early;
    world.programs.ring[1].owner = late;
    world.programs.given[0] = 2;
    world.programs.process_ring = {make_process_event(PB_EXEC, early, 20, "early"),
                                   make_process_event(PB_EXEC, early, 40, "other")};
    world.programs.process_ring_whole = false;  // somebody writes what stands before `late`
  }
  ASSERT_EQ(world.wait_for(Kind::kOpen, 1).size(), 1u);
  const int drains = world.programs.process_drains;
  ASSERT_TRUE(world.pass_until([&] { return world.programs.process_drains > drains + 20; }));
  EXPECT_EQ(world.count(Kind::kOpen), 1u);
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.process_ring = {make_process_event(PB_EXEC, late, 55, "late"), make_process_event(PB_EXEC, late, 70, "later")};
    world.programs.process_ring_whole = true;
  }
  const auto opens = world.wait_for(Kind::kOpen, 2);
  ASSERT_EQ(opens.size(), 2u);
  // The programs that they ran later had been read before.
  EXPECT_EQ(opens[0].text(Field::kExe), "/early");
  EXPECT_EQ(opens[1].text(Field::kExe), "/late");
  world.reader.stop();
  EXPECT_EQ(world.count(Kind::kGap), 0u);
}

TEST(Reader, what_waits_for_its_process_is_written_when_capture_ends) {
  ReaderWorld world;
  world.start();
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.process_ring_whole = false;
    world.programs.ring = {make_event(PB_OPEN, 1, 30, 1)};
    world.programs.given[0] = 1;
  }
  world.reader.stop();
  EXPECT_EQ(world.wait_for(Kind::kOpen, 1).size(), 1u);
}

TEST(Reader, the_comparison_says_that_everything_is_known) {
  ReaderWorld world;
  world.start();
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.ring = {make_event(PB_OPEN, 1, 5, 1), make_event(PB_OPEN, 2, 6, 2)};
    world.programs.given[0] = 2;
    world.programs.alive = {1, 2};
  }
  ASSERT_EQ(world.wait_for(Kind::kOpen, 2).size(), 2u);
  ASSERT_TRUE(world.pass_until([&] { return world.reader.comparison().has_value(); }));
  const auto told = world.wait_for(Kind::kAdmin, 1);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].text(Field::kMessage), "2 of 2 open connections known");
  EXPECT_EQ(world.reader.comparison()->known, 2u);
  EXPECT_EQ(world.reader.comparison()->differences, 0u);
  world.reader.stop();
  EXPECT_EQ(world.count(Kind::kGap), 0u);
}

TEST(Reader, what_the_comparison_finds_is_mended_and_a_gap) {
  ReaderWorld world;
  world.start();
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.ring = {make_event(PB_OPEN, 1, 5, 1), make_event(PB_OPEN, 2, 6, 2)};
    world.programs.given[0] = 2;
    world.programs.alive = {1, 3};  // 2 ended and 3 began, and nobody told
  }
  ASSERT_EQ(world.wait_for(Kind::kOpen, 2).size(), 2u);
  ASSERT_TRUE(world.pass_until([&] { return world.count(Kind::kAdmin) > 0; }));
  const auto gaps = world.wait_for(Kind::kGap, 1);
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].uint(Field::kCount), 2u);
  EXPECT_TRUE(gaps[0].has(Field::kEnd));
  const auto closes = world.wait_for(Kind::kClose, 1);
  ASSERT_EQ(closes.size(), 1u);
  EXPECT_EQ(load_big<uint64_t>(closes[0].id128(Field::kConn).data() + 8), 2u);
  EXPECT_FALSE(closes[0].has(Field::kEnd));
  const auto adopted = world.wait_for(Kind::kExisting, 1);
  ASSERT_EQ(adopted.size(), 1u);
  EXPECT_EQ(load_big<uint64_t>(adopted[0].id128(Field::kConn).data() + 8), 3u);
  EXPECT_EQ(world.wait_for(Kind::kAdmin, 1)[0].text(Field::kMessage), "1 of 2 open connections known");
  world.reader.stop();
}

TEST(Reader, an_end_that_nobody_told_is_found_within_seconds) {
  ReaderWorld world;
  world.start();
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.ring = {make_event(PB_OPEN, 1, 5, 1), make_event(PB_OPEN, 2, 6, 2)};
    world.programs.given[0] = 2;
    world.programs.alive = {1};
  }
  ASSERT_EQ(world.wait_for(Kind::kOpen, 2).size(), 2u);
  const uint64_t before = world.clock.boot.load();
  ASSERT_TRUE(world.pass_until([&] { return world.count(Kind::kClose) > 0; }));
  EXPECT_LT(world.clock.boot.load(), before + kCompareEveryNs / 2);
  const auto closes = world.wait_for(Kind::kClose, 1);
  EXPECT_EQ(load_big<uint64_t>(closes[0].id128(Field::kConn).data() + 8), 2u);
  EXPECT_FALSE(closes[0].has(Field::kEnd));
  EXPECT_EQ(world.count(Kind::kGap), 1u);
  world.reader.stop();
}

TEST(Reader, a_udp_peer_that_one_list_lacks_is_asked_for_again) {
  ReaderWorld world;
  world.start();
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.datagram_ring = {make_datagram(PB_PEER_OPEN, 1, 5, 1), make_datagram(PB_PEER_OPEN, 2, 6, 2)};
    world.programs.given[1] = 2;
    world.programs.alive_flows = {1};
    world.programs.lists_that_lack = 1;
  }
  ASSERT_EQ(world.wait_for(Kind::kOpen, 2).size(), 2u);
  ASSERT_TRUE(world.pass_until([&] { return world.count(Kind::kClose) > 0; }));
  const int sweeps = world.programs.datagram_sweeps;
  ASSERT_TRUE(world.pass_until([&] { return world.programs.datagram_sweeps > sweeps; }));
  world.reader.stop();
  ASSERT_EQ(world.count(Kind::kClose), 1u);
  EXPECT_EQ(load_big<uint64_t>(world.wait_for(Kind::kClose, 1)[0].id128(Field::kConn).data() + 8), 2u);
}

TEST(Reader, events_on_both_sides_of_a_clock_step_are_converted_with_their_own_offset) {
  for (const int64_t hours : {1, -1}) {
    ReaderWorld world;
    world.start();
    const uint64_t before = world.clock.boot;
    {
      const std::lock_guard lock(world.programs.mutex);
      world.programs.ring = {make_event(PB_OPEN, 1, before, 1)};
      world.programs.given[0] = 1;
    }
    ASSERT_EQ(world.wait_for(Kind::kOpen, 1).size(), 1u);
    world.clock.boot += kNsPerMs;
    world.clock.offset += static_cast<uint64_t>(hours * 3600) * kNsPerSecond;
    const auto clocks = world.wait_for(Kind::kClock, 2);
    ASSERT_EQ(clocks.size(), 2u);
    EXPECT_EQ(clocks[1].signed_value(Field::kClockStep), hours * 3600 * static_cast<int64_t>(kNsPerSecond));
    world.clock.boot += kNsPerMs;
    const uint64_t after = world.clock.boot;
    {
      const std::lock_guard lock(world.programs.mutex);
      world.programs.ring = {make_event(PB_OPEN, 2, after, 2), make_event(PB_CLOSE, 1, before + 1, 3)};
      world.programs.given[0] = 3;
    }
    const auto opens = world.wait_for(Kind::kOpen, 2);
    ASSERT_EQ(opens.size(), 2u);
    EXPECT_EQ(opens[0].time(), before + StandingClock::kOffset);
    EXPECT_EQ(opens[1].time(), after + world.clock.offset);
    EXPECT_TRUE(world.pass_until([&] { return world.count(Kind::kClose) > 0; }));
    const auto closes = world.wait_for(Kind::kClose, 1);
    ASSERT_EQ(closes.size(), 1u);
    EXPECT_EQ(closes[0].time(), before + 1 + StandingClock::kOffset);
    world.reader.stop();
  }
}

TEST(Reader, a_suspend_is_a_clock_record_with_its_interval) {
  ReaderWorld world;
  world.start();
  ASSERT_EQ(world.wait_for(Kind::kClock, 1).size(), 1u);
  // Until the reader has looked at the clocks once.
  ASSERT_TRUE(world.pass_until([&] { return world.reader.comparison().has_value(); }));
  const uint64_t fell_asleep = world.clock.boot;
  world.clock.suspend(600 * kNsPerSecond);
  const auto clocks = world.wait_for(Kind::kClock, 2);
  ASSERT_EQ(clocks.size(), 2u);
  EXPECT_LE(clocks[1].uint(Field::kStart), fell_asleep + StandingClock::kOffset);
  EXPECT_GE(clocks[1].uint(Field::kEnd) - clocks[1].uint(Field::kStart), 600 * kNsPerSecond);
  EXPECT_EQ(clocks[1].text(Field::kCause), "the host was suspended for 600000 ms");
  world.reader.stop();
  EXPECT_EQ(world.count(Kind::kGap), 0u);
}

TEST(Reader, on_an_idle_host_the_present_is_told) {
  ReaderWorld world;
  world.start();
  for (int i = 0; i < 3; ++i) {
    const uint64_t told = world.told_now();
    EXPECT_GT(told + 50 * kNsPerMs, world.clock.boot.load());
    EXPECT_LT(told, world.clock.boot.load());
  }
}

TEST(Reader, what_waits_for_its_translation_is_not_told) {
  ReaderWorld world;
  world.nat.set_coverage(kNetns, NatTable::Coverage::kWatched);
  world.start();
  const uint64_t opened = world.clock.boot;
  world.programs.alive = {7};
  world.put(make_event(PB_OPEN, 7, opened, 1));
  EXPECT_GT(world.told_now(), opened) << "an open waits 20 ms";
  EXPECT_EQ(world.wait_for(Kind::kOpen, 1).size(), 1u);
  const uint64_t closed = world.clock.boot;
  world.put(make_event(PB_CLOSE, 7, closed, 2));
  EXPECT_LT(world.told_now(), closed) << "an end waits 200 ms";
  EXPECT_EQ(world.count(Kind::kClose), 0u);
  world.clock.boot += 200 * kNsPerMs;
  EXPECT_GT(world.told_now(), closed);
  EXPECT_EQ(world.wait_for(Kind::kClose, 1).size(), 1u);
}

TEST(Reader, a_number_whose_event_has_not_come_holds_back_what_is_told) {
  ReaderWorld world;
  world.start();
  const uint64_t before = world.told_now();
  {
    const std::lock_guard lock(world.programs.mutex);
    world.programs.given[static_cast<size_t>(EventKind::kSocket)] = 1;
  }
  world.told_now();
  EXPECT_LE(world.told_now(), before + 40 * kNsPerMs);
  ASSERT_TRUE(world.pass_until([&] { return world.count(Kind::kGap) > 0; })) << "it never comes, and is counted as lost";
  const Record gap = world.wait_for(Kind::kGap, 1)[0];
  const auto is_told = [&] { return world.told_now() + StandingClock::kOffset >= gap.uint(Field::kEnd); };
  EXPECT_TRUE(world.pass_until(is_told)) << "it holds nothing back any more";
}

}  // namespace
}  // namespace portbook

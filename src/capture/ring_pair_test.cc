#include "capture/ring_pair.h"

#include <gtest/gtest.h>

#include "capture/fake_ring_test.h"

namespace portbook {
namespace {

struct Event {
  uint64_t time;
};

class Pair {
 public:
  static void put(FakeRing& to, uint64_t time) { to.finish(reserve(to, time), false); }
  static uint64_t reserve(FakeRing& in, uint64_t time) { return in.reserve({reinterpret_cast<const char*>(&time), sizeof time}); }
  // What one call hands over.
  std::vector<uint64_t> drain(size_t maximum) {
    std::vector<uint64_t> times;
    whole = pair_.drain(maximum, [&](const Event& event) { times.push_back(event.time); });
    return times;
  }

  FakeRing ring;
  FakeRing overflow;
  bool whole = false;

 private:
  RingPair<Event> pair_{ring.open(), overflow.open()};
};

using Times = std::vector<uint64_t>;

TEST(RingPair, an_end_that_found_the_ring_full_waits_for_what_is_before_it_in_the_ring) {
  Pair pair;
  for (const uint64_t time : {10, 20, 30}) Pair::put(pair.ring, time);
  Pair::put(pair.overflow, 40);
  EXPECT_EQ(pair.drain(2), (Times{10, 20}));
  EXPECT_FALSE(pair.whole);
  EXPECT_EQ(pair.drain(2), (Times{30, 40}));
  EXPECT_TRUE(pair.whole);
}

TEST(RingPair, what_came_once_the_ring_had_room_again_comes_after_the_overflow) {
  Pair pair;
  for (const uint64_t time : {10, 20, 50, 60}) Pair::put(pair.ring, time);
  for (const uint64_t time : {30, 40, 70}) Pair::put(pair.overflow, time);
  EXPECT_EQ(pair.drain(3), (Times{10, 20, 30, 40, 50}));
  EXPECT_FALSE(pair.whole);
  EXPECT_EQ(pair.drain(3), (Times{60, 70}));
  EXPECT_TRUE(pair.whole);
}

TEST(RingPair, an_event_that_is_still_written_holds_the_overflow_back) {
  Pair pair;
  Pair::put(pair.ring, 10);
  const uint64_t slow = Pair::reserve(pair.ring, 20);
  Pair::put(pair.overflow, 30);
  EXPECT_EQ(pair.drain(9), Times{10});
  EXPECT_FALSE(pair.whole);
  pair.ring.finish(slow, false);
  EXPECT_EQ(pair.drain(9), (Times{20, 30}));
  EXPECT_TRUE(pair.whole);
}

TEST(RingPair, an_overflow_that_is_still_written_is_not_whole) {
  Pair pair;
  Pair::put(pair.ring, 10);
  const uint64_t slow = Pair::reserve(pair.overflow, 20);
  EXPECT_EQ(pair.drain(9), Times{10});
  EXPECT_FALSE(pair.whole);
  pair.overflow.finish(slow, false);
  EXPECT_EQ(pair.drain(9), Times{20});
  EXPECT_TRUE(pair.whole);
}

TEST(RingPair, without_an_overflow_the_rings_own_order_stands) {
  Pair pair;
  for (const uint64_t time : {20, 10}) Pair::put(pair.ring, time);
  EXPECT_EQ(pair.drain(9), (Times{20, 10}));
  EXPECT_TRUE(pair.whole);
}

}  // namespace
}  // namespace portbook

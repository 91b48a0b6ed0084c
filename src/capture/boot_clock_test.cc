#include "capture/boot_clock.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

// Every reading takes `reading_ns`.
class FakeClock final : public Clock {
 public:
  TimeNs now() override {
    boot += reading_ns;
    return boot + offset;
  }
  uint64_t boot_ns() override {
    boot += reading_ns;
    return boot;
  }
  uint64_t boot = 1'000'000'000;
  uint64_t offset = 1'700'000'000'000'000'000;
  uint64_t reading_ns = 20;
};

constexpr ClockDiscipline kSynchronised{true, 400'000};

TEST(BootClock, converts_with_the_offset_that_it_sampled) {
  FakeClock fake;
  BootClock clock(fake);
  EXPECT_FALSE(clock.sample(kSynchronised));
  EXPECT_EQ(clock.utc(5'000'000'000), 5'000'000'000 + fake.offset);
}

TEST(BootClock, stays_the_same_number_while_only_reading_jitters) {
  FakeClock fake;
  BootClock clock(fake);
  clock.sample(kSynchronised);
  const TimeNs before = clock.utc(7);
  fake.offset += 300;
  EXPECT_FALSE(clock.sample(kSynchronised));
  EXPECT_EQ(clock.utc(7), before);
}

TEST(BootClock, converts_an_event_with_the_offset_of_its_own_moment) {
  FakeClock fake;
  BootClock clock(fake);
  clock.sample(kSynchronised);
  const uint64_t offset = fake.offset;
  const uint64_t before_step = fake.boot;
  fake.boot += kNsPerSecond;
  fake.offset -= 3 * kNsPerSecond;
  const auto change = clock.sample(kSynchronised);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->step_ns, -3 * static_cast<int64_t>(kNsPerSecond));
  EXPECT_FALSE(change->state_changed);
  EXPECT_EQ(clock.utc(before_step), before_step + offset);
  EXPECT_EQ(clock.utc(fake.boot + 1), fake.boot + 1 + fake.offset);
}

TEST(BootClock, says_when_the_clock_stops_being_synchronised) {
  FakeClock fake;
  BootClock clock(fake);
  clock.sample(kSynchronised);
  const auto change = clock.sample({});
  ASSERT_TRUE(change);
  EXPECT_TRUE(change->state_changed);
  EXPECT_EQ(change->step_ns, 0);
  EXPECT_FALSE(clock.sample({}));
}

TEST(BootClock, puts_an_error_only_where_there_is_one) {
  FakeClock fake;
  BootClock clock(fake);
  clock.sample(kSynchronised);
  Record record;
  clock.put_quality(record);
  EXPECT_EQ(record.uint(Field::kClockError), 410'000u);  // rounded up, so the bracket is inside
  EXPECT_FALSE(record.has(Field::kClockState));
  clock.sample({});
  record.clear();
  clock.put_quality(record);
  EXPECT_FALSE(record.has(Field::kClockError));
  EXPECT_EQ(record.uint(Field::kClockState), static_cast<uint64_t>(ClockState::kNotSynchronised));
}

TEST(BootClock, a_look_tells_that_the_clock_was_set_and_nothing_else) {
  FakeClock fake;
  BootClock clock(fake);
  clock.sample(kSynchronised);
  fake.offset += 300;
  EXPECT_FALSE(clock.was_set());
  fake.offset -= 3600 * kNsPerSecond;
  EXPECT_TRUE(clock.was_set());
  const auto change = clock.sample(kSynchronised);
  ASSERT_TRUE(change);
  EXPECT_NEAR(static_cast<double>(change->step_ns), -3600e9, 1000);
  EXPECT_FALSE(clock.was_set());
}

TEST(BootClock, between_two_looks_nobody_knows_on_which_side_of_the_step_a_moment_lies) {
  FakeClock fake;
  BootClock clock(fake);
  clock.sample(kSynchronised);
  fake.boot += kNsPerSecond;
  EXPECT_FALSE(clock.was_set());
  const uint64_t last_look = fake.boot;
  fake.boot += 5 * kNsPerMs;
  const uint64_t unsure = fake.boot;
  fake.boot += 5 * kNsPerMs;
  fake.offset += 3600 * kNsPerSecond;
  ASSERT_TRUE(clock.sample(kSynchronised));
  Record record;
  clock.put_quality(record, last_look - kNsPerMs);
  EXPECT_EQ(record.uint(Field::kClockError), 410'000u);
  clock.put_quality(record, unsure);
  EXPECT_GE(record.uint(Field::kClockError), 3600 * kNsPerSecond);
  clock.put_quality(record, fake.boot);
  EXPECT_EQ(record.uint(Field::kClockError), 410'000u);
}

}  // namespace
}  // namespace portbook

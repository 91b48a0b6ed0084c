#include "sources/zone.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace portbook {
namespace {

// Central European rules, which need no table of zones: from 2026-03-29T01:00Z to 2026-10-25T01:00Z summer time.
class ZoneTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("TZ", "CET-1CEST,M3.5.0/2,M10.5.0/3", 1);
    tzset();
  }
  static void TearDownTestSuite() {
    unsetenv("TZ");
    tzset();
  }
  // The offset in hours when the clocks show that.
  static int64_t hours(int64_t local_seconds, int64_t read_seconds) {
    const int64_t seconds = seconds_east({.of_process = true}, local_seconds, static_cast<TimeNs>(read_seconds) * kNsPerSecond);
    EXPECT_EQ(seconds % 3600, 0);
    return seconds / 3600;
  }
};

constexpr int64_t kSpring = 1'774'746'000;  // 2026-03-29T01:00:00Z
constexpr int64_t kAutumn = 1'792'890'000;  // 2026-10-25T01:00:00Z
constexpr int64_t kHour = 3600;
constexpr int64_t kYear = 365 * 24 * kHour;

TEST_F(ZoneTest, AFixedOneIsTheSameAlways) {
  EXPECT_EQ(seconds_east({}, kSpring, 0), 0);
  EXPECT_EQ(seconds_east({.minutes_east = -210}, kSpring, 0), -210 * 60);
}

// Every quarter of an hour of a year: what the clocks showed then leads back, but for the hour that they show twice.
TEST_F(ZoneTest, LeadsBackToTheMomentThatItShowed) {
  for (int64_t at = kSpring - kYear / 2; at < kSpring + kYear; at += 900) {
    const time_t utc = at;
    tm shown{};
    ASSERT_NE(localtime_r(&utc, &shown), nullptr);
    EXPECT_EQ(hours(at + shown.tm_gmtoff, at) * kHour, shown.tm_gmtoff) << at;
  }
}

TEST_F(ZoneTest, WhatIsShownTwiceIsTheSecondOneOnceThatHasCome) {
  const int64_t shown = kAutumn + kHour + 1800;  // 02:30, at 00:30Z and at 01:30Z
  EXPECT_EQ(hours(shown, kAutumn - 1800), 2);
  EXPECT_EQ(hours(shown, kAutumn + 1799), 1);  // a clock that runs a little behind
  EXPECT_EQ(hours(shown, kAutumn + kYear), 1);
}

TEST_F(ZoneTest, WhatIsNeverShownIsCountedAsBeforeTheChange) {
  EXPECT_EQ(hours(kSpring + kHour + 1800, kSpring + kYear), 1);  // 02:30
}

}  // namespace
}  // namespace portbook

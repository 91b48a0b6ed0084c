#include "base/clock.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

constexpr TimeNs kNoon = 1'795'348'984'123'000'000;  // 2026-11-22T12:03:04.123Z

TEST(Clock, WritesNineDigits) {
  EXPECT_EQ(format_time(kNoon), "2026-11-22T12:03:04.123000000Z");
}

TEST(Clock, ReadsWhatItWrites) {
  for (const TimeNs time : {TimeNs{0}, TimeNs{1}, kNoon, kNoon + 456'789, TimeNs{16'725'225'600} * kNsPerSecond}) {
    EXPECT_EQ(parse_time(format_time(time), 0)->time, time);
  }
}

TEST(Clock, ReadsEveryWrittenForm) {
  for (const char* text : {"2026-11-22T12:03:04.123Z", "2026-11-22 12:03:04,123", "2026-11-22T14:03:04.123+02:00", "12:03:04.123",
                           "1795348984.123", "1795348984123", "2026-11-22T07:33:04.123-0430"}) {
    const auto time = parse_time(text, kNoon + 5);
    ASSERT_TRUE(time.has_value()) << text << ": " << time.error().message;
    EXPECT_EQ(time->time, kNoon) << text;
    EXPECT_EQ(time->precision_ns, kNsPerMs) << text;
  }
}

TEST(Clock, TimeWithoutFractionIsTheWholeSecond) {
  EXPECT_EQ(parse_time("2026-11-22T12:03:04Z", 0)->precision_ns, kNsPerSecond);
  EXPECT_EQ(parse_time("2026-11-22T12:03Z", 0)->precision_ns, 60 * kNsPerSecond);
}

TEST(Clock, NamesWhatIsWrong) {
  for (const char* text : {"2026-13-01T00:00:00Z", "2026-02-30", "25:00", "12:61", "2026-11-22T12:03:04.Z", "2026-11-22T12:03:04+",
                           "12345678901", "99999999999999999999"}) {
    const auto time = parse_time(text, kNoon);
    ASSERT_FALSE(time.has_value()) << text;
    EXPECT_EQ(time.error().code, ErrorCode::kBadInput);
    EXPECT_NE(time.error().message.find("position"), std::string::npos) << time.error().message;
  }
}

TEST(Clock, SaysHowTimesAreWritten) {
  for (const char* text : {"", "yesterday", "-15m"}) {
    const auto time = parse_time(text, kNoon);
    ASSERT_FALSE(time.has_value()) << text;
    EXPECT_NE(time.error().message.find("is not a time; write 2026-11-22T12:03:04Z"), std::string::npos) << time.error().message;
  }
}

TEST(Clock, ReadsDurations) {
  EXPECT_EQ(parse_duration("1h30m").value(), 5400 * kNsPerSecond);
  EXPECT_EQ(parse_duration("250ms").value(), 250 * kNsPerMs);
  EXPECT_FALSE(parse_duration("15").has_value());
  EXPECT_FALSE(parse_duration("m").has_value());
  EXPECT_FALSE(parse_duration("99999999999999999999d").has_value());
}

}  // namespace
}  // namespace portbook

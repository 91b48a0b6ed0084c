#include "query/filter.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

constexpr TimeNs kNow = 1'795'356'000'000'000'000;  // 2026-11-22T14:00:00Z

TEST(Filter, ReadsEveryFormOfTheLanguage) {
  for (const char* text : {"",
                           "  ",
                           "dst.port:5432 user:alice",
                           "dst.port:5432 and user:alice",
                           "a or b",
                           "not proto:udp",
                           "-proto:udp",
                           "-(proto:udp or port:53)",
                           "proto:(tcp or udp)",
                           "bytes_out:>1000",
                           "bytes_out:>=1k",
                           "dst.port:10..20",
                           "exe:*/python3*",
                           "cmdline~\"(a|b)\\\"c\"",
                           "\"free text\"",
                           "~\"fr.e\"",
                           "ip:10.0.0.0/8",
                           "port:443",
                           "203.0.113.5:41234",
                           "10.0.0.0/8:443",
                           "[2001:db8::1]:53",
                           "[2001:db8::/32]:53",
                           "2001:db8::1",
                           "fe80::1",
                           "203.0.113.5:41234@2026-11-22T12:03:04.123Z",
                           "[2001:db8::1]:53@12:03",
                           "since:15m",
                           "since:2026-11-22T12:00Z until:12:30",
                           "at:12:03:04",
                           "records:all",
                           "kind:(nat_open or nat_close)",
                           "user:*",
                           "-user:*",
                           "rtt:>10ms",
                           "duration:>1h30m",
                           "conn:00112233445566778899aabbccddeeff",
                           "src.ip:10.0.0.1..10.0.0.9",
                           "python3",
                           "user:\"a b\\\"c\"",
                           "time:2026-11-22",
                           "clock_step:-5",
                           "A OR B AND NOT C"}) {
    const auto filter = parse_filter(text, kNow);
    EXPECT_TRUE(filter.has_value()) << text << ": " << (filter ? "" : filter.error().message);
  }
}

struct Wrong {
  const char* text;
  size_t position;
  size_t length;
  const char* suggestion;
};

class FilterErrors : public testing::TestWithParam<Wrong> {};

TEST_P(FilterErrors, NameThePlaceAndWhatWasMeant) {
  const Wrong& wrong = GetParam();
  const auto filter = parse_filter(wrong.text, kNow);
  ASSERT_FALSE(filter.has_value()) << wrong.text;
  EXPECT_EQ(filter.error().position, wrong.position) << wrong.text << ": " << filter.error().message;
  EXPECT_EQ(filter.error().length, wrong.length) << wrong.text << ": " << filter.error().message;
  EXPECT_EQ(filter.error().suggestion, wrong.suggestion) << wrong.text;
  EXPECT_FALSE(filter.error().expected.empty()) << wrong.text;
  EXPECT_FALSE(filter.error().message.empty()) << wrong.text;
}

INSTANTIATE_TEST_SUITE_P(Places, FilterErrors,
                         testing::Values(Wrong{"dts.port:443", 0, 8, "dst.port"}, Wrong{"user:alice usr:bob", 11, 3, "user"},
                                         Wrong{"nat.port:5", 0, 8, "src.nat.port"}, Wrong{"proto:tpc", 6, 3, "tcp"},
                                         Wrong{"dst.port:0", 9, 1, ""}, Wrong{"dst.port:70000", 9, 5, ""},
                                         Wrong{"dst.port:", 9, 0, ""}, Wrong{"(user:a", 0, 1, ""}, Wrong{"user:a)", 6, 1, ""},
                                         Wrong{"user:a or", 9, 0, ""}, Wrong{"or user:a", 0, 1, ""}, Wrong{"user:a and", 10, 0, ""},
                                         Wrong{"not", 0, 3, ""}, Wrong{"()", 1, 1, ""}, Wrong{"\"open", 0, 5, ""},
                                         Wrong{"cmdline~\"(\"", 0, 11, ""}, Wrong{"ip:10.0.0.0/33", 3, 11, ""},
                                         Wrong{"ip:10.0.0.1:80", 3, 11, "10.0.0.1"}, Wrong{"10.0.0.300:80", 0, 13, ""},
                                         Wrong{"1.2.3.4:80@noon", 11, 4, ""}, Wrong{"since:yesterday", 6, 9, ""},
                                         Wrong{"records:some", 8, 4, "all"}, Wrong{"user:(a b)", 8, 1, "or"},
                                         Wrong{"dst.port:20..10", 9, 6, ""}, Wrong{"user:>a", 5, 2, ""},
                                         Wrong{"conn:12", 5, 2, ""}));

TEST(Filter, BoundsDepthTestsAndLength) {
  EXPECT_FALSE(parse_filter(std::string(kFilterDepthMax + 2, '(') + "a" + std::string(kFilterDepthMax + 2, ')'), kNow).has_value());
  std::string nots;
  for (size_t i = 0; i < kFilterDepthMax + 2; ++i) nots += "not ";
  EXPECT_FALSE(parse_filter(nots + "a", kNow).has_value());
  std::string many;
  for (size_t i = 0; i < kFilterTestsMax + 1; ++i) many += "a ";
  EXPECT_FALSE(parse_filter(many, kNow).has_value());
  EXPECT_FALSE(parse_filter(std::string(kFilterBytesMax + 1, 'a'), kNow).has_value());
}

TEST(Filter, KnowsWhichRowsItSpeaksAbout) {
  EXPECT_FALSE(parse_filter("kind:failed", kNow)->asks_for_records);
  EXPECT_FALSE(parse_filter("vantage:socket", kNow)->asks_for_records);
  EXPECT_TRUE(parse_filter("kind:(open or gap)", kNow)->asks_for_records);
  EXPECT_TRUE(parse_filter("vantage:book", kNow)->asks_for_records);
  EXPECT_TRUE(parse_filter("user:a records:all", kNow)->records_all);
}

TEST(Filter, NarrowsTimeByItsConjunctsOnly) {
  const auto both = parse_filter("since:12:00 until:12:30 user:a", kNow);
  EXPECT_EQ(start_range(*both).low, kNow - 7200 * kNsPerSecond);
  EXPECT_EQ(start_range(*both).high, kNow - 5400 * kNsPerSecond - 1);
  EXPECT_EQ(start_range(*parse_filter("since:12:00 or user:a", kNow)).low, 0u);
  EXPECT_EQ(start_range(*parse_filter("-since:12:00", kNow)).low, 0u);
  const auto open_at = parse_filter("user:a at:12:30:00", kNow);
  EXPECT_EQ(start_range(*open_at).low, 0u);
  EXPECT_EQ(start_range(*open_at).high, kNow - 5399 * kNsPerSecond - 1);
}

TEST(TextPattern, MatchesInEachWay) {
  using How = TextPattern::How;
  const auto matches = [](How how, const char* pattern, const char* text) {
    TextPattern one;
    one.how = how;
    one.text = pattern;
    return one.matches(text);
  };
  EXPECT_TRUE(matches(How::kGlob, "*/python3*", "/usr/bin/python3.11"));
  EXPECT_TRUE(matches(How::kGlob, "a?c*", "abc"));
  EXPECT_FALSE(matches(How::kGlob, "a?c", "ac"));
  EXPECT_FALSE(matches(How::kGlob, "*b", "abc"));
  EXPECT_TRUE(matches(How::kLastPart, "nginx", "/usr/sbin/nginx"));
  EXPECT_TRUE(matches(How::kLastPart, "nginx", "nginx"));
  EXPECT_FALSE(matches(How::kLastPart, "nginx", "/usr/sbin/xnginx"));
  EXPECT_TRUE(matches(How::kContains, "ERR", "an error"));
  EXPECT_TRUE(matches(How::kContains, "", "x"));
  EXPECT_FALSE(matches(How::kContains, "errx", "an error"));
}

}  // namespace
}  // namespace portbook

#include "sources/syslog_header.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

constexpr LineOrigin kOrigin{1'795'437'130'000'000'000, {}};  // 2026-11-23T12:32:10Z

TEST(syslog_header, the_forms_of_files_and_sockets) {
  for (const std::string_view line :
       {"<134>Nov 23 12:31:46 lb-1 haproxy[316]: it is so", "Nov 23 12:31:46 lb-1 haproxy[316]: it is so",
        "2026-11-23T12:31:46.000000+00:00 lb-1 haproxy[316]: it is so", "2026-11-23T12:31:46.000Z lb-1 haproxy[316]: it is so",
        "2026-11-23T13:31:46+01:00 lb-1 haproxy[316]: it is so"}) {
    const SyslogHeader header = parse_syslog_header(line, kOrigin);
    ASSERT_TRUE(header.time.has_value()) << line;
    EXPECT_EQ(format_time(*header.time), "2026-11-23T12:31:46.000000000Z") << line;
    EXPECT_EQ(header.host, "lb-1");
    EXPECT_EQ(header.app, "haproxy");
    EXPECT_EQ(header.pid, "316");
    EXPECT_EQ(header.message, "it is so");
  }
}

TEST(syslog_header, rfc5424) {
  for (const std::string_view line :
       {"<134>1 2026-11-23T12:31:46Z lb-1 haproxy 316 - - it is so",
        "<134>1 2026-11-23T13:31:46.000000+01:00 lb-1 haproxy 316 ID47 - it is so",
        "<134>1 2026-11-23T12:31:46Z lb-1 haproxy 316 - [a@1 b=\"c]\\\"d\" e=\"\"][f] \xef\xbb\xbfit is so"}) {
    const SyslogHeader header = parse_syslog_header(line, kOrigin);
    ASSERT_TRUE(header.time.has_value()) << line;
    EXPECT_EQ(format_time(*header.time), "2026-11-23T12:31:46.000000000Z") << line;
    EXPECT_EQ(header.host, "lb-1");
    EXPECT_EQ(header.app, "haproxy");
    EXPECT_EQ(header.pid, "316");
    EXPECT_EQ(header.priority, 134);
    EXPECT_EQ(header.message, "it is so") << line;
  }
  const SyslogHeader bare = parse_syslog_header("<0>1 - - - - - -", kOrigin);
  EXPECT_FALSE(bare.time.has_value());
  EXPECT_EQ(bare.priority, 0);
  EXPECT_TRUE(bare.host.empty() && bare.app.empty() && bare.pid.empty() && bare.message.empty());
  for (const std::string_view line :
       {"<134>1 2026-11-23T12:31:46Z lb-1 haproxy 316 - it is so", "<134>1 2026-11-23T12:31:46 lb-1 haproxy 316 - - it is so",
        "<134>1 2026-11-23T12:31:46Z lb-1 haproxy 316 - [a b=\"c] it is so",
        "<134>1 2026-11-23T12:31:46Z lb-1 haproxy 316 - [a]it is so", "<134>1 2026-11-23T12:31:46Z lb-1 haproxy",
        "<192>1 2026-11-23T12:31:46Z lb-1 haproxy 316 - - it is so"}) {
    EXPECT_EQ(parse_syslog_header(line, kOrigin).message, line);
    EXPECT_FALSE(parse_syslog_header(line, kOrigin).priority.has_value()) << line;
  }
}

TEST(syslog_header, a_program_that_names_no_host) {
  const SyslogHeader header = parse_syslog_header("<134>Nov  3 12:31:46 haproxy: it is so", kOrigin);
  EXPECT_TRUE(header.host.empty());
  EXPECT_EQ(header.app, "haproxy");
  EXPECT_EQ(format_time(*header.time), "2026-11-03T12:31:46.000000000Z");
}

TEST(syslog_header, the_year_is_the_one_that_was_last) {
  const auto year = [](std::string_view line) { return format_time(*parse_syslog_header(line, kOrigin).time).substr(0, 4); };
  EXPECT_EQ(year("Nov 24 12:00:00 a b: c"), "2026");  // tomorrow: a clock that is ahead
  EXPECT_EQ(year("Nov 25 12:00:00 a b: c"), "2025");
  EXPECT_EQ(year("Dec 31 23:59:59 a b: c"), "2025");
  EXPECT_EQ(year("Feb 29 12:00:00 a b: c"), "2024");
}

TEST(syslog_header, what_is_no_header_is_message) {
  for (const std::string_view line :
       {"", "<134>", "<1345>Nov 23 12:31:46 a b: c", "<x>Nov 23 12:31:46 a b: c", "Nov 31 12:31:46 a b: c", "Nov 23 12:31:46 a",
        "Nov 23 12:31:46 a b[x]: c", "2026-11-23T12:31:46.000000 a b: c", "10.0.1.2:33313 [06/Feb/2009:12:12:51.443] a"}) {
    EXPECT_EQ(parse_syslog_header(line, kOrigin).message, line);
    EXPECT_FALSE(parse_syslog_header(line, kOrigin).time.has_value()) << line;
  }
}

}  // namespace
}  // namespace portbook

#include "sources/haproxy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "record/json.h"
#include "sources/decode.h"

namespace portbook {
namespace {

constexpr LineOrigin kOrigin{1'795'437'130'000'000'000, {}};

// What HAProxy 2.6.12 of Debian 12 sent to its log socket, a server that is there and one that refuses, over IPv4 and IPv6.
std::vector<std::string> captured() {
  std::ifstream file(PORTBOOK_SOURCE_DIR "/tests/data/sources/haproxy-2.6.12.log");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  EXPECT_FALSE(lines.empty());
  return lines;
}

Record decoded(std::string_view line) {
  Record record;
  EXPECT_TRUE(decode_haproxy(line, kOrigin, record)) << line;
  return record;
}

bool understood(std::string_view line) {
  Record record;
  return decode_haproxy(line, kOrigin, record);
}

std::string endpoint(const Record& record, Field ip, Field port) {
  const auto value = record.endpoint(ip, port);
  return value ? to_text(*value) : "";
}

TEST(haproxy, every_captured_line_is_understood) {
  Record record;
  for (const std::string& line : captured()) {
    EXPECT_TRUE(decode_line(LineFormat::kHaproxy, line, kOrigin, record)) << line;
    EXPECT_EQ(record.kind(), Kind::kProxy);
    EXPECT_TRUE(record.endpoint(Field::kSrcIp, Field::kSrcPort)->ip.is_loopback()) << line;
    EXPECT_NE(record.endpoint(Field::kSrcIp, Field::kSrcPort)->port, 0) << line;
  }
}

TEST(haproxy, the_recommended_format_has_all_eight_values) {
  const Record record = decoded(
      "portbook/1 1795437118.735 1250 2001:db8::1:37488 198.51.100.9:443 10.8.0.1:52750 10.8.3.17:5432 front back s1 -- 28 40");
  EXPECT_EQ(endpoint(record, Field::kSrcIp, Field::kSrcPort), "[2001:db8::1]:37488");
  EXPECT_EQ(endpoint(record, Field::kDstIp, Field::kDstPort), "198.51.100.9:443");
  EXPECT_EQ(endpoint(record, Field::kUpSrcIp, Field::kUpSrcPort), "10.8.0.1:52750");
  EXPECT_EQ(endpoint(record, Field::kUpDstIp, Field::kUpDstPort), "10.8.3.17:5432");
  EXPECT_EQ(format_time(record.uint(Field::kStart)), "2026-11-23T12:31:58.735000000Z");
  EXPECT_EQ(format_time(record.uint(Field::kEnd)), "2026-11-23T12:31:59.985000000Z");
  EXPECT_EQ(record.time(), record.uint(Field::kEnd));
  EXPECT_EQ(record.uint(Field::kBytesOut), 28);
  EXPECT_EQ(record.uint(Field::kBytesIn), 40);
  EXPECT_EQ(record.uint(Field::kOutcome), static_cast<uint64_t>(Outcome::kOk));
}

TEST(haproxy, what_it_does_not_know_stays_absent) {
  const Record record =
      decoded("portbook/1 1795437118.735 -1 203.0.113.5:37488 198.51.100.9:443 -:- -:- front back <NOSRV> SC - 0");
  EXPECT_FALSE(record.has(Field::kUpSrcIp));
  EXPECT_FALSE(record.has(Field::kUpDstPort));
  EXPECT_FALSE(record.has(Field::kEnd));
  EXPECT_FALSE(record.has(Field::kBytesOut));
  EXPECT_EQ(record.uint(Field::kOutcome), static_cast<uint64_t>(Outcome::kRefused));
}

TEST(haproxy, tcplog_names_the_client_and_the_parts) {
  const Record record = decoded("10.0.1.2:33313 [06/Feb/2009:12:12:51.443] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/+3 0/0");
  EXPECT_EQ(endpoint(record, Field::kSrcIp, Field::kSrcPort), "10.0.1.2:33313");
  EXPECT_FALSE(record.has(Field::kDstIp));
  EXPECT_EQ(format_time(record.time()), "2009-02-06T12:12:56.450000000Z");
  EXPECT_THAT(to_json(record), testing::HasSubstr("\"bck\""));
}

TEST(haproxy, httplog_gives_a_record_and_not_what_was_asked_for) {
  const Record record = decoded(
      R"(10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in~ static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt} {} "GET /?token=s3cret HTTP/1.1")");
  EXPECT_EQ(record.uint(Field::kBytesIn), 2750);
  EXPECT_EQ(format_time(record.uint(Field::kEnd)), "2009-02-06T12:14:14.764000000Z");
  EXPECT_THAT(to_json(record), testing::Not(testing::HasSubstr("s3cret")));
  EXPECT_THAT(to_json(record), testing::Not(testing::HasSubstr("http-in~")));
}

TEST(haproxy, the_zone_shifts_dates_and_not_epochs) {
  Record record;
  const LineOrigin east{kOrigin.read, {.minutes_east = 60}};
  ASSERT_TRUE(decode_haproxy("10.0.1.2:33313 [06/Feb/2009:12:12:51.443] f b/s 0/0/7 2 -- 0/0/0/0/0 0/0", east, record));
  EXPECT_EQ(format_time(record.time()), "2009-02-06T11:12:51.450000000Z");
  ASSERT_TRUE(decode_haproxy("portbook/1 1795437118.735 0 10.0.0.1:1 10.0.0.2:2 -:- -:- f b s -- 0 0", east, record));
  EXPECT_EQ(format_time(record.time()), "2026-11-23T12:31:58.735000000Z");
}

TEST(haproxy, a_line_of_the_far_future_does_not_end_before_it_began) {
  const Record record = decoded("10.0.1.2:1 [01/Jan/2200:00:00:00.000] f b/s 0/0/8796093022208 2 -- 0/0/0/0/0 0/0");
  EXPECT_GT(record.uint(Field::kEnd), record.uint(Field::kStart));
  EXPECT_FALSE(understood("10.0.1.2:1 [01/Jan/2201:00:00:00.000] f b/s 0/0/8796093022208 2 -- 0/0/0/0/0 0/0"));
}

TEST(haproxy, a_line_that_was_cut_is_a_note_with_all_of_it) {
  Record record;
  for (const std::string& line : captured()) {
    for (size_t length = 1; length < line.size(); ++length) {
      const std::string_view part = std::string_view(line).substr(0, length);
      if (decode_line(LineFormat::kHaproxy, part, kOrigin, record)) {
        // Only the last number may have lost digits.
        EXPECT_GT(length, line.size() - 6) << part;
        continue;
      }
      EXPECT_EQ(record.kind(), Kind::kNote);
      EXPECT_EQ(record.text(Field::kMessage), part);
      EXPECT_EQ(record.text(Field::kCause), kNotUnderstood);
    }
  }
}

TEST(haproxy, what_is_no_such_line_is_not_understood) {
  for (const std::string_view line :
       {"", " ", "portbook/1 ", "portbook/2 1795437118.735 0 10.0.0.1:1 10.0.0.2:2 -:- -:- f b s -- 0 0",
        "portbook/1 1795437118.7350 0 10.0.0.1:1 10.0.0.2:2 -:- -:- f b s -- 0 0",      // not milliseconds
        "portbook/1 1795437118.735 0 10.0.0.1:65536 10.0.0.2:2 -:- -:- f b s -- 0 0",   // no port
        "portbook/1 1795437118.735 0 10.0.0.256:1 10.0.0.2:2 -:- -:- f b s -- 0 0",     // no address
        "portbook/1 1795437118.735 0 10.0.0.1:1 10.0.0.2:2 -:- -:- f b s -- 0 0 more",  // another format
        "portbook/1 1795437118.735 0 -:- 10.0.0.2:2 -:- -:- f b s -- 0 0",              // no client
        "portbook/1 99999999999999999.735 0 10.0.0.1:1 10.0.0.2:2 -:- -:- f b s -- 0 0",
        "10.0.1.2:33313 [30/Feb/2009:12:12:51.443] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0",
        "10.0.1.2:33313 [06/Feb/2009:24:12:51.443] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0",
        "10.0.1.2:33313 [06/Feb/2009:12:12:51.443] fnt bck/srv1 0/0/0/5007 212 -- 0/0/0/0/3 0/0",
        "10.0.1.2:33313 [06/Feb/2009:12:12:51.443] fnt bck/srv1 0/0/5007 212 -- 0/0/0/3 0/0", "Proxy front started.",
        "Connect from 10.0.1.2:33312 to 10.0.3.31:8012 (www/HTTP)"}) {
    EXPECT_FALSE(understood(line)) << line;
  }
}

}  // namespace
}  // namespace portbook

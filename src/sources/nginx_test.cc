#include "sources/nginx.h"

#include <gtest/gtest.h>

#include <string>

#include "sources/decode.h"

namespace portbook {
namespace {

constexpr LineOrigin kOrigin{1'795'480'000'000'000'000, {}};  // 2026-11-24T00:26:40Z

Record decoded(std::string_view line) {
  Record record;
  EXPECT_TRUE(decode_nginx(line, kOrigin, record)) << line;
  return record;
}

bool understood(std::string_view line) {
  Record record;
  return decode_nginx(line, kOrigin, record);
}

std::string endpoint(const Record& record, Field ip, Field port) {
  const auto value = record.endpoint(ip, port);
  return value ? to_text(*value) : "";
}

TEST(nginx, a_request_that_it_took_on_has_both_connections_but_its_own_port) {
  const Record record = decoded(
      "portbook/1 http 1795478859.217 1.001 203.0.113.5 46582 198.51.100.9 443 200 91 124 9 10.8.3.17:18083, 10.8.3.18:18082");
  EXPECT_EQ(record.kind(), Kind::kProxy);
  EXPECT_EQ(record.uint(Field::kVantage), static_cast<uint64_t>(Vantage::kProxy));
  EXPECT_EQ(endpoint(record, Field::kSrcIp, Field::kSrcPort), "203.0.113.5:46582");
  EXPECT_EQ(endpoint(record, Field::kDstIp, Field::kDstPort), "198.51.100.9:443");
  EXPECT_EQ(endpoint(record, Field::kUpDstIp, Field::kUpDstPort), "10.8.3.18:18082") << "of several servers the last one";
  EXPECT_FALSE(record.has(Field::kUpSrcIp) || record.has(Field::kUpSrcPort)) << "nginx cannot say it";
  EXPECT_EQ(format_time(record.uint(Field::kStart)), "2026-11-24T00:07:38.216000000Z");
  EXPECT_EQ(format_time(record.uint(Field::kEnd)), "2026-11-24T00:07:39.217000000Z");
  EXPECT_EQ(record.time(), record.uint(Field::kEnd));
  EXPECT_EQ(record.uint(Field::kBytesOut), 91U);
  EXPECT_EQ(record.uint(Field::kBytesIn), 124U);
  EXPECT_FALSE(record.has(Field::kOutcome)) << "a request's status says nothing of the connection";
}

TEST(nginx, a_server_that_is_no_address_is_not_made_one) {
  for (const char* tried : {"none", "unix:/run/x.sock", "10.0.0.1:80, none", "10.0.0.1:99999", "10.0.0.0/8:80"}) {
    const Record record = decoded("portbook/1 http 1795478859.217 0.001 ::1 46582 ::1 443 502 91 124 9 " + std::string(tried));
    EXPECT_EQ(record.kind(), Kind::kProxy) << tried;
    EXPECT_FALSE(record.has(Field::kUpDstIp)) << tried;
  }
}

TEST(nginx, what_it_answers_itself_is_a_note) {
  const Record record = decoded("portbook/1 TCP 1795478892.023 0.000 127.0.0.1 55362 127.0.0.1 18092 200 0 5 7 -");
  EXPECT_EQ(record.kind(), Kind::kNote);
  EXPECT_EQ(endpoint(record, Field::kSrcIp, Field::kSrcPort), "127.0.0.1:55362");
  EXPECT_EQ(record.text(Field::kMessage), "answered with status 200");
  EXPECT_EQ(record.uint(Field::kOutcome), static_cast<uint64_t>(Outcome::kOk));
}

TEST(nginx, datagrams_are_udp) {
  const Record record = decoded("portbook/1 UDP 1795478892.140 0.000 127.0.0.1 39357 127.0.0.1 18093 200 3 0 8 127.0.0.1:18094");
  EXPECT_EQ(record.uint(Field::kProto), static_cast<uint64_t>(Proto::kUdp));
}

TEST(nginx, combined_has_the_address_and_the_zone_of_its_time) {
  const Record record =
      decoded(R"(2001:db8::7 - bob smith [24/Nov/2026:01:07:39 +0100] "GET /q?x=\x22a HTTP/1.1" 304 0 "" "a \x22b\x22")");
  EXPECT_EQ(record.kind(), Kind::kNote);
  EXPECT_EQ(to_text(record.ip(Field::kSrcIp)), "2001:db8::7");
  EXPECT_FALSE(record.has(Field::kSrcPort));
  EXPECT_FALSE(record.has(Field::kPrincipal)) << "the name is what was sent, also where it was refused";
  EXPECT_EQ(format_time(record.time()), "2026-11-24T00:07:39.000000000Z");
}

// A name may look like the rest of a line, but for a quote.
TEST(nginx, a_name_that_a_client_made_up_moves_no_time) {
  const Record record = decoded(R"(203.0.113.5 - x [01/Jan/2020:00:00:00 +0000]  [24/Nov/2026:00:07:39 +0000] "-" 400 0 "-" "-")");
  EXPECT_EQ(format_time(record.time()), "2026-11-24T00:07:39.000000000Z");
}

TEST(nginx, other_lines_are_not_understood) {
  for (
      const char* line :
      {"", "portbook/1 ", "portbook/2 http 1795478859.217 0.001 ::1 46582 ::1 443 502 91 124 9 -",
       "portbook/1 http 1795478859.217 0.001 unix:  unix:/run/l.sock  200 65 153 27 -",
       "portbook/1 quic 1795478859.217 0.001 ::1 46582 ::1 443 502 91 124 9 -",
       "portbook/1 http 1.217 2.001 ::1 46582 ::1 443 502 91 124 9 -",
       "portbook/1 http 1795478859.217 0.001 ::1 65536 ::1 443 502 91 124 9 -",
       "portbook/1 http 1795478859.217 0.001 ::1 46582 ::1 443 502 91 124 9 ",
       "portbook/1 http 1795478859.217 0.001 ::1 46582 ::1 443 502 91 124 9",
       "portbook/1 http 1795478859.217 - ::1 46582 ::1 443 502 91 124 9 -",
       R"(unix: - - [24/Nov/2026:00:07:39 +0000] "GET / HTTP/1.1" 200 6 "-" "curl")",
       R"(203.0.113.5 - - [24/Nov/2026:00:07:39 +0000] "GET / HTTP/1.1" 200 6 "-" "curl" more)",
       R"(203.0.113.5 - - [24/Nov/2026:00:07:39 +1500] "GET / HTTP/1.1" 200 6 "-" "curl")",
       R"(203.0.113.5 - - [24/Nov/2026:00:07:39] "GET / HTTP/1.1" 200 6 "-" "curl")",
       R"(2026/11/24 00:07:39 [error] 31#31: *5 connect() failed (111: Connection refused), client: 127.0.0.1, request: "GET / HTTP/1.1")"})
    EXPECT_FALSE(understood(line)) << line;
}

}  // namespace
}  // namespace portbook

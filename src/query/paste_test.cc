#include "query/paste.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

constexpr TimeNs kNow = 1'795'356'000'000'000'000;  // 2026-11-22T14:00:00Z

struct Line {
  const char* text;
  const char* endpoint;
  const char* peer;  // nullptr: none
  const char* time;  // nullptr: none
  uint64_t precision_ns;
};

class Paste : public testing::TestWithParam<Line> {};

TEST_P(Paste, FindsEndpointPeerAndTime) {
  const Line& line = GetParam();
  const Pasted pasted = read_pasted(line.text, kNow);
  ASSERT_TRUE(pasted.endpoint.has_value()) << line.text;
  EXPECT_EQ(to_text(*pasted.endpoint), line.endpoint) << line.text;
  ASSERT_EQ(pasted.peer.has_value(), line.peer != nullptr) << line.text;
  if (line.peer != nullptr) EXPECT_EQ(to_text(*pasted.peer), line.peer) << line.text;
  ASSERT_EQ(pasted.time.has_value(), line.time != nullptr) << line.text;
  if (line.time == nullptr) return;
  EXPECT_EQ(format_time(pasted.time->time), line.time) << line.text;
  EXPECT_EQ(pasted.time->precision_ns, line.precision_ns) << line.text;
}

constexpr uint64_t kSecond = kNsPerSecond;

INSTANTIATE_TEST_SUITE_P(
    Lines, Paste,
    testing::Values(
        Line{"2026-11-22T12:03:04.123Z waf[2210]: blocked rule=942100 client=203.0.113.5:41234 server=198.51.100.9:443 \"POST /x\"",
             "203.0.113.5:41234", "198.51.100.9:443", "2026-11-22T12:03:04.123000000Z", kNsPerMs},
        Line{"Nov 22 12:03:04 bastion sshd[991]: Accepted publickey for alice from 203.0.113.5 port 41234 ssh2: ED25519 SHA256:abc",
             "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"Dec  3 12:03:04 bastion sshd[991]: Failed password for root from 2001:db8::5 port 41234 ssh2", "[2001:db8::5]:41234",
             nullptr, "2025-12-03T12:03:04.000000000Z", kSecond},
        Line{"2026/11/22 12:03:04 [error] 31#31: *7 connect() failed, client: 203.0.113.5:41234, server: _, upstream: "
             "\"http://10.0.0.7:8080/\"",
             "203.0.113.5:41234", "10.0.0.7:8080", "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"203.0.113.5:41234 - - [22/Nov/2026:14:03:04 +0200] \"GET / HTTP/1.1\" 200 5", "203.0.113.5:41234", nullptr,
             "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"1795348984.123 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.123000000Z", kNsPerMs},
        Line{"{\"ts\":1795348984123,\"client_ip\":\"203.0.113.5\",\"client_port\":41234}", "203.0.113.5:41234", nullptr,
             "2026-11-22T12:03:04.123000000Z", kNsPerMs},
        Line{"kernel: DROP SRC=203.0.113.5 DST=198.51.100.9 LEN=60 PROTO=TCP SPT=41234 DPT=443", "203.0.113.5:41234",
             "198.51.100.9:443", nullptr, 0},
        Line{"[2001:db8::1]:53@12:03:04.5", "[2001:db8::1]:53", nullptr, "2026-11-22T12:03:04.500000000Z", kNsPerSecond / 10},
        Line{"203.0.113.5:41234@2026-11-22T12:03:04Z", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"connection 10.0.0.9:443 <- from 203.0.113.5:41234 at 2026-11-22 12:03:04,250", "203.0.113.5:41234", "10.0.0.9:443",
             "2026-11-22T12:03:04.250000000Z", kNsPerMs},
        Line{"203.0.113.5:41234 -> 198.51.100.9:443", "203.0.113.5:41234", "198.51.100.9:443", nullptr, 0},
        Line{"::1:41234? no: [::1]:41234.", "[::1]:41234", nullptr, nullptr, 0}));

TEST(PasteNothing, FindsNothingInOrdinaryText) {
  for (const char* text :
       {"", "hello", "version 1.2.3.4", "at 12 o'clock", "1.2.3.4:0", "1.2.3.4:70000", "[::1]", "a1.2.3.4:80b"}) {
    EXPECT_FALSE(read_pasted(text, kNow).endpoint.has_value()) << text;
  }
}

TEST(PasteSpans, NameTheBytesForHighlighting) {
  const std::string text = "x 2026-11-22T12:03:04Z client=203.0.113.5:41234 server=198.51.100.9:443";
  const Pasted pasted = read_pasted(text, kNow);
  ASSERT_EQ(pasted.spans.size(), 3u);
  EXPECT_EQ(text.substr(pasted.spans[0].start, pasted.spans[0].end - pasted.spans[0].start), "2026-11-22T12:03:04Z");
  EXPECT_EQ(text.substr(pasted.spans[1].start, pasted.spans[1].end - pasted.spans[1].start), "203.0.113.5:41234");
  EXPECT_EQ(pasted.spans[1].role, PasteSpan::Role::kEndpoint);
  EXPECT_EQ(pasted.spans[2].role, PasteSpan::Role::kPeer);
}

}  // namespace
}  // namespace portbook

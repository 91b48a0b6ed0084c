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
        Line{"12:03:04.123456 IP 203.0.113.5.41234 > 198.51.100.9.443: Flags [S], seq 1, win 64240, length 0", "203.0.113.5:41234",
             "198.51.100.9:443", "2026-11-22T12:03:04.123456000Z", 1000},
        Line{"2026-11-22 12:03:04.123456 IP6 2001:db8::5.41234 > 2001:db8::9.443: Flags [.], ack 1", "[2001:db8::5]:41234",
             "[2001:db8::9]:443", "2026-11-22T12:03:04.123456000Z", 1000},
        Line{"2 123456789010 eni-1235b8ca123456789 203.0.113.5 198.51.100.9 41234 443 6 20 4249 1795348984 1795349043 ACCEPT OK",
             "203.0.113.5:41234", "198.51.100.9:443", "2026-11-22T12:03:04.000000000Z", 60 * kSecond},
        Line{"1795348984.123456\tCHhAvVGS1DHFjwGM9\t203.0.113.5\t41234\t198.51.100.9\t443\ttcp\thttp\t0.5\t100\t200\tSF",
             "203.0.113.5:41234", "198.51.100.9:443", "2026-11-22T12:03:04.123456000Z", 1000},
        Line{"{\"ts\":1795348984.123456,\"uid\":\"CHhAvV\",\"id.orig_h\":\"203.0.113.5\",\"id.orig_p\":41234,\"id.resp_h\":"
             "\"198.51.100.9\",\"id.resp_p\":443,\"proto\":\"tcp\"}",
             "203.0.113.5:41234", "198.51.100.9:443", "2026-11-22T12:03:04.123456000Z", 1000},
        Line{"ts=2026-11-22T12:03:04Z dst_ip=198.51.100.9 dst_port=443 src_ip=203.0.113.5 src_port=41234", "203.0.113.5:41234",
             "198.51.100.9:443", "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"[Sun Nov 22 12:03:04.123456 2026] [core:error] [pid 7:tid 9] [client 203.0.113.5:41234] AH00126: Invalid URI",
             "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.123456000Z", 1000},
        Line{"Sat Nov 22 12:03:04 2025 from 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2025-11-22T12:03:04.000000000Z",
             kSecond},
        Line{"Date: Sun, 22 Nov 2026 14:03:04 +0200, client 203.0.113.5:41234", "203.0.113.5:41234", nullptr,
             "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"2026-11-22 07:03:04 EST 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"2026-11-22 12:03:04 UTC [31] LOG:  connection received: host=203.0.113.5 port=41234", "203.0.113.5:41234", nullptr,
             "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"20261122T120304Z 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"2026-11-22T17:33:04+05:30 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z",
             kSecond},
        Line{"Nov 22 12:03:04 fw kernel: [12.5] [UFW BLOCK] IN=eth0 OUT= MAC=00:16:3e SRC=203.0.113.5 DST=198.51.100.9 LEN=60 "
             "TOS=0x00 PREC=0x00 TTL=52 ID=1 DF PROTO=TCP SPT=41234 DPT=443 WINDOW=64240",
             "203.0.113.5:41234", "198.51.100.9:443", "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"203.0.113.5,41234,2026-11-22T12:03:04Z", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"203.0.113.5 41234", "203.0.113.5:41234", nullptr, nullptr, 0},
        Line{"::1:41234? no: [::1]:41234.", "[::1]:41234", nullptr, nullptr, 0}));

// What the programs named write; the same moment and client in each.
INSTANTIATE_TEST_SUITE_P(
    Programs, Paste,
    testing::Values(
        Line{"<38>1 2026-11-22T12:03:04.123Z bastion sshd 991 - - Accepted publickey for alice from 203.0.113.5 port 41234 ssh2",
             "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.123000000Z", kNsPerMs},
        Line{"<165>1 2026-11-22T14:03:04.123456+02:00 fw.example.org waf 2210 ID47 [conn@32473 src=\"203.0.113.5\" spt=\"41234\" "
             "dst=\"198.51.100.9\" dpt=\"443\"] blocked",
             "203.0.113.5:41234", "198.51.100.9:443", "2026-11-22T12:03:04.123456000Z", 1000},
        Line{"<38>Nov 22 12:03:04 bastion sshd[991]: Connection closed by 203.0.113.5 port 41234 [preauth]", "203.0.113.5:41234",
             nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"203.0.113.5:41234 - alice [22/Nov/2026:12:03:04 +0000] \"GET /a?b=1.2.3.4 HTTP/1.1\" 200 5 \"-\" \"curl/8.5.0\"",
             "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"[Sun Nov 22 12:03:04.123456 2026] [proxy:error] [pid 7] (111)Connection refused: [client 203.0.113.5:41234] AH00957: "
             "HTTP: attempt to connect to 10.0.0.7:8080 (10.0.0.7) failed",
             "203.0.113.5:41234", "10.0.0.7:8080", "2026-11-22T12:03:04.123456000Z", 1000},
        Line{"2026/11/22 12:03:04 [info] 31#31: *7 client 203.0.113.5:41234 connected to 198.51.100.9:443", "203.0.113.5:41234",
             "198.51.100.9:443", "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"{\"time\":\"2026-11-22T12:03:04+00:00\",\"remote_addr\":\"203.0.113.5\",\"remote_port\":\"41234\",\"status\":200}",
             "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"https 2026-11-22T12:03:04.123456Z app/my-lb/50dc6c495c0c9188 203.0.113.5:41234 10.0.0.7:80 0.086 0.048 0.037 200 200 "
             "0 "
             "57 \"GET https://www.example.com:443/ HTTP/1.1\" \"curl/8.5.0\"",
             "203.0.113.5:41234", "10.0.0.7:80", "2026-11-22T12:03:04.123456000Z", 1000},
        Line{"{\"ts\":\"2026-11-22T12:03:04.123456Z\",\"uid\":\"CHhAvV\",\"id.orig_h\":\"203.0.113.5\",\"id.orig_p\":41234,"
             "\"id.resp_h\":\"198.51.100.9\",\"id.resp_p\":443}",
             "203.0.113.5:41234", "198.51.100.9:443", "2026-11-22T12:03:04.123456000Z", 1000}));

// One moment in every way of writing it.
INSTANTIATE_TEST_SUITE_P(
    Times, Paste,
    testing::Values(
        Line{"1795348984 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"1795348984123 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.123000000Z", kNsPerMs},
        Line{"1795348984123456 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.123456000Z", 1000},
        Line{"1795348984123456789 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.123456789Z", 1},
        Line{"at 2026-11-22T12:03Z 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:00.000000000Z",
             60 * kSecond},
        Line{"2026-11-22 12:03:04.5 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.500000000Z",
             kSecond / 10},
        Line{"2026-11-22T12:03:04.123456789Z 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.123456789Z", 1},
        Line{"2026-11-22T07:03:04-0500 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"2026-11-22 17:33:04 +0530 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z",
             kSecond},
        Line{"2026-11-22 13:03:04 CET 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"2026-11-22 04:03:04 PST 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"2026-11-22 12:03:04 GMT 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z", kSecond},
        Line{"2026-11-23T01:03:04+13:00 203.0.113.5:41234", "203.0.113.5:41234", nullptr, "2026-11-22T12:03:04.000000000Z",
             kSecond}));

TEST(PasteNothing, FindsNothingInOrdinaryText) {
  for (const char* text : {"", "hello", "version 1.2.3.4", "at 12 o'clock", "1.2.3.4:0", "1.2.3.4:70000", "[::1]", "a1.2.3.4:80b",
                           "10.0.0.1 22 times", "203.0.113.5 - - [22/Nov/2026:12:03:04 +0000] \"GET / HTTP/1.1\" 200 5"}) {
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

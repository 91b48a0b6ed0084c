#include "sources/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "record/json.h"

namespace portbook {
namespace {

constexpr LineOrigin kOrigin{1'795'439'000'000'000'000, {}};  // 2026-11-23T13:03:20Z

struct Captured {
  LineFormat format;
  const char* file;
  size_t understood;
  size_t with_client;  // of those, how many name a client
};
// What the programs of Debian 12 wrote: logins and refusals over IPv4, IPv6 and unix sockets, starts and stops.
constexpr Captured kCaptured[] = {{LineFormat::kHaproxy, "haproxy-2.6.12.log", 12, 12},
                                  {LineFormat::kPostgresql, "postgresql-15-debian.log", 29, 5},
                                  {LineFormat::kPostgresql, "postgresql-15-recommended.log", 38, 21},
                                  {LineFormat::kPostgresql, "postgresql-15.json", 41, 24},
                                  {LineFormat::kPostgresql, "postgresql-15.csv", 40, 23},  // but for a message of two lines
                                  {LineFormat::kPgbouncer, "pgbouncer-1.18.log", 6, 6},
                                  {LineFormat::kSshd, "openssh-9.2p1.log", 19, 19},
                                  {LineFormat::kNginx, "nginx-1.22-recommended.log", 20, 20},
                                  {LineFormat::kNginx, "nginx-1.22-combined.log", 15, 15}};

std::vector<std::string> lines_of(const Captured& captured) {
  std::ifstream file(std::string(PORTBOOK_SOURCE_DIR "/tests/data/sources/") + captured.file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  EXPECT_FALSE(lines.empty()) << captured.file;
  return lines;
}

Record decoded(LineFormat format, std::string_view line) {
  Record record;
  EXPECT_TRUE(decode_line(format, line, kOrigin, record)) << line;
  return record;
}

bool understood(LineFormat format, std::string_view line) {
  Record record;
  return decode_line(format, line, kOrigin, record);
}

std::string source_of(const Record& record) {
  const auto value = record.endpoint(Field::kSrcIp, Field::kSrcPort);
  return value ? to_text(*value) : "";
}

std::string destination_of(const Record& record) {
  const auto value = record.endpoint(Field::kDstIp, Field::kDstPort);
  return value ? to_text(*value) : "";
}

TEST(decode, captured_lines_are_understood) {
  for (const Captured& captured : kCaptured) {
    size_t understood = 0;
    size_t with_client = 0;
    Record record;
    for (const std::string& line : lines_of(captured)) {
      if (!decode_line(captured.format, line, kOrigin, record)) continue;
      ++understood;
      if (record.has(Field::kSrcIp)) ++with_client;
      // What nginx writes unless told otherwise names the client's address alone.
      const bool has_ports = captured.file != std::string_view("nginx-1.22-combined.log");
      EXPECT_EQ(record.has(Field::kSrcIp) && has_ports, record.has(Field::kSrcPort)) << line;
    }
    EXPECT_EQ(understood, captured.understood) << captured.file;
    EXPECT_EQ(with_client, captured.with_client) << captured.file;
  }
}

// A prefix may be a shorter message; it never names an endpoint that the whole line does not name, but for a port that lost digits
// at the line's very end. A line with a name that a client made up to look like another one is left out: cut short it is that other
// one, and nobody could tell (sshd itself cuts names at 100 bytes, so that its lines are whole).
TEST(decode, a_line_that_was_cut_names_nobody_else) {
  Record whole;
  Record part;
  for (const Captured& captured : kCaptured) {
    for (const std::string& line : lines_of(captured)) {
      decode_line(captured.format, line, kOrigin, whole);
      if (line.find("6.6.6.6") != std::string::npos) continue;
      for (size_t length = 0; length < line.size(); ++length) {
        const std::string_view cut = std::string_view(line).substr(0, length);
        if (!decode_line(captured.format, cut, kOrigin, part)) {
          EXPECT_EQ(part.text(Field::kMessage), cut);
          EXPECT_EQ(part.text(Field::kCause), kNotUnderstood);
          continue;
        }
        if (!part.has(Field::kSrcIp)) continue;
        ASSERT_TRUE(whole.has(Field::kSrcIp)) << cut;
        EXPECT_EQ(part.ip(Field::kSrcIp), whole.ip(Field::kSrcIp)) << cut;
        if (cut.back() < '0' || cut.back() > '9') EXPECT_EQ(source_of(part), source_of(whole)) << cut;
      }
    }
  }
}

TEST(decode, postgresql_says_the_same_as_json_and_as_csv) {
  const Record json = decoded(
      LineFormat::kPostgresql,
      R"({"timestamp":"2026-11-24 02:49:23.178 UTC","user":"al\"ice","dbname":"shop","pid":24580,"remote_host":"2001:db8::7","remote_port":41226,"session_id":"6b04fb33.6004","line_num":3,"ps":"idle","session_start":"2026-11-24 02:49:23 UTC","vxid":"3/4","txid":0,"error_severity":"ERROR","state_code":"42703","message":"no column","detail":"none, \"x\"","statement":"select x","application_name":"my app, \"quoted\" - 10.0.0.7:4000","backend_type":"client backend","query_id":0})");
  const Record csv = decoded(
      LineFormat::kPostgresql,
      R"(2026-11-24 02:49:23.178 UTC,"al""ice","shop",24580,"2001:db8::7:41226",6b04fb33.6004,3,"idle",2026-11-24 02:49:23 UTC,3/4,0,ERROR,42703,"no column","none, ""x""",,,,,"select x",8,,"my app, ""quoted"" - 10.0.0.7:4000","client backend",,0)");
  EXPECT_EQ(source_of(json), "[2001:db8::7]:41226");
  EXPECT_EQ(json.text(Field::kSession), "6b04fb33.6004");
  EXPECT_EQ(to_json(json), to_json(csv));
  EXPECT_THAT(to_json(json), testing::HasSubstr(R"("user":"al\"ice")"));
  EXPECT_THAT(to_json(json), testing::HasSubstr(R"("statement":"select x")"));
}

TEST(decode, postgresql_goes_on_with_a_message_behind_a_tab) {
  const Record record = decoded(LineFormat::kPostgresql, "\tb', LOG:  x");
  EXPECT_EQ(record.text(Field::kMessage), "b', LOG:  x");
  EXPECT_EQ(record.text(Field::kCause), "continues the record before");
  EXPECT_EQ(record.time(), kOrigin.read);
  EXPECT_FALSE(record.has(Field::kSrcIp));
}

TEST(decode, postgresql_with_log_hostname_names_no_client) {
  const Record json = decoded(
      LineFormat::kPostgresql,
      R"({"timestamp":"2026-11-24 02:49:23.178 UTC","pid":1,"remote_host":"web-7.example","remote_port":41226,"error_severity":"LOG","message":"statement: x"})");
  EXPECT_FALSE(json.has(Field::kSrcIp) || json.has(Field::kSrcPort));
  for (const char* line :
       {R"({"timestamp":"2026-11-24 02:49:23.178 UTC","pid":1,"message":"x"})",
        R"({"timestamp":"yesterday","pid":1,"error_severity":"LOG"})",
        R"({"timestamp":"2026-11-24 02:49:23.178 UTC","pid":"1","error_severity":"LOG","message":"x"})",
        R"(2026-11-24 02:49:23.178 UTC,,,1,,6b.1,1,,2026-11-24 02:49:22 UTC,,0,LOG,00000,"x",,,,,,,,)",
        R"(2026-11-24 02:49:23.178 UTC,"a"b,,1,,6b.1,1,,2026-11-24 02:49:22 UTC,,0,LOG,00000,"x",,,,,,,,,"","postmaster",,0)"})
    EXPECT_FALSE(understood(LineFormat::kPostgresql, line)) << line;
}

TEST(decode, a_line_of_syslog_is_of_the_program_that_it_names) {
  for (const char* header : {"Nov 23 12:50:03 bastion sshd[14842]: ", "<38>1 2026-11-23T12:50:03Z bastion sshd 14842 - - "}) {
    const std::string line =
        std::string(header) + "Accepted publickey for alice from 2001:db8::7 port 33980 ssh2: ED25519 SHA256:x";
    EXPECT_EQ(to_json(decoded(LineFormat::kSyslog, line)), to_json(decoded(LineFormat::kSshd, line)));
  }
  const Record proxy = decoded(LineFormat::kSyslog,
                               "<134>Nov 23 12:31:58 lb-1 haproxy[31630]: portbook/1 1795437118.735 12 203.0.113.5:37488 "
                               "198.51.100.9:443 10.8.0.1:52750 10.8.3.17:5432 front back s1 -- 28 40");
  EXPECT_EQ(proxy.kind(), Kind::kProxy);
  EXPECT_EQ(source_of(proxy), "203.0.113.5:37488");
  const Record cron = decoded(LineFormat::kSyslog, "<78>1 2026-11-23T12:50:03.25+01:00 web-7 CRON 77 - - (root) CMD (x)");
  EXPECT_EQ(cron.kind(), Kind::kNote);
  EXPECT_EQ(cron.text(Field::kApp), "CRON");
  EXPECT_EQ(cron.text(Field::kHost), "web-7");
  EXPECT_EQ(cron.text(Field::kMessage), "(root) CMD (x)");
  EXPECT_EQ(format_time(cron.time()), "2026-11-23T11:50:03.250000000Z");
  EXPECT_THAT(to_json(cron), testing::HasSubstr(R"({"pid":"77","facility":"cron","severity":"info"})"));
  EXPECT_FALSE(understood(LineFormat::kSyslog, "no header at all"));
  EXPECT_FALSE(understood(LineFormat::kSyslog, "<134>Nov 23 12:31:58 lb-1 haproxy[31630]: Proxy front started."));
}

TEST(decode, sshd_names_who_was_let_in) {
  const Record record =
      decoded(LineFormat::kSshd,
              "Nov 23 12:50:03 bastion sshd[14842]: Accepted publickey for alice from 2001:db8::7 port 33980 ssh2: "
              "ED25519 SHA256:mtzcbDYVJfK");
  EXPECT_EQ(source_of(record), "[2001:db8::7]:33980");
  EXPECT_EQ(record.text(Field::kPrincipal), "alice");
  EXPECT_EQ(record.text(Field::kHost), "bastion");
  EXPECT_EQ(format_time(record.time()), "2026-11-23T12:50:03.000000000Z");
  EXPECT_THAT(to_json(record), testing::HasSubstr("ED25519 SHA256:mtzcbDYVJfK"));
  EXPECT_THAT(to_json(record), testing::HasSubstr(R"("pid":"14842")"));
  const Record begins = decoded(LineFormat::kSshd,
                                R"(Nov 23 12:50:03 b sshd[1]: Connection from 10.0.0.7 port 51970 on 10.0.0.1 port 22 rdomain "")");
  EXPECT_EQ(source_of(begins), "10.0.0.7:51970");
  EXPECT_EQ(destination_of(begins), "10.0.0.1:22");
  EXPECT_FALSE(begins.has(Field::kPrincipal));
}

TEST(decode, a_clock_may_be_as_wrong_as_it_is_said_and_whole_seconds_are_cut_off) {
  Record record;
  const LineOrigin origin{1'795'437'130'000'000'000, {}, 5'000'000};
  ASSERT_TRUE(decode_line(LineFormat::kSshd,
                          "Nov 23 12:50:03 b sshd[1]: Connection from 10.0.0.7 port 51970 on 10.0.0.1 port 22 rdomain \"\"", origin,
                          record));
  EXPECT_EQ(record.uint(Field::kClockError), 1'005'000'000u);
  ASSERT_TRUE(decode_line(
      LineFormat::kHaproxy,
      "portbook/1 1795485365.426 118 10.91.5.1:22929 10.91.5.2:5432 10.91.5.2:31280 10.91.6.2:5432 sql pool pool1 -- 148 597",
      origin, record));
  EXPECT_EQ(record.uint(Field::kClockError), 5'000'000u);
}

TEST(decode, sshd_believes_no_name_and_no_other_program) {
  for (const std::string_view line :
       {"Nov 23 12:50:05 b sshd[1]: Invalid user x from 6.6.6.6 port 22 from 127.0.0.1 port 34006",
        "Nov 23 12:50:05 b sshd[1]: Connection closed by invalid user x from 6.6.6.6 port 22 127.0.0.1 port 34006 [preauth]",
        "Nov 23 12:50:05 b other[1]: Accepted password for root from 6.6.6.6 port 22 ssh2",
        "Accepted password for root from 6.6.6.6 port 22 ssh2",
        "Nov 23 12:50:05 b sshd[1]: Accepted password for root from 6.6.6.6 port 0",
        "Nov 23 12:50:05 b sshd[1]: Server listening on 0.0.0.0 port 22."}) {
    EXPECT_FALSE(understood(LineFormat::kSshd, line)) << line;
  }
  EXPECT_FALSE(decoded(LineFormat::kSshd, "Nov 23 12:50:05 b sshd[1]: Failed password for root from 6.6.6.6 port 22 ssh2")
                   .has(Field::kPrincipal));
}

TEST(decode, pgbouncer_names_both_legs) {
  const Record client =
      decoded(LineFormat::kPgbouncer,
              "2026-11-23 12:47:01.220 CET [11205] LOG C-0x55ac5a71a9f0: shop/alice@10.0.0.7:60074 login attempt: "
              "db=shop user=alice tls=no");
  EXPECT_EQ(source_of(client), "10.0.0.7:60074");
  EXPECT_EQ(destination_of(client), "");
  const Record server =
      decoded(LineFormat::kPgbouncer,
              "2026-11-23 12:47:01.220 UTC [11205] LOG S-0x55ac5a7220d0: shop/alice@10.0.0.9:5432 new connection to "
              "server (from 10.0.0.8:55200)");
  EXPECT_EQ(source_of(server), "10.0.0.8:55200");
  EXPECT_EQ(destination_of(server), "10.0.0.9:5432");
  EXPECT_FALSE(understood(LineFormat::kPgbouncer,
                          "2026-11-23 12:47:01.220 UTC [1] LOG C-0x55: shop/x@6.6.6.6:1 login attempt: @10.0.0.7:60074 login "
                          "attempt: db=shop"));
}

TEST(decode, postgresql_names_the_client_in_each_line_of_the_recommended_prefix) {
  const Record record = decoded(LineFormat::kPostgresql,
                                "portbook/1 1795438201.252 [14752] 6b043679.39a0 10.0.0.8(56240) alice shop my app LOG:  duration: "
                                "0.240 ms  statement: select 1");
  EXPECT_EQ(source_of(record), "10.0.0.8:56240");
  EXPECT_EQ(record.text(Field::kSession), "6b043679.39a0");
  EXPECT_EQ(record.text(Field::kMessage), "duration: 0.240 ms  statement: select 1");
  EXPECT_FALSE(record.has(Field::kPrincipal));
  EXPECT_THAT(to_json(record), testing::HasSubstr("my app"));
  EXPECT_EQ(decoded(LineFormat::kPostgresql,
                    "portbook/1 1795438201.252 [14752] 6b043679.39a0 10.0.0.8(56240) alice shop [unknown] LOG:  connection "
                    "authorized: user=alice database=shop")
                .text(Field::kPrincipal),
            "alice");
}

TEST(decode, postgresql_believes_no_name_of_a_client) {
  for (const std::string_view line :
       {"portbook/1 1795438201.252 [1] 6b.39 10.0.0.8(1) alice d a LOG:  connection authorized: x [unknown] FATAL:  no such role",
        "2026-11-23 12:47:00.101 UTC [1] a@b LOG:  connection received: host=6.6.6.6 port=1@db FATAL:  no such role",
        "2026-11-23 12:47:00.101 UTC [1] a LOG:  connection received: host=6.6.6.6 port=1@db"}) {
    EXPECT_FALSE(understood(LineFormat::kPostgresql, line)) << line;
  }
}

TEST(decode, console_times_have_the_zone_that_they_name) {
  const auto time = [](std::string_view zone) {
    Record record;
    const std::string line = "2026-11-23 12:46:59.982 " + std::string(zone) + " [1] LOG:  it is so";
    EXPECT_TRUE(decode_line(LineFormat::kPostgresql, line, {kOrigin.read, {.minutes_east = 60}}, record)) << line;
    return format_time(record.time()).substr(11, 12);
  };
  EXPECT_EQ(time("UTC"), "12:46:59.982");
  EXPECT_EQ(time("+02"), "10:46:59.982");
  EXPECT_EQ(time("-03"), "15:46:59.982");
  EXPECT_EQ(time("CET"), "11:46:59.982");
}

}  // namespace
}  // namespace portbook

#include "sources/syslog_message.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/bytes.h"
#include "record/cbor.h"
#include "sources/decode.h"
#include "sources/syslog_frames.h"
#include "sources/syslog_header.h"

namespace portbook {

namespace {

constexpr TimeNs kRead = 1'795'437'118'735'000'000;  // 2026-11-23T12:31:58.735Z
const SyslogArrival kArrival{{kRead, {}}, "127.0.0.1:40112", {}};

// As logger of util-linux 2.38.1 sends it.
constexpr std::string_view kNumbered =
    R"(<13>1 2026-11-23T12:31:46.704123+01:00 web-7 sshd 4711 ID7 [timeQuality tzKnown="1" isSynced="1" syncAccuracy="2500"][x@1 a="q\"\]"] )"
    "\xEF\xBB\xBF"
    "Accepted publickey for alice from 10.8.1.4 port 40112 ssh2: ED25519 SHA256:abc";

std::vector<std::string> frames_of(const std::vector<std::string>& pieces) {
  SyslogFrames frames;
  std::vector<std::string> found;
  for (const std::string& piece : pieces) {
    frames.push(piece);
    while (const auto frame = frames.next()) found.push_back(std::string(frame->text) + (frame->cut ? "!" : ""));
  }
  return found;
}

TEST(SyslogMessage, NumberedHeaderWithStructuredData) {
  Record record;
  EXPECT_TRUE(read_syslog_message(kNumbered, kArrival, "lb-1", record));
  EXPECT_EQ(record.text(Field::kHost), "web-7");
  EXPECT_EQ(record.text(Field::kPrincipal), "alice");
  EXPECT_EQ(record.uint(Field::kClockError), 2'500'000U);
  const SyslogHeader header = parse_syslog_header(kNumbered, kArrival.origin);
  EXPECT_EQ(header.priority, 13U);
  EXPECT_EQ(header.message_id, "ID7");
  EXPECT_FALSE(header.zone_assumed);
  EXPECT_TRUE(header.message.starts_with("Accepted"));
  EXPECT_EQ(header.time, kRead - 12'030'877'000 - 3600 * kNsPerSecond);
}

TEST(SyslogMessage, NilValues) {
  const SyslogHeader header = parse_syslog_header("<0>1 - - app - - -", kArrival.origin);
  EXPECT_EQ(header.app, "app");
  EXPECT_FALSE(header.time.has_value());
  EXPECT_TRUE(header.host.empty() && header.pid.empty() && header.message_id.empty() && header.message.empty());
}

TEST(SyslogMessage, OldHeaders) {
  for (const std::string_view text : {"<134>Nov 23 12:31:46 web-7 app[77]: hello", "<134>Nov 23 12:31:46 app[77]: hello",
                                      "<134>Nov 23 12:31:46 app: hello", "<134>Nov 23 2026 12:31:46 web-7 app: hello"}) {
    const SyslogHeader header = parse_syslog_header(text, kArrival.origin);
    EXPECT_EQ(header.app, "app") << text;
    EXPECT_EQ(header.message, "hello") << text;
    EXPECT_EQ(header.time, kRead - 12'735'000'000) << text;
    EXPECT_TRUE(header.zone_assumed) << text;
  }
  EXPECT_TRUE(parse_syslog_header("<192>Nov 23 12:31:46 app: hello", kArrival.origin).app.empty());
}

TEST(SyslogMessage, EveryPrefixIsOneRecord) {
  for (const std::string& text : {std::string(kNumbered), std::string("<134>Nov 23 2026 12:31:46 web-7 app[77]: hello")}) {
    for (size_t length = 0; length <= text.size(); ++length) {
      Record record;
      Record again;
      (void)read_syslog_message(std::string_view(text).substr(0, length), kArrival, "lb-1", record);
      Bytes bytes;
      encode(record, bytes);
      ASSERT_TRUE(decode(bytes, again).has_value() && again == record) << length;
    }
  }
}

TEST(SyslogMessage, WhatIsNotUnderstoodSaysSo) {
  Record record;
  EXPECT_FALSE(read_syslog_message("nothing at all", kArrival, "lb-1", record));
  EXPECT_EQ(record.text(Field::kCause), kNotUnderstood);
  EXPECT_EQ(record.text(Field::kMessage), "nothing at all");
  EXPECT_EQ(record.text(Field::kHost), "lb-1");
  EXPECT_TRUE(read_syslog_message("<13>1 - - cron - - - tick", kArrival, "lb-1", record));
  EXPECT_FALSE(record.has(Field::kCause));
  EXPECT_EQ(record.time(), kRead);
  EXPECT_EQ(record.text(Field::kMessage), "tick");
  EXPECT_FALSE(read_syslog_message("<13>1 - - sshd - - - Acc", {kArrival.origin, {}, kMessageUnfinished}, "lb-1", record));
  EXPECT_EQ(record.text(Field::kCause), kMessageUnfinished);
}

TEST(SyslogFrames, BothFramingsInOneStreamHoweverItIsCut) {
  const std::string stream = "8 <1>a\nb\nc<2>line\n\n3 <3>12 blanks\n5 <4>xy";
  const std::vector<std::string> expected = {"<1>a\nb\nc", "<2>line", "<3>", "12 blanks", "<4>xy"};
  EXPECT_EQ(frames_of({stream}), expected);
  for (size_t cut = 0; cut <= stream.size(); ++cut)
    EXPECT_EQ(frames_of({stream.substr(0, cut), stream.substr(cut)}), expected) << cut;
}

TEST(SyslogFrames, TooLongIsCutAndTheRestPassedOver) {
  const std::string text(kSyslogMessageBytesMax + 10, 'x');
  const std::string kept = text.substr(0, kSyslogMessageBytesMax);
  EXPECT_EQ(frames_of({text, "y\n<1>z\n"}), (std::vector<std::string>{kept + "!", "<1>z"}));
  const std::string counted = "<" + text.substr(1);
  EXPECT_EQ(frames_of({std::to_string(counted.size()) + " " + counted, "<1>z\n"}),
            (std::vector<std::string>{counted.substr(0, kSyslogMessageBytesMax) + "!", "<1>z"}));
}

TEST(SyslogFrames, TheEndWithinAMessageIsTold) {
  SyslogFrames frames;
  frames.push("20 <1>half");
  EXPECT_FALSE(frames.next().has_value());
  const auto rest = frames.rest();
  ASSERT_TRUE(rest.has_value());
  EXPECT_EQ(rest->text, "20 <1>half");
  EXPECT_FALSE(frames.rest().has_value());
}

}  // namespace

}  // namespace portbook

#include "capture/conntrack_message.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "capture/netlink_socket.h"

namespace portbook {
namespace {

// Datagrams as Linux 6.18 sent them for one connection through a fully random masquerade, per family.
Bytes captured(const std::string& name) {
  std::ifstream file(PORTBOOK_SOURCE_DIR "/tests/data/conntrack/" + name, std::ios::binary);
  Bytes bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(bytes.empty()) << name;
  return bytes;
}

std::vector<ConntrackMessage> decode_all(ByteView datagram) {
  std::vector<ConntrackMessage> found;
  for_each_message(datagram, [&](const NetlinkMessage& one) {
    ConntrackMessage message;
    if (decode_conntrack(one.type, one.payload, message) == ConntrackDecoded::kConntrack) found.push_back(message);
  });
  return found;
}

Endpoint end(const char* ip, uint16_t port) {
  return {*parse_ip(ip), port};
}

TEST(ConntrackMessage, reads_the_start_of_an_ipv4_translation) {
  const auto found = decode_all(captured("new4.bin"));
  ASSERT_EQ(found.size(), 1u);
  const ConntrackMessage& message = found[0];
  EXPECT_FALSE(message.ended);
  EXPECT_EQ(message.tracked.proto, Proto::kTcp);
  EXPECT_EQ(message.id, 1337717440u);
  EXPECT_EQ(message.tracked.original, (Tuple{end("10.77.1.2", 54620), end("10.77.2.2", 7002)}));
  EXPECT_EQ(message.tracked.reply, (Tuple{end("10.77.2.2", 7002), end("10.77.2.1", 55420)}));
  EXPECT_TRUE(message.tracked.source_translated());
  EXPECT_FALSE(message.tracked.destination_translated());
  EXPECT_GT(message.event, 1'700'000'000'000'000'000u);
}

TEST(ConntrackMessage, reads_the_end_of_an_ipv6_translation_with_times_and_counters) {
  const auto found = decode_all(captured("destroy6.bin"));
  ASSERT_EQ(found.size(), 1u);
  const ConntrackMessage& message = found[0];
  EXPECT_TRUE(message.ended);
  EXPECT_EQ(message.tracked.original, (Tuple{end("fd77:1::2", 58752), end("fd77:2::2", 7002)}));
  EXPECT_EQ(message.tracked.reply.dst, end("fd77:2::1", 48584));
  ASSERT_TRUE(message.original && message.reply);
  EXPECT_EQ(message.original->packets, 4u);
  EXPECT_EQ(message.original->bytes, 301u);
  EXPECT_EQ(message.reply->bytes, 296u);
  EXPECT_EQ(message.start, 0x18ea757b19cdb2cdu);
  EXPECT_EQ(message.stop, 0x18ea757b1e5cc378u);
  EXPECT_EQ(message.event, 0x18ea757b1e5cc468u);
}

TEST(ConntrackMessage, reads_two_messages_of_one_datagram) {
  Bytes both = captured("new4.bin");
  append(both, captured("destroy4.bin"));
  const auto found = decode_all(both);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_FALSE(found[0].ended);
  EXPECT_TRUE(found[1].ended);
  EXPECT_EQ(found[0].tracked, found[1].tracked);
}

TEST(ConntrackMessage, every_prefix_is_refused_or_lacks_only_later_attributes) {
  for (const char* name : {"new4.bin", "destroy4.bin", "new6.bin", "destroy6.bin"}) {
    const Bytes whole = captured(name);
    const ByteView payload = ByteView(whole).subspan(16);
    const auto type = static_cast<uint16_t>(whole[4] | whole[5] << 8);
    ConntrackMessage full;
    ASSERT_EQ(decode_conntrack(type, payload, full), ConntrackDecoded::kConntrack);
    for (size_t length = 0; length < payload.size(); ++length) {
      ConntrackMessage message;
      const ConntrackDecoded decoded = decode_conntrack(type, payload.first(length), message);
      if (decoded == ConntrackDecoded::kConntrack) EXPECT_EQ(message.tracked, full.tracked) << name << " " << length;
      // And the datagram that holds it promises more than there is.
      EXPECT_FALSE(for_each_message(ByteView(whole).first(16 + length), [](const NetlinkMessage&) { FAIL(); })) << length;
    }
  }
}

TEST(ConntrackMessage, other_subsystems_and_messages_are_left_alone) {
  const Bytes whole = captured("new4.bin");
  ConntrackMessage message;
  for (const int number : {0x0000, 0x0003, 0x0101, 0x0103, 0x0200, 0x0800}) {
    const auto type = static_cast<uint16_t>(number);
    EXPECT_EQ(decode_conntrack(type, ByteView(whole).subspan(16), message), ConntrackDecoded::kOther) << type;
  }
}

}  // namespace
}  // namespace portbook

#include "capture/addresses.h"

#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>

#include "capture/fake_world_test.h"

namespace portbook {
namespace {

AddressMessage up(const char* ip, uint32_t index) {
  return {AddressMessage::What::kAddressUp, index, *parse_ip(ip), 24, {}};
}

struct AddressWorld : World {
  Addresses addresses{7, boot_clock, emit};
};

TEST(Addresses, come_and_go_with_their_interface_and_are_told_once) {
  AddressWorld world;
  world.addresses.apply({AddressMessage::What::kInterface, 2, {}, 0, "eth0"}, 1);
  world.addresses.apply(up("192.0.2.2", 2), 5);
  world.addresses.apply(up("192.0.2.2", 2), 6);
  AddressMessage down = up("192.0.2.2", 2);
  down.what = AddressMessage::What::kAddressDown;
  world.addresses.apply(down, 7);
  world.addresses.apply(down, 8);
  ASSERT_EQ(world.records.size(), 2u);
  EXPECT_EQ(to_text(world.records[0].ip(Field::kAddress)), "192.0.2.2");
  EXPECT_EQ(world.records[0].text(Field::kInterface), "eth0");
  EXPECT_EQ(world.records[0].uint(Field::kNetns), 7u);
  EXPECT_EQ(world.records[0].uint(Field::kState), static_cast<uint64_t>(AddressState::kUp));
  EXPECT_EQ(world.records[1].uint(Field::kState), static_cast<uint64_t>(AddressState::kDown));
  EXPECT_EQ(world.records[1].time(), 7u);
}

TEST(Addresses, a_dump_ends_what_is_gone) {
  AddressWorld world;
  world.addresses.apply(up("192.0.2.2", 2), 5);
  world.addresses.apply(up("192.0.2.3", 2), 5);
  world.addresses.begin_dump();
  world.addresses.apply(up("192.0.2.3", 2), 6);
  world.addresses.end_dump(9, "lost");
  ASSERT_EQ(world.records.size(), 3u);
  EXPECT_EQ(to_text(world.records[2].ip(Field::kAddress)), "192.0.2.2");
  EXPECT_EQ(world.records[2].text(Field::kCause), "lost");
}

// One attribute as the kernel writes it.
void append_attribute(Bytes& out, uint16_t type, ByteView value) {
  const uint16_t length = static_cast<uint16_t>(4 + value.size());
  append_little(out, length);
  append_little(out, type);
  append(out, value);
  while (out.size() % 4 != 0) out.push_back(0);
}

TEST(AddressMessage, takes_our_end_of_a_point_to_point_link_and_refuses_every_prefix) {
  ifaddrmsg head{};
  head.ifa_family = AF_INET;
  head.ifa_prefixlen = 32;
  head.ifa_index = 3;
  Bytes bytes(sizeof head);
  std::memcpy(bytes.data(), &head, sizeof head);
  append_attribute(bytes, IFA_ADDRESS, Bytes{10, 0, 0, 2});
  append_attribute(bytes, IFA_LOCAL, Bytes{10, 0, 0, 1});
  AddressMessage message;
  ASSERT_EQ(decode_address(RTM_NEWADDR, bytes, message), AddressDecoded::kAddress);
  EXPECT_EQ(to_text(message.ip), "10.0.0.1");
  EXPECT_EQ(message.prefix_bits, 32);
  EXPECT_EQ(message.index, 3u);
  for (size_t length = 0; length < bytes.size(); ++length) {
    const AddressDecoded decoded = decode_address(RTM_NEWADDR, ByteView(bytes).first(length), message);
    // A cut between two attributes is a whole message without the later one.
    EXPECT_TRUE(decoded == AddressDecoded::kMalformed || (length >= sizeof head + 8 && length < sizeof head + 12)) << length;
  }
}

}  // namespace
}  // namespace portbook

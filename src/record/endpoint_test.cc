#include "record/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portbook {
namespace {

TEST(Endpoint, WritesWhatItReads) {
  for (const char* text : {"203.0.113.5:41234", "[2001:db8::1]:53", "10.0.0.0/8:443", "[2001:db8::/32]:53", "10.8.3.17",
                           "2001:db8::1", "10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"}) {
    const auto pattern = parse_endpoint_pattern(text);
    ASSERT_TRUE(pattern.has_value()) << pattern.error().message;
    EXPECT_EQ(to_text(*pattern), text);
  }
}

TEST(Endpoint, MappedIsIpv4) {
  EXPECT_EQ(*parse_ip("::ffff:10.1.2.3"), *parse_ip("10.1.2.3"));
  EXPECT_EQ(to_text(*parse_ip("::ffff:10.1.2.3")), "10.1.2.3");
  EXPECT_TRUE(parse_endpoint_pattern("10.0.0.0/8")->network.contains(*parse_ip("::ffff:10.1.2.3")));
}

TEST(Endpoint, NetworksContain) {
  const auto in = [](const char* network, const char* ip) {
    return parse_endpoint_pattern(network)->network.contains(*parse_ip(ip));
  };
  EXPECT_TRUE(in("10.8.0.0/13", "10.15.255.255"));
  EXPECT_FALSE(in("10.8.0.0/13", "10.16.0.0"));
  EXPECT_TRUE(in("10.8.3.17", "10.8.3.17"));
  EXPECT_FALSE(in("10.8.3.17/32", "10.8.3.18"));
  EXPECT_TRUE(in("2001:db8::/33", "2001:db8:7fff::"));
  EXPECT_FALSE(in("2001:db8::/33", "2001:db8:8000::"));
  EXPECT_FALSE(in("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(in("::/0", "10.0.0.1"));
}

TEST(Endpoint, NamesWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {{"", "address cannot be read"},
                                                       {"10.8.3:80", "address cannot be read"},
                                                       {"10.8.3.17:0", "port is not a number"},
                                                       {"10.8.3.17:65536", "port is not a number"},
                                                       {"10.8.3.17:", "port is not a number"},
                                                       {"10.0.0.0/33", "number up to 32"},
                                                       {"[::1", "] is missing"},
                                                       {"[::1]53", "neither the end nor :port"},
                                                       {"::1/129", "number up to 128"},
                                                       {"10.8.3.17:+5", "port is not a number"}};
  for (const auto& [text, why] : cases) {
    const auto pattern = parse_endpoint_pattern(text);
    ASSERT_FALSE(pattern.has_value()) << text;
    EXPECT_THAT(pattern.error().message, testing::HasSubstr(why)) << text;
  }
}

TEST(Endpoint, Loopback) {
  EXPECT_TRUE(parse_ip("127.3.0.1")->is_loopback());
  EXPECT_TRUE(parse_ip("::1")->is_loopback());
  EXPECT_FALSE(parse_ip("10.0.0.1")->is_loopback());
  EXPECT_TRUE(parse_ip("::")->is_unspecified());
  EXPECT_TRUE(parse_ip("0.0.0.0")->is_unspecified());
}

}  // namespace
}  // namespace portbook

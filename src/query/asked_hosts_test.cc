#include "query/asked_hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portbook {
namespace {

constexpr TimeNs kNow = 1'795'000'000'000'000'000;

std::optional<AskedHosts> asked(std::string_view text) {
  const auto filter = parse_filter(text, kNow);
  EXPECT_TRUE(filter.has_value()) << text;
  return asked_hosts(*filter, {"db-1", "gw-1", "web-1", "web-2"});
}

TEST(AskedHosts, are_all_where_the_filter_names_none) {
  EXPECT_FALSE(asked("").has_value());
  EXPECT_FALSE(asked("dst.port:443 user:alice").has_value());
}

TEST(AskedHosts, are_those_that_a_record_which_passes_may_be_of) {
  using testing::ElementsAre;
  EXPECT_THAT(asked("host:web-1 dst.port:443")->hosts, ElementsAre("web-1"));
  EXPECT_THAT(asked("host:web-* user:alice")->hosts, ElementsAre("web-1", "web-2"));
  EXPECT_THAT(asked("host:(db-1 or web-2)")->hosts, ElementsAre("db-1", "web-2"));
  EXPECT_THAT(asked("-host:web-1")->hosts, ElementsAre("db-1", "gw-1", "web-2"));
  EXPECT_THAT(asked("host:web-1 or user:alice")->hosts, ElementsAre("db-1", "gw-1", "web-1", "web-2"));
  EXPECT_THAT(asked("-(host:web-1 user:alice)")->hosts, ElementsAre("db-1", "gw-1", "web-1", "web-2"))
      << "web-1's other users pass";
  EXPECT_THAT(asked("host:nowhere")->hosts, ElementsAre());
  EXPECT_THAT(asked("host:*")->hosts, ElementsAre("db-1", "gw-1", "web-1", "web-2"));
}

TEST(AskedHosts, have_a_translation_told_by_another) {
  EXPECT_FALSE(asked("host:web-1 user:alice")->translations);
  EXPECT_TRUE(asked("host:web-1 port:443")->translations);
  EXPECT_TRUE(asked("host:web-1 ip:203.0.113.5")->translations);
  EXPECT_TRUE(asked("host:web-1 src.nat.port:41234")->translations);
}

}  // namespace
}  // namespace portbook

#include "capture/event_ring.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "capture/fake_ring_test.h"

namespace portbook {
namespace {

TEST(EventRing, hands_over_what_is_submitted_and_gives_the_room_back) {
  FakeRing fake;
  EventRing ring = fake.open();
  fake.finish(fake.reserve("one"), false);
  fake.finish(fake.reserve("twelve bytes"), false);
  std::vector<std::string> texts;
  const auto take = [&](std::string_view bytes) { texts.emplace_back(bytes); };
  EXPECT_FALSE(ring.drain(1, take));
  EXPECT_EQ(*fake.consumer, 16u);
  EXPECT_TRUE(ring.drain(10, take));
  EXPECT_EQ(texts, (std::vector<std::string>{"one", "twelve bytes"}));
  EXPECT_EQ(*fake.consumer, 40u);
}

TEST(EventRing, a_record_that_is_still_written_is_not_passed_and_nothing_is_called_whole) {
  FakeRing fake;
  EventRing ring = fake.open();
  const uint64_t slow = fake.reserve("slow");
  fake.finish(fake.reserve("later"), false);
  std::vector<std::string> texts;
  const auto take = [&](std::string_view bytes) { texts.emplace_back(bytes); };
  EXPECT_FALSE(ring.drain(10, take));
  EXPECT_TRUE(texts.empty());
  fake.finish(slow, false);
  EXPECT_TRUE(ring.drain(10, take));
  EXPECT_EQ(texts, (std::vector<std::string>{"slow", "later"}));
}

TEST(EventRing, what_its_writer_threw_away_is_passed_over) {
  FakeRing fake;
  EventRing ring = fake.open();
  fake.finish(fake.reserve("no"), true);
  fake.finish(fake.reserve("yes"), false);
  std::vector<std::string> texts;
  EXPECT_TRUE(ring.drain(10, [&](std::string_view bytes) { texts.emplace_back(bytes); }));
  EXPECT_EQ(texts, std::vector<std::string>{"yes"});
}

TEST(EventRing, without_a_ring_it_is_empty) {
  EventRing none;
  EXPECT_TRUE(none.drain(1, [](std::string_view) { FAIL(); }));
}

TEST(EventRing, a_descriptor_that_is_no_ring_is_refused) {
  EXPECT_FALSE(EventRing::map(-1, 4096).has_value());
}

}  // namespace
}  // namespace portbook

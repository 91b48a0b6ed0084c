#include "capture/loss_meter.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

using Numbers = std::vector<uint64_t>;
constexpr uint64_t kOnTheWay = LossMeter::kOnTheWayNs;

// One look at one CPU, with the ring emptied after it.
std::optional<Loss> pass(LossMeter& meter, uint64_t given, uint64_t lost, const Numbers& arrived, uint64_t at) {
  auto counted = meter.look(Numbers{given}, Numbers{lost}, at);
  for (const uint64_t seq : arrived) meter.received(0, seq);
  auto missing = meter.emptied();
  EXPECT_FALSE(counted && missing);
  return counted ? counted : missing;
}

TEST(LossMeter, says_nothing_while_every_number_arrives_in_any_order) {
  LossMeter meter(1, 0);
  EXPECT_FALSE(pass(meter, 3, 0, {2, 1, 3}, 10));
  EXPECT_FALSE(pass(meter, 5, 0, {5, 4}, 20));
  EXPECT_FALSE(pass(meter, 5, 0, {}, 30 + kOnTheWay));
  EXPECT_EQ(meter.arrived(), 5u);
}

TEST(LossMeter, a_counted_loss_is_known_at_once_and_told_once) {
  LossMeter meter(1, 5);
  EXPECT_FALSE(pass(meter, 1, 0, {1}, 10));
  const auto loss = pass(meter, 4, 2, {2}, 20);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 2u);
  EXPECT_EQ(loss->from_boot_ns, 10u);
  EXPECT_EQ(loss->to_boot_ns, 20u);
  EXPECT_FALSE(pass(meter, 4, 2, {}, 30));
  EXPECT_FALSE(pass(meter, 4, 2, {}, 40 + kOnTheWay));
}

TEST(LossMeter, a_loss_is_known_while_the_ring_is_left_alone) {
  LossMeter meter(1, 5);
  EXPECT_FALSE(meter.look(Numbers{100}, Numbers{0}, 10));
  const auto loss = meter.look(Numbers{200}, Numbers{7}, 20);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 7u);
  EXPECT_EQ(loss->from_boot_ns, 10u);
}

TEST(LossMeter, waits_for_an_event_that_is_numbered_but_not_in_the_ring_yet) {
  LossMeter meter(1, 0);
  EXPECT_FALSE(pass(meter, 2, 0, {1}, 10));
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(pass(meter, 2, 0, {}, 20));
  EXPECT_FALSE(pass(meter, 2, 0, {2}, kOnTheWay));
  EXPECT_FALSE(pass(meter, 2, 0, {}, 40 + kOnTheWay));
}

TEST(LossMeter, a_loss_that_was_counted_a_little_before_its_number_is_no_second_loss) {
  LossMeter meter(1, 0);
  const auto loss = pass(meter, 0, 1, {}, 10);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 1u);
  EXPECT_FALSE(pass(meter, 1, 1, {}, 20));
  EXPECT_FALSE(pass(meter, 1, 1, {}, 30 + kOnTheWay));
}

TEST(LossMeter, what_neither_arrives_nor_was_counted_is_lost_once_with_its_interval) {
  LossMeter meter(1, 5);
  EXPECT_FALSE(pass(meter, 1, 0, {1}, 10));
  EXPECT_FALSE(pass(meter, 4, 0, {2}, 20));
  const auto loss = pass(meter, 4, 0, {}, 20 + kOnTheWay);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 2u);
  EXPECT_EQ(loss->from_boot_ns, 10u);
  EXPECT_EQ(loss->to_boot_ns, 20 + kOnTheWay);
  EXPECT_FALSE(pass(meter, 4, 0, {}, 30 + 2 * kOnTheWay));
}

TEST(LossMeter, is_not_deceived_by_later_events_that_arrive_meanwhile) {
  LossMeter meter(1, 0);
  std::optional<Loss> loss;
  uint64_t seq = 1;  // number 1 is missing; two more come in every pass, one of them ahead of what was given
  for (uint64_t i = 1; i < 8 && !loss; ++i, seq += 2) loss = pass(meter, seq + 1, 0, {seq + 1, seq + 2}, i * kOnTheWay / 2);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 1u);
  EXPECT_EQ(loss->from_boot_ns, 0u);
}

TEST(LossMeter, keeps_cpus_apart_and_ignores_unknown_ones) {
  LossMeter meter(2, 0);
  EXPECT_FALSE(meter.look(Numbers{1, 1}, Numbers{0, 0}, 10));
  meter.received(0, 1);
  meter.received(7, 1);
  EXPECT_FALSE(meter.emptied());
  EXPECT_FALSE(meter.look(Numbers{1, 1}, Numbers{0, 0}, 10 + kOnTheWay));
  const auto loss = meter.emptied();
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 1u);
}

}  // namespace
}  // namespace portbook

#include "capture/loss_meter.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

std::optional<Loss> pass(LossMeter& meter, std::vector<uint64_t> given, std::vector<uint64_t> arrived_of_cpu_0, uint64_t at) {
  meter.begin(given, at);
  for (const uint64_t seq : arrived_of_cpu_0) meter.received(0, seq);
  return meter.end();
}

TEST(LossMeter, says_nothing_while_every_number_arrives_in_any_order) {
  LossMeter meter(1, 0);
  EXPECT_FALSE(pass(meter, {3}, {2, 1, 3}, 10));
  EXPECT_FALSE(pass(meter, {5}, {5, 4}, 20));
}

TEST(LossMeter, waits_for_an_event_that_is_numbered_but_not_submitted_yet) {
  LossMeter meter(1, 0);
  EXPECT_FALSE(pass(meter, {2}, {1}, 10));
  EXPECT_FALSE(pass(meter, {2}, {}, 20));
  EXPECT_FALSE(pass(meter, {2}, {2}, 30));
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(pass(meter, {2}, {}, 40));
}

TEST(LossMeter, counts_what_never_arrives_once_with_its_interval) {
  LossMeter meter(1, 5);
  EXPECT_FALSE(pass(meter, {1}, {1}, 10));
  EXPECT_FALSE(pass(meter, {4}, {2}, 20));
  EXPECT_FALSE(pass(meter, {4}, {}, 30));
  EXPECT_FALSE(pass(meter, {4}, {}, 40));
  const auto loss = pass(meter, {4}, {}, 50);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 2u);
  EXPECT_EQ(loss->from_boot_ns, 10u);
  EXPECT_EQ(loss->to_boot_ns, 50u);
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(pass(meter, {4}, {}, 60));
}

TEST(LossMeter, is_not_deceived_by_later_events_that_arrive_meanwhile) {
  LossMeter meter(1, 0);
  std::optional<Loss> loss;
  uint64_t seq = 1;  // number 1 is lost; two more come in every pass, one of them ahead of what was given
  for (int i = 0; i < 6 && !loss; ++i, seq += 2) loss = pass(meter, {seq + 1}, {seq + 1, seq + 2}, 10);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 1u);
}

TEST(LossMeter, keeps_cpus_apart_and_ignores_unknown_ones) {
  LossMeter meter(2, 0);
  std::optional<Loss> loss;
  for (int i = 0; i < 4; ++i) {
    meter.begin(std::vector<uint64_t>{1, 1}, 10);
    if (i == 0) meter.received(0, 1);
    meter.received(7, 1);
    loss = meter.end();
  }
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 1u);
}

}  // namespace
}  // namespace portbook

#include "capture/loss_watch.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

constexpr uint64_t kMs = 1'000'000;

// One CPU that has counted so many losses, and numbered them.
void look(LossWatch& watch, uint64_t lost, uint64_t parked, uint64_t at) {
  const std::vector<uint64_t> numbers{lost};
  watch.look(numbers, numbers, parked, at);
}

TEST(LossWatch, a_loss_that_goes_on_is_one_gap) {
  LossWatch watch(1, 0);
  look(watch, 0, 0, 10);
  for (uint64_t i = 1; i <= 5; ++i) {
    look(watch, 10 * i, 0, 10 + i);
    EXPECT_FALSE(watch.take(false));
  }
  EXPECT_EQ(watch.known_until(), 0u) << "the ring was never emptied";
  watch.emptied();
  EXPECT_EQ(watch.known_until(), 10u) << "what is lost since then is not written yet";
  look(watch, 50, 0, 20);
  const auto loss = watch.take(false);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 50u);
  EXPECT_EQ(loss->from_boot_ns, 10u);
  EXPECT_EQ(loss->to_boot_ns, 15u);
  EXPECT_TRUE(watch.sweep_wanted());
  EXPECT_FALSE(watch.take(true));
}

TEST(LossWatch, a_long_loss_is_told_in_parts) {
  LossWatch watch(1, 0);
  uint64_t told = 0;
  int parts = 0;
  for (uint64_t i = 1; i <= 3500; ++i) {
    look(watch, i, 0, i * kMs);
    if (const auto loss = watch.take(false)) told += loss->count, ++parts;
  }
  if (const auto loss = watch.take(true)) told += loss->count;
  EXPECT_EQ(told, 3500u);
  EXPECT_EQ(parts, 3);
}

TEST(LossWatch, a_loss_reaches_back_to_the_first_beginning_that_still_waits) {
  LossWatch watch(1, 0);
  look(watch, 0, 0, 10);
  look(watch, 0, 1, 20);
  EXPECT_TRUE(watch.sweep_wanted());
  look(watch, 0, 1, 30);
  look(watch, 2, 1, 40);
  const auto loss = watch.take(true);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->from_boot_ns, 10u);
}

TEST(LossWatch, after_the_sweep_nothing_waits_but_what_came_meanwhile) {
  LossWatch watch(1, 0);
  look(watch, 0, 1, 20);
  watch.sweep_begins();
  EXPECT_FALSE(watch.sweep_wanted());
  look(watch, 0, 2, 30);
  watch.swept();
  watch.emptied();
  EXPECT_EQ(watch.known_until(), 0u) << "a beginning still waits";
  EXPECT_TRUE(watch.sweep_wanted());
  watch.sweep_begins();
  watch.swept();
  EXPECT_EQ(watch.known_until(), 30u);
}

}  // namespace
}  // namespace portbook

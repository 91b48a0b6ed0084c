#include "ship/told_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "ship/send_state.h"

namespace portbook {
namespace {

constexpr TimeNs kNow = 1'795'000'000'000'000'000;

class TestClock final : public Clock {
 public:
  TimeNs now() override { return boot + offset; }
  uint64_t boot_ns() override { return boot; }
  uint64_t boot = 100 * kNsPerSecond;
  uint64_t offset = kNow;
};

struct World {
  World() {
    std::string pattern = (std::filesystem::temp_directory_path() / "portbook-told-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    folder = pattern;
  }
  ~World() { std::filesystem::remove_all(folder); }
  ToldFile open() const { return ToldFile::open(make_machine_disk(folder)); }
  // An agent's run over that folder.
  std::unique_ptr<SendState> run() {
    return SendState::make(std::move(*Spool::open(make_machine_disk(folder), 1 << 20)), "web-8", clock, open());
  }
  std::filesystem::path folder;
  TestClock clock;
};

TEST(ToldFile, the_next_run_knows_what_the_one_before_wrote_last) {
  const World world;
  {
    ToldFile first = world.open();
    EXPECT_FALSE(first.before("web-8/socket"));
    first.write({"web-8/nat", 5, 1});
    first.write({"web-8/socket", 6, 2});
    first.write({"web-8/nat", 7, 3});
    EXPECT_FALSE(first.before("web-8/nat")) << "what this run wrote is not what the one before left";
  }
  ToldFile second = world.open();
  ASSERT_TRUE(second.before("web-8/nat"));
  EXPECT_EQ(second.before("web-8/nat")->until, 7u);
  EXPECT_EQ(second.before("web-8/nat")->offset_ns, 3u);
  EXPECT_EQ(second.before("web-8/socket")->until, 6u);
  second.write({"web-8/socket", 8, 2});
  EXPECT_EQ(second.before("web-8/socket")->until, 6u);
  EXPECT_EQ(world.open().before("web-8/socket")->until, 8u);
}

TEST(ToldFile, no_changed_byte_is_believed) {
  const World world;
  {
    ToldFile told = world.open();
    told.write({"web-8/nat", 5, 1});
    told.write({"web-8/socket", 6, 2});
  }
  const std::string path = world.folder / kToldName;
  for (size_t at = 0; at < 3 * kToldSlotBytes; ++at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char kept = static_cast<char>(file.get());
    const auto put = [&](char byte) { file.seekp(static_cast<std::streamoff>(at)).put(byte).flush(); };
    put(static_cast<char>(kept ^ 0x40));
    std::ifstream whole(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(whole)), std::istreambuf_iterator<char>());
    for (const ToldFile::Told& one : read_told(as_bytes(bytes))) {
      if (one.source == "web-8/nat") EXPECT_EQ(one.until, 5u) << "byte " << at;
      if (one.source == "web-8/socket") EXPECT_EQ(one.until, 6u) << "byte " << at;
      EXPECT_TRUE(one.source.empty() || one.source == "web-8/nat" || one.source == "web-8/socket") << "byte " << at;
    }
    put(kept);
  }
  EXPECT_EQ(world.open().before("web-8/socket")->until, 6u);
}

TEST(ToldFile, a_place_that_does_not_hold_is_used_again) {
  const World world;
  world.open().write({"web-8/nat", 5, 1});
  {
    std::fstream file(world.folder / kToldName, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(kToldSlotBytes).put('x');
  }
  ToldFile told = world.open();
  EXPECT_FALSE(told.before("web-8/nat"));
  told.write({"web-8/socket", 9, 1});
  EXPECT_EQ(world.open().before("web-8/socket")->until, 9u);
}

TEST(ToldFile, more_sources_than_places_keep_what_is_there) {
  const World world;
  {
    ToldFile told = world.open();
    for (uint64_t i = 0; i < 40; ++i) told.write({"web-8/" + std::to_string(i), i + 1, 1});
  }
  const ToldFile told = world.open();
  for (uint64_t i = 0; i < kShipSourcesMax; ++i) EXPECT_EQ(told.before("web-8/" + std::to_string(i))->until, i + 1);
  EXPECT_FALSE(told.before("web-8/39"));
}

struct SetClock {
  const char* name;
  int64_t set_ns;
  TimeNs from;
  TimeNs to;
};

// The run before told everything up to `kNow` + 100 s; 5 s later the next one begins.
TEST(SendStateTold, what_is_untold_reaches_to_the_present_on_whichever_clock) {
  constexpr auto kHour = static_cast<int64_t>(3600 * kNsPerSecond);
  constexpr TimeNs kTold = kNow + 100 * kNsPerSecond;
  constexpr TimeNs kThen = kNow + 105 * kNsPerSecond;
  for (const SetClock& one : {SetClock{"not set", 0, kTold, kThen}, SetClock{"forward", kHour, kTold, kThen + kHour},
                              SetClock{"back", -kHour, kTold - kHour, kThen}}) {
    World world;
    {
      const auto before = world.run();
      before->assume("web-8/socket");
      before->told("web-8/socket", kTold);
    }
    world.clock.boot += 5 * kNsPerSecond;
    world.clock.offset += static_cast<uint64_t>(one.set_ns);
    const auto untold = world.run()->untold("web-8/socket");
    ASSERT_TRUE(untold) << one.name;
    EXPECT_EQ(untold->first, one.from) << one.name;
    EXPECT_EQ(untold->second, one.to) << one.name;
    EXPECT_FALSE(world.run()->untold("web-8/nat"));
  }
}

TEST(SendStateTold, what_was_torn_off_the_spool_may_be_what_had_been_told) {
  World world;
  {
    const auto before = world.run();
    before->assume("web-8/socket");
    before->told("web-8/socket", kNow);
  }
  EXPECT_TRUE(world.run()->untold("web-8/socket"));
  std::ofstream(world.folder / "spool-000000000001") << "no header of a spool, and no frame";
  EXPECT_FALSE(world.run()->untold("web-8/socket"));
}

TEST(SendStateTold, the_book_is_told_once_nothing_waits_in_the_spool) {
  World world;
  const auto state = world.run();
  (void)state->last_seq("web-8/socket");
  state->assume("web-8/socket");
  BatchBuilder builder("web-8/socket", 1);
  Record record;
  record.set(Field::kKind, Kind::kListen);
  record.set(Field::kTime, kNow);
  record.set(Field::kVantage, Vantage::kSocket);
  builder.add(record);
  state->take(builder.take(), [](const Status& status) { EXPECT_TRUE(status.has_value()) << "the spool takes it"; });
  state->told("web-8/socket", kNow);
  EXPECT_FALSE(state->next_told(true)) << "there is no book";
  state->connected(BookWelcome{});
  ASSERT_TRUE(state->next().has_value());
  EXPECT_FALSE(state->next_told(true)) << "the source is not open";
  ASSERT_TRUE(state->opened({0, ShipCode::kTaken, 0, {}}).has_value());
  EXPECT_FALSE(state->next_told(true)) << "it waits in the spool";
  ASSERT_TRUE(state->next().has_value());
  EXPECT_FALSE(state->next_told(true)) << "the book has not answered";
  ASSERT_TRUE(state->answered({0, ShipCode::kTaken, 1, 1, {}}).has_value());
  const auto told = state->next_told(true);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->until, kNow);
  EXPECT_FALSE(state->next_told(true)) << "no news";
  state->disconnected();
  state->connected(BookWelcome{});
  ASSERT_TRUE(state->next().has_value());
  ASSERT_TRUE(state->opened({0, ShipCode::kTaken, 1, {}}).has_value());
  EXPECT_TRUE(state->next_told(true)) << "another connection knows nothing yet";
}

// On a busy machine the spool may not be empty for long, though the book gets on.
TEST(SendStateTold, what_the_book_has_is_told_also_while_later_batches_wait_in_the_spool) {
  World world;
  const auto state = world.run();
  (void)state->last_seq("web-8/socket");
  state->assume("web-8/socket");
  BatchBuilder builder("web-8/socket", 1);
  const auto produce = [&](TimeNs until) {
    Record record;
    record.set(Field::kKind, Kind::kListen);
    record.set(Field::kTime, until);
    record.set(Field::kVantage, Vantage::kSocket);
    builder.add(record);
    state->take(builder.take(), [](const Status& status) { EXPECT_TRUE(status.has_value()); });
    state->told("web-8/socket", until);
  };
  produce(kNow + 1);
  produce(kNow + 2);
  state->connected(BookWelcome{});
  ASSERT_TRUE(state->next().has_value());
  ASSERT_TRUE(state->opened({0, ShipCode::kTaken, 0, {}}).has_value());
  EXPECT_FALSE(state->next_told(true));
  for (uint64_t i = 1; i <= 5; ++i) {
    produce(kNow + 2 + i);
    ASSERT_TRUE(state->next().has_value());
    ASSERT_TRUE(state->answered({0, ShipCode::kTaken, i, i, {}}).has_value());
    EXPECT_FALSE(state->idle());
    const auto told = state->next_told(true);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->until, kNow + i);
  }
}

// A source of an earlier run, such as that of kernel programs which are not to be had any more.
TEST(SendStateTold, a_source_that_this_run_does_not_have_is_told_once_all_have_begun) {
  World world;
  {
    const auto before = world.run();
    before->assume("web-8/socket");
    BatchBuilder builder("web-8/socket", 1);
    Record record;
    record.set(Field::kKind, Kind::kListen);
    record.set(Field::kTime, kNow);
    record.set(Field::kVantage, Vantage::kSocket);
    builder.add(record);
    before->take(builder.take(), [](const Status&) {});
  }
  const auto state = world.run();
  state->connected(BookWelcome{});
  ASSERT_TRUE(state->next().has_value());
  ASSERT_TRUE(state->opened({0, ShipCode::kTaken, 0, {}}).has_value());
  ASSERT_TRUE(state->next().has_value());
  EXPECT_FALSE(state->next_told(true)) << "what it left is not there yet";
  ASSERT_TRUE(state->answered({0, ShipCode::kTaken, 1, 1, {}}).has_value());
  EXPECT_TRUE(state->idle());
  EXPECT_FALSE(state->next_told(false));
  EXPECT_TRUE(state->next_told(true));
}

}  // namespace
}  // namespace portbook

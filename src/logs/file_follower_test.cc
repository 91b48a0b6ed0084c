// Every line once, whatever becomes of the files: against a list of what was written.
#include "logs/file_follower.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

namespace portbook {

namespace {

class StepClock final : public Clock {
 public:
  TimeNs now() override { return 1'795'000'000'000'000'000 + boot; }
  uint64_t boot_ns() override { return boot; }
  uint64_t boot = kNsPerSecond;
};

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "portbook-follow-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    path = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

void append_to(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

// A book as the protocol shows it, a follower that may be killed at any moment, and what it keeps on disk.
struct World {
  World() : log(folder.path / "app.log") { begin(); }

  void begin() {
    follower.emplace(log, durable, clock);
    follower->restart(records.size());
  }
  // Everything that is there now; stops early after `steps`. What is not `kept` is only in the book when the follower dies.
  void follow(size_t steps = SIZE_MAX, bool kept = true) {
    for (LogLine line; steps > 0; --steps) {
      switch (follower->next(line)) {
        case FileFollower::Step::kNothing: return;
        case FileFollower::Step::kLine:
          records.push_back(line.cut ? fmt::format("cut {}", line.text.size()) : std::string(line.text));
          break;
        case FileFollower::Step::kGap: records.push_back(fmt::format("gap {}", static_cast<int>(follower->gap().gap))); break;
        case FileFollower::Step::kTurn:
          durable = follower->turn();
          follower->passed();
          continue;
      }
      ASSERT_EQ(follower->here().seq, records.size());
      follower->acknowledged(follower->here());
      if (kept) durable = follower->here();
    }
  }
  // Long enough for everything that waits, and for what was read to be kept.
  void follow_all() {
    for (int i = 0; i < 20; ++i) {
      follow();
      clock.boot += 61 * kNsPerSecond;
    }
    if (durable) durable = follower->here();
  }

  Folder folder;
  StepClock clock;
  std::filesystem::path log;
  std::optional<LogPosition> durable;
  std::vector<std::string> records;
  std::optional<FileFollower> follower;
};

using Texts = std::vector<std::string>;

TEST(FileFollower, WaitsForAFileAndForWholeLines) {
  World world;
  world.follow();
  EXPECT_FALSE(world.follower->problem().empty());
  append_to(world.log, "one\n\n \ntw");
  world.follow();
  EXPECT_EQ(world.records, Texts({"one"}));
  append_to(world.log, "o\n");
  world.follow();
  EXPECT_EQ(world.records, Texts({"one", "two"}));
}

TEST(FileFollower, GoesOnInTheNextFileOnceTheRotatedOneIsRead) {
  World world;
  append_to(world.log, "one\n");
  world.follow();
  std::filesystem::rename(world.log, world.folder.path / "app.log.1");
  append_to(world.folder.path / "app.log.1", "two\nlast without its end");
  append_to(world.log, "three\n");
  world.follow();
  EXPECT_EQ(world.records, Texts({"one", "two"})) << "its writer may go on for a moment";
  world.follow_all();
  EXPECT_EQ(world.records, Texts({"one", "two", "last without its end", "three"}));
  append_to(world.folder.path / "app.log.1", "late\n");
  world.follow_all();
  EXPECT_EQ(world.records.back(), fmt::format("gap {}", static_cast<int>(LogGap::kLate)));
}

TEST(FileFollower, ReadsEveryFileThatWasRotatedWhileItWasAway) {
  World world;
  append_to(world.log, "one\n");
  world.follow();
  append_to(world.log, "two\n");
  std::filesystem::rename(world.log, world.folder.path / "app.log.2");
  append_to(world.folder.path / "app.log.1", "three\n");
  append_to(world.folder.path / "app.log.9", "older\n");
  append_to(world.log, "four\n");
  world.begin();
  world.follow_all();
  EXPECT_EQ(world.records, Texts({"one", "two", "three", "four"}));
}

TEST(FileFollower, FindsTheCopyOfAFileThatWasCut) {
  World world;
  append_to(world.log, "one\ntwo\n");
  world.follow();
  append_to(world.log, "three\n");
  std::filesystem::copy_file(world.log, world.folder.path / "app.log.1");
  std::filesystem::resize_file(world.log, 0);
  append_to(world.log, "a line that makes it longer than it was when it was read\n");
  world.follow_all();
  EXPECT_EQ(world.records, Texts({"one", "two", "three", "a line that makes it longer than it was when it was read"}));
}

TEST(FileFollower, SaysThatAFileIsLost) {
  World world;
  append_to(world.log, "one\n");
  world.follow();
  std::filesystem::resize_file(world.log, 0);
  append_to(world.log, "two, after a cut that left no copy\n");
  world.follow_all();
  const std::string gap = fmt::format("gap {}", static_cast<int>(LogGap::kLost));
  EXPECT_EQ(world.records, Texts({"one", gap, "two, after a cut that left no copy"}));
}

TEST(FileFollower, DoublesNothingWhenItsPositionIsGone) {
  World world;
  append_to(world.log, "one\ntwo\npart");
  world.follow();
  world.durable.reset();
  world.begin();
  world.follow();
  append_to(world.log, "ial\n");
  world.follow();
  EXPECT_EQ(world.records, Texts({"one", "two", fmt::format("gap {}", static_cast<int>(LogGap::kPositions)), "partial"}));
}

TEST(FileFollower, SaysHowManyABookLacksThatWasSetBack) {
  World world;
  append_to(world.log, "one\ntwo\nthree\n");
  world.follow();
  world.records.pop_back();
  world.records.pop_back();
  world.begin();
  append_to(world.log, "four\n");
  world.follow();
  EXPECT_EQ(world.records, Texts({"one", fmt::format("gap {}", static_cast<int>(LogGap::kBook)), "four"}));
  EXPECT_EQ(world.follower->gap().gap_count, 2u);
}

TEST(FileFollower, CutsALongLineOnce) {
  World world;
  append_to(world.log, "one\n" + std::string(3 * kLogLineBytesMax, 'x'));
  world.follow();
  EXPECT_EQ(world.records, Texts({"one"}));
  EXPECT_EQ(world.follower->here().offset, 4u);
  append_to(world.log, "y\ntwo\n");
  world.follow();
  const Texts expected{"one", fmt::format("cut {}", kLogLineBytesMax), "two"};
  EXPECT_EQ(world.records, expected);
  world.records.clear();
  world.durable.reset();
  world.begin();
  world.follow();
  EXPECT_EQ(world.records, expected) << "also where its end is there at once";
}

// Writes, rotates in every way, kills the follower with any of its positions lost since the last turn, and holds what came against
// what was written.
void random_life(uint64_t seed) {
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  World world;
  Texts written{"begin"};
  append_to(world.log, "begin\n");
  world.follow();  // files that were rotated before are not its own
  for (int i = 0; i < 200; ++i) {
    switch (random() % 10) {
      case 0: world.follow_all(); break;
      case 1: {  // rename; the next line begins a new file
        if (!std::filesystem::exists(world.log)) break;
        written.push_back(fmt::format("line {}", written.size()));
        append_to(world.log, written.back() + (random() % 2 == 0 ? "\n" : ""));
        std::filesystem::rename(world.log, world.folder.path / fmt::format("app.log-20261123{:06}", i));
        break;
      }
      case 2: {  // copy and cut, once something of it was read
        if (!std::filesystem::exists(world.log) || std::filesystem::file_size(world.log) == 0) break;
        world.follow_all();
        written.push_back(fmt::format("line {} {}", written.size(), random()));
        append_to(world.log, written.back() + "\n");
        std::filesystem::copy_file(world.log, world.folder.path / fmt::format("app.log-20261123{:06}", i));
        std::filesystem::resize_file(world.log, 0);
        break;
      }
      case 3: world.begin(); break;
      case 4: world.follow(random() % 5, random() % 2 == 0); break;
      case 5: world.follow(SIZE_MAX, false); break;
      default: written.push_back(fmt::format("line {} {}", written.size(), random())); append_to(world.log, written.back() + "\n");
    }
    if (::testing::Test::HasFatalFailure()) return;
  }
  append_to(world.log, "end\n");
  written.emplace_back("end");
  for (int i = 0; i < 20; ++i) world.follow_all();
  ASSERT_EQ(fmt::format("{}", fmt::join(world.records, "|")), fmt::format("{}", fmt::join(written, "|")));
}

TEST(FileFollower, GivesEachLineOnceWhateverHappens) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    random_life(seed);
    if (HasFatalFailure()) return;
  }
}

}  // namespace

}  // namespace portbook

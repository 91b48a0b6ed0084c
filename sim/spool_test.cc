// An agent's spool and the book's word about it, over kills, losses of power, full disks, refused batches and a book that comes,
// goes and is set back, all by chance from a seed. What was answered for is in the book once and in order, or a gap has its count.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>

#include "record/cbor.h"
#include "ship/send_state.h"
#include "sim/sim_disk.h"
#include "sim/simulation.h"

namespace portbook {
namespace {

constexpr std::array<std::string_view, 2> kSources = {"web-8/socket", "web-8/nat"};
constexpr uint64_t kFileBytes = 600;

// The one disk of all runs.
class LentDisk final : public Disk {
 public:
  explicit LentDisk(Disk& disk) : disk_(disk) {}
  Result<std::unique_ptr<File>> open_to_read(std::string_view name) override { return disk_.open_to_read(name); }
  Result<std::unique_ptr<File>> open_to_write(std::string_view name) override { return disk_.open_to_write(name); }
  Result<std::unique_ptr<File>> create(std::string_view name) override { return disk_.create(name); }
  Status rename(std::string_view from, std::string_view to) override { return disk_.rename(from, to); }
  Status remove(std::string_view name) override { return disk_.remove(name); }
  Status sync_names() override { return disk_.sync_names(); }
  Result<std::vector<std::string>> list() override { return disk_.list(); }
  [[nodiscard]] std::string where() const override { return disk_.where(); }

 private:
  Disk& disk_;
};

// What the book has of a source: records by the place in which they were made, gaps by what they cover.
struct Entry {
  uint64_t place = 0;  // 0: a gap
  uint64_t covers = 0;
};

struct Made {
  uint64_t places = 0;                // made so far, from 1
  std::map<uint64_t, bool> answered;  // by place, with success
  uint64_t next_seq = 1;              // in the run's own numbers
  std::optional<Batch> waits;         // to be handed over again
  bool under_way = false;
  std::vector<Entry> book;
};

class Simulated {
 public:
  explicit Simulated(uint64_t seed) : random_(seed), disk_(seed) {
    may_be_set_back_ = seed % 4 == 0;
    start();
  }

  void step() {
    switch (chance(24)) {
      case 0: kill(); break;
      case 1: disk_.cut_power_in(1 + chance(6)); break;
      case 2: disk_.set_capacity(chance(3) == 0 ? 200 + chance(4000) : UINT64_MAX); break;
      case 3:
      case 4: disconnect(); break;
      case 5: set_back(); break;
      case 6:
      case 7:
      case 8:
      case 9: connect(); break;
      default:
        if (chance(2) == 0) {
          produce(chance(2));
        } else {
          pump();
        }
    }
    if (disk_.power_is_off()) kill();
  }

  // The book and the disk are well again: everything must get out.
  void finish() {
    refuses_ = false;
    disk_.restart();
    disk_.set_capacity(UINT64_MAX);
    kill();
    for (int tries = 0; tries < 300 && !(connected_ && state_->idle() && nothing_waits()); ++tries) {
      connect();
      for (size_t i = 0; i < kSources.size(); ++i) {
        if (made_[i].waits) hand_over(i);
      }
      while (connected_ && pump()) {
      }
    }
    ASSERT_TRUE(state_->idle()) << "it never drains";
    EXPECT_EQ(state_->spool_bytes(), 0u);
    for (size_t i = 0; i < kSources.size(); ++i) check(made_[i], kSources[i]);
  }

 private:
  uint64_t chance(uint64_t below) { return random_() % below; }

  [[nodiscard]] bool nothing_waits() const {
    return std::ranges::none_of(made_, [](const Made& made) { return made.waits || made.under_way; });
  }

  void start() {
    ++run_;
    auto spool = Spool::open(std::make_unique<LentDisk>(disk_), 1500 + 500 * chance(6), kFileBytes);
    ASSERT_TRUE(spool.has_value()) << spool.error().message;
    state_ = SendState::make(std::move(*spool), "web-8", clock_);
    connected_ = false;
    began_ = {};
    under_way_.clear();
    for (Made& made : made_) {
      made.waits.reset();
      made.under_way = false;
    }
  }

  void kill() {
    state_.reset();
    disk_.restart();
    start();
  }

  void begin(size_t i) {
    if (began_[i]) return;
    began_[i] = true;
    const auto last = state_->last_seq(kSources[i]);
    if (!last) state_->assume(kSources[i]);
    made_[i].next_seq = last.value_or(0) + 1;
  }

  void produce(size_t i) {
    Made& made = made_[i];
    if (made.under_way) return;
    begin(i);
    if (!made.waits) {
      BatchBuilder builder(std::string(kSources[i]), made.next_seq);
      for (uint64_t left = 1 + chance(4); left > 0; --left) {
        Record record;
        record.set(Field::kKind, Kind::kListen);
        record.set(Field::kTime, ++made.places);
        record.set(Field::kVantage, Vantage::kSocket);
        record.set(Field::kHost, "web-8");
        builder.add(record);
      }
      made.waits = builder.take();
    }
    hand_over(i);
  }

  void hand_over(size_t i) {
    Made& made = made_[i];
    if (made.under_way) return;
    made.under_way = true;
    const uint64_t last = made.places;
    state_->take(*made.waits, [this, i, last, run = run_](const Status& status) {
      if (run != run_) return;
      Made& of = made_[i];
      of.under_way = false;
      if (!status) {
        // Refused for ever: whoever made it would put a gap there. Here another record takes its first number.
        if (status.error().code == ErrorCode::kBadInput) of.waits.reset();
        return;
      }
      for (uint64_t n = 0; n < of.waits->count; ++n) of.answered[last - n] = true;
      of.next_seq += of.waits->count;
      of.waits.reset();
    });
    run_answers();
  }

  void run_answers() {
    for (const auto& answer : state_->take_answers()) answer();
  }

  void connect() {
    if (connected_) return;
    ask();
    BookWelcome welcome;
    welcome.window_bytes = 300;
    state_->connected(welcome);
    connected_ = true;
    for (size_t i = 0; i < kSources.size() && connected_; ++i) (void)pump();
    ask();
  }

  // What capture does at its start, as far as somebody knows the answer.
  void ask() {
    for (size_t i = 0; i < kSources.size(); ++i) {
      if (began_[i]) continue;
      if (const auto last = state_->last_seq(kSources[i])) {
        made_[i].next_seq = *last + 1;
        began_[i] = true;
      }
    }
  }

  void disconnect() {
    connected_ = false;
    under_way_.clear();
    state_->disconnected();
    run_answers();
  }

  Made& of(std::string_view source) { return made_[source == kSources[0] ? 0 : 1]; }

  // The next message, or the answer to an earlier one; false when there is none.
  bool pump() {
    if (!connected_) return false;
    const auto next = state_->next();
    if (next && *next && !(*next)->source.empty()) {
      streams_[(*next)->stream] = (*next)->source;
      if (!state_->opened({(*next)->stream, ShipCode::kTaken, of((*next)->source).book.size(), {}})) disconnect();
      return true;
    }
    if (!next) {
      disconnect();
      return false;
    }
    if (*next) under_way_.push_back(book_takes(**next));
    if (under_way_.empty()) return false;
    if (*next && chance(2) == 0) return true;  // the answer comes later, or never
    const BatchAnswer answer = under_way_.front();
    under_way_.erase(under_way_.begin());
    if (!state_->answered(answer)) disconnect();
    run_answers();
    return true;
  }

  BatchAnswer book_takes(const SendState::Outgoing& sent) {
    Made& made = of(sent.batch.source);
    BatchAnswer answer{sent.stream, ShipCode::kTaken, sent.batch.seq_first, made.book.size(), {}};
    if (sent.batch.seq_first != made.book.size() + 1) {
      answer.code = ShipCode::kSequence;
      return answer;
    }
    if (refuses_ && chance(12) == 0) {
      answer.code = ShipCode::kRefused;
      answer.reason = "no";
      return answer;
    }
    Record record;
    ByteView rest = sent.batch.bytes;
    for (uint32_t i = 0; i < sent.batch.count; ++i) {
      const size_t length = *encoded_length(rest);
      EXPECT_TRUE(decode(rest.first(length), record).has_value());
      EXPECT_EQ(record.uint_or(Field::kSourceSeq, 0), made.book.size() + 1);
      rest = rest.subspan(length);
      made.book.push_back(record.kind() == Kind::kGap ? Entry{0, covers(record)} : Entry{record.time(), 0});
    }
    answer.last_seq = made.book.size();
    return answer;
  }

  // How many records, that were answered for, a gap may stand for.
  uint64_t covers(const Record& gap) const {
    const std::string_view cause = gap.text_or(Field::kCause, "");
    if (cause == "capture was not running") return 0;
    // Of numbers, among them those of gaps.
    if (cause.starts_with("the book lacks")) return UINT32_MAX;
    // What the book had and lost, and files of the spool had too, which are gone.
    if (may_be_set_back_ && cause == "a part of the agent's spool was damaged") return UINT32_MAX;
    EXPECT_TRUE(cause.starts_with("the book refused")) << cause;
    return gap.uint_or(Field::kCount, UINT32_MAX);  // one that stands for a gap may not know it
  }

  void set_back() {
    if (!may_be_set_back_ || connected_) return;
    auto& book = made_[chance(2)].book;
    book.resize(book.size() - chance(std::min<uint64_t>(book.size(), 6) + 1));
  }

  void check(const Made& made, std::string_view source) const {
    uint64_t before = 0;
    uint64_t covered = 0;
    std::vector<Entry> entries = made.book;
    entries.push_back({made.places + 1, 0});
    for (const Entry& entry : entries) {
      if (entry.place == 0) {
        covered += entry.covers;
        continue;
      }
      ASSERT_GT(entry.place, before) << source << ": twice, or not in order";
      uint64_t missing = 0;
      for (uint64_t place = before + 1; place < entry.place; ++place) missing += made.answered.contains(place) ? 1 : 0;
      // An agent that begins after the book was set back knows nothing of it.
      if (!may_be_set_back_)
        ASSERT_LE(missing, covered) << source << ": silently lost between " << before << " and " << entry.place;
      before = entry.place;
      covered = 0;
    }
  }

  std::mt19937_64 random_;
  SimDisk disk_;
  SimClock clock_;
  std::unique_ptr<SendState> state_;
  std::array<Made, kSources.size()> made_;
  std::array<bool, kSources.size()> began_{};
  std::map<uint16_t, std::string> streams_;
  std::vector<BatchAnswer> under_way_;
  uint64_t run_ = 0;
  bool connected_ = false;
  bool refuses_ = true;
  bool may_be_set_back_ = false;
};

TEST(SpoolSimulation, AFailedSyncLeavesNothingBehind) {
  SimDisk disk(1);
  auto spool = std::move(*Spool::open(std::make_unique<LentDisk>(disk), 1 << 20, kFileBytes));
  const Batch batch{"web-8/socket", 1, 1, Bytes(40, 0xa0)};
  disk.fail_sync_in(1);
  EXPECT_FALSE(spool->append(batch, false).has_value());
  EXPECT_EQ(spool->bytes(), 0u) << "an agent that has anything in its spool is behind";
  EXPECT_TRUE(spool->empty());
  ASSERT_TRUE(spool->append(batch, false).has_value());
  disk.fail_sync_in(1);
  EXPECT_FALSE(spool->append({"web-8/socket", 2, 1, Bytes(40, 0xa0)}, false).has_value());
  auto later = std::move(*Spool::open(std::make_unique<LentDisk>(disk), 1 << 20, kFileBytes));
  EXPECT_EQ(later->take_entries().size(), 1u) << "what failed is none";
}

TEST(SpoolSimulation, WhatWasAnsweredForIsInTheBookOnceOrInAGap) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Simulated simulated(seed);
    for (int i = 0; i < 400 && !testing::Test::HasFailure(); ++i) simulated.step();
    simulated.finish();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace portbook

// An agent's run and a book as the protocol shows it, for tests of what both say to each other.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "record/cbor.h"
#include "ship/send_state.h"

namespace portbook {

inline constexpr std::string_view kSource = "web-8/socket";

class TestClock final : public Clock {
 public:
  TimeNs now() override { return 1'795'000'000'000'000'000; }
  uint64_t boot_ns() override { return 0; }
};

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "portbook-ship-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    path = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

// A record whose time is its place in what was ever produced, so that none can be lost, doubled or swapped unseen.
inline void add_record(BatchBuilder& builder, uint64_t place) {
  Record record;
  record.set(Field::kKind, Kind::kListen);
  record.set(Field::kTime, place);
  record.set(Field::kVantage, Vantage::kSocket);
  record.set(Field::kHost, "web-8");
  builder.add(record);
}

// A book as the protocol shows it: takes what follows, says what it has.
struct FakeBook {
  uint64_t last = 0;
  std::vector<uint64_t> places;   // of the records, in order
  std::vector<std::string> gaps;  // causes
  std::vector<uint64_t> gap_seqs;
  std::vector<uint64_t> gap_counts;

  BatchAnswer take(const SendState::Outgoing& sent) {
    BatchAnswer answer{sent.stream, ShipCode::kTaken, sent.batch.seq_first, last, {}};
    if (sent.batch.seq_first != last + 1) {
      answer.code = ShipCode::kSequence;
      return answer;
    }
    Record record;
    ByteView rest = sent.batch.bytes;
    for (uint32_t i = 0; i < sent.batch.count; ++i) {
      const size_t length = *encoded_length(rest);
      EXPECT_TRUE(decode(rest.first(length), record).has_value());
      EXPECT_EQ(record.uint(Field::kSourceSeq), ++last);
      EXPECT_EQ(record.text(Field::kSource), kSource);
      if (record.kind() == Kind::kGap) {
        gaps.emplace_back(record.text_or(Field::kCause, ""));
        gap_seqs.push_back(last);
        gap_counts.push_back(record.uint_or(Field::kCount, 0));
      } else {
        places.push_back(record.time());
      }
      rest = rest.subspan(length);
    }
    EXPECT_TRUE(rest.empty());
    answer.last_seq = last;
    return answer;
  }
};

// An agent's run over a spool folder, its numbers made as capture makes them.
struct Agent {
  explicit Agent(const std::filesystem::path& folder, uint64_t spool_max = 1 << 20, uint64_t file_bytes = 1 << 16) {
    auto spool = Spool::open(make_machine_disk(folder), spool_max, file_bytes);
    EXPECT_TRUE(spool.has_value());
    torn = (*spool)->torn_bytes();
    state = SendState::make(std::move(*spool), "web-8", clock);
  }

  // What capture does at its start.
  void begin() {
    auto last = state->last_seq(kSource);
    if (!last) state->assume(kSource);
    builder = std::make_unique<BatchBuilder>(std::string(kSource), last.value_or(0) + 1);
  }
  // Hands over a batch with the next `count` records; true if it was done at once.
  void produce(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) add_record(*builder, ++place);
    hand_over(builder->take());
  }
  void hand_over(Batch batch) {
    Batch kept = batch;
    state->take(std::move(batch), [this, kept](const Status& status) {
      if (status)
        ++done;
      else if (status.error().code == ErrorCode::kBadInput)
        refused.push_back(kept);
      else
        failed.push_back(kept);
    });
    run_answers();
  }
  void run_answers() {
    for (const auto& answer : state->take_answers()) answer();
  }

  Status connect(FakeBook& book) {
    state->connected(BookWelcome{});
    while (true) {
      auto next = state->next();
      EXPECT_TRUE(next.has_value());
      if (!*next || (*next)->source.empty()) {
        EXPECT_FALSE(*next) << "a batch went before its source was open";
        return {};
      }
      if (Status opened = state->opened({(*next)->stream, ShipCode::kTaken, book.last, {}}); !opened) return opened;
      if (state->last_seq(kSource)) break;
    }
    return {};
  }
  // Everything that can be sent, each answered at once.
  Status ship(FakeBook& book) {
    while (true) {
      auto next = state->next();
      if (!next) return std::unexpected(next.error());
      if (!*next) break;
      if (Status answered = state->answered(book.take(**next)); !answered) return answered;
    }
    run_answers();
    return {};
  }
  void disconnect() {
    state->disconnected();
    run_answers();
  }

  TestClock clock;
  std::unique_ptr<SendState> state;
  std::unique_ptr<BatchBuilder> builder;
  uint64_t place = 0;
  uint64_t torn = 0;
  int done = 0;
  std::vector<Batch> failed;
  std::vector<Batch> refused;
};

inline std::vector<uint64_t> up_to(uint64_t last) {
  std::vector<uint64_t> places;
  for (uint64_t place = 1; place <= last; ++place) places.push_back(place);
  return places;
}

// An agent that has asked the book for its source's number before its first record.
inline void begin_connected(Agent& agent, FakeBook& book) {
  (void)agent.state->last_seq(kSource);
  ASSERT_TRUE(agent.connect(book).has_value());
  agent.begin();
}

}  // namespace portbook

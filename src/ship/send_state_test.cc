#include "ship/send_state.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "record/cbor.h"

namespace portbook {
namespace {

constexpr std::string_view kSource = "web-8/socket";

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
void add_record(BatchBuilder& builder, uint64_t place) {
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
    auto made = SendState::make(std::move(*spool), "web-8", clock);
    EXPECT_TRUE(made.has_value()) << (made ? "" : made.error().message);
    state = std::move(*made);
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

std::vector<uint64_t> up_to(uint64_t last) {
  std::vector<uint64_t> places;
  for (uint64_t place = 1; place <= last; ++place) places.push_back(place);
  return places;
}

// An agent that has asked the book for its source's number before its first record.
void begin_connected(Agent& agent, FakeBook& book) {
  (void)agent.state->last_seq(kSource);
  ASSERT_TRUE(agent.connect(book).has_value());
  agent.begin();
}

TEST(SendState, connected_batches_go_straight_to_the_book) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path);
  begin_connected(agent, book);
  agent.produce(10);
  EXPECT_EQ(agent.done, 0) << "acknowledged before the book had it";
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(agent.done, 1);
  EXPECT_EQ(book.places, up_to(10));
  EXPECT_TRUE(agent.state->idle());
  EXPECT_EQ(agent.state->spool_bytes(), 0u);
}

TEST(SendState, while_the_book_is_away_batches_are_spooled_and_follow_in_order_before_new_ones) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path);
  begin_connected(agent, book);
  agent.produce(5);
  ASSERT_TRUE(agent.ship(book).has_value());
  agent.disconnect();
  for (int i = 0; i < 20; ++i) agent.produce(7);
  EXPECT_EQ(agent.done, 21);
  EXPECT_GT(agent.state->spool_bytes(), 0u);
  ASSERT_TRUE(agent.connect(book).has_value());
  agent.produce(3);  // behind the spooled ones
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, up_to(5 + 140 + 3));
  EXPECT_TRUE(book.gaps.empty());
  EXPECT_EQ(agent.state->spool_bytes(), 0u);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path));
}

TEST(SendState, a_reply_that_was_lost_after_the_commit_doubles_nothing) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path);
  begin_connected(agent, book);
  agent.produce(5);
  auto next = agent.state->next();
  ASSERT_TRUE(next.has_value() && *next);
  (void)book.take(**next);  // and the answer is lost with the connection
  agent.disconnect();
  agent.produce(5);
  ASSERT_TRUE(agent.connect(book).has_value());
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, up_to(10));
}

TEST(SendState, an_agent_that_is_killed_goes_on_after_its_spool) {
  const Folder folder;
  FakeBook book;
  uint64_t place = 0;
  {
    Agent agent(folder.path);
    begin_connected(agent, book);
    agent.produce(5);
    ASSERT_TRUE(agent.ship(book).has_value());
    agent.disconnect();
    agent.produce(6);
    agent.produce(7);
    place = agent.place;
  }
  Agent agent(folder.path);
  agent.begin();  // the book is still away
  agent.place = place;
  agent.produce(4);
  ASSERT_TRUE(agent.connect(book).has_value());
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, up_to(22));
  EXPECT_TRUE(book.gaps.empty());
}

TEST(SendState, what_the_book_took_of_a_spool_before_a_kill_is_not_sent_again) {
  for (int answered = 0; answered <= 3; ++answered) {
    const Folder folder;
    FakeBook book;
    {
      Agent agent(folder.path);
      begin_connected(agent, book);
      agent.disconnect();
      for (int i = 0; i < 3; ++i) agent.produce(5);
      ASSERT_TRUE(agent.connect(book).has_value());
      for (int i = 0; i < answered; ++i) {
        auto next = agent.state->next();
        ASSERT_TRUE(next.has_value() && *next);
        (void)book.take(**next);  // no answer arrives before the kill
      }
    }
    Agent agent(folder.path);
    agent.begin();
    agent.place = 15;
    agent.produce(2);
    ASSERT_TRUE(agent.connect(book).has_value());
    ASSERT_TRUE(agent.ship(book).has_value());
    EXPECT_EQ(book.places, up_to(17)) << answered << " of 3 were taken";
  }
}

TEST(SendState, a_source_that_begins_while_the_book_is_away_takes_the_book_s_numbers_later) {
  const Folder folder;
  FakeBook book;
  book.last = 40;  // of an earlier run
  {
    Agent agent(folder.path);
    agent.begin();
    agent.produce(5);
    ASSERT_TRUE(agent.connect(book).has_value());
    auto next = agent.state->next();
    ASSERT_TRUE(next.has_value() && *next);
    (void)book.take(**next);  // the gap record; then the agent is killed
  }
  Agent agent(folder.path);
  agent.begin();
  agent.place = 5;
  agent.produce(3);
  ASSERT_TRUE(agent.connect(book).has_value());
  ASSERT_TRUE(agent.ship(book).has_value());
  agent.produce(2);
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, up_to(10));
  EXPECT_EQ(book.gaps, std::vector<std::string>{"capture was not running"});
  EXPECT_EQ(book.gap_seqs, std::vector<uint64_t>{41});
  EXPECT_EQ(book.last, 51u);
}

TEST(SendState, a_new_source_that_began_provisionally_has_no_gap) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path);
  agent.begin();
  agent.produce(5);
  ASSERT_TRUE(agent.connect(book).has_value());
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, up_to(5));
  EXPECT_TRUE(book.gaps.empty());
}

TEST(SendState, a_book_that_was_set_back_gets_a_gap_and_what_follows) {
  for (const bool spooled : {false, true}) {
    const Folder folder;
    FakeBook book;
    Agent agent(folder.path);
    begin_connected(agent, book);
    agent.produce(10);
    ASSERT_TRUE(agent.ship(book).has_value());
    agent.disconnect();
    book.last = 4;
    book.places.resize(4);
    if (spooled) agent.produce(3);
    ASSERT_TRUE(agent.connect(book).has_value());
    if (!spooled) agent.produce(3);
    ASSERT_TRUE(agent.ship(book).has_value());
    EXPECT_EQ(book.places, (std::vector<uint64_t>{1, 2, 3, 4, 11, 12, 13}));
    ASSERT_EQ(book.gaps.size(), 1u);
    EXPECT_EQ(book.gap_counts[0], 6u);
    EXPECT_EQ(book.gap_seqs[0], 5u);
  }
}

TEST(SendState, a_book_that_has_more_than_was_ever_sent_swallows_nothing) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path);
  begin_connected(agent, book);
  agent.produce(10);
  ASSERT_TRUE(agent.ship(book).has_value());
  agent.disconnect();
  book.last = 25;  // somebody else wrote under this name
  agent.produce(3);
  ASSERT_TRUE(agent.connect(book).has_value());
  agent.produce(2);
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, up_to(15));
  EXPECT_EQ(book.last, 30u);
}

TEST(SendState, a_spooled_batch_that_is_refused_becomes_a_gap_also_over_a_restart) {
  const Folder folder;
  FakeBook book;
  {
    Agent agent(folder.path);
    begin_connected(agent, book);
    agent.disconnect();
    agent.produce(5);
    agent.produce(6);
    agent.produce(7);
    ASSERT_TRUE(agent.connect(book).has_value());
    auto first = agent.state->next();
    ASSERT_TRUE(agent.state->answered(book.take(**first)).has_value());
    auto second = agent.state->next();
    const Status refused = agent.state->answered({0, ShipCode::kRefused, (*second)->batch.seq_first, book.last, "is no record"});
    ASSERT_FALSE(refused.has_value()) << "what is under way behind it has the wrong numbers";
    EXPECT_NE(refused.error().message.find("is no record"), std::string::npos);
  }
  Agent agent(folder.path);
  agent.begin();
  agent.place = 18;
  agent.produce(2);
  ASSERT_TRUE(agent.connect(book).has_value());
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, (std::vector<uint64_t>{1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17, 18, 19, 20}));
  ASSERT_EQ(book.gaps.size(), 1u);
  EXPECT_EQ(book.gap_counts[0], 6u);
  EXPECT_NE(book.gaps[0].find("is no record"), std::string::npos);
}

TEST(SendState, a_refused_batch_that_was_not_spooled_goes_back_to_who_made_it) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path);
  begin_connected(agent, book);
  agent.produce(5);
  auto next = agent.state->next();
  ASSERT_TRUE(agent.state->answered({0, ShipCode::kRefused, 1, 0, "no"}).has_value());
  agent.run_answers();
  ASSERT_EQ(agent.refused.size(), 1u);
  // The outbox puts a gap under the same number.
  agent.hand_over({std::string(kSource), 1, 1, [] {
                     BatchBuilder builder(std::string(kSource), 1);
                     add_record(builder, 99);
                     return builder.take().bytes;
                   }()});
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, std::vector<uint64_t>{99});
}

TEST(SendState, a_full_spool_takes_nothing_and_loses_nothing) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path, 4096);
  begin_connected(agent, book);
  agent.disconnect();
  while (agent.failed.empty()) agent.produce(5);
  EXPECT_LE(agent.state->spool_bytes(), 4096u);
  EXPECT_NE(agent.state->spool_problem().find("--spool-max"), std::string::npos);
  ASSERT_TRUE(agent.connect(book).has_value());
  ASSERT_TRUE(agent.ship(book).has_value());
  agent.hand_over(agent.failed.front());  // as the outbox does
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, up_to(agent.place));
}

TEST(SendState, a_batch_that_was_sent_and_found_no_room_in_the_spool_is_not_doubled) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path, 64);  // room for nothing
  begin_connected(agent, book);
  agent.produce(5);
  auto next = agent.state->next();
  (void)book.take(**next);
  agent.disconnect();
  ASSERT_EQ(agent.failed.size(), 1u);
  ASSERT_TRUE(agent.connect(book).has_value());
  agent.hand_over(agent.failed.front());
  EXPECT_EQ(agent.done, 1) << "the book had said that it has these";
  agent.produce(2);
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, up_to(7));
}

TEST(SendState, a_spool_torn_at_any_byte_keeps_every_whole_batch) {
  const Folder whole;
  uint64_t bytes = 0;
  std::vector<uint64_t> ends;  // file size after each batch
  {
    FakeBook book;
    Agent agent(whole.path);
    begin_connected(agent, book);
    agent.disconnect();
    for (int i = 0; i < 3; ++i) {
      agent.produce(1);
      ends.push_back(agent.state->spool_bytes());
    }
    bytes = agent.state->spool_bytes();
  }
  const auto file = whole.path / spool_file_name(1);
  ASSERT_EQ(std::filesystem::file_size(file), bytes);
  for (uint64_t length = 0; length <= bytes; ++length) {
    const Folder torn;
    std::filesystem::copy(file, torn.path / spool_file_name(1));
    std::filesystem::resize_file(torn.path / spool_file_name(1), length);
    FakeBook book;
    Agent agent(torn.path);
    const auto kept = static_cast<uint64_t>(std::ranges::count_if(ends, [&](uint64_t end) { return end <= length; }));
    (void)agent.state->last_seq(kSource);
    ASSERT_TRUE(agent.connect(book).has_value());
    ASSERT_TRUE(agent.ship(book).has_value());
    ASSERT_EQ(book.places, up_to(kept)) << "cut at " << length;
  }
}

TEST(SendState, a_damaged_batch_in_the_middle_becomes_a_gap_with_its_count) {
  const Folder folder;
  FakeBook book;
  {
    Agent agent(folder.path, 1 << 20, 64);  // a file for each batch
    begin_connected(agent, book);
    agent.disconnect();
    for (int i = 0; i < 3; ++i) agent.produce(4);
  }
  {
    auto file = *make_machine_disk(folder.path)->open_to_write(spool_file_name(2));
    ASSERT_TRUE(file->write_at(100, Bytes{0xff}).has_value());
  }
  Agent agent(folder.path);
  EXPECT_GT(agent.torn, 0u);
  agent.begin();
  agent.place = 12;
  agent.produce(1);
  ASSERT_TRUE(agent.connect(book).has_value());
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, (std::vector<uint64_t>{1, 2, 3, 4, 9, 10, 11, 12, 13}));
  EXPECT_EQ(book.gap_counts, std::vector<uint64_t>{4});
}

TEST(SendState, no_more_is_under_way_than_the_window) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path);
  begin_connected(agent, book);
  agent.disconnect();
  for (int i = 0; i < 10; ++i) agent.produce(5);
  BookWelcome welcome;
  welcome.window_bytes = 300;
  agent.state->connected(welcome);
  auto open = agent.state->next();
  ASSERT_TRUE(agent.state->opened({0, ShipCode::kTaken, 0, {}}).has_value());
  size_t bytes = 0;
  size_t batches = 0;
  for (auto next = agent.state->next(); *next; next = agent.state->next()) {
    bytes += (*next)->batch.bytes.size();
    ++batches;
  }
  EXPECT_GE(bytes, 300u);
  EXPECT_LT(batches, 10u);
}

TEST(SendState, a_book_that_refuses_the_source_says_why) {
  const Folder folder;
  Agent agent(folder.path);
  (void)agent.state->last_seq(kSource);
  agent.state->connected(BookWelcome{});
  (void)agent.state->next();
  const Status denied = agent.state->opened({0, ShipCode::kDenied, 0, "its name would begin with \"web-9/\""});
  ASSERT_FALSE(denied.has_value());
  EXPECT_EQ(denied.error().code, ErrorCode::kDenied);
  EXPECT_NE(denied.error().message.find("web-9/"), std::string::npos);
}

TEST(SendState, answers_to_what_was_not_asked_or_sent_end_the_connection) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path);
  begin_connected(agent, book);
  EXPECT_FALSE(agent.state->answered({0, ShipCode::kTaken, 1, 1, {}}).has_value());
  EXPECT_FALSE(agent.state->answered({7, ShipCode::kTaken, 1, 1, {}}).has_value());
  EXPECT_FALSE(agent.state->opened({0, ShipCode::kTaken, 9, {}}).has_value());
  EXPECT_FALSE(agent.state->opened({9, ShipCode::kTaken, 9, {}}).has_value());
}

}  // namespace
}  // namespace portbook

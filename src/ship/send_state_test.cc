#include "ship/send_state.h"

#include "ship/test_agent.h"

namespace portbook {
namespace {

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
  for (const auto& left : std::filesystem::directory_iterator(folder.path)) EXPECT_EQ(left.path().filename(), kSpoolReserveName);
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

TEST(SendState, a_full_spool_is_emptied_also_when_its_numbers_have_to_change) {
  const Folder folder;
  FakeBook book;
  book.last = 40;
  Agent agent(folder.path, 4096);
  agent.begin();  // provisionally
  for (uint32_t count = 5; count > 0; --count) {
    agent.failed.clear();
    while (agent.failed.empty()) agent.produce(count);
    agent.place -= count;
    agent.begin();
  }
  ASSERT_TRUE(agent.connect(book).has_value());
  ASSERT_TRUE(agent.ship(book).has_value());
  EXPECT_EQ(book.places, up_to(agent.place));
  EXPECT_EQ(agent.state->spool_bytes(), 0u);
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

// An agent that is started again over a spool of several files, of which the book has a part.
#include "ship/send_state.h"
#include "ship/test_agent.h"

namespace portbook {
namespace {

// Sends and answers so many messages; false when there were not so many.
bool ship_some(Agent& agent, FakeBook& book, int messages) {
  for (int i = 0; i < messages; ++i) {
    auto next = agent.state->next();
    if (!next || !*next) return false;
    EXPECT_TRUE(agent.state->answered(book.take(**next)).has_value());
  }
  return true;
}

TEST(SendState, a_restart_between_files_after_the_book_s_word_loses_nothing) {
  bool more = true;
  for (int taken = 0; more; ++taken) {
    SCOPED_TRACE(testing::Message() << taken << " were taken before the restart");
    const Folder folder;
    FakeBook book;
    book.last = 100;
    {
      Agent agent(folder.path, 1 << 20, 400);
      agent.begin();
      for (int i = 0; i < 12; ++i) agent.produce(5);
      ASSERT_TRUE(agent.connect(book).has_value());
      for (int i = 0; i < 3; ++i) agent.produce(3);
      more = ship_some(agent, book, taken) && !agent.state->idle();
    }
    if (!more) break;  // nothing is left in the spool
    Agent agent(folder.path, 1 << 20, 400);
    agent.begin();
    agent.place = 69;
    agent.produce(2);
    ASSERT_TRUE(agent.connect(book).has_value());
    ASSERT_TRUE(agent.ship(book).has_value());
    ASSERT_EQ(book.places, up_to(71));
    ASSERT_EQ(book.gaps, std::vector<std::string>{"capture was not running"});
  }
}

TEST(SendState, a_restart_between_files_after_a_refused_batch_loses_nothing) {
  bool more = true;
  for (int taken = 0; more; ++taken) {
    SCOPED_TRACE(testing::Message() << taken << " were taken before the restart");
    const Folder folder;
    FakeBook book;
    {
      Agent agent(folder.path, 1 << 20, 400);
      begin_connected(agent, book);
      agent.disconnect();
      for (int i = 0; i < 12; ++i) agent.produce(5);
      ASSERT_TRUE(agent.connect(book).has_value());
      ASSERT_TRUE(ship_some(agent, book, 2));
      auto third = agent.state->next();
      ASSERT_FALSE(agent.state->answered({0, ShipCode::kRefused, (*third)->batch.seq_first, book.last, "no"}).has_value());
      agent.disconnect();
      for (int i = 0; i < 3; ++i) agent.produce(3);
      ASSERT_TRUE(agent.connect(book).has_value());
      more = ship_some(agent, book, taken) && !agent.state->idle();
    }
    if (!more) break;  // nothing is left in the spool
    Agent agent(folder.path, 1 << 20, 400);
    agent.begin();
    agent.place = 69;
    agent.produce(2);
    ASSERT_TRUE(agent.connect(book).has_value());
    ASSERT_TRUE(agent.ship(book).has_value());
    std::vector<uint64_t> expected = up_to(71);
    expected.erase(expected.begin() + 10, expected.begin() + 15);
    ASSERT_EQ(book.places, expected);
    ASSERT_EQ(book.gap_counts, std::vector<uint64_t>{5});
  }
}

TEST(SendState, what_the_book_lost_is_sent_again_while_the_spool_has_it) {
  const Folder folder;
  FakeBook book;
  Agent agent(folder.path);
  begin_connected(agent, book);
  agent.disconnect();
  agent.produce(10);
  book.last = 6;
  ASSERT_TRUE(agent.connect(book).has_value()) << "somebody else wrote six";
  agent.disconnect();
  FakeBook replaced;
  ASSERT_TRUE(agent.connect(replaced).has_value());
  ASSERT_TRUE(agent.ship(replaced).has_value());
  EXPECT_EQ(replaced.places, up_to(10));
}

}  // namespace
}  // namespace portbook

#include "server/connections_ahead.h"

#include <gtest/gtest.h>

#include "query/plain_view_test.h"

namespace portbook {
namespace {

TEST(ConnectionsAhead, KnowsWhatNobodyAskedFor) {
  std::vector<Record> records(100);
  for (Record& record : records) {
    record.set(Field::kKind, Kind::kOpen);
    record.set(Field::kTime, 1000);
  }
  const View view = view_of(records, std::make_shared<ConnectionRows>());
  const ConnectionsAhead ahead([&] { return view; });
  // Whoever has no time takes nothing in, and has to find it there.
  std::shared_ptr<const MainRows> known;
  while (!known) {
    std::this_thread::yield();
    const auto found = view.connections()->of(view, std::chrono::steady_clock::now());
    ASSERT_TRUE(found.has_value());
    known = *found;
  }
  EXPECT_EQ(known->size(), view.blocks().size());
}

}  // namespace
}  // namespace portbook

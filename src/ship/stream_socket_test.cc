#include "ship/stream_socket.h"

#include <gtest/gtest.h>

#include "ship/test_agent.h"

namespace portbook {
namespace {

TEST(StreamSocket, who_listens_is_told_from_what_was_left_behind) {
  const Folder folder;
  const auto path = folder.path / "ingest.sock";
  {
    const auto gone = listen_unix(path, 0600);
    ASSERT_TRUE(gone.has_value());
  }
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_FALSE(somebody_listens(path));
  const auto listener = listen_unix(path, 0600);
  ASSERT_TRUE(listener.has_value());
  EXPECT_TRUE(somebody_listens(path));
}

}  // namespace
}  // namespace portbook

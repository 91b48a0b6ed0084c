// Takes in what is known of connections ahead of the questions, so that none of them waits for it.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "store/connection_rows.h"

namespace portbook {

// Has every sealed block of the newest view taken in (see ConnectionRows) from its beginning to its end, on a thread of its own.
// Blocks that cannot be read are tried again; who asks a question is told.
class ConnectionsAhead {
 public:
  // `view` is called on that thread.
  explicit ConnectionsAhead(std::function<View()> view);

 private:
  void run(const std::stop_token& stop);

  const std::function<View()> view_;
  std::mutex mutex_;
  std::condition_variable_any stopping_;  // nothing else wakes it
  std::jthread thread_;                   // last: it uses all of the above
};

}  // namespace portbook

#include "server/connections_ahead.h"

#include <utility>

namespace portbook {

namespace {
constexpr auto kSlice = std::chrono::milliseconds(15);   // a question waits so long for it, less than it has patience
constexpr auto kBetween = std::chrono::milliseconds(1);  // for questions to come in between
constexpr auto kLookAgain = std::chrono::seconds(1);     // for blocks that were sealed since
}  // namespace

ConnectionsAhead::ConnectionsAhead(std::function<View()> view)
    : view_(std::move(view)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

void ConnectionsAhead::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const auto stop_at = std::chrono::steady_clock::now() + kSlice;
    if (const View view = view_(); view.connections()) (void)view.connections()->of(view, stop_at);
    const bool more = std::chrono::steady_clock::now() >= stop_at;
    std::unique_lock lock(mutex_);
    stopping_.wait_for(lock, stop, more ? kBetween : kLookAgain, [] { return false; });
  }
}

}  // namespace portbook

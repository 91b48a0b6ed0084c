#include "server/answer.h"

#include "base/check.h"

namespace portbook {

void Answer::start(int status, bool is_whole, std::string_view content_type, const Headers& headers) {
  PB_CHECK(!started_);
  head_ = {status, is_whole, std::string(content_type), headers};
  started_ = true;
}

void Answer::whole(int status, std::string_view content_type, std::string body, const Headers& headers) {
  {
    const std::lock_guard lock(mutex_);
    start(status, true, content_type, headers);
    parts_.push_back(std::move(body));
    finished_ = true;
  }
  wake_();
}

void Answer::begin(int status, std::string_view content_type, const Headers& headers) {
  {
    const std::lock_guard lock(mutex_);
    start(status, false, content_type, headers);
  }
  wake_();
}

bool Answer::write(std::string_view part) {
  {
    std::unique_lock lock(mutex_);
    PB_CHECK(started_ && !head_.is_whole);
    room_.wait(lock, [&] { return gone_ || unsent_bytes_ < kHttpUnsentBytesMax; });
    if (gone_) return false;
    if (part.empty()) return true;
    parts_.emplace_back(part);
    unsent_bytes_ += part.size();
  }
  wake_();
  return true;
}

bool Answer::gone() const {
  const std::lock_guard lock(mutex_);
  return gone_;
}

void Answer::finish() {
  {
    const std::lock_guard lock(mutex_);
    if (!started_) start(500, true, "text/plain", {});
    finished_ = true;
  }
  wake_();
}

Answer::Taken Answer::take() {
  const std::lock_guard lock(mutex_);
  Taken taken{started_, finished_, {}};
  while (!parts_.empty()) {
    taken.part += parts_.front();
    parts_.pop_front();
  }
  unsent_bytes_ = 0;
  room_.notify_all();
  return taken;
}

void Answer::abandon() {
  const std::lock_guard lock(mutex_);
  gone_ = true;
  parts_.clear();
  unsent_bytes_ = 0;
  room_.notify_all();
}

}  // namespace portbook

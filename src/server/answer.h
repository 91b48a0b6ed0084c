// The bounded queue between a handler's thread, which makes an answer, and the network thread, which sends it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "server/http.h"

namespace portbook {

class Answer final : public HttpResponse {
 public:
  // `wake` is called, from the handler's thread, whenever take() may have something new.
  explicit Answer(std::function<void()> wake) : wake_(std::move(wake)) {}

  // The handler's side.
  void whole(int status, std::string_view content_type, std::string body, const Headers& headers) override;
  void begin(int status, std::string_view content_type, const Headers& headers) override;
  bool write(std::string_view part) override;
  [[nodiscard]] bool gone() const override;
  // The handler has returned.
  void finish();

  // The network's side: what there is to send now.
  struct Taken {
    bool started = false;   // head() is valid
    bool finished = false;  // nothing comes after `part`
    std::string part;
  };
  Taken take();
  // The client has gone or the server stops; a waiting handler goes on and is told.
  void abandon();

  struct Head {
    int status = 0;
    bool is_whole = false;
    std::string content_type;
    Headers headers;
  };
  // Needs take().started; does not change any more.
  [[nodiscard]] const Head& head() const { return head_; }

 private:
  void start(int status, bool is_whole, std::string_view content_type, const Headers& headers);

  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::condition_variable room_;
  // Under mutex_:
  Head head_;
  std::deque<std::string> parts_;
  size_t unsent_bytes_ = 0;
  bool started_ = false;
  bool finished_ = false;
  bool gone_ = false;
};

}  // namespace portbook

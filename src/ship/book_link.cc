#include "ship/book_link.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kReadBytes = 64 * 1024;

std::unexpected<Error> gone() {
  return fail(ErrorCode::kUnavailable, "the book has closed the connection");
}

Status status_of(ShipCode code, std::string_view reason) {
  switch (code) {
    case ShipCode::kTaken: return {};
    case ShipCode::kRefused:
    case ShipCode::kSequence: return fail(ErrorCode::kBadInput, std::string(reason));
    case ShipCode::kNewer: return fail(ErrorCode::kNewer, std::string(reason));
    case ShipCode::kDenied: return fail(ErrorCode::kDenied, std::string(reason));
    case ShipCode::kAgain: break;
  }
  return fail(ErrorCode::kUnavailable, std::string(reason));
}

Status status_of(const ByeMessage& bye) {
  if (bye.code == ByeCode::kDenied) return fail(ErrorCode::kDenied, std::string(bye.reason));
  if (bye.code == ByeCode::kVersion) return fail(ErrorCode::kNewer, std::string(bye.reason));
  return fail(ErrorCode::kUnavailable, bye.reason.empty() ? "the book is stopping" : std::string(bye.reason));
}

}  // namespace

Result<std::unique_ptr<BookLink>> BookLink::connect(const BookLinkOptions& options) {
  auto fd = connect_unix(options.socket);
  if (!fd) return std::unexpected(fd.error());
  auto wake = make_wake_fd();
  if (!wake) return std::unexpected(wake.error());
  auto link = std::unique_ptr<BookLink>(new BookLink(std::move(*fd), std::move(*wake)));
  if (Status greeted = link->greet(options); !greeted) return std::unexpected(greeted.error());
  link->thread_ = std::thread([raw = link.get()] { raw->run(); });
  return link;
}

// Before the thread is there.
Status BookLink::greet(const BookLinkOptions& options) {
  append_message(out_, AgentHello{kShipVersion, options.host, options.program, "", ShipPurpose::kImport});
  const auto deadline = SteadyClock::now() + kAnswerTimeout;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
    if (left.count() <= 0) return fail(ErrorCode::kUnavailable, "the book does not answer");
    if (!out_.empty() && write_some(fd_, out_, out_at_) == Moved::kClosed) return gone();
    pollfd come{fd_.get(), static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT)), 0};
    poll(&come, 1, static_cast<int>(left.count()));
    const Moved moved = read_some(fd_, in_, kReadBytes);
    const DecodedMessage decoded = decode_message(in_);
    if (const auto* bad = std::get_if<Malformed>(&decoded))
      return fail(ErrorCode::kBadInput, fmt::format("the book sent {}", bad->reason));
    if (const auto* whole = std::get_if<WholeMessage>(&decoded)) {
      if (const auto* bye = std::get_if<ByeMessage>(&whole->message)) return status_of(*bye);
      const auto* welcome = std::get_if<BookWelcome>(&whole->message);
      if (welcome == nullptr) return fail(ErrorCode::kBadInput, "the book did not begin with a welcome");
      origin_ = welcome->origin;
      in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(whole->length));
      return {};
    }
    if (moved == Moved::kClosed) return gone();
  }
}

BookLink::~BookLink() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake(wake_);
  if (thread_.joinable()) thread_.join();
}

std::optional<Error> BookLink::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

Result<uint64_t> BookLink::open(const std::string& source) {
  std::unique_lock lock(mutex_);
  PB_CHECK(streams_.size() < kShipSourcesMax);
  const auto number = static_cast<uint16_t>(streams_.size());
  Stream& stream = streams_.emplace_back(source);
  append_message(out_, SourceOpen{number, source});
  wake(wake_);
  changed_.wait(lock, [&] { return stream.opened || failure_; });
  if (!stream.opened) return std::unexpected(*failure_);
  return *stream.opened;
}

void BookLink::submit(Batch batch, Answered answered) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock,
                [&] { return failure_ || unanswered_bytes_ == 0 || unanswered_bytes_ + batch.bytes.size() <= kShipWindowBytes; });
  if (failure_) {
    const Error error = *failure_;
    lock.unlock();
    answered(std::unexpected(error));
    return;
  }
  const auto stream = std::ranges::find(streams_, batch.source, &Stream::source);
  PB_CHECK(stream != streams_.end() && stream->opened && stream->opened->has_value());
  const auto number = static_cast<uint16_t>(stream - streams_.begin());
  append(out_, batch_front({number, batch.count, batch.seq_first, batch.bytes}));
  append(out_, batch.bytes);
  unanswered_bytes_ += batch.bytes.size();
  stream->waiting.push_back({batch.bytes.size(), std::move(answered)});
  wake(wake_);
}

void BookLink::run() {
  const Status ended = talk();
  fail_all(ended ? Error{ErrorCode::kUnavailable, "the connection was closed"} : ended.error());
}

// Until the connection is of no use; success when it was to stop.
Status BookLink::talk() {
  auto heard = SteadyClock::now();
  auto next_ping = heard;
  uint64_t pings = 0;
  while (true) {
    std::vector<std::function<void()>> calls;
    pollfd come{fd_.get(), POLLIN, 0};
    {
      const std::lock_guard lock(mutex_);
      if (SteadyClock::now() >= next_ping) {
        append_message(out_, PingMessage{++pings});
        next_ping = SteadyClock::now() + kPingEvery;
      }
      if (stopping_) append_message(out_, ByeMessage{});
      if (!out_.empty() && write_some(fd_, out_, out_at_) == Moved::kClosed) return gone();
      if (stopping_) return {};
      if (!out_.empty()) come.events |= POLLOUT;
    }
    std::array<pollfd, 2> fds{come, pollfd{wake_.get(), POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_ping - SteadyClock::now());
    poll(fds.data(), fds.size(), static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (fds[1].revents != 0) drain_wakes(wake_);
    const size_t before = in_.size();
    const Moved moved = read_some(fd_, in_, kReadBytes);
    if (in_.size() > before) heard = SteadyClock::now();
    const Status taken = take_in(calls);
    for (const auto& call : calls) call();
    if (!taken) return taken;
    if (moved == Moved::kClosed) return gone();
    if (SteadyClock::now() - heard > kAnswerTimeout) return fail(ErrorCode::kUnavailable, "the book has stopped answering");
  }
}

Status BookLink::take_in(std::vector<std::function<void()>>& calls) {
  size_t at = 0;
  Status good;
  while (good) {
    const DecodedMessage decoded = decode_message(ByteView(in_).subspan(at));
    if (const auto* bad = std::get_if<Malformed>(&decoded))
      good = fail(ErrorCode::kBadInput, fmt::format("the book sent {}", bad->reason));
    const auto* whole = std::get_if<WholeMessage>(&decoded);
    if (whole == nullptr) break;
    good = handle(whole->message, calls);
    at += whole->length;
  }
  in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(at));
  return good;
}

Status BookLink::handle(const ShipMessage& message, std::vector<std::function<void()>>& calls) {
  if (const auto* of = std::get_if<ByeMessage>(&message)) return status_of(*of);
  if (const auto* of = std::get_if<BatchAnswer>(&message)) return answered(*of, calls);
  if (std::holds_alternative<PongMessage>(message)) return {};
  const auto* of = std::get_if<SourceOpened>(&message);
  const std::lock_guard lock(mutex_);
  if (of == nullptr || of->stream >= streams_.size() || streams_[of->stream].opened)
    return fail(ErrorCode::kBadInput, "the book sent what nobody asked for");
  if (const Status code = status_of(of->code, of->reason); code)
    streams_[of->stream].opened = of->last_seq;
  else
    streams_[of->stream].opened = std::unexpected(code.error());
  changed_.notify_all();
  return {};
}

Status BookLink::answered(const BatchAnswer& message, std::vector<std::function<void()>>& calls) {
  const std::lock_guard lock(mutex_);
  if (message.stream >= streams_.size() || streams_[message.stream].waiting.empty())
    return fail(ErrorCode::kBadInput, "the book answered for a batch that it was not sent");
  auto& waiting = streams_[message.stream].waiting;
  unanswered_bytes_ -= waiting.front().bytes;
  calls.emplace_back(
      [call = std::move(waiting.front().answered), status = status_of(message.code, message.reason)] { call(status); });
  waiting.pop_front();
  changed_.notify_all();
  return {};
}

void BookLink::fail_all(const Error& error) {
  std::vector<Answered> calls;
  {
    const std::lock_guard lock(mutex_);
    failure_ = error;
    for (Stream& stream : streams_) {
      for (Waiting& one : stream.waiting) calls.push_back(std::move(one.answered));
      stream.waiting.clear();
    }
    unanswered_bytes_ = 0;
    changed_.notify_all();
  }
  for (const Answered& call : calls) call(std::unexpected(error));
}

}  // namespace portbook

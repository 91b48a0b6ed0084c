#include "ship/sender.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kOutBytesEnough = 1024 * 1024;  // no further batch is fetched while that much waits to be written
constexpr std::chrono::seconds kHelloTimeout{5};

ReportMessage encoded(const AgentReport& report, Bytes& numbers, Bytes& lines) {
  for (const auto& [name, value] : report.numbers) append_number(numbers, {name, value});
  for (const AgentReport::Line& line : report.lines) append_line(lines, {line.what, line.state, line.means, line.detail});
  ReportMessage message;
  message.capturing = report.capturing;
  message.numbers = numbers;
  message.lines = lines;
  return message;
}

}  // namespace

// One connection, on the sending thread.
class Sender::Session {
 public:
  Session(Sender& sender, FileDescriptor fd) : sender_(sender), fd_(std::move(fd)), heard_(SteadyClock::now()) {}

  // Until it is of no use any more, with the reason; success when the sender stops.
  Status run() {
    const SenderOptions& options = sender_.options_;
    const std::string named = options.host + options.part;
    append_message(out_, AgentHello{kShipVersion, named, options.program, options.token});
    while (true) {
      if (Status filled = fill(); !filled) return filled;
      if (finished_ && out_.empty()) return {};
      if (Status moved = wait_and_move(); !moved) return moved;
      const auto silent = SteadyClock::now() - heard_;
      if (!welcomed_ && silent > kHelloTimeout) return fail(ErrorCode::kUnavailable, "the book does not answer");
      if (silent > kAnswerTimeout) return fail(ErrorCode::kUnavailable, "the book has stopped answering");
    }
  }
  [[nodiscard]] bool took_something() const { return took_something_; }

 private:
  // Puts what is to be said into out_.
  Status fill() {
    if (!welcomed_ || finished_) return {};
    const std::lock_guard lock(sender_.mutex_);
    while (out_.size() < kOutBytesEnough) {
      auto next = sender_.state_->next();
      if (!next) return std::unexpected(next.error());
      if (!*next) break;
      if ((*next)->source.empty()) {
        const Batch& batch = (*next)->batch;
        const ShippedBatch message{(*next)->stream, batch.count, batch.seq_first, batch.bytes};
        append(out_, batch_front(message));
        append(out_, batch.bytes);
      } else {
        append_message(out_, SourceOpen{(*next)->stream, (*next)->source});
      }
    }
    fill_report();
    fill_told();
    const bool idle = sender_.state_->idle();
    if (sender_.stopping_ && (idle || SteadyClock::now() >= sender_.stop_by_)) {
      append_message(out_, ByeMessage{ByeCode::kStopping, idle ? "" : "not all could be handed over"});
      finished_ = true;
    }
    return {};
  }

  void fill_report() {
    const auto now = SteadyClock::now();
    if (!sender_.report_is_new_ && now < next_report_) return;
    sender_.report_is_new_ = false;
    next_report_ = now + kReportEvery;
    Bytes numbers;
    Bytes lines;
    ReportMessage message = encoded(sender_.report_, numbers, lines);
    message.spool_bytes = sender_.state_->spool_bytes();
    message.spool_bytes_max = sender_.state_->spool_bytes_max();
    message.refused_batches = sender_.state_->refused_batches();
    append_message(out_, message);
    append_message(out_, PingMessage{++pings_});
  }

  void fill_told() {
    const auto now = SteadyClock::now();
    if (now < next_told_) return;
    next_told_ = now + kToldEvery;
    while (const auto told = sender_.state_->next_told(sender_.report_.capturing)) append_message(out_, *told);
  }

  Status wait_and_move() {
    const auto until = welcomed_ ? std::min(next_report_, next_told_) : heard_ + kHelloTimeout;
    const auto left = std::chrono::duration_cast<milliseconds>(until - SteadyClock::now()) + milliseconds(1);
    std::array<pollfd, 2> fds{pollfd{fd_.get(), static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT)), 0},
                              pollfd{sender_.wake_.get(), POLLIN, 0}};
    poll(fds.data(), fds.size(), static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1000)));
    if (fds[1].revents != 0) drain_wakes(sender_.wake_);
    // What the book said last counts, also when it has closed.
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      const Moved got = read_some(fd_, in_, kReadBytes);
      if (got == Moved::kSome) {
        if (Status handled = handle_all(); !handled) return handled;
      }
      if (got == Moved::kClosed) return fail(ErrorCode::kUnavailable, "the book has closed the connection");
    }
    if (!out_.empty() && write_some(fd_, out_, out_at_) == Moved::kClosed && fds[0].revents == 0)
      return fail(ErrorCode::kUnavailable, "the book has closed the connection");
    return {};
  }

  Status handle_all() {
    size_t at = 0;
    Status status;
    while (status) {
      const DecodedMessage decoded = decode_message(ByteView(in_).subspan(at));
      if (const auto* bad = std::get_if<Malformed>(&decoded))
        status = fail(ErrorCode::kBadInput, fmt::format("the book sent {}", bad->reason));
      const auto* whole = std::get_if<WholeMessage>(&decoded);
      if (whole == nullptr) break;
      heard_ = SteadyClock::now();
      status = handle(whole->message);
      at += whole->length;
    }
    in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(at));
    sender_.run_answers();
    return status;
  }

  Status handle(const ShipMessage& message) {
    if (const auto* bye = std::get_if<ByeMessage>(&message)) {
      const ErrorCode code = bye->code == ByeCode::kDenied    ? ErrorCode::kDenied
                             : bye->code == ByeCode::kVersion ? ErrorCode::kNewer
                                                              : ErrorCode::kUnavailable;
      return fail(code, bye->reason.empty() ? "the book is stopping" : std::string(bye->reason));
    }
    const std::lock_guard lock(sender_.mutex_);
    Status status;
    if (const auto* welcome = std::get_if<BookWelcome>(&message); welcome != nullptr && !welcomed_) {
      if (welcome->batch_bytes_max < kShipBatchBytesMax || welcome->batch_records_max < kBatchRecordsMax)
        return fail(ErrorCode::kNewer, "the book takes smaller batches than this agent makes; use the same portbook for both");
      welcomed_ = true;
      sender_.state_->connected(*welcome);
    } else if (!welcomed_) {
      return fail(ErrorCode::kBadInput, "the book did not begin with a welcome");
    } else if (const auto* opened = std::get_if<SourceOpened>(&message)) {
      status = sender_.state_->opened(*opened);
      note_connected();
    } else if (const auto* answer = std::get_if<BatchAnswer>(&message)) {
      status = sender_.state_->answered(*answer);
      took_something_ = took_something_ || status.has_value();
      if (status.has_value()) note_taken();
    } else if (std::holds_alternative<PongMessage>(message)) {
      note_connected();
    } else {
      status = fail(ErrorCode::kBadInput, "the book sent what only an agent says");
    }
    sender_.changed_.notify_all();
    return status;
  }

  // Under the lock, once the book has let something of this agent in.
  void note_connected() {
    sender_.connected_ = true;
    // A book that is there and takes nothing of what waits is no end of the outage.
    if (sender_.state_->spool_bytes() == 0) note_taken();
  }

  // Under the lock: the book takes what this agent has.
  void note_taken() {
    const bool was_away = !sender_.problem_.empty();
    sender_.problem_.clear();
    if (!was_away || !sender_.options_.say) return;
    const uint64_t spooled = sender_.state_->spool_bytes();
    sender_.options_.say(spooled == 0
                             ? "The book is there again."
                             : fmt::format("The book is there again; {} KiB from the spool follow.", (spooled + 1023) / 1024));
  }

  Sender& sender_;
  FileDescriptor fd_;
  Bytes out_;
  size_t out_at_ = 0;
  Bytes in_;
  SteadyClock::time_point heard_;
  SteadyClock::time_point next_report_{};
  SteadyClock::time_point next_told_{};
  uint64_t pings_ = 0;
  bool welcomed_ = false;
  bool took_something_ = false;
  bool finished_ = false;
};

Sender::Sender(SenderOptions options, std::unique_ptr<SendState> state, FileDescriptor wake)
    : options_(std::move(options)), wake_(std::move(wake)), started_(SteadyClock::now()), state_(std::move(state)) {}

Result<std::unique_ptr<Sender>> Sender::start(SenderOptions options, Clock& clock) {
  if (options.host.empty() || options.host.size() > kShipTextBytesMax || options.token.size() > kShipTextBytesMax)
    return fail(ErrorCode::kBadInput, fmt::format("an agent needs a host name and a token of at most {} bytes", kShipTextBytesMax));
  std::error_code error;
  std::filesystem::create_directories(options.spool, error);
  if (!error) std::filesystem::permissions(options.spool, std::filesystem::perms::owner_all, error);
  if (error) {
    return fail(error == std::errc::permission_denied ? ErrorCode::kDenied : ErrorCode::kIo,
                fmt::format("cannot make the spool {}: {}", options.spool.string(), error.message()));
  }
  auto spool = Spool::open(make_machine_disk(options.spool), options.spool_bytes_max);
  if (!spool) return std::unexpected(spool.error());
  auto state = SendState::make(std::move(*spool), options.host, clock, ToldFile::open(make_machine_disk(options.spool)));
  auto wake = make_wake_fd();
  if (!wake) return std::unexpected(wake.error());
  auto sender = std::unique_ptr<Sender>(new Sender(std::move(options), std::move(state), std::move(*wake)));
  sender->thread_ = std::thread([one = sender.get()] { one->run(); });
  return sender;
}

Sender::~Sender() {
  stop();
}

void Sender::run() {
  milliseconds delay = kRetryMin;
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ && (state_->idle() || SteadyClock::now() >= stop_by_)) break;
    }
    auto fd = connect_unix(options_.socket);
    bool took_something = false;
    Status ended = fd ? Status() : Status(std::unexpected(fd.error()));
    if (fd) {
      Session session(*this, std::move(*fd));
      ended = session.run();
      took_something = session.took_something();
    }
    {
      const std::lock_guard lock(mutex_);
      state_->disconnected();
    }
    run_answers();
    if (ended) break;
    note_lost(ended.error());
    if (took_something) delay = kRetryMin;
    const bool denied = ended.error().code == ErrorCode::kDenied || ended.error().code == ErrorCode::kNewer;
    wait_to_retry(denied ? milliseconds(kRetryDenied) : delay);
    delay = std::min(delay * 2, kRetryMax);
  }
}

void Sender::wait_to_retry(milliseconds delay) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, delay, [&] { return stopping_; });
  if (stopping_) changed_.wait_for(lock, kRetryMin, [] { return false; });
}

// An outage is said once, and again only when its reason becomes one that a person has to remove.
void Sender::note_lost(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    connected_ = false;
    const bool news = problem_.empty() || (error.code != ErrorCode::kUnavailable && problem_ != error.message);
    problem_ = error.message;
    if (stopping_ || !news || !options_.say) return;
  }
  options_.say(fmt::format("{}. Records are spooled in {} and follow when the book takes them.", error.message,
                           options_.spool_shown.empty() ? options_.spool.string() : options_.spool_shown));
}

void Sender::run_answers() {
  std::vector<std::function<void()>> answers;
  {
    const std::lock_guard lock(mutex_);
    answers = state_->take_answers();
    changed_.notify_all();
  }
  for (const auto& answer : answers) answer();
}

uint64_t Sender::last_seq(std::string_view source) {
  std::unique_lock lock(mutex_);
  std::optional<uint64_t> last = state_->last_seq(source);
  wake(wake_);
  changed_.wait_until(lock, started_ + kFirstAnswerWait,
                      [&] { return (last = state_->last_seq(source)).has_value() || stopping_; });
  if (last) return *last;
  state_->assume(source);
  return 0;
}

void Sender::told(std::string_view source, TimeNs until) {
  const std::lock_guard lock(mutex_);
  state_->told(source, until);
}

std::optional<std::pair<TimeNs, TimeNs>> Sender::untold(std::string_view source) const {
  const std::lock_guard lock(mutex_);
  return state_->untold(source);
}

void Sender::submit(Batch batch, Done done) {
  if (batch.bytes.size() > kShipBatchBytesMax) {
    done(fail(ErrorCode::kBadInput, fmt::format("a batch has at most {} bytes", kShipBatchBytesMax)));
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    state_->take(std::move(batch), std::move(done));
  }
  wake(wake_);
  run_answers();
}

void Sender::report(AgentReport report) {
  {
    const std::lock_guard lock(mutex_);
    const bool urgent = report.capturing != report_.capturing || report.lines != report_.lines;
    report_ = std::move(report);
    if (!urgent) return;
    report_is_new_ = true;
  }
  wake(wake_);
}

void Sender::stop(milliseconds patience) {
  {
    const std::lock_guard lock(mutex_);
    if (!thread_.joinable()) return;
    stopping_ = true;
    stop_by_ = SteadyClock::now() + patience;
  }
  changed_.notify_all();
  wake(wake_);
  thread_.join();
}

Sender::State Sender::state() const {
  const std::lock_guard lock(mutex_);
  State state;
  state.connected = connected_;
  state.spool_bytes = state_->spool_bytes();
  state.problem = problem_.empty() ? state_->spool_problem() : problem_;
  return state;
}

bool Sender::drain(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return state_->idle(); });
}

}  // namespace portbook

#include "logs/pool_sampler.h"

#include <fmt/format.h>
#include <openssl/rand.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "ship/stream_socket.h"

namespace portbook {

namespace {

constexpr size_t kNonceBytes = 18;
constexpr uint64_t kRetryMinNs = kNsPerSecond;  // a console that fails is not asked more often
constexpr int kSettleEveryMs = 100;
constexpr uint64_t kStopPatienceNs = 3 * kNsPerSecond;
constexpr std::string_view kNotAsked = "PgBouncer was not asked: the sampler was not running";
constexpr std::string_view kCrowded = "neither book nor spool takes what was seen";

std::string make_nonce() {
  std::array<Byte, kNonceBytes> random{};
  PB_CHECK(RAND_bytes(random.data(), random.size()) == 1);
  return base64(random);
}

}  // namespace

// One console, on its own thread.
class PoolSampler::Watch {
 public:
  Watch(const PoolConsolePlace& place, const PoolSamplerOptions& options, Sender& sender, Clock& clock, FileDescriptor wake_fd,
        FileDescriptor stop_fd)
      : place_(place),
        interval_ns_(options.interval_ns),
        clock_error_ns_(options.clock_error_ns),
        say_(options.say),
        clock_(clock),
        sender_(sender),
        wake_(std::move(wake_fd)),
        stop_(std::move(stop_fd)),
        links_(options.host),
        stream_(fmt::format("{}{}/{}", options.host, kPoolsOfHost, place.name), options.host, sender, clock, wake_) {
    state_.name = place.name;
    state_.shown = place.shown;
    state_.user = place.user;
    // What an earlier run may have missed since it looked for the last time.
    if (const auto untold = sender.untold(stream_.source())) stream_.add_gap(untold->first, untold->second, kNotAsked);
    thread_ = std::thread([this] { run(); });
  }
  ~Watch() { stop(); }

  void stop() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    wake(stop_);
    thread_.join();
  }
  [[nodiscard]] State state() const {
    const std::lock_guard lock(mutex_);
    return state_;
  }

 private:
  void run() {
    while (!stopping_) {
      const uint64_t begun = clock_.boot_ns();
      look();
      wait_until(begun + (failed_since_ ? std::max(interval_ns_, kRetryMinNs) : interval_ns_));
    }
    links_.end("the sampler was stopped", [this](Record& record) { add(record); });
    if (failed_since_) stream_.add_gap(*failed_since_, clock_.now(), problem_);
    const uint64_t by = clock_.boot_ns() + kStopPatienceNs;
    while (!stream_.all_handed_over() && clock_.boot_ns() < by) wait_for_sender();
  }

  void look() {
    if (stream_.crowded()) return fail_with({ErrorCode::kUnavailable, std::string(kCrowded)});
    if (!console_) {
      auto fd = place_.connect();
      if (!fd) return fail_with(fd.error());
      console_.emplace(std::move(*fd), clock_, stop_);
      if (Status in = console_->log_in(place_.user, place_.password, make_nonce()); !in) return fail_with(in.error());
    }
    const auto sample = console_->sample(clock_error_ns_());
    if (!sample) return fail_with(sample.error());
    if (failed_since_) end_failure(sample->time);
    links_.take(*sample, [this](Record& record) { add(record); });
    seen_at_ = sample->time;
    const std::lock_guard lock(mutex_);
    ++state_.samples;
    state_.linked = links_.linked();
    state_.without_ports = links_.without_ports();
    state_.problem.clear();
  }

  void fail_with(const Error& error) {
    console_.reset();
    if (stopping_) return;
    std::string text = error.message;
    if (const std::string advice = advice_for_console(error, place_.user); !advice.empty()) text += ". " + advice;
    if (!failed_since_) {
      failed_since_ = seen_at_ != 0 ? seen_at_ : clock_.now();
      links_.end("PgBouncer’s console did not answer any more", [this](Record& record) { add(record); });
    }
    if (text != problem_) say_(fmt::format("PgBouncer at {}: {}", place_.shown, text));
    problem_ = text;
    const std::lock_guard lock(mutex_);
    ++state_.failures;
    state_.problem = text;
    state_.linked = 0;
    state_.without_ports = 0;
  }

  void end_failure(TimeNs now) {
    stream_.add_gap(*failed_since_, now, problem_);
    say_(fmt::format("PgBouncer at {} answers again", place_.shown));
    failed_since_.reset();
    problem_.clear();
  }

  void add(Record& record) {
    stream_.add(record);
    const std::lock_guard lock(mutex_);
    ++state_.records;
  }

  void wait_until(uint64_t due) {
    while (!stopping_ && clock_.boot_ns() < due) {
      stream_.settle();
      const uint64_t now = clock_.boot_ns();
      const int left_ms = now < due ? static_cast<int>(std::min<uint64_t>((due - now) / kNsPerMs + 1, kSettleEveryMs)) : 0;
      poll_for(left_ms);
    }
    stream_.settle();
    // Up to here nothing is lacking, also for a run that comes after this one was killed.
    if (stream_.all_handed_over() && seen_at_ > told_) sender_.told(stream_.source(), told_ = seen_at_);
    const std::lock_guard lock(mutex_);
    state_.refusal = stream_.refusal();
  }

  void wait_for_sender() {
    stream_.settle();
    poll_for(kSettleEveryMs);
  }

  void poll_for(int patience_ms) {
    std::array<pollfd, 2> fds{pollfd{wake_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    poll(fds.data(), stopping_ ? 1 : 2, patience_ms);
    if (fds[0].revents != 0) drain_wakes(wake_);
  }

  const PoolConsolePlace place_;
  const uint64_t interval_ns_;
  const std::function<std::optional<uint64_t>()> clock_error_ns_;
  const std::function<void(const std::string&)> say_;
  Clock& clock_;
  Sender& sender_;
  const FileDescriptor wake_;  // the sender has answered
  const FileDescriptor stop_;  // stop() was called
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  State state_;  // guarded by mutex_

  // Owner: the watch's thread.
  std::optional<PoolConsole> console_;
  PoolLinks links_;
  RecordStream stream_;
  TimeNs seen_at_ = 0;                  // the newest sample
  TimeNs told_ = 0;                     // the sender was told of everything up to then
  std::optional<TimeNs> failed_since_;  // samples fail since this one
  std::string problem_;
  std::thread thread_;
};

Result<std::unique_ptr<PoolSampler>> PoolSampler::start(const PoolSamplerOptions& options, Sender& sender, Clock& clock) {
  PB_CHECK(options.consoles.size() <= kPoolConsolesMax && options.say && options.clock_error_ns);
  auto made = std::unique_ptr<PoolSampler>(new PoolSampler);
  for (const PoolConsolePlace& place : options.consoles) {
    auto wake = make_wake_fd();
    auto stop = make_wake_fd();
    if (!wake || !stop) return std::unexpected(wake ? stop.error() : wake.error());
    made->watches_.push_back(std::make_unique<Watch>(place, options, sender, clock, std::move(*wake), std::move(*stop)));
  }
  return made;
}

PoolSampler::~PoolSampler() {
  stop();
}

void PoolSampler::stop() {
  for (const auto& watch : watches_) watch->stop();
}

std::vector<PoolSampler::State> PoolSampler::states() const {
  std::vector<State> states;
  for (const auto& watch : watches_) states.push_back(watch->state());
  return states;
}

std::string advice_for_console(const Error& error, std::string_view user) {
  if (error.code != ErrorCode::kDenied) return {};
  if (error.message.find("not allowed") != std::string::npos)
    return fmt::format("Name {} in stats_users of pgbouncer.ini, and RELOAD it", user);
  if (error.message.find("none is given") != std::string::npos)
    return "Give it with --pgbouncer-password-file, or ask over the unix socket as the user that PgBouncer runs as";
  return {};
}

}  // namespace portbook

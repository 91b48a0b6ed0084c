#include "logs/log_shipper.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "logs/find_logs.h"
#include "record/batch.h"
#include "ship/wire.h"

namespace portbook {

namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

static_assert(kFollowedLogsMax <= kShipSourcesMax);
constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kBatchBytesEnough =
    256 * 1024;  // of one log, before another has its turn; with one line more it is within every limit
constexpr uint32_t kBatchRecordsEnough = 4096;
constexpr milliseconds kLookEvery{100};
constexpr milliseconds kReportEvery{1000};
constexpr milliseconds kKeepEvery{1000};
constexpr milliseconds kAnswerPatience{10'000};
constexpr milliseconds kStopPatience{3000};
constexpr milliseconds kRetryMin{50};
constexpr milliseconds kRetryMax{1000};
constexpr milliseconds kRetryDenied{5000};

// Two that keep positions in one folder would forget each other's.
Result<FileDescriptor> lock_folder(const std::filesystem::path& folder) {
  FileDescriptor lock(open((folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid())
    return fail(errno == EACCES ? ErrorCode::kDenied : ErrorCode::kIo,
                fmt::format("{}: {}", folder.string(), std::strerror(errno)));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  return fail(ErrorCode::kUnavailable, fmt::format("another process follows logs with its positions in {}", folder.string()));
}

}  // namespace

// One log on its way. What it counts is since this process began.
struct LogShipper::Log {
  Log(const FollowedLog& followed, std::string source_name, std::optional<LogPosition> known, Clock& clock, FollowerTimes times)
      : options(followed),
        source(std::move(source_name)),
        follower(followed.path, known, clock, times,
                 [format = followed.format](std::string_view line) { return is_line_of(format, line); }) {}

  const FollowedLog& options;
  const std::string source;
  FileFollower follower;
  std::string refusal;  // the sentence of the newest one

  // Of the connection.
  bool ready = false;
  struct UnderWay {
    uint64_t first = 0;
    uint64_t count = 0;
    size_t bytes = 0;
    LogPosition end;
  };
  std::optional<UnderWay> under_way;

  uint64_t lines = 0;
  uint64_t not_understood = 0;
  bool ports_missing = false;  // of a line, and none named them yet
  bool ports_named = false;
};

// One connection, on the shipping thread.
class LogShipper::Session {
 public:
  Session(LogShipper& shipper, FileDescriptor fd) : shipper_(shipper), fd_(std::move(fd)), heard_(SteadyClock::now()) {
    for (const auto& log : shipper_.logs_) {
      log->ready = false;
      log->under_way.reset();
    }
  }

  // Until it is of no use any more, with the reason; success when the shipper stops.
  Status run() {
    const std::string host = shipper_.options_.host + std::string(kLogsOfHost);
    append_message(out_, AgentHello{kShipVersion, host, shipper_.options_.program, shipper_.options_.token});
    std::optional<SteadyClock::time_point> stop_by;
    while (true) {
      if (shipper_.stopping_ && !stop_by) stop_by = SteadyClock::now() + kStopPatience;
      if (stop_by && (!any_under_way() || SteadyClock::now() >= *stop_by)) return say_bye();
      if (welcomed_ && !stop_by) {
        if (Status read = read_logs(); !read) return read;
      }
      if (welcomed_) report();
      if (Status kept = keep(); !kept) return kept;
      if (Status moved = wait_and_move(); !moved) return moved;
      if (SteadyClock::now() - heard_ > kAnswerPatience) return fail(ErrorCode::kUnavailable, "the book does not answer");
    }
  }
  [[nodiscard]] bool took_something() const { return took_something_; }

 private:
  [[nodiscard]] bool any_under_way() const {
    return std::ranges::any_of(shipper_.logs_, [](const auto& log) { return log->under_way.has_value(); });
  }

  Status say_bye() {
    append_message(out_, ByeMessage{ByeCode::kStopping, ""});
    while (!out_.empty()) {
      pollfd writable{fd_.get(), POLLOUT, 0};
      if (poll(&writable, 1, 100) <= 0 || write_some(fd_, out_, out_at_) != Moved::kSome) break;
    }
    return shipper_.positions_.flush();
  }

  Status read_logs() {
    for (size_t stream = 0; stream < shipper_.logs_.size(); ++stream) {
      Log& log = *shipper_.logs_[stream];
      if (!log.ready || log.under_way || unanswered_bytes_ >= window_bytes_) continue;
      if (Status read = read_log(log, static_cast<uint16_t>(stream)); !read) return read;
    }
    return {};
  }

  // Up to a batch. At a turn everything before it has to be answered first.
  Status read_log(Log& log, uint16_t stream) {
    std::optional<BatchBuilder> builder;
    Log::UnderWay under_way;
    while (!builder || (under_way.bytes < kBatchBytesEnough && builder->count() < kBatchRecordsEnough)) {
      LogLine line;
      const FileFollower::Step step = log.follower.next(line);
      if (step == FileFollower::Step::kNothing) break;
      if (step == FileFollower::Step::kTurn) {
        if (builder) break;
        if (Status kept = shipper_.positions_.store(log.source, log.follower.turn()); !kept) return kept;
        log.follower.passed();
        continue;
      }
      make_record(log, step, line);
      const uint64_t seq = log.follower.here().seq;
      if (!builder) {
        builder.emplace(log.source, seq);
        under_way.first = seq;
      }
      under_way.bytes += line.text.size() + 256;
      builder->add(record_);
    }
    if (!builder) return {};
    under_way.end = log.follower.here();
    under_way.count = builder->count();
    const Batch batch = builder->take();
    under_way.bytes = batch.bytes.size();
    append(out_, batch_front({stream, batch.count, batch.seq_first, batch.bytes}));
    append(out_, batch.bytes);
    unanswered_bytes_ += under_way.bytes;
    log.under_way = under_way;
    return {};
  }

  void make_record(Log& log, FileFollower::Step step, const LogLine& line) {
    const LogShipperOptions& options = shipper_.options_;
    if (step == FileFollower::Step::kGap) {
      const LogPosition& gap = log.follower.gap();
      read_log_gap(gap, log.source, options.host, shipper_.clock_.now(),
                   gap.gap == LogGap::kRefused ? std::string_view(log.refusal) : std::string_view(), record_);
      return;
    }
    const LineOrigin origin{shipper_.clock_.now(), log.options.zone, log.options.clock_error_ns};
    ++log.lines;
    if (!read_log_line(log.options.format, line, origin, options.host, record_)) {
      ++log.not_understood;
    } else {
      (names_ports(log.options.format, record_) ? log.ports_named : log.ports_missing) = true;
    }
  }

  void report() {
    const auto now = SteadyClock::now();
    if (now < next_report_) return;
    next_report_ = now + kReportEvery;
    Bytes lines;
    Bytes numbers;
    uint64_t all = 0;
    uint64_t not_understood = 0;
    for (const auto& log : shipper_.logs_) {
      all += log->lines;
      not_understood += log->not_understood;
      const std::string& problem = log->follower.problem();
      std::string detail = fmt::format("{}, read as {}: {} lines since this run began, {} not understood.",
                                       log->options.path.string(), name_of(log->options.format), log->lines, log->not_understood);
      if (!problem.empty()) detail += fmt::format(" Now it cannot be read: {}.", problem);
      if (!log->refusal.empty()) detail += fmt::format(" The book refused: {}.", log->refusal);
      if (log->ports_missing && !log->ports_named) detail += fmt::format(" {}", advice_for(log->options.format));
      append_line(lines,
                  {"Log " + log->options.name, problem.empty() && log->refusal.empty() ? "ok" : "warn", log->source, detail});
    }
    append_number(numbers, {"lines", all});
    append_number(numbers, {"lines_not_understood", not_understood});
    ReportMessage message;
    message.capturing = true;
    message.numbers = numbers;
    message.lines = lines;
    append_message(out_, message);
    append_message(out_, PingMessage{++pings_});
  }

  // What is not kept is read again and passed over: often is enough.
  Status keep() {
    const auto now = SteadyClock::now();
    if (now < next_keep_ || !shipper_.positions_.dirty()) return {};
    next_keep_ = now + kKeepEvery;
    return shipper_.positions_.flush();
  }

  Status wait_and_move() {
    std::array<pollfd, 2> fds{pollfd{fd_.get(), static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT)), 0},
                              pollfd{shipper_.wake_.get(), POLLIN, 0}};
    poll(fds.data(), fds.size(), static_cast<int>(kLookEvery.count()));
    if (fds[1].revents != 0) drain_wakes(shipper_.wake_);
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      const Moved got = read_some(fd_, in_, kReadBytes);
      if (Status handled = got == Moved::kSome ? handle_all() : Status(); !handled) return handled;
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
        return fail(ErrorCode::kBadInput, fmt::format("the book sent {}", bad->reason));
      const auto* whole = std::get_if<WholeMessage>(&decoded);
      if (whole == nullptr) break;
      heard_ = SteadyClock::now();
      status = handle(whole->message);
      at += whole->length;
    }
    in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(at));
    return status;
  }

  Status handle(const ShipMessage& message) {
    if (const auto* bye = std::get_if<ByeMessage>(&message)) {
      const ErrorCode code = bye->code == ByeCode::kDenied    ? ErrorCode::kDenied
                             : bye->code == ByeCode::kVersion ? ErrorCode::kNewer
                                                              : ErrorCode::kUnavailable;
      return fail(code, bye->reason.empty() ? "the book is stopping" : std::string(bye->reason));
    }
    if (const auto* welcome = std::get_if<BookWelcome>(&message); welcome != nullptr && !welcomed_) return welcomed(*welcome);
    if (!welcomed_) return fail(ErrorCode::kBadInput, "the book did not begin with a welcome");
    if (const auto* opened = std::get_if<SourceOpened>(&message)) return handle_opened(*opened);
    if (const auto* answer = std::get_if<BatchAnswer>(&message)) return handle_answer(*answer);
    if (std::holds_alternative<PongMessage>(message)) return {};
    return fail(ErrorCode::kBadInput, "the book sent what only an agent says");
  }

  Status welcomed(const BookWelcome& welcome) {
    if (welcome.batch_bytes_max < kShipBatchBytesMax || welcome.batch_records_max < kBatchRecordsMax)
      return fail(ErrorCode::kNewer, "the book takes smaller batches than this program makes; use the same portbook for both");
    welcomed_ = true;
    window_bytes_ = std::max<uint32_t>(welcome.window_bytes, 1);
    for (size_t stream = 0; stream < shipper_.logs_.size(); ++stream)
      append_message(out_, SourceOpen{static_cast<uint16_t>(stream), shipper_.logs_[stream]->source});
    return {};
  }

  Status handle_opened(const SourceOpened& opened) {
    if (opened.stream >= shipper_.logs_.size() || shipper_.logs_[opened.stream]->ready)
      return fail(ErrorCode::kBadInput, "the book answers what was not asked");
    Log& log = *shipper_.logs_[opened.stream];
    if (opened.code != ShipCode::kTaken) return refusal(opened.code, log, opened.reason);
    log.follower.restart(opened.last_seq);
    log.ready = true;
    note_there();
    return {};
  }

  Status handle_answer(const BatchAnswer& answer) {
    if (answer.stream >= shipper_.logs_.size() || !shipper_.logs_[answer.stream]->under_way ||
        shipper_.logs_[answer.stream]->under_way->first != answer.seq_first)
      return fail(ErrorCode::kBadInput, "the book answers what was not sent");
    Log& log = *shipper_.logs_[answer.stream];
    const Log::UnderWay done = *std::exchange(log.under_way, std::nullopt);
    unanswered_bytes_ -= done.bytes;
    if (answer.code == ShipCode::kTaken) {
      took_something_ = true;
      log.follower.acknowledged(done.end);
      shipper_.positions_.note(log.source, done.end);
      return {};
    }
    if (answer.code != ShipCode::kRefused) return refusal(answer.code, log, answer.reason);
    log.refusal = answer.reason;
    log.follower.give_up(done.end, done.first, done.count);
    return {};
  }

  static Status refusal(ShipCode code, const Log& log, std::string_view reason) {
    const ErrorCode error = code == ShipCode::kDenied  ? ErrorCode::kDenied
                            : code == ShipCode::kNewer ? ErrorCode::kNewer
                                                       : ErrorCode::kUnavailable;
    return fail(error, fmt::format("the book does not take {}{}{}", log.source, reason.empty() ? "" : ": ", reason));
  }

  void note_there() {
    if (shipper_.problem_.empty()) return;
    shipper_.problem_.clear();
    if (shipper_.options_.say) shipper_.options_.say("The book is there again.");
  }

  LogShipper& shipper_;
  FileDescriptor fd_;
  Bytes out_;
  size_t out_at_ = 0;
  Bytes in_;
  Record record_;
  size_t unanswered_bytes_ = 0;
  uint32_t window_bytes_ = 1;
  SteadyClock::time_point heard_;
  SteadyClock::time_point next_report_{};
  SteadyClock::time_point next_keep_{};
  uint64_t pings_ = 0;
  bool welcomed_ = false;
  bool took_something_ = false;
};

LogShipper::LogShipper(LogShipperOptions options, Clock& clock, PositionsFile positions, FileDescriptor wake)
    : options_(std::move(options)), clock_(clock), wake_(std::move(wake)), positions_(std::move(positions)) {
  for (const FollowedLog& one : options_.logs) {
    std::string source = fmt::format("{}{}/{}", options_.host, kLogsOfHost, one.name);
    const LogPosition* known = positions_.find(source);
    logs_.push_back(std::make_unique<Log>(one, std::move(source), known == nullptr ? std::nullopt : std::optional(*known), clock_,
                                          options_.times));
  }
}

Result<std::unique_ptr<LogShipper>> LogShipper::start(LogShipperOptions options, Clock& clock) {
  if (options.host.empty() || options.host.size() + kLogsOfHost.size() + 1 + kLogNameBytesMax > kShipTextBytesMax)
    return fail(ErrorCode::kBadInput, "the host's name is empty or too long");
  if (options.logs.empty() || options.logs.size() > kFollowedLogsMax)
    return fail(ErrorCode::kBadInput, fmt::format("between 1 and {} logs can be followed at once", kFollowedLogsMax));
  std::set<std::string_view> names;
  for (const FollowedLog& one : options.logs) {
    if (!is_log_name(one.name))
      return fail(ErrorCode::kBadInput,
                  fmt::format("\"{}\" is no name of a log: 1 to {} letters, digits, dots, dashes, underscores", one.name,
                              kLogNameBytesMax));
    if (!names.insert(one.name).second) return fail(ErrorCode::kBadInput, fmt::format("two logs have the name \"{}\"", one.name));
  }
  auto lock = lock_folder(options.folder);
  if (!lock) return std::unexpected(lock.error());
  auto positions = PositionsFile::open(make_machine_disk(options.folder));
  if (!positions) return std::unexpected(positions.error());
  if (positions->size() + options.logs.size() > kPositionsMax)
    return fail(ErrorCode::kLimit, fmt::format("{} has positions of {} logs, which is too many: follow them from another folder",
                                               options.folder.string(), positions->size()));
  auto wake = make_wake_fd();
  if (!wake) return std::unexpected(wake.error());
  auto shipper = std::unique_ptr<LogShipper>(new LogShipper(std::move(options), clock, std::move(*positions), std::move(*wake)));
  shipper->lock_ = std::move(*lock);
  shipper->thread_ = std::thread([one = shipper.get()] { one->run(); });
  return shipper;
}

LogShipper::~LogShipper() {
  (void)stop();
}

Status LogShipper::stop() {
  stopping_ = true;
  wake(wake_);
  if (thread_.joinable()) thread_.join();
  return kept_;
}

void LogShipper::run() {
  milliseconds delay = kRetryMin;
  while (!stopping_) {
    auto fd = connect_unix(options_.socket);
    Status ended = fd ? Status() : Status(std::unexpected(fd.error()));
    bool took_something = false;
    if (fd) {
      Session session(*this, std::move(*fd));
      ended = session.run();
      took_something = session.took_something();
    }
    if (ended) continue;
    const bool persists = ended.error().code == ErrorCode::kDenied || ended.error().code == ErrorCode::kNewer;
    if (options_.say && !stopping_ && (problem_.empty() || (persists && problem_ != ended.error().message)))
      options_.say(fmt::format("{}. Nothing is lost meanwhile: the logs keep their lines.", ended.error().message));
    problem_ = ended.error().message;
    if (took_something) delay = kRetryMin;
    pollfd woken{wake_.get(), POLLIN, 0};
    if (!stopping_) poll(&woken, 1, static_cast<int>((persists ? kRetryDenied : delay).count()));
    delay = std::min(delay * 2, kRetryMax);
  }
  kept_ = positions_.flush();
}

}  // namespace portbook

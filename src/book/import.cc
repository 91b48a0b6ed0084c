#include "book/import.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

namespace portbook {

namespace {

constexpr size_t kChunkBytes = kImportLineBytesMax;  // its records fit into a batch, however short the lines are
constexpr std::chrono::milliseconds kProgressEvery{200};

bool holds_something(std::string_view line) {
  return line.find_first_not_of(" \t\r") != std::string_view::npos;
}

// Takes the first line off, without its newline.
std::string_view take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

}  // namespace

Status ImportLine::read(std::string_view line, Record& record) {
  if (Status read = json_.read(line, record); !read) return read;
  return check(record);
}

Status ImportLine::check(const Record& record) const {
  for (const Field own : {Field::kSource, Field::kSourceSeq}) {
    if (!record.has(own)) continue;
    return fail(ErrorCode::kBadInput, fmt::format("member \"{}\": the book gives it; leave it out", info(own).name));
  }
  for (const Field needed : {Field::kTime, Field::kVantage}) {
    if (!record.has(needed)) return fail(ErrorCode::kBadInput, fmt::format("member \"{}\": it is missing", info(needed).name));
  }
  const auto kind = record.uint(Field::kKind);
  if ((kImportKinds >> kind & 1) == 0) {
    return fail(ErrorCode::kBadInput,
                fmt::format("member \"kind\": {} is for the book and its agents to say", enum_name(Field::kKind, kind)));
  }
  const auto vantage = record.uint(Field::kVantage);
  if (vantage == static_cast<uint64_t>(Vantage::kBook) || (vantages_ >> vantage & 1) == 0) {
    return fail(ErrorCode::kDenied, fmt::format("member \"vantage\": nobody vouches for {}", enum_name(Field::kVantage, vantage)));
  }
  return {};
}

Status LineChunks::fill() {
  Status good;
  kept_.resize_and_overwrite(kChunkBytes, [&, at = kept_.size()](char* text, size_t) mutable {
    while (at < kChunkBytes) {
      const ssize_t got = read(fd_, text + at, kChunkBytes - at);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) good = fail(ErrorCode::kIo, fmt::format("it cannot be read: {}", std::strerror(errno)));
      if (got == 0) at_end_ = true;
      if (got <= 0) break;
      at += static_cast<size_t>(got);
      bytes_ += static_cast<uint64_t>(got);
    }
    return at;
  });
  return good;
}

Result<bool> LineChunks::next(LineChunk& chunk) {
  if (!at_end_) {
    if (Status filled = fill(); !filled) return std::unexpected(filled.error());
  }
  if (kept_.empty()) return false;
  size_t end = kept_.size();
  if (!at_end_) {
    const size_t last = kept_.rfind('\n');
    if (last == std::string::npos)
      return fail(ErrorCode::kLimit, fmt::format("line {}: it is longer than {} bytes", next_line_, kImportLineBytesMax));
    end = last + 1;
  }
  chunk.text.swap(kept_);  // whose memory is used again
  kept_.assign(chunk.text, end);
  chunk.text.resize(end);
  chunk.line_first = next_line_;
  chunk.seq_first = next_seq_;
  chunk.records = 0;
  for (std::string_view text = chunk.text; !text.empty();) {
    if (holds_something(take_line(text))) ++chunk.records;
    ++next_line_;
  }
  next_seq_ += chunk.records;
  return true;
}

namespace {

// Threads take chunks in turn, parse them beside each other and hand them to the book in the order of the file.
class Import {
 public:
  Import(int fd, ImportTarget& target, const ImportOptions& options, uint64_t already)
      : target_(target), options_(options), already_(already), chunks_(fd) {}

  Status run(ImportReport& report) {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < options_.threads; ++i) threads.emplace_back([this] { work(); });
    wait(threads.size());
    threads.clear();
    report.records = taken_;
    report.already = already_;
    report.bad = bad_;
    if (!failure_ && seen_ < already_) {
      return fail(ErrorCode::kBadInput, fmt::format("the book has {} records of {}, and here are only {}: this is another file",
                                                    already_, options_.source, seen_));
    }
    if (failure_) return std::unexpected(*failure_);
    return {};
  }

 private:
  // The parser is too large to be copied with the function.
  [[nodiscard]] LineReader json_reader() const {
    return [json = std::make_shared<ImportLine>(options_.vantages)](std::string_view line, Record& record) {
      return json->read(line, record);
    };
  }

  void work() {
    const LineReader read = options_.reader ? options_.reader() : json_reader();
    LineChunk chunk;
    Record record;
    while (true) {
      uint64_t turn = 0;
      if (!take(chunk, turn)) break;
      BatchBuilder builder(options_.source, std::max(chunk.seq_first, already_ + 1));
      const Status good = parse(chunk, turn, read, record, builder);
      hand_over(turn, builder);
      end_turn(turn, good);
    }
    const std::lock_guard lock(mutex_);
    ++ended_;
    changed_.notify_all();
  }

  bool take(LineChunk& chunk, uint64_t& turn) {
    const std::lock_guard reading(chunks_mutex_);
    {
      const std::lock_guard lock(mutex_);
      if (failure_) return false;
    }
    const auto there = chunks_.next(chunk);
    const std::lock_guard lock(mutex_);
    bytes_ = chunks_.bytes();
    if (!there) read_failure_ = there.error();
    if (!there || !*there) return false;
    seen_ = chunk.seq_first + chunk.records - 1;
    turn = turns_given_++;
    return true;
  }

  void make_note(std::string_view line, uint64_t number, const Error& wrong, Record& record) {
    record.clear();
    record.set(Field::kKind, Kind::kNote);
    record.set(Field::kVantage, Vantage::kApp);
    record.set(Field::kTime, *options_.note_bad_lines);
    record.set(Field::kMessage, line.ends_with('\r') ? line.substr(0, line.size() - 1) : line);
    record.set(Field::kCause, std::string_view(fmt::format("{}: line {}: {}", kNotARecord, number, wrong.message)));
    ++bad_;
  }

  // The records before the one that fails, and behind those that were handed over, are in `builder`.
  Status parse(const LineChunk& chunk, uint64_t turn, const LineReader& reader, Record& record, BatchBuilder& builder) {
    uint64_t number = chunk.line_first;
    uint64_t seq = chunk.seq_first;
    for (std::string_view text = chunk.text; !text.empty(); ++number) {
      const std::string_view one = take_line(text);
      if (!holds_something(one) || seq++ <= already_) continue;
      if (Status read = reader(one, record); !read) {
        if (!options_.note_bad_lines) return fail_in(fmt::format("line {}", number), read);
        make_note(one, number, read.error(), record);
      }
      builder.add(record);
      // The note of a wrong line is longer than a short line: a chunk of those is more than a batch.
      if (builder.full()) hand_over(turn, builder);
    }
    return {};
  }

  // Once it is the chunk's turn, which stays.
  void hand_over(uint64_t turn, BatchBuilder& builder) {
    if (builder.count() == 0) return;
    const uint32_t count = builder.count();
    auto ready = target_.prepare(builder.take());
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return turn_ == turn; });
    if (failure_) return;
    if (!ready) {
      failure_ = ready.error();
      return;
    }
    ++pending_;
    lock.unlock();
    // It blocks while the book has enough: the others wait for their turn.
    (*ready)([this, count](const Status& status) { answered(status, count); });
  }

  void end_turn(uint64_t turn, const Status& good) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return turn_ == turn; });
    if (!failure_ && !good) failure_ = good.error();
    ++turn_;
    changed_.notify_all();
  }

  void answered(const Status& status, uint32_t count) {
    const std::lock_guard lock(mutex_);
    if (status) {
      taken_ += count;
    } else if (!failure_) {
      failure_ = status.error();
    }
    --pending_;
    changed_.notify_all();
  }

  void wait(size_t threads) {
    std::unique_lock lock(mutex_);
    const auto finished = [&] { return ended_ == threads && pending_ == 0; };
    while (!finished()) {
      changed_.wait_for(lock, kProgressEvery, finished);
      if (!options_.progress) continue;
      const ImportProgress now{bytes_, taken_};
      lock.unlock();
      options_.progress(now);
      lock.lock();
    }
    // What could not be read stands behind everything that could.
    if (!failure_) failure_ = read_failure_;
  }

  ImportTarget& target_;
  const ImportOptions& options_;
  const uint64_t already_;
  std::atomic<uint64_t> bad_ = 0;

  std::mutex chunks_mutex_;  // taken before mutex_
  LineChunks chunks_;        // under chunks_mutex_

  std::mutex mutex_;  // all below
  std::condition_variable changed_;
  uint64_t turns_given_ = 0;
  uint64_t turn_ = 0;  // whose chunk goes to the book next
  uint64_t pending_ = 0;
  size_t ended_ = 0;
  uint64_t bytes_ = 0;
  uint64_t seen_ = 0;
  uint64_t taken_ = 0;
  std::optional<Error> failure_;
  std::optional<Error> read_failure_;
};

class BookTarget final : public ImportTarget {
 public:
  explicit BookTarget(Book& book) : book_(book) {}
  Result<uint64_t> last_seq(const std::string& source) override { return book_.last_seq(source); }
  Result<Submit> prepare(Batch batch) override {
    auto checked = check_batch(std::move(batch));
    if (!checked) return std::unexpected(checked.error());
    return [this, checked = std::move(*checked)](Answered answered) mutable {
      book_.submit_checked(std::move(checked), [answered = std::move(answered)](const Result<Receipt>& receipt) {
        answered(receipt ? Status() : Status(std::unexpected(receipt.error())));
      });
    };
  }

 private:
  Book& book_;
};

}  // namespace

std::unique_ptr<ImportTarget> make_import_target(Book& book) {
  return std::make_unique<BookTarget>(book);
}

Status import_lines(int fd, ImportTarget& target, const ImportOptions& options, ImportReport& report) {
  if (options.source.empty() || options.source.size() > kImportSourceBytesMax) {
    return fail(ErrorCode::kBadInput, fmt::format("the name of the source has 1 to {} bytes", kImportSourceBytesMax));
  }
  const auto already = target.last_seq(options.source);
  if (!already) return std::unexpected(already.error());
  return Import(fd, target, options, *already).run(report);
}

}  // namespace portbook

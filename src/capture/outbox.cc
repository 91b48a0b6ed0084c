#include "capture/outbox.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "record/cbor.h"

namespace portbook {

namespace {

// Batches that wait beside the one under way before the kernel has to buffer; each is at most half of kBatchBytesMax.
constexpr size_t kFullBatchesMax = 8;
constexpr uint64_t kSendAgainNs = kNsPerSecond / 2;

// Of the records in it; `latest` where none is earlier or can be read.
TimeNs earliest_time(const Batch& batch, TimeNs latest) {
  TimeNs earliest = latest;
  Record record;
  for (ByteView rest = batch.bytes; !rest.empty();) {
    const auto length = encoded_length(rest);
    if (!length || !decode(rest.first(*length), record)) break;
    if (record.has(Field::kTime)) earliest = std::min(earliest, record.time());
    rest = rest.subspan(*length);
  }
  return earliest;
}

}  // namespace

Stream::Stream(Outbox& outbox, std::string source, uint64_t next_seq)
    : outbox_(outbox), source_(std::move(source)), builder_(source_, next_seq) {}

void Stream::add(Record& record) {
  record.set(Field::kHost, std::string_view(outbox_.host_));
  const std::lock_guard lock(outbox_.mutex_);
  add_locked(record);
  ++outbox_.records_;
}

void Stream::add_locked(Record& record) {
  builder_.add(record);
  if (builder_.full()) full_.push_back({builder_.take(), told_});
}

bool Stream::nothing_waits() const {
  return !asked_ && !send_again_ && full_.empty() && builder_.count() == 0;
}

void Stream::say_told(TimeNs until) {
  if (until == 0 || until == said_) return;
  said_ = until;
  if (outbox_.told_) outbox_.told_(source_, until);
}

void Stream::told(TimeNs until) {
  const std::lock_guard lock(outbox_.mutex_);
  told_ = until;
  if (nothing_waits()) say_told(until);
}

void Stream::flush() {
  {
    const std::lock_guard lock(outbox_.mutex_);
    if (builder_.count() == 0 && full_.empty()) return;
    flushed_ = true;
    if (asked_) return;  // sent when the sink has answered
  }
  outbox_.changed_.notify_all();
}

bool Stream::crowded() const {
  const std::lock_guard lock(outbox_.mutex_);
  return full_.size() >= kFullBatchesMax;
}

// The records that waited behind the refused batch take its numbers, after a gap record that stands for it.
void Stream::replace_refused(const std::string& reason, TimeNs now) {
  std::deque<Waiting> waiting = std::exchange(full_, {});
  if (builder_.count() > 0) waiting.push_back({builder_.take(), 0});
  // Until all of them are in again, no batch says up to when everything is handed over.
  const TimeNs told = std::exchange(told_, 0);
  builder_ = BatchBuilder(source_, under_way_.batch.seq_first);
  Record record;
  record.set(Field::kKind, Kind::kGap);
  record.set(Field::kTime, now);
  record.set(Field::kVantage, Vantage::kBook);
  record.set(Field::kHost, std::string_view(outbox_.host_));
  record.set(Field::kStart, earliest_time(under_way_.batch, now));
  record.set(Field::kEnd, now);
  record.set(Field::kCount, uint64_t{under_way_.batch.count});
  record.set(Field::kCause, "the book refused a batch: " + reason);
  add_locked(record);
  for (const Waiting& one : waiting) {
    for (ByteView rest = one.batch.bytes; !rest.empty();) {
      const auto length = encoded_length(rest);
      PB_CHECK(length.has_value());
      PB_CHECK(decode(rest.first(*length), record).has_value());
      add_locked(record);
      rest = rest.subspan(*length);
    }
  }
  under_way_ = {};
  told_ = told;
  flushed_ = true;
}

Outbox::Outbox(std::string host, Sink sink, Clock& clock, Told told)
    : host_(std::move(host)), sink_(std::move(sink)), told_(std::move(told)), clock_(clock), thread_([this] { run(); }) {}

Outbox::~Outbox() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  // The sink still holds what answers into this object.
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return std::ranges::none_of(streams_, [](const auto& stream) { return stream->asked_; }); });
}

Stream& Outbox::open(std::string source, uint64_t next_seq) {
  const std::lock_guard lock(mutex_);
  streams_.push_back(std::unique_ptr<Stream>(new Stream(*this, std::move(source), next_seq)));
  return *streams_.back();
}

bool Outbox::idle() const {
  return std::ranges::all_of(streams_, [](const auto& stream) { return stream->nothing_waits(); });
}

bool Outbox::drain(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  for (const auto& stream : streams_) stream->flushed_ = true;
  changed_.notify_all();
  return changed_.wait_for(lock, timeout, [&] { return idle(); });
}

Stream* Outbox::next_to_send(uint64_t now, uint64_t& wake_at) {
  for (const auto& stream : streams_) {
    if (stream->asked_) continue;
    if (stream->send_again_) {
      if (stream->send_again_at_ <= now) return stream.get();
      wake_at = std::min(wake_at, stream->send_again_at_);
    } else if (!stream->full_.empty() || (stream->flushed_ && stream->builder_.count() > 0)) {
      return stream.get();
    }
  }
  return nullptr;
}

void Outbox::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const uint64_t now = clock_.boot_ns();
    uint64_t wake_at = UINT64_MAX;
    Stream* stream = next_to_send(now, wake_at);
    if (stream == nullptr) {
      if (wake_at == UINT64_MAX) {
        changed_.wait(lock);
      } else {
        changed_.wait_for(lock, std::chrono::nanoseconds(wake_at - now));
      }
      continue;
    }
    if (stream->send_again_) {
      stream->send_again_ = false;
    } else if (!stream->full_.empty()) {
      stream->under_way_ = std::move(stream->full_.front());
      stream->full_.pop_front();
    } else {
      stream->under_way_ = {stream->builder_.take(std::move(stream->under_way_.batch)), stream->told_};
      stream->flushed_ = false;
    }
    stream->asked_ = true;
    ++batches_;
    Batch copy = stream->under_way_.batch;
    lock.unlock();
    sink_(std::move(copy), [this, stream](const Status& status) { answered(*stream, status); });
    lock.lock();
  }
}

void Outbox::answered(Stream& stream, const Status& status) {
  const std::lock_guard lock(mutex_);
  PB_CHECK(stream.asked_);
  stream.asked_ = false;
  if (!status.has_value() && status.error().code == ErrorCode::kBadInput) {
    stream.replace_refused(status.error().message, clock_.now());
  } else if (!status.has_value()) {
    stream.send_again_ = true;
    stream.send_again_at_ = clock_.boot_ns() + kSendAgainNs;
  } else {
    // What was told since, without a further record, holds as well.
    stream.say_told(stream.nothing_waits() ? stream.told_ : stream.under_way_.told);
  }
  changed_.notify_all();
}

uint64_t Outbox::records() const {
  const std::lock_guard lock(mutex_);
  return records_;
}

uint64_t Outbox::batches() const {
  const std::lock_guard lock(mutex_);
  return batches_;
}

}  // namespace portbook

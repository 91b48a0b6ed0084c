#include "logs/record_stream.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "record/cbor.h"
#include "ship/stream_socket.h"

namespace portbook {

namespace {

constexpr uint32_t kWaitingRecordsMax = 8192;
constexpr uint64_t kAgainNs = kNsPerSecond / 10;
constexpr int kTaken = 1;
constexpr int kNotNow = 2;
constexpr int kNever = 3;

}  // namespace

RecordStream::RecordStream(std::string source, std::string host, Sender& sender, Clock& clock, const FileDescriptor& wake)
    : source_(std::move(source)),
      host_(std::move(host)),
      sender_(sender),
      clock_(clock),
      wake_(wake),
      builder_(source_, sender.last_seq(source_) + 1) {}

void RecordStream::add_gap(TimeNs from, TimeNs to, std::string_view cause, std::optional<uint64_t> count) {
  gap_.clear();
  gap_.set(Field::kKind, Kind::kGap);
  gap_.set(Field::kVantage, Vantage::kBook);
  gap_.set(Field::kTime, clock_.now());
  gap_.set(Field::kHost, std::string_view(host_));
  gap_.set(Field::kAbout, std::string_view(source_));
  gap_.set(Field::kStart, from);
  gap_.set(Field::kEnd, std::max(from, to));
  if (count) gap_.set(Field::kCount, *count);
  gap_.set(Field::kCause, cause);
  builder_.add(gap_);
}

bool RecordStream::crowded() const {
  return builder_.count() >= kWaitingRecordsMax || builder_.full();
}

void RecordStream::settle() {
  const int answer = busy_ ? answer_.exchange(0) : 0;
  if (answer != 0) busy_ = false;
  if (answer == kTaken) under_way_ = {};
  if (answer == kNotNow) again_at_ = clock_.boot_ns() + kAgainNs;
  if (answer == kNever) replace_refused();
  if (busy_ || clock_.boot_ns() < again_at_) return;
  if (under_way_.count == 0) {
    if (builder_.count() == 0) return;
    under_way_ = builder_.take();
  }
  busy_ = true;
  again_at_ = 0;
  sender_.submit(under_way_, [this](const Status& status) {
    const bool never = !status && status.error().code == ErrorCode::kBadInput;
    if (never) said_ = status.error().message;
    answer_ = status ? kTaken : never ? kNever : kNotNow;
    wake(wake_);
  });
}

// The numbers of a refused batch are given anew: first to the gap, then to what waited behind it.
void RecordStream::replace_refused() {
  refusal_ = said_;
  const uint64_t first = under_way_.seq_first;
  const uint32_t count = std::exchange(under_way_, {}).count;
  const Batch later = builder_.take();
  builder_ = BatchBuilder(source_, first);
  add_gap(clock_.now(), clock_.now(), "the book refused a batch: " + refusal_, count);
  Record record;
  for (ByteView rest = later.bytes; !rest.empty();) {
    const auto length = encoded_length(rest);
    PB_CHECK(length.has_value() && decode(rest.first(*length), record).has_value());
    builder_.add(record);
    rest = rest.subspan(*length);
  }
}

}  // namespace portbook

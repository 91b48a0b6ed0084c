#include "ship/send_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "record/cbor.h"

namespace portbook {

namespace {

constexpr size_t kRipeningMax = 256;
constexpr uint64_t kKeepEveryNs = 40 * kNsPerMs;
// Less is how the clock drifts and how far apart two readings are.
constexpr int64_t kSetNs = 100 * static_cast<int64_t>(kNsPerMs);

uint64_t moved(uint64_t seq, int64_t shift) {
  return static_cast<uint64_t>(static_cast<int64_t>(seq) + shift);
}

int64_t distance(uint64_t from, uint64_t to) {
  return static_cast<int64_t>(to) - static_cast<int64_t>(from);
}

// What is lost with the records in `bytes`.
struct Contents {
  std::optional<TimeNs> earliest;    // nothing where none has a time
  std::optional<uint64_t> count{0};  // gaps stand for what they count; nothing when one does not say it
};

Contents contents_of(ByteView bytes) {
  Contents contents;
  Record record;
  while (!bytes.empty()) {
    const auto length = encoded_length(bytes);
    if (!length || !decode(bytes.first(*length), record)) break;
    if (record.has(Field::kTime)) contents.earliest = std::min(contents.earliest.value_or(record.time()), record.time());
    const bool is_gap = record.kind() == Kind::kGap;
    if (is_gap && record.has(Field::kStart))
      contents.earliest = std::min(contents.earliest.value_or(record.uint(Field::kStart)), record.uint(Field::kStart));
    if (is_gap && !record.has(Field::kCount)) contents.count.reset();
    if (contents.count) *contents.count += is_gap ? record.uint(Field::kCount) : 1;
    bytes = bytes.subspan(*length);
  }
  return contents;
}

// Why a connection is given up after an answer other than kTaken.
std::unexpected<Error> refusal(ShipCode code, std::string_view what, std::string_view reason) {
  ErrorCode error = ErrorCode::kUnavailable;
  if (code == ShipCode::kDenied) error = ErrorCode::kDenied;
  if (code == ShipCode::kNewer) error = ErrorCode::kNewer;
  return fail(error, reason.empty() ? std::string(what) : fmt::format("{}: {}", what, reason));
}

}  // namespace

// What a gap record says.
struct SendState::Loss {
  std::optional<TimeNs> start;
  TimeNs end = 0;
  std::optional<uint64_t> count;
  std::string cause;
};

Status renumber(Batch& batch, int64_t shift, uint32_t skip) {
  Bytes bytes;
  bytes.reserve(batch.bytes.size());
  Record record;
  ByteView rest = batch.bytes;
  for (uint32_t i = 0; i < batch.count; ++i) {
    const auto length = encoded_length(rest);
    if (!length) return std::unexpected(length.error());
    if (i >= skip) {
      if (Status good = decode(rest.first(*length), record); !good) return good;
      record.set(Field::kSourceSeq, moved(record.uint_or(Field::kSourceSeq, 0), shift));
      encode(record, bytes);
    }
    rest = rest.subspan(*length);
  }
  batch.seq_first = moved(batch.seq_first + skip, shift);
  batch.count -= skip;
  batch.bytes = std::move(bytes);
  return {};
}

SendState::SendState(std::unique_ptr<Spool> spool, std::string host, Clock& clock, ToldFile told)
    : spool_(std::move(spool)), host_(std::move(host)), clock_(clock), told_file_(std::move(told)) {}

std::unique_ptr<SendState> SendState::make(std::unique_ptr<Spool> spool, std::string host, Clock& clock, ToldFile told) {
  auto state = std::unique_ptr<SendState>(new SendState(std::move(spool), std::move(host), clock, std::move(told)));
  state->adopt();
  return state;
}

SendState::Source& SendState::source(std::string_view name) {
  const auto known = std::ranges::find(sources_, name, &Source::name);
  if (known != sources_.end()) return *known;
  PB_CHECK(sources_.size() < kShipSourcesMax);
  Source& made = sources_.emplace_back();
  made.name = name;
  made.stream = static_cast<uint16_t>(sources_.size() - 1);
  return made;
}

SendState::Source* SendState::by_stream(uint16_t stream) {
  return stream < sources_.size() ? &sources_[stream] : nullptr;
}

void SendState::adopt() {
  for (const SpoolEntry& entry : spool_->take_entries()) {
    if (const auto* batch = std::get_if<SpooledBatch>(&entry)) {
      adopt_batch(*batch);
    } else {
      const auto& renumbering = std::get<Renumbering>(entry);
      apply(source(renumbering.source), renumbering);
    }
  }
  for (Source& of : sources_) {
    of.known = of.produced > 0;
    of.provisional = true;
  }
}

void SendState::adopt_batch(const SpooledBatch& batch) {
  Source& of = source(batch.source);
  // It stands there again where it was not sure that it did.
  while (!of.items.empty() && of.items.back().seq_first == batch.seq_first) let_go(of, of.items.end() - 1);
  if (!batch.provisional) {
    // A final number behind provisional ones: what the book had said in between is damaged, so nobody knows which these became.
    while (!of.items.empty() && of.items.back().seq_first > of.sent_to) let_go(of, of.items.end() - 1);
    of.sent_to = batch.seq_first + batch.count - 1;
  }
  of.items.push_back({batch.seq_first, batch.count, 0, 0, batch.place});
  ++items_;
  of.produced = batch.seq_first + batch.count - 1;
}

// Frames that were damaged leave a hole in the numbers; what follows closes up behind a gap record. Only asked of what the book has
// not: a hole before that is where files were removed.
Status SendState::fill_holes(Source& of) {
  for (size_t i = 1; i < of.items.size(); ++i) {
    const uint64_t expected = of.items[i - 1].seq_first + of.items[i - 1].count;
    const uint64_t found = of.items[i].seq_first;
    if (found == expected) continue;
    const auto count = found > expected ? std::optional(found - expected) : std::nullopt;
    const Loss loss{{}, clock_.now(), count, "a part of the agent's spool was damaged"};
    if (Status done = change(of, {of.name, found, 0, distance(found, expected + 1), expected, {}}, &loss); !done) return done;
    ++i;  // the gap record
  }
  return {};
}

Bytes SendState::gap_record(const Source& of, uint64_t seq, const Loss& loss) const {
  Record record;
  record.set(Field::kKind, Kind::kGap);
  record.set(Field::kTime, clock_.now());
  record.set(Field::kVantage, Vantage::kBook);
  record.set(Field::kHost, std::string_view(host_));
  record.set(Field::kAbout, std::string_view(of.name));
  if (loss.start) record.set(Field::kStart, *loss.start);
  record.set(Field::kEnd, loss.end);
  if (loss.count) record.set(Field::kCount, *loss.count);
  record.set(Field::kCause, std::string_view(loss.cause));
  BatchBuilder builder(of.name, seq);
  builder.add(record);
  return builder.take().bytes;
}

// Durable before it is believed: after a restart the numbers must be the same.
Status SendState::change(Source& of, Renumbering renumbering, const Loss* loss) {
  const bool needed = loss != nullptr || !of.items.empty();
  if (needed) {
    const Bytes gap = loss == nullptr ? Bytes() : gap_record(of, renumbering.gap_seq, *loss);
    const auto place = spool_->append(renumbering, gap);
    if (!place) return std::unexpected(place.error());
    renumbering.gap = *place;
  }
  apply(of, renumbering);
  return {};
}

void SendState::apply(Source& of, const Renumbering& renumbering) {
  const uint64_t drop_end = renumbering.from + renumbering.drop;
  auto item = std::ranges::find_if(of.items, [&](const Item& one) { return one.seq_first >= renumbering.from; });
  while (item != of.items.end() && item->seq_first < drop_end) {
    let_go(of, item);
    item = std::ranges::find_if(of.items, [&](const Item& one) { return one.seq_first >= renumbering.from; });
  }
  // The book had everything before when this was written, and may have lost it since: its numbers are given to others.
  const uint64_t first = renumbering.gap_seq != 0 ? renumbering.gap_seq : moved(drop_end, renumbering.shift);
  while (item != of.items.begin() && (item - 1)->seq_first + (item - 1)->count > first) {
    let_go(of, item - 1);
    item = std::ranges::find_if(of.items, [&](const Item& one) { return one.seq_first >= renumbering.from; });
  }
  for (auto later = item; later != of.items.end(); ++later) {
    later->seq_first = moved(later->seq_first, renumbering.shift);
    later->shift += renumbering.shift;
  }
  if (renumbering.gap_seq != 0) {
    of.items.insert(item, Item{renumbering.gap_seq, 1, 0, 0, renumbering.gap});
    ++items_;
  }
  // What stood before it may be gone from the spool.
  of.produced = moved(std::max(of.produced, drop_end - 1), renumbering.shift);
  of.sent_to = of.produced;
  for (auto& one : of.ripening) {
    if (one.after >= renumbering.from) one.after = std::max(moved(one.after, renumbering.shift), renumbering.gap_seq);
  }
  of.shift += renumbering.shift;
  of.provisional = false;
  of.known = true;
}

void SendState::let_go(Source& of, const std::deque<Item>::iterator& item) {
  const SpoolPlace place = item->place;
  of.items.erase(item);
  --items_;
  if (Status released = spool_->release(place); !released) spool_problem_ = released.error().message;
}

std::optional<uint64_t> SendState::last_seq(std::string_view name) {
  Source& of = source(name);
  of.begun = true;
  if (of.known && !of.numbered) {
    of.numbered = true;
    of.shift = 0;
  }
  return of.known ? std::optional(of.produced) : std::nullopt;
}

void SendState::assume(std::string_view name) {
  Source& of = source(name);
  of.known = true;
  of.numbered = true;
}

void SendState::answer(Done done, Status status) {
  answers_.emplace_back([done = std::move(done), status = std::move(status)] { done(status); });
}

void SendState::take(Batch batch, Done done) {
  Source& of = source(batch.source);
  PB_CHECK(of.known && !of.direct && batch.count > 0);
  if (of.shift != 0) PB_CHECK(renumber(batch, of.shift, 0).has_value());
  const uint64_t last = batch.seq_first + batch.count - 1;
  if (last <= of.produced) {  // handed over again after the book had it
    answer(std::move(done), {});
    return;
  }
  if (batch.seq_first <= of.produced)
    PB_CHECK(renumber(batch, 0, static_cast<uint32_t>(of.produced + 1 - batch.seq_first)).has_value());
  PB_CHECK(batch.seq_first == of.produced + 1);
  if (connected_ && of.opening == Opening::kReady && items_ == 0 && spool_->empty()) {
    of.direct = Direct{std::move(batch), std::move(done), false};
    return;
  }
  answer(std::move(done), spool_batch(of, batch));
}

void SendState::told(std::string_view name, TimeNs until) {
  Source& of = source(name);
  if (of.ripening.empty() || (of.ripening.back().after != of.produced && of.ripening.size() < kRipeningMax))
    of.ripening.emplace_back();
  of.ripening.back() = {of.produced, until};
  const uint64_t now = clock_.boot_ns();
  if (now < of.kept_until) return;
  of.kept_until = now + kKeepEveryNs;
  told_file_.write({of.name, until, clock_.now() - now});
}

// The clock was set by the difference of the offsets, or the machine began anew, which looks as if it was set forward: then the
// moment itself is the earlier one.
std::optional<std::pair<TimeNs, TimeNs>> SendState::untold(std::string_view name) const {
  // What was torn off the spool may be what had been told by then.
  const auto before = spool_->torn_bytes() > 0 ? std::nullopt : told_file_.before(name);
  if (!before) return std::nullopt;
  const TimeNs now = clock_.now();
  const auto set = static_cast<int64_t>(now - clock_.boot_ns() - before->offset_ns);
  if (set > -kSetNs && set < kSetNs) return std::pair(before->until, now);
  return set < 0 ? std::pair(moved(before->until, set), moved(now, -set)) : std::pair(before->until, now);
}

std::optional<ToldMessage> SendState::next_told(bool all_begun) {
  if (!connected_) return std::nullopt;
  for (Source& of : sources_) {
    if (of.opening != Opening::kReady) continue;
    // What is in the spool is not in the book yet.
    const uint64_t held_from = of.items.empty() ? UINT64_MAX : of.items.front().seq_first;
    for (; !of.ripening.empty() && of.ripening.front().after < held_from; of.ripening.pop_front()) {
      of.told = of.ripening.front().until;
      of.told_news = true;
    }
    const bool over = !of.begun && all_begun && of.items.empty();
    if (!of.told_news || !(of.told != 0 || over)) continue;
    of.told_news = false;
    if (of.told == 0) return ToldMessage{of.stream, clock_.now()};
    return ToldMessage{of.stream, of.told};
  }
  return std::nullopt;
}

Status SendState::spool_batch(Source& of, const Batch& batch) {
  const auto place = spool_->append(batch, of.provisional);
  if (!place) {
    spool_problem_ = place.error().message;
    return fail(ErrorCode::kUnavailable, place.error().message);
  }
  spool_problem_.clear();
  of.items.push_back({batch.seq_first, batch.count, 0, 0, *place});
  ++items_;
  of.produced = batch.seq_first + batch.count - 1;
  return {};
}

void SendState::connected(const BookWelcome& welcome) {
  connected_ = true;
  window_bytes_ = std::max<uint32_t>(welcome.window_bytes, 1);
}

void SendState::disconnected() {
  connected_ = false;
  unanswered_bytes_ = 0;
  for (Source& of : sources_) {
    of.opening = Opening::kNotAsked;
    of.sent = 0;
    if (!of.direct) continue;
    Direct direct = std::move(*of.direct);
    of.direct.reset();
    answer(std::move(direct.done), spool_batch(of, direct.batch));
  }
}

Status SendState::opened(const SourceOpened& message) {
  Source* of = by_stream(message.stream);
  if (of == nullptr || of->opening != Opening::kAsked) return fail(ErrorCode::kBadInput, "the book answers what was not asked");
  if (message.code != ShipCode::kTaken) return refusal(message.code, "the book does not take " + of->name, message.reason);
  if (Status settled = settle(*of, message.last_seq); !settled) return settled;
  of->sent_to = message.last_seq;
  of->opening = Opening::kReady;
  of->told_news = true;
  return {};
}

Status SendState::settle(Source& of, uint64_t last_seq) {
  if (!of.known) {
    of.known = true;
    of.provisional = false;
    of.produced = last_seq;
    return {};
  }
  if (of.provisional && of.sent_to == 0) {
    if (Status settled = settle_provisional(of, last_seq); !settled) return settled;
    return fill_holes(of);
  }
  const uint64_t ours = std::min(last_seq, of.sent_to);
  skip_to(of, ours);
  const uint64_t next = of.items.empty() ? of.produced + 1 : of.items.front().seq_first + of.items.front().skip;
  const uint64_t from = of.items.empty() ? next : of.items.front().seq_first;
  if (next > ours + 1) {
    const Loss loss{{}, clock_.now(), next - 1 - ours, "the book lacks what it had acknowledged: it was set back or replaced"};
    if (Status done = change(of, {of.name, from, 0, distance(next, last_seq + 2), last_seq + 1, {}}, &loss); !done) return done;
  } else if (last_seq > ours || of.provisional) {
    // Where the book has what this agent never sent under that name, what is held follows after it.
    if (Status done = change(of, {of.name, from, 0, distance(next, last_seq + 1), 0, {}}, nullptr); !done) return done;
  }
  return fill_holes(of);
}

Status SendState::settle_provisional(Source& of, uint64_t last_seq) {
  const uint64_t first = of.items.empty() ? of.produced + 1 : of.items.front().seq_first;
  if (first == last_seq + 1) return change(of, {of.name, first, 0, 0, 0, {}}, nullptr);
  const auto before = untold(of.name);
  Loss loss{before ? std::optional(before->first) : std::nullopt, clock_.now(), {}, "capture was not running"};
  if (!of.items.empty()) {
    const auto bytes = spool_->read(of.items.front().place);
    if (!bytes) return std::unexpected(bytes.error());
    loss.end = contents_of(*bytes).earliest.value_or(loss.end);
  }
  return change(of, {of.name, first, 0, distance(first, last_seq + 2), last_seq + 1, {}}, &loss);
}

void SendState::skip_to(Source& of, uint64_t last_seq) {
  if (!of.items.empty()) of.items.front().skip = 0;  // the book may have been set back
  while (!of.items.empty() && of.items.front().seq_first + of.items.front().count - 1 <= last_seq) let_go(of, of.items.begin());
  if (!of.items.empty() && of.items.front().seq_first <= last_seq)
    of.items.front().skip = static_cast<uint32_t>(last_seq + 1 - of.items.front().seq_first);
  of.produced = std::max(of.produced, last_seq);
}

Status SendState::answered(const BatchAnswer& message) {
  Source* of = by_stream(message.stream);
  if (of != nullptr && of->direct && of->direct->sent && of->direct->batch.seq_first == message.seq_first)
    return answered_direct(*of, message);
  if (of != nullptr && of->sent > 0 && of->items.front().seq_first + of->items.front().skip == message.seq_first)
    return answered_item(*of, message);
  return fail(ErrorCode::kBadInput, "the book answers what was not sent");
}

Status SendState::answered_direct(Source& of, const BatchAnswer& message) {
  if (message.code != ShipCode::kTaken && message.code != ShipCode::kRefused)
    return refusal(message.code, "the book does not take a batch of " + of.name, message.reason);
  Direct direct = std::move(*of.direct);
  of.direct.reset();
  unanswered_bytes_ -= direct.batch.bytes.size();
  if (message.code == ShipCode::kTaken) {
    of.produced = direct.batch.seq_first + direct.batch.count - 1;
    answer(std::move(direct.done), {});
  } else {
    ++refused_batches_;
    of.sent_to = of.produced;
    answer(std::move(direct.done), fail(ErrorCode::kBadInput, std::string(message.reason)));
  }
  return {};
}

Status SendState::answered_item(Source& of, const BatchAnswer& message) {
  const Item item = of.items.front();
  const uint64_t first = item.seq_first + item.skip;
  if (message.code == ShipCode::kTaken) {
    unanswered_bytes_ -= item.place.bytes;
    --of.sent;
    let_go(of, of.items.begin());
    return {};
  }
  if (message.code != ShipCode::kRefused)
    return refusal(message.code, "the book does not take a batch of " + of.name, message.reason);
  ++refused_batches_;
  auto batch = load(of, item);
  if (!batch) return std::unexpected(batch.error());
  const Contents lost = contents_of(batch->bytes);
  const Loss loss{lost.earliest, clock_.now(), lost.count, fmt::format("the book refused a batch: {}", message.reason)};
  Renumbering renumbering{of.name, item.seq_first, item.count, distance(item.seq_first + item.count, first + 1), first, {}};
  if (Status changed = change(of, std::move(renumbering), &loss); !changed) return changed;
  of.sent_to = first - 1;
  // What is under way behind it has numbers that do not follow any more.
  return fail(ErrorCode::kUnavailable,
              fmt::format("the book refused a batch of {}, which is now a gap: {}", of.name, message.reason));
}

Result<Batch> SendState::load(const Source& of, const Item& item) {
  auto bytes = spool_->read(item.place);
  if (!bytes) return std::unexpected(bytes.error());
  Batch batch{of.name, moved(item.seq_first, -item.shift), item.count, std::move(*bytes)};
  if (item.shift != 0 || item.skip != 0) {
    if (Status good = renumber(batch, item.shift, item.skip); !good)
      return fail_in("the spool", Result<Batch>(std::unexpected(good.error())));
  }
  return batch;
}

Result<std::optional<SendState::Outgoing>> SendState::next() {
  if (!connected_) return std::nullopt;
  for (Source& of : sources_) {
    if (of.opening != Opening::kNotAsked) continue;
    of.opening = Opening::kAsked;
    return Outgoing{of.stream, of.name, {}};
  }
  if (unanswered_bytes_ >= window_bytes_) return std::nullopt;
  Source* oldest = nullptr;
  for (Source& of : sources_) {
    if (of.opening != Opening::kReady) continue;
    if (of.direct && !of.direct->sent) {
      of.direct->sent = true;
      const Batch& batch = of.direct->batch;
      of.sent_to = batch.seq_first + batch.count - 1;
      unanswered_bytes_ += batch.bytes.size();
      return Outgoing{of.stream, {}, batch};
    }
    if (of.sent < of.items.size() && (oldest == nullptr || of.items[of.sent].place < oldest->items[oldest->sent].place))
      oldest = &of;
  }
  if (oldest == nullptr) return std::nullopt;
  const Item& item = oldest->items[oldest->sent];
  auto batch = load(*oldest, item);
  if (!batch) return std::unexpected(batch.error());
  ++oldest->sent;
  oldest->sent_to = batch->seq_first + batch->count - 1;
  unanswered_bytes_ += item.place.bytes;
  return Outgoing{oldest->stream, {}, std::move(*batch)};
}

bool SendState::idle() const {
  return items_ == 0 && std::ranges::none_of(sources_, [](const Source& of) { return of.direct.has_value(); });
}

}  // namespace portbook

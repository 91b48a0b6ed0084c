#include "ship/wire.h"

#include <algorithm>
#include <optional>

#include "base/check.h"

namespace portbook {

namespace {

constexpr std::array<Byte, 8> kMagic = {'P', 'B', 'S', 'H', 'I', 'P', '\r', '\n'};

enum class Type : uint8_t {
  kHello = 1,
  kWelcome,
  kOpen,
  kOpened,
  kBatch,
  kAnswer,
  kReport,
  kPing,
  kPong,
  kBye,
  kEnrolment,
  kEnrolmentAnswer,
  kTold
};

constexpr size_t payload_max(Type type) {
  if (type == Type::kEnrolmentAnswer) return kShipListBytesMax;
  return type == Type::kBatch ? kShipBatchHeaderBytes + kShipBatchBytesMax : kShipControlBytesMax;
}

// Reads fields from the front; after a failure everything reads as nothing and good() is false.
class Fields {
 public:
  explicit Fields(ByteView bytes) : rest_(bytes) {}

  template <typename T>
  T number() {
    if (rest_.size() < sizeof(T)) return fail_with<T>();
    const T value = load_little<T>(rest_.data());
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  void zeros(size_t count) {
    const ByteView bytes = take(count);
    if (std::ranges::any_of(bytes, [](Byte b) { return b != 0; })) good_ = false;
  }
  std::string_view text8() { return as_text(take(number<uint8_t>())); }
  std::string_view reason() {
    const auto length = number<uint16_t>();
    if (length > kShipReasonBytesMax) good_ = false;
    return as_text(take(length));
  }
  ByteView take(size_t count) {
    if (!good_ || rest_.size() < count) {
      good_ = false;
      return {};
    }
    const ByteView bytes = rest_.first(count);
    rest_ = rest_.subspan(count);
    return bytes;
  }
  template <typename E>
  E code(E last) {
    const auto value = number<uint8_t>();
    if (value > static_cast<uint8_t>(last)) good_ = false;
    return good_ ? static_cast<E>(value) : E{};
  }
  [[nodiscard]] ByteView rest() const { return rest_; }
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool ended() const { return good_ && rest_.empty(); }

 private:
  template <typename T>
  T fail_with() {
    good_ = false;
    return T{};
  }
  ByteView rest_;
  bool good_ = true;
};

std::optional<ShipMessage> hello(Fields& in) {
  AgentHello out;
  if (!std::ranges::equal(in.take(kMagic.size()), kMagic)) return std::nullopt;
  out.version = in.number<uint16_t>();
  const auto purpose = in.number<uint16_t>();
  if (purpose > static_cast<uint16_t>(ShipPurpose::kImport)) return std::nullopt;
  out.purpose = static_cast<ShipPurpose>(purpose);
  out.host = in.text8();
  out.program = in.text8();
  out.token = in.text8();
  return out;
}

std::optional<ShipMessage> welcome(Fields& in) {
  BookWelcome out;
  out.version = in.number<uint16_t>();
  in.zeros(2);
  out.window_bytes = in.number<uint32_t>();
  out.batch_bytes_max = in.number<uint32_t>();
  out.batch_records_max = in.number<uint32_t>();
  out.program = in.text8();
  out.origin = in.text8();
  return out;
}

std::optional<ShipMessage> open(Fields& in) {
  SourceOpen out;
  out.stream = in.number<uint16_t>();
  out.source = in.text8();
  if (out.stream >= kShipSourcesMax || out.source.empty()) return std::nullopt;
  return out;
}

std::optional<ShipMessage> opened(Fields& in) {
  SourceOpened out;
  out.stream = in.number<uint16_t>();
  out.code = in.code(ShipCode::kDenied);
  in.zeros(1);
  out.last_seq = in.number<uint64_t>();
  out.reason = in.reason();
  if (out.stream >= kShipSourcesMax || out.last_seq > kSourceSeqMax) return std::nullopt;
  return out;
}

std::optional<ShipMessage> batch(Fields& in) {
  ShippedBatch out;
  out.stream = in.number<uint16_t>();
  in.zeros(2);
  out.count = in.number<uint32_t>();
  out.seq_first = in.number<uint64_t>();
  out.bytes = in.take(in.rest().size());
  if (out.stream >= kShipSourcesMax || out.count == 0 || out.count > kBatchRecordsMax || out.seq_first == 0 ||
      out.seq_first > kSourceSeqMax - out.count || out.bytes.empty()) {
    return std::nullopt;
  }
  return out;
}

std::optional<ShipMessage> answer(Fields& in) {
  BatchAnswer out;
  out.stream = in.number<uint16_t>();
  out.code = in.code(ShipCode::kDenied);
  in.zeros(5);
  out.seq_first = in.number<uint64_t>();
  out.last_seq = in.number<uint64_t>();
  out.reason = in.reason();
  if (out.stream >= kShipSourcesMax || out.seq_first > kSourceSeqMax || out.last_seq > kSourceSeqMax) return std::nullopt;
  return out;
}

bool read_number(Fields& in, ReportNumber& number) {
  number.name = in.text8();
  number.value = in.number<uint64_t>();
  return in.good();
}

bool read_line(Fields& in, ReportLine& line) {
  line.what = in.text8();
  line.state = in.text8();
  line.means = in.reason();
  line.detail = in.reason();
  return in.good();
}

std::optional<ShipMessage> report(Fields& in) {
  ReportMessage out;
  const auto flags = in.number<uint8_t>();
  const auto numbers = in.number<uint8_t>();
  const auto lines = in.number<uint8_t>();
  in.zeros(5);
  out.spool_bytes = in.number<uint64_t>();
  out.spool_bytes_max = in.number<uint64_t>();
  out.refused_batches = in.number<uint64_t>();
  if (flags > 1 || numbers > kShipNumbersMax || lines > kShipLinesMax) return std::nullopt;
  out.capturing = flags == 1;
  const ByteView from = in.rest();
  ReportNumber number;
  for (size_t i = 0; i < numbers && read_number(in, number);) ++i;
  out.numbers = from.first(from.size() - in.rest().size());
  const ByteView then = in.rest();
  ReportLine line;
  for (size_t i = 0; i < lines && read_line(in, line);) ++i;
  out.lines = then.first(then.size() - in.rest().size());
  return out;
}

std::optional<ShipMessage> enrolment(Fields& in) {
  EnrolmentRequest out;
  if (!std::ranges::equal(in.take(kMagic.size()), kMagic)) return std::nullopt;
  if (in.number<uint16_t>() != kShipVersion) return std::nullopt;
  out.action = in.code(EnrolmentAction::kList);
  in.zeros(1);
  out.vantages = in.number<uint32_t>();
  const ByteView hash = in.take(out.token_hash.size());
  std::ranges::copy(hash, out.token_hash.begin());
  out.host = in.text8();
  return out;
}

std::optional<ShipMessage> told(Fields& in) {
  ToldMessage out;
  out.stream = in.number<uint16_t>();
  in.zeros(6);
  out.until = in.number<uint64_t>();
  if (out.stream >= kShipSourcesMax) return std::nullopt;
  return out;
}

std::optional<ShipMessage> decode_payload(Type type, Fields& in) {
  switch (type) {
    case Type::kHello: return hello(in);
    case Type::kWelcome: return welcome(in);
    case Type::kOpen: return open(in);
    case Type::kOpened: return opened(in);
    case Type::kBatch: return batch(in);
    case Type::kAnswer: return answer(in);
    case Type::kReport: return report(in);
    case Type::kPing: return PingMessage{in.number<uint64_t>()};
    case Type::kPong: return PongMessage{in.number<uint64_t>()};
    case Type::kBye: {
      ByeMessage out;
      out.code = in.code(ByeCode::kVersion);
      out.reason = in.reason();
      return out;
    }
    case Type::kEnrolment: return enrolment(in);
    case Type::kEnrolmentAnswer: {
      EnrolmentAnswer out;
      out.code = in.code(ShipCode::kDenied);
      out.text = as_text(in.take(in.rest().size()));
      return out;
    }
    case Type::kTold: return told(in);
  }
  return std::nullopt;
}

void append_text8(Bytes& out, std::string_view text) {
  text = text.substr(0, kShipTextBytesMax);
  out.push_back(static_cast<Byte>(text.size()));
  append(out, as_bytes(text));
}

void append_reason(Bytes& out, std::string_view text) {
  text = text.substr(0, kShipReasonBytesMax);
  append_little(out, static_cast<uint16_t>(text.size()));
  append(out, as_bytes(text));
}

void append_zeros(Bytes& out, size_t count) {
  out.insert(out.end(), count, Byte{0});
}

void put(Bytes& out, const AgentHello& of) {
  append(out, kMagic);
  append_little(out, of.version);
  append_little(out, static_cast<uint16_t>(of.purpose));
  append_text8(out, of.host);
  append_text8(out, of.program);
  append_text8(out, of.token);
}
void put(Bytes& out, const BookWelcome& of) {
  append_little(out, of.version);
  append_zeros(out, 2);
  append_little(out, of.window_bytes);
  append_little(out, of.batch_bytes_max);
  append_little(out, of.batch_records_max);
  append_text8(out, of.program);
  append_text8(out, of.origin);
}
void put(Bytes& out, const SourceOpen& of) {
  append_little(out, of.stream);
  append_text8(out, of.source);
}
void put(Bytes& out, const SourceOpened& of) {
  append_little(out, of.stream);
  out.push_back(static_cast<Byte>(of.code));
  append_zeros(out, 1);
  append_little(out, of.last_seq);
  append_reason(out, of.reason);
}
void put(Bytes& out, const ShippedBatch& of) {
  append_little(out, of.stream);
  append_zeros(out, 2);
  append_little(out, of.count);
  append_little(out, of.seq_first);
  append(out, of.bytes);
}
void put(Bytes& out, const BatchAnswer& of) {
  append_little(out, of.stream);
  out.push_back(static_cast<Byte>(of.code));
  append_zeros(out, 5);
  append_little(out, of.seq_first);
  append_little(out, of.last_seq);
  append_reason(out, of.reason);
}
// The count of a view's items stands before them.
template <typename Item>
size_t count_of(ByteView items, bool (*next)(ByteView&, Item&)) {
  Item item;
  size_t count = 0;
  while (next(items, item)) ++count;
  return count;
}
void put(Bytes& out, const ReportMessage& of) {
  out.push_back(of.capturing ? 1 : 0);
  out.push_back(static_cast<Byte>(count_of(of.numbers, next_number)));
  out.push_back(static_cast<Byte>(count_of(of.lines, next_line)));
  append_zeros(out, 5);
  append_little(out, of.spool_bytes);
  append_little(out, of.spool_bytes_max);
  append_little(out, of.refused_batches);
  append(out, of.numbers);
  append(out, of.lines);
}
void put(Bytes& out, const PingMessage& of) {
  append_little(out, of.number);
}
void put(Bytes& out, const PongMessage& of) {
  append_little(out, of.number);
}
void put(Bytes& out, const ByeMessage& of) {
  out.push_back(static_cast<Byte>(of.code));
  append_reason(out, of.reason);
}

void put(Bytes& out, const EnrolmentRequest& of) {
  append(out, kMagic);
  append_little(out, kShipVersion);
  out.push_back(static_cast<Byte>(of.action));
  append_zeros(out, 1);
  append_little(out, of.vantages);
  append(out, of.token_hash);
  append_text8(out, of.host);
}
void put(Bytes& out, const EnrolmentAnswer& of) {
  out.push_back(static_cast<Byte>(of.code));
  append(out, as_bytes(of.text.substr(0, kShipListBytesMax - 1)));
}
void put(Bytes& out, const ToldMessage& of) {
  append_little(out, of.stream);
  append_zeros(out, 6);
  append_little(out, of.until);
}

}  // namespace

bool next_number(ByteView& numbers, ReportNumber& number) {
  if (numbers.empty()) return false;
  Fields in(numbers);
  const bool good = read_number(in, number);
  numbers = good ? in.rest() : ByteView();
  return good;
}

bool next_line(ByteView& lines, ReportLine& line) {
  if (lines.empty()) return false;
  Fields in(lines);
  const bool good = read_line(in, line);
  lines = good ? in.rest() : ByteView();
  return good;
}

void append_number(Bytes& numbers, const ReportNumber& number) {
  const size_t before = numbers.size();
  append_text8(numbers, number.name);
  append_little(numbers, number.value);
  if (numbers.size() > kShipNumbersBytesMax || count_of<ReportNumber>(numbers, next_number) > kShipNumbersMax)
    numbers.resize(before);
}

void append_line(Bytes& lines, const ReportLine& line) {
  const size_t before = lines.size();
  append_text8(lines, line.what);
  append_text8(lines, line.state);
  append_reason(lines, line.means);
  append_reason(lines, line.detail);
  if (lines.size() > kShipLinesBytesMax || count_of<ReportLine>(lines, next_line) > kShipLinesMax) lines.resize(before);
}

DecodedMessage decode_message(ByteView bytes) {
  if (bytes.size() < kShipHeaderBytes) return NeedMore{kShipHeaderBytes};
  const auto length = load_little<uint32_t>(bytes.data());
  const Byte number = bytes[4];
  if (number < static_cast<Byte>(Type::kHello) || number > static_cast<Byte>(Type::kTold))
    return Malformed{"a message of an unknown type"};
  const auto type = static_cast<Type>(number);
  if (bytes[5] != 0 || bytes[6] != 0 || bytes[7] != 0) return Malformed{"a message header with bytes that mean nothing"};
  if (length > payload_max(type)) return Malformed{"a message longer than its kind may be"};
  if (bytes.size() < kShipHeaderBytes + length) return NeedMore{kShipHeaderBytes + length};
  Fields in(bytes.subspan(kShipHeaderBytes, length));
  const auto message = decode_payload(type, in);
  if (!message || !in.ended()) return Malformed{"a message whose fields do not fit its kind"};
  return WholeMessage{*message, kShipHeaderBytes + length};
}

void append_message(Bytes& out, const ShipMessage& message) {
  const size_t at = out.size();
  append_zeros(out, kShipHeaderBytes);
  std::visit([&](const auto& of) { put(out, of); }, message);
  const size_t length = out.size() - at - kShipHeaderBytes;
  const auto type = static_cast<Type>(message.index() + 1);
  PB_CHECK(length <= payload_max(type));
  store_little(out.data() + at, static_cast<uint32_t>(length));
  out[at + 4] = static_cast<Byte>(type);
}

std::array<Byte, kShipHeaderBytes + kShipBatchHeaderBytes> batch_front(const ShippedBatch& batch) {
  PB_CHECK(batch.bytes.size() <= kShipBatchBytesMax);
  std::array<Byte, kShipHeaderBytes + kShipBatchHeaderBytes> front{};
  store_little(front.data(), static_cast<uint32_t>(kShipBatchHeaderBytes + batch.bytes.size()));
  front[4] = static_cast<Byte>(Type::kBatch);
  store_little(front.data() + 8, batch.stream);
  store_little(front.data() + 12, batch.count);
  store_little(front.data() + 16, batch.seq_first);
  return front;
}

}  // namespace portbook

#include "logs/postgresql_wire.h"

#include <algorithm>

#include "base/check.h"

namespace portbook {

namespace {

constexpr uint32_t kProtocolVersion3 = 3 << 16;
constexpr size_t kSentenceBytesMax = 256;
constexpr size_t kColumnFactsBytes = 18;  // table, number, type, its size and modifier, format
constexpr uint32_t kNull = 0xffffffff;

// Big-endian numbers and texts from the front of a body.
class BodyReader {
 public:
  explicit BodyReader(ByteView body) : rest_(body) {}

  bool number(size_t bytes, uint32_t& value) {
    if (rest_.size() < bytes) return false;
    value = 0;
    for (size_t i = 0; i < bytes; ++i) value = value << 8 | rest_[i];
    rest_ = rest_.subspan(bytes);
    return true;
  }
  bool text(size_t bytes, std::string_view& value) {
    if (rest_.size() < bytes) return false;
    value = as_text(rest_.first(bytes));
    rest_ = rest_.subspan(bytes);
    return true;
  }
  // Up to a zero byte, which is taken too.
  bool text(std::string_view& value) {
    const auto end = std::ranges::find(rest_, Byte{0});
    if (end == rest_.end()) return false;
    value = as_text(rest_.first(static_cast<size_t>(end - rest_.begin())));
    rest_ = rest_.subspan(value.size() + 1);
    return true;
  }
  bool skip(size_t bytes) {
    if (rest_.size() < bytes) return false;
    rest_ = rest_.subspan(bytes);
    return true;
  }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  ByteView rest_;
};

void append_text(Bytes& out, std::string_view text) {
  PB_CHECK(text.find('\0') == std::string_view::npos);
  append(out, as_bytes(text));
  out.push_back(0);
}

}  // namespace

DecodedBackend decode_backend(ByteView bytes) {
  if (bytes.size() < kBackendHeaderBytes) return NeedMore{kBackendHeaderBytes};
  BodyReader reader(bytes.subspan(1));
  uint32_t length = 0;
  PB_CHECK(reader.number(4, length));
  const auto tag = static_cast<char>(bytes.front());
  if (tag < 'A' || tag > 'z') return Malformed{"something else than PostgreSQL's protocol"};
  if (length < 4) return Malformed{"a message without a length"};
  if (length > kBackendMessageBytesMax) return Malformed{"a message longer than 1 MiB"};
  if (bytes.size() < length + 1) return NeedMore{length + 1};
  return BackendMessage{tag, bytes.subspan(kBackendHeaderBytes, length - 4), length + 1};
}

bool read_column_names(ByteView body, std::vector<std::string_view>& names) {
  BodyReader reader(body);
  uint32_t count = 0;
  if (!reader.number(2, count) || count > kConsoleColumnsMax) return false;
  names.assign(count, {});
  return std::ranges::all_of(names, [&](std::string_view& name) { return reader.text(name) && reader.skip(kColumnFactsBytes); }) &&
         reader.at_end();
}

bool read_column_values(ByteView body, std::vector<std::string_view>& values) {
  BodyReader reader(body);
  uint32_t count = 0;
  if (!reader.number(2, count) || count > kConsoleColumnsMax) return false;
  values.assign(count, {});
  return std::ranges::all_of(values,
                             [&](std::string_view& value) {
                               uint32_t bytes = 0;
                               if (!reader.number(4, bytes)) return false;
                               return bytes == kNull || reader.text(bytes, value);
                             }) &&
         reader.at_end();
}

std::string error_sentence(ByteView body) {
  BodyReader reader(body);
  std::string_view severity;
  std::string_view message;
  uint32_t field = 0;
  std::string_view value;
  while (reader.number(1, field) && field != 0 && reader.text(value)) {
    if (field == 'S') severity = value;
    if (field == 'M') message = value;
  }
  std::string sentence = severity.empty() ? "" : std::string(severity.substr(0, kSentenceBytesMax)) + ": ";
  sentence += message.empty() ? "an error without a message" : message;
  sentence.resize(std::min(sentence.size(), kSentenceBytesMax));
  std::ranges::replace_if(sentence, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, ' ');
  return sentence;
}

void append_startup(Bytes& out, std::string_view user, std::string_view database) {
  Bytes body;
  append_big(body, kProtocolVersion3);
  for (const std::string_view text : {std::string_view("user"), user, std::string_view("database"), database,
                                      std::string_view("application_name"), std::string_view("portbook")})
    append_text(body, text);
  body.push_back(0);
  append_big(out, static_cast<uint32_t>(body.size() + 4));
  append(out, body);
}

void append_query(Bytes& out, std::string_view query) {
  Bytes body;
  append_text(body, query);
  append_frontend(out, 'Q', body);
}

void append_frontend(Bytes& out, char tag, ByteView body) {
  out.push_back(static_cast<Byte>(tag));
  append_big(out, static_cast<uint32_t>(body.size() + 4));
  append(out, body);
}

}  // namespace portbook

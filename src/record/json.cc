#include "record/json.h"

#include <fmt/format.h>
#include <simdjson.h>

#include "record/cbor_item.h"

namespace portbook {

namespace {

std::string_view enum_text(Field field, uint64_t value, std::string& buffer) {
  const std::string_view name = enum_name(field, value);
  if (!name.empty()) return name;
  buffer = std::to_string(value);
  return buffer;
}

std::unexpected<Error> bad_member(std::string_view name, std::string_view why) {
  return fail(ErrorCode::kBadInput, fmt::format("member \"{}\": {}", name, why));
}

// {"hex":"…"}, the form of bytes that are no text.
bool read_hex(simdjson::dom::element value, Bytes& bytes) {
  std::string_view text;
  simdjson::dom::object object;
  return value.get(object) == simdjson::SUCCESS && object.size() == 1 && object["hex"].get(text) == simdjson::SUCCESS &&
         parse_hex(text, bytes);
}

Status read_attrs(simdjson::dom::element value, Record& record) {
  simdjson::dom::object object;
  Bytes bytes;
  if (read_hex(value, bytes)) {
    if (!is_canonical_attrs(bytes)) return bad_member("attrs", "the bytes are no canonical CBOR map of named values");
  } else {
    if (value.get(object) != simdjson::SUCCESS) return bad_member("attrs", "an object was expected");
    std::vector<std::pair<Bytes, Bytes>> entries;
    for (const auto member : object) {
      auto& [key, content] = entries.emplace_back();
      append_cbor_string(key, CborMajor::kText, as_bytes(member.key));
      std::string_view text;
      uint64_t number = 0;
      int64_t negative = 0;
      bool truth = false;
      Bytes raw;
      if (member.value.get(text) == simdjson::SUCCESS) {
        append_cbor_string(content, CborMajor::kText, as_bytes(text));
      } else if (member.value.get(number) == simdjson::SUCCESS) {
        append_cbor_head(content, CborMajor::kUnsigned, number);
      } else if (member.value.get(negative) == simdjson::SUCCESS) {
        append_cbor_head(content, CborMajor::kNegative, ~static_cast<uint64_t>(negative));
      } else if (member.value.get(truth) == simdjson::SUCCESS) {
        append_cbor_head(content, CborMajor::kSimple, truth ? 21 : 20);
      } else if (read_hex(member.value, raw)) {
        append_cbor_string(content, CborMajor::kBytes, raw);
      } else {
        return bad_member("attrs", "values are texts, integers, booleans or {\"hex\":…}");
      }
    }
    std::ranges::sort(entries);
    append_cbor_head(bytes, CborMajor::kMap, entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0 && entries[i].first == entries[i - 1].first) return bad_member("attrs", "a name stands twice");
      append(bytes, entries[i].first);
      append(bytes, entries[i].second);
    }
  }
  if (bytes.size() > info(Field::kAttrs).maximum) return bad_member("attrs", "it is longer than the field's maximum");
  record.set(Field::kAttrs, as_text(bytes));
  return {};
}

Status read_number(const FieldInfo& about, simdjson::dom::element value, Record& record) {
  uint64_t number = 0;
  std::string_view text;
  if (about.type == FieldType::kEnum && value.get(text) == simdjson::SUCCESS) {
    const auto named = enum_value(about.field, text);
    if (!named) return bad_member(about.name, fmt::format("\"{}\" is none of its names", text));
    number = *named;
  } else if (about.type == FieldType::kTime && value.get(text) == simdjson::SUCCESS) {
    const auto time = parse_time(text, 0);
    if (!time) return bad_member(about.name, time.error().message);
    number = time->time;
  } else if (value.get(number) != simdjson::SUCCESS) {
    return bad_member(about.name, "a number was expected");
  } else if (about.type == FieldType::kEnum && about.field != Field::kProto) {
    return bad_member(about.name, "a name was expected");
  }
  if (number > about.maximum) return bad_member(about.name, fmt::format("{} is above the maximum {}", number, about.maximum));
  if (number == 0 && about.type == FieldType::kPort)
    return bad_member(about.name, "port 0 stands for nothing: leave an unknown port out");
  record.set(about.field, number);
  return {};
}

Status read_text(const FieldInfo& about, simdjson::dom::element value, Record& record) {
  std::string_view text;
  Bytes bytes;
  if (value.get(text) != simdjson::SUCCESS) {
    if (!read_hex(value, bytes)) return bad_member(about.name, "a text or {\"hex\":…} was expected");
    text = as_text(bytes);
  }
  if (text.size() > about.maximum) {
    return bad_member(about.name, fmt::format("it has {} bytes, the maximum is {}", text.size(), about.maximum));
  }
  record.set(about.field, text);
  return {};
}

Status read_member(const FieldInfo& about, simdjson::dom::element value, Record& record) {
  std::string_view text;
  switch (about.type) {
    case FieldType::kSigned: {
      int64_t number = 0;
      if (value.get(number) != simdjson::SUCCESS) return bad_member(about.name, "a number was expected");
      record.set_signed(about.field, number);
      return {};
    }
    case FieldType::kIp: {
      const auto ip = value.get(text) == simdjson::SUCCESS ? parse_ip(text) : std::nullopt;
      if (!ip) return bad_member(about.name, "an address was expected");
      record.set(about.field, *ip);
      return {};
    }
    case FieldType::kId128: {
      Id128 id;
      if (value.get(text) != simdjson::SUCCESS || !parse_hex(text, id))
        return bad_member(about.name, "32 hex digits were expected");
      record.set(about.field, id);
      return {};
    }
    case FieldType::kText: return read_text(about, value, record);
    case FieldType::kCbor: return read_attrs(value, record);
    default: return read_number(about, value, record);
  }
}

// Text with what is not printable UTF-8 as \xHH.
std::string escape_bytes(std::string_view text) {
  std::string out;
  const bool valid = is_utf8(as_bytes(text));
  for (const char c : text) {
    const auto byte = static_cast<Byte>(c);
    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !valid)) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<Byte>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json_value(const Record& record, Field field, std::string& out) {
  std::string buffer;
  switch (info(field).type) {
    case FieldType::kUint:
    case FieldType::kDuration:
    case FieldType::kPort: out += std::to_string(record.uint(field)); return;
    case FieldType::kSigned: out += std::to_string(record.signed_value(field)); return;
    case FieldType::kTime: out += '"' + format_time(record.uint(field)) + '"'; return;
    case FieldType::kEnum: {
      const std::string_view name = enum_name(field, record.uint(field));
      if (name.empty()) {
        out += std::to_string(record.uint(field));
      } else {
        append_json_string(name, out);
      }
      return;
    }
    case FieldType::kIp: out += '"' + to_text(record.ip(field)) + '"'; return;
    case FieldType::kId128: out += '"' + hex(record.id128(field)) + '"'; return;
    case FieldType::kCbor: append_attrs_json(as_bytes(record.text(field)), out); return;
    case FieldType::kText: {
      const std::string_view text = record.text(field);
      if (is_utf8(as_bytes(text))) {
        append_json_string(text, out);
      } else {
        out += "{\"hex\":\"" + hex(as_bytes(text)) + "\"}";
      }
      return;
    }
  }
}

void append_json_members(const Record& record, std::string& out) {
  bool first = true;
  record.fields().for_each([&](Field field) {
    if (!first) out += ',';
    first = false;
    out += '"';
    out += info(field).name;
    out += "\":";
    append_json_value(record, field, out);
  });
}

std::string to_json(const Record& record) {
  std::string out = "{";
  append_json_members(record, out);
  out += '}';
  return out;
}

std::string to_display(const Record& record, Field field) {
  std::string buffer;
  switch (info(field).type) {
    case FieldType::kTime: return format_time(record.uint(field));
    case FieldType::kEnum: return std::string(enum_text(field, record.uint(field), buffer));
    case FieldType::kText: return escape_bytes(record.text(field));
    case FieldType::kIp: return to_text(record.ip(field));
    case FieldType::kId128: return hex(record.id128(field));
    default: append_json_value(record, field, buffer); return buffer;
  }
}

struct JsonReader::Parser {
  simdjson::dom::parser dom;
};

JsonReader::JsonReader() : parser_(std::make_unique<Parser>()) {}
JsonReader::~JsonReader() = default;

Status from_json(std::string_view json, Record& record) {
  return JsonReader().read(json, record);
}

Status JsonReader::read(std::string_view json, Record& record) {
  record.clear();
  simdjson::dom::element root;
  simdjson::dom::object object;
  if (const auto error = parser_->dom.parse(json.data(), json.size()).get(root); error != simdjson::SUCCESS) {
    return fail(ErrorCode::kBadInput, fmt::format("not JSON: {}", simdjson::error_message(error)));
  }
  if (root.get(object) != simdjson::SUCCESS) return fail(ErrorCode::kBadInput, "a JSON object was expected");
  for (const auto member : object) {
    const auto field = field_named(member.key);
    if (!field) return bad_member(member.key, "there is no field of that name");
    if (record.has(*field)) return bad_member(member.key, "it stands twice");
    if (const auto status = read_member(info(*field), member.value, record); !status) return status;
  }
  if (!record.has(Field::kKind)) return bad_member("kind", "it is missing");
  return {};
}

}  // namespace portbook

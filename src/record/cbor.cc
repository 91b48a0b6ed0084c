#include "record/cbor.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"
#include "record/cbor_item.h"

namespace portbook {

namespace {

constexpr size_t bytes_max_of_all_fields() {
  size_t total = 3;  // the map's head
  for (const FieldInfo& field : kFields) {
    const bool sized = field.type == FieldType::kText || field.type == FieldType::kCbor;
    total += 2 + 9 + (sized || field.type == FieldType::kIp || field.type == FieldType::kId128 ? field.maximum : 0);
  }
  return total;
}
static_assert(bytes_max_of_all_fields() <= kRecordBytesMax, "a record with every field at its maximum must still be encodable");

Byte* write_value(const Record& record, Field field, Byte* to) {
  switch (type_of(field)) {
    case FieldType::kUint:
    case FieldType::kTime:
    case FieldType::kDuration:
    case FieldType::kPort:
    case FieldType::kEnum: return write_cbor_head(to, CborMajor::kUnsigned, record.uint(field));
    case FieldType::kSigned: {
      const int64_t value = record.signed_value(field);
      if (value >= 0) return write_cbor_head(to, CborMajor::kUnsigned, static_cast<uint64_t>(value));
      return write_cbor_head(to, CborMajor::kNegative, ~static_cast<uint64_t>(value));
    }
    case FieldType::kIp: return write_cbor_string(to, CborMajor::kBytes, record.ip(field).canonical());
    case FieldType::kId128: return write_cbor_string(to, CborMajor::kBytes, record.id128(field));
    case FieldType::kCbor: return write_cbor_string(to, CborMajor::kBytes, as_bytes(record.text(field)));
    case FieldType::kText: {
      const ByteView text = as_bytes(record.text(field));
      return write_cbor_string(to, is_utf8(text) ? CborMajor::kText : CborMajor::kBytes, text);
    }
  }
  return to;
}

// Why a value was refused; null when it was taken.
const char* take_text(Field field, const CborItem& item, Record& record) {
  const FieldInfo& about = info(field);
  const bool cbor = about.type == FieldType::kCbor;
  if (item.major != CborMajor::kBytes && (cbor || item.major != CborMajor::kText)) return "a text was expected";
  if (item.bytes.size() > about.maximum) return "it is longer than the field's maximum";
  if (cbor && !is_canonical_attrs(item.bytes)) return "it is no canonical CBOR map of named values";
  if (!cbor && is_utf8(item.bytes) != (item.major == CborMajor::kText)) return "text must be CBOR text iff it is valid UTF-8";
  record.set(field, as_text(item.bytes));
  return nullptr;
}

const char* take_value(Field field, const CborItem& item, Record& record) {
  const FieldInfo& about = info(field);
  switch (about.type) {
    case FieldType::kUint:
    case FieldType::kTime:
    case FieldType::kDuration:
    case FieldType::kPort:
    case FieldType::kEnum:
      if (item.major != CborMajor::kUnsigned) return "an unsigned number was expected";
      if (item.value > about.maximum) return "it is above the field's maximum";
      if (item.value == 0 && about.type == FieldType::kPort) return "port 0 stands for nothing: an unknown port is left out";
      if (item.value == 0 && about.type == FieldType::kEnum && field != Field::kProto) return "0 is no value: unknown is left out";
      record.set(field, item.value);
      return nullptr;
    case FieldType::kSigned:
      if (item.major != CborMajor::kUnsigned && item.major != CborMajor::kNegative) return "a number was expected";
      if (item.value > static_cast<uint64_t>(INT64_MAX)) return "it is above the field's maximum";
      record.set_signed(field, static_cast<int64_t>(item.major == CborMajor::kUnsigned ? item.value : ~item.value));
      return nullptr;
    case FieldType::kIp:
      if (item.major != CborMajor::kBytes || (item.bytes.size() != 4 && item.bytes.size() != 16))
        return "an address of 4 or 16 bytes was expected";
      if (item.bytes.size() == 16 && Ip::v6(item.bytes.data()).is_v4()) return "IPv4-mapped IPv6 must be written as IPv4";
      record.set(field, item.bytes.size() == 4 ? Ip::v4(item.bytes.data()) : Ip::v6(item.bytes.data()));
      return nullptr;
    case FieldType::kId128: {
      if (item.major != CborMajor::kBytes || item.bytes.size() != 16) return "16 bytes were expected";
      Id128 id;
      std::memcpy(id.data(), item.bytes.data(), id.size());
      record.set(field, id);
      return nullptr;
    }
    case FieldType::kText:
    case FieldType::kCbor: return take_text(field, item, record);
  }
  return "its type is unknown";
}

bool is_known_value(Field field, const CborItem& item) {
  if (type_of(field) != FieldType::kEnum || field == Field::kProto || item.major != CborMajor::kUnsigned) return true;
  return item.value == 0 || is_named_value(field, item.value);
}

std::unexpected<Error> bad_record(size_t at, std::string_view what) {
  return fail(ErrorCode::kBadInput, fmt::format("record refused at byte {}: {}", at, what));
}

}  // namespace

size_t encode(const Record& record, Bytes& out) {
  const size_t before = out.size();
  // Room for the longest heads, so that what follows writes without looking: a key, a head and at most 16 bytes a field, and texts.
  size_t room = kCborHeadBytesMax + record.fields().size() * (2 * kCborHeadBytesMax + 16);
  record.fields().for_each([&](Field field) {
    const FieldType type = type_of(field);
    if (type == FieldType::kText || type == FieldType::kCbor) room += record.text(field).size();
  });
  out.resize(before + room);
  Byte* const start = out.data() + before;
  Byte* to = write_cbor_head(start, CborMajor::kMap, record.fields().size());
  record.fields().for_each([&](Field field) {
    to = write_cbor_head(to, CborMajor::kUnsigned, index_of(field));
    to = write_value(record, field, to);
  });
  const auto length = static_cast<size_t>(to - start);
  PB_CHECK(length <= kRecordBytesMax && length <= room);
  out.resize(before + length);
  return length;
}

Result<size_t> decode_first(ByteView bytes, Record& record) {
  record.clear();
  CborReader reader(bytes);
  CborItem map;
  if (!reader.next(map) || map.major != CborMajor::kMap) return bad_record(0, "a deterministic CBOR map was expected");
  uint64_t key_min = 0;
  for (uint64_t i = 0; i < map.value; ++i) {
    const size_t key_at = reader.offset();
    CborItem key;
    CborItem value;
    if (!reader.next(key) || key.major != CborMajor::kUnsigned) return bad_record(key_at, "a key in shortest form was expected");
    if (key.value < key_min) return bad_record(key_at, fmt::format("key {} is out of order or twice", key.value));
    key_min = key.value + 1;
    if (key.value >= kFieldCount) {
      return fail(ErrorCode::kNewer, fmt::format("record refused at byte {}: key {} is unknown, the source is newer than this book",
                                                 key_at, key.value));
    }
    const auto field = static_cast<Field>(key.value);
    const size_t value_at = reader.offset();
    if (!reader.next(value))
      return bad_record(value_at, fmt::format("{}: its value is not deterministic CBOR or is cut short", info(field).name));
    if (!is_known_value(field, value)) {
      return fail(ErrorCode::kNewer,
                  fmt::format("record refused at byte {}: {} has the unknown value {}, the source is newer than this book",
                              value_at, info(field).name, value.value));
    }
    if (const char* why = take_value(field, value, record))
      return bad_record(value_at, fmt::format("{}: {}", info(field).name, why));
  }
  if (reader.offset() > kRecordBytesMax)
    return bad_record(0, fmt::format("it has {} bytes, the maximum is {}", reader.offset(), kRecordBytesMax));
  if (!record.has(Field::kKind)) return bad_record(0, "kind is missing");
  return reader.offset();
}

Status decode(ByteView bytes, Record& record) {
  if (bytes.size() > kRecordBytesMax)
    return bad_record(0, fmt::format("it has {} bytes, the maximum is {}", bytes.size(), kRecordBytesMax));
  const auto length = decode_first(bytes, record);
  if (!length) return std::unexpected(length.error());
  if (*length != bytes.size()) return bad_record(*length, "bytes follow the record");
  return {};
}

Result<size_t> encoded_length(ByteView bytes) {
  CborReader reader(bytes);
  CborItem item;
  if (!reader.next(item) || item.major != CborMajor::kMap) return bad_record(0, "a deterministic CBOR map was expected");
  if (item.value > kFieldCount) return bad_record(0, fmt::format("the map has {} entries, this table {}", item.value, kFieldCount));
  for (uint64_t i = 0, items = item.value * 2; i < items; ++i) {
    const size_t at = reader.offset();
    if (!reader.next(item)) return bad_record(at, "not deterministic CBOR, or cut short");
    if (item.major == CborMajor::kMap) return bad_record(at, "a map within a record");
  }
  return reader.offset();
}

}  // namespace portbook

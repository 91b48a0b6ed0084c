#include "record/record.h"

#include <cstring>

#include "base/check.h"

namespace portbook {

namespace {

bool is_number(FieldType type) {
  return type == FieldType::kUint || type == FieldType::kTime || type == FieldType::kDuration || type == FieldType::kPort ||
         type == FieldType::kEnum;
}

bool is_text(FieldType type) {
  return type == FieldType::kText || type == FieldType::kCbor;
}

// The longest prefix of at most `maximum` bytes that does not split a UTF-8 sequence.
std::string_view cut_text(std::string_view text, size_t maximum) {
  size_t length = maximum;
  while (length > 0 && maximum - length < 3 && (static_cast<Byte>(text[length]) & 0xc0) == 0x80) --length;
  return text.substr(0, length);
}

}  // namespace

void Record::clear() {
  fields_.clear();
  text_.clear();
}

Record::Slot& Record::put(Field field) {
  fields_.add(field);
  return slots_[index_of(field)];
}

void Record::set(Field field, uint64_t value) {
  const FieldInfo& about = info(field);
  PB_CHECK(is_number(about.type));
  PB_CHECK(value <= about.maximum);
  if (about.type == FieldType::kPort && value == 0) {
    fields_.remove(field);
    return;
  }
  put(field).number = value;
}

void Record::set_signed(Field field, int64_t value) {
  PB_CHECK(info(field).type == FieldType::kSigned);
  put(field).number = static_cast<uint64_t>(value);
}

void Record::set(Field field, const Ip& value) {
  PB_CHECK(info(field).type == FieldType::kIp);
  put(field).ip = value;
}

void Record::set(Field field, const Id128& value) {
  PB_CHECK(info(field).type == FieldType::kId128);
  put(field).id = value;
}

void Record::set(Field field, std::string_view value) {
  const FieldInfo& about = info(field);
  PB_CHECK(is_text(about.type));
  if (value.size() > about.maximum) {
    PB_CHECK(about.type == FieldType::kText);
    value = cut_text(value, about.maximum);
    if (field != Field::kCut) {
      std::string cut(text_or(Field::kCut, ""));
      cut += cut.empty() ? "" : ",";
      cut += about.name;
      set(Field::kCut, cut);
    }
  }
  Slot& slot = put(field);
  slot.text.offset = static_cast<uint32_t>(text_.size());
  slot.text.length = static_cast<uint32_t>(value.size());
  text_.append(value);
}

void Record::set(Field ip_field, Field port_field, const Endpoint& endpoint) {
  set(ip_field, endpoint.ip);
  set(port_field, uint64_t{endpoint.port});
}

uint64_t Record::uint(Field field) const {
  PB_CHECK(has(field) && is_number(info(field).type));
  return slots_[index_of(field)].number;
}

int64_t Record::signed_value(Field field) const {
  PB_CHECK(has(field) && info(field).type == FieldType::kSigned);
  return static_cast<int64_t>(slots_[index_of(field)].number);
}

const Ip& Record::ip(Field field) const {
  PB_CHECK(has(field) && info(field).type == FieldType::kIp);
  return slots_[index_of(field)].ip;
}

const Id128& Record::id128(Field field) const {
  PB_CHECK(has(field) && info(field).type == FieldType::kId128);
  return slots_[index_of(field)].id;
}

std::string_view Record::text(Field field) const {
  PB_CHECK(has(field) && is_text(info(field).type));
  const Slot& slot = slots_[index_of(field)];
  return std::string_view(text_).substr(slot.text.offset, slot.text.length);
}

std::optional<Endpoint> Record::endpoint(Field ip_field, Field port_field) const {
  if (!has(ip_field)) return std::nullopt;
  return Endpoint{ip(ip_field), static_cast<uint16_t>(uint_or(port_field, 0))};
}

bool Record::operator==(const Record& other) const {
  if (fields_ != other.fields_) return false;
  bool same = true;
  fields_.for_each([&](Field field) {
    const FieldType type = info(field).type;
    const Slot& mine = slots_[index_of(field)];
    const Slot& theirs = other.slots_[index_of(field)];
    if (is_text(type)) {
      same = same && text(field) == other.text(field);
    } else if (type == FieldType::kIp) {
      same = same && mine.ip == theirs.ip;
    } else if (type == FieldType::kId128) {
      same = same && mine.id == theirs.id;
    } else {
      same = same && mine.number == theirs.number;
    }
  });
  return same;
}

std::optional<Endpoint> local_end(const Record& record) {
  switch (static_cast<Direction>(record.uint_or(Field::kDirection, 0))) {
    case Direction::kOut: return record.endpoint(Field::kSrcIp, Field::kSrcPort);
    case Direction::kIn: return record.endpoint(Field::kDstIp, Field::kDstPort);
    default: return std::nullopt;
  }
}

std::optional<Endpoint> remote_end(const Record& record) {
  switch (static_cast<Direction>(record.uint_or(Field::kDirection, 0))) {
    case Direction::kOut: return record.endpoint(Field::kDstIp, Field::kDstPort);
    case Direction::kIn: return record.endpoint(Field::kSrcIp, Field::kSrcPort);
    default: return std::nullopt;
  }
}

}  // namespace portbook

#include "record/record.h"

namespace portbook {

namespace {

// The longest prefix of at most `maximum` bytes that does not split a UTF-8 sequence.
std::string_view cut_text(std::string_view text, size_t maximum) {
  size_t length = maximum;
  while (length > 0 && maximum - length < 3 && (static_cast<Byte>(text[length]) & 0xc0) == 0x80) --length;
  return text.substr(0, length);
}

}  // namespace

void Record::set_cut(Field field, std::string_view value) {
  const FieldInfo& about = info(field);
  PB_CHECK(about.type == FieldType::kText);
  if (field != Field::kCut) {
    std::string cut(text_or(Field::kCut, ""));
    cut += cut.empty() ? "" : ",";
    cut += about.name;
    set(Field::kCut, cut);
  }
  set(field, cut_text(value, about.maximum));
}

void Record::set(Field ip_field, Field port_field, const Endpoint& endpoint) {
  set(ip_field, endpoint.ip);
  set(port_field, uint64_t{endpoint.port});
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

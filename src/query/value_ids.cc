#include "query/value_ids.h"

#include <algorithm>

#include "base/bytes.h"
#include "record/json.h"

namespace portbook {

namespace {
constexpr size_t kPlacesRemembered = 1024;  // texts of one block
constexpr size_t kOthersRemembered = 65'536;
}  // namespace

size_t ValueIds::WideHash::operator()(const Wide& wide) const {
  return (load_little<uint64_t>(wide.data()) ^ load_little<uint64_t>(wide.data() + 8)) * 0x9e3779b97f4a7c15U >> 16;
}

ValueIds::ValueIds(Field field, bool last_part, std::string_view prefix)
    : field_(field), last_part_(last_part), prefix_(prefix), values_(1), by_text_{{std::string(), kEmpty}} {}

uint32_t ValueIds::written(bool may_add) {
  std::string value = to_display(one_, field_);
  if (last_part_) value.erase(0, value.rfind('/') + 1);
  if (!value.starts_with(prefix_)) return kOther;
  const auto known = by_text_.find(value);
  if (known != by_text_.end()) return known->second;
  if (!may_add) return kRefused;
  const auto id = static_cast<uint32_t>(values_.size());
  bytes_ += value.size();
  by_text_.emplace(value, id);
  values_.push_back(std::move(value));
  return id;
}

uint32_t ValueIds::of_number(uint64_t number, bool may_add) {
  if (column_width(info(field_).type) == 2) {
    if (by_small_.empty()) by_small_.resize(65'536, kRefused);
    uint32_t& id = by_small_[number];
    if (id != kRefused) return id;
    one_.set(field_, number);
    return id = written(may_add);
  }
  const auto known = by_number_.find(number);
  if (known != by_number_.end()) return known->second;
  if (info(field_).type == FieldType::kSigned) {
    one_.set_signed(field_, static_cast<int64_t>(number));
  } else {
    one_.set(field_, number);
  }
  const uint32_t id = written(may_add);
  if (id < kOther || (id == kOther && by_number_.size() < kOthersRemembered)) by_number_.emplace(number, id);
  return id;
}

uint32_t ValueIds::of(const Columns& columns, uint64_t block, uint32_t row, bool may_add) {
  switch (info(field_).type) {
    case FieldType::kIp:
    case FieldType::kId128: {
      const Wide& wide = columns.storage().array<Wide>(field_)[row];
      const auto known = by_wide_.find(wide);
      if (known != by_wide_.end()) return known->second;
      if (info(field_).type == FieldType::kIp) {
        one_.set(field_, Ip{wide});
      } else {
        one_.set(field_, Id128{wide});
      }
      const uint32_t id = written(may_add);
      if (id < kOther || (id == kOther && by_wide_.size() < kOthersRemembered)) by_wide_.emplace(wide, id);
      return id;
    }
    case FieldType::kText:
    case FieldType::kCbor: {
      if (block != block_) {
        by_place_.assign(kPlacesRemembered, {});
        block_ = block;
      }
      const TextRef ref = columns.storage().array<TextRef>(field_)[row];
      KnownText& known = by_place_[(ref.offset * 0x9e3779b1U) >> 22];
      if (known.ref == ref && known.id != kRefused) return known.id;
      one_.clear();
      one_.set(field_, columns.text(row, field_));
      known = {ref, written(may_add)};
      return known.id;
    }
    case FieldType::kSigned: return of_number(static_cast<uint64_t>(columns.signed_value(row, field_)), may_add);
    default: return of_number(columns.uint(row, field_), may_add);
  }
}

uint32_t ValueIds::of(const Record& record, bool may_add) {
  switch (info(field_).type) {
    case FieldType::kIp: one_.set(field_, record.ip(field_)); break;
    case FieldType::kId128: one_.set(field_, record.id128(field_)); break;
    case FieldType::kText:
    case FieldType::kCbor:
      one_.clear();
      one_.set(field_, record.text(field_));
      break;
    case FieldType::kSigned: return of_number(static_cast<uint64_t>(record.signed_value(field_)), may_add);
    default: return of_number(record.uint(field_), may_add);
  }
  return written(may_add);
}

}  // namespace portbook

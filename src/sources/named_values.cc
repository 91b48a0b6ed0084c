#include "sources/named_values.h"

#include <map>
#include <string>
#include <utility>

#include "base/check.h"
#include "record/cbor_item.h"

namespace portbook {

namespace {
constexpr size_t kValueBytesMax = 1024;
}

void NamedValues::add(std::string_view name, std::string_view value) {
  if (value.empty() || value == "-") return;
  PB_CHECK(count_ < kMax);
  values_[count_++] = {name, value.substr(0, kValueBytesMax)};
}

void NamedValues::set_on(Record& record) {
  if (count_ == 0) return;
  Bytes map;
  append_cbor_head(map, CborMajor::kMap, count_);
  for (size_t i = 0; i < count_; ++i) {
    const auto& [name, value] = values_[i];
    append_cbor_string(map, CborMajor::kText, as_bytes(name));
    append_cbor_string(map, is_utf8(as_bytes(value)) ? CborMajor::kText : CborMajor::kBytes, as_bytes(value));
  }
  record.set(Field::kAttrs, as_text(map));
}

void add_values(std::span<const NamedValue> values, Record& record) {
  struct Shorter {
    bool operator()(std::string_view left, std::string_view right) const {
      return std::pair(left.size(), left) < std::pair(right.size(), right);
    }
  };
  const std::string before(record.has(Field::kAttrs) ? record.text(Field::kAttrs) : std::string_view());
  std::map<std::string_view, std::string_view, Shorter> all;
  CborReader reader(as_bytes(before));
  CborItem name;
  CborItem value;
  if (reader.next(name)) {
    while (reader.next(name) && reader.next(value)) all.emplace(as_text(name.bytes), as_text(value.bytes));
  }
  for (const NamedValue& one : values) {
    if (!one.value.empty() && one.value != "-") all.emplace(one.name, one.value.substr(0, kValueBytesMax));
  }
  if (all.empty()) return;
  Bytes map;
  append_cbor_head(map, CborMajor::kMap, all.size());
  for (const auto& [key, text] : all) {
    append_cbor_string(map, CborMajor::kText, as_bytes(key));
    append_cbor_string(map, is_utf8(as_bytes(text)) ? CborMajor::kText : CborMajor::kBytes, as_bytes(text));
  }
  record.set(Field::kAttrs, as_text(map));
}

}  // namespace portbook

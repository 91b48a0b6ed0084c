#include "sources/named_values.h"

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

}  // namespace portbook

// Builds a record's `attrs`: named texts as one canonical CBOR map.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "record/record.h"

namespace portbook {

// Names are given in the canonical order: shorter ones first, those of one length by their bytes. Values are borrowed until
// set_on().
class NamedValues {
 public:
  static constexpr size_t kMax = 8;

  // Nothing is added for an empty value or "-", by which proxies say that there is none. Cut at 1,024 bytes.
  void add(std::string_view name, std::string_view value);
  // Nothing where nothing was added.
  void set_on(Record& record);

 private:
  std::array<std::pair<std::string_view, std::string_view>, kMax> values_;
  size_t count_ = 0;
};

struct NamedValue {
  std::string_view name;
  std::string_view value;
};
// Adds to the `attrs` that a record has; a name that is there already stays as it is. In any order, else as add().
void add_values(std::span<const NamedValue> values, Record& record);

}  // namespace portbook

// Connections and records, as `search` and `tail` print them.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "cli/table.h"

namespace portbook {

// Prints one row after another in the chosen format.
class RowPrinter {
 public:
  // `columns`: names of fields, or of a row's own members (id, state, internal, external, …), joined with commas; empty: the usual.
  RowPrinter(Format format, std::string_view columns);
  // `json`: a row of the API, {"id":…,"record":{…},…}. Errors: kCorrupt when it is none.
  Status print(std::string_view json);
  // Prints the head when no row did, so that an empty answer is not an empty page.
  void finish();

 private:
  void print_head();
  Format format_;
  std::vector<std::string> columns_;  // empty: the usual
  Table table_;
  simdjson::dom::parser parser_;
  bool head_printed_ = false;
};

// The text of `object`'s member, whatever its type; empty when it is absent or null.
std::string member_text(simdjson::dom::element object, std::string_view name);
// "738 ms", "5.0 s", "1m 50.9s".
std::string duration_text(uint64_t ns);

}  // namespace portbook

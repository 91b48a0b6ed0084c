// A record as one JSON object with dotted names, and back.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "record/record.h"

namespace portbook {

// Appends the value of one field that the record has, as JSON.
void append_json_value(const Record& record, Field field, std::string& out);
// Appends `"name":value,…` for every field, without the braces, so that callers can add their own members.
void append_json_members(const Record& record, std::string& out);
// {"kind":"open","time":"2026-…Z",…}
std::string to_json(const Record& record);
// The value as people write it in a table: no quotes, enum names, times as text, bytes that are not UTF-8 escaped as \xHH.
std::string to_display(const Record& record, Field field);
// Appends `text` as a JSON string literal with its quotes; `text` must be valid UTF-8.
void append_json_string(std::string_view text, std::string& out);
// Reads to_json's form. Errors: kBadInput, naming the member.
Status from_json(std::string_view json, Record& record);

// from_json for many records: keeps the parser's memory. One thread's.
class JsonReader {
 public:
  JsonReader();
  ~JsonReader();
  // Errors: as from_json.
  Status read(std::string_view json, Record& record);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace portbook

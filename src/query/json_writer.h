// Writes JSON answers member by member.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "record/endpoint.h"
#include "record/json.h"

namespace portbook {

// Appends one JSON value to a text, with the commas where they belong. Texts that are not UTF-8 show their bytes as \\xHH.
class Json {
 public:
  // `out` must outlive it.
  explicit Json(std::string& out) : out_(out) {}

  void open(char bracket) {
    comma();
    out_ += bracket;
    first_ = true;
  }
  void open(std::string_view name, char bracket) {
    key(name);
    out_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    out_ += bracket;
    first_ = false;
  }
  void text(std::string_view name, std::string_view value) {
    key(name);
    append_text(value);
  }
  // An empty text is null.
  void text_or_null(std::string_view name, std::string_view value) { value.empty() ? null(name) : text(name, value); }
  void number(std::string_view name, uint64_t value) {
    key(name);
    out_ += std::to_string(value);
  }
  void null(std::string_view name) {
    key(name);
    out_ += "null";
  }
  void time(std::string_view name, const std::optional<TimeNs>& value) { value ? text(name, format_time(*value)) : null(name); }
  void number(std::string_view name, const std::optional<uint64_t>& value) { value ? number(name, *value) : null(name); }
  void endpoint(std::string_view name, const std::optional<Endpoint>& value) {
    if (!value) return null(name);
    text(name, value->port == 0 ? to_text(value->ip) : to_text(*value));
  }
  void boolean(std::string_view name, bool value) {
    key(name);
    out_ += value ? "true" : "false";
  }
  // `json` is one whole JSON value.
  void raw(std::string_view name, std::string_view json) {
    key(name);
    out_ += json;
  }
  // Elements of an array.
  void element(std::string_view value) {
    comma();
    append_text(value);
  }
  void element_raw(std::string_view json) {
    comma();
    out_ += json;
  }
  void numbers(std::string_view name, const std::vector<uint64_t>& values) {
    key(name);
    out_ += fmt::format("[{}]", fmt::join(values, ","));
  }

 private:
  void append_text(std::string_view value) {
    is_utf8(as_bytes(value)) ? append_json_string(value, out_) : append_json_string(escaped(value), out_);
  }
  // Names and paths are bytes: those that are not UTF-8 show what they hold.
  static std::string escaped(std::string_view value) {
    std::string out;
    for (const char c : value) {
      const auto byte = static_cast<unsigned char>(c);
      byte < 0x80 ? out += c : out += fmt::format("\\x{:02x}", byte);
    }
    return out;
  }
  void comma() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  void key(std::string_view name) {
    comma();
    out_ += fmt::format("\"{}\":", name);
  }
  std::string& out_;
  bool first_ = true;
};

}  // namespace portbook

// Reads lists of questions for `who`: raw log lines, one endpoint a line, or the columns of somebody's table.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace portbook {

// Line by line, in order. A first line of column names (comma, semicolon or tab; Zeek's "#fields") makes every later line a row:
// its cells are then read as "name=value", so that "src_ip" and "dst_port" say which end they mean. Else each line stands for
// itself.
class QuestionList {
 public:
  // `columns`: only those columns of the table are read, by name; empty: all.
  explicit QuestionList(std::vector<std::string> columns) : wanted_(std::move(columns)) {}

  // The text to ask about; nothing for a line that asks nothing (blank, a comment, the column names).
  // Errors: kBadInput when a wanted column is not there; then no later line can be read either.
  Result<std::optional<std::string>> read(std::string_view line);

 private:
  [[nodiscard]] std::string labelled(const std::vector<std::string>& cells) const;
  Result<bool> take_header(std::string_view line);

  std::vector<std::string> wanted_;
  std::vector<std::string> names_;  // empty: lines stand for themselves; an empty name is a column that is not read
  char separator_ = ',';
  bool first_ = true;
};

// The cells of one line (RFC 4180: a cell in quotes may hold the separator, and "" for a quote).
std::vector<std::string> split_cells(std::string_view line, char separator);

}  // namespace portbook

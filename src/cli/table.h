// Aligned tables for a terminal, and comma-separated values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace portbook {

// Whether standard output takes colours: a terminal, and NO_COLOR is not set (no-color.org).
bool use_colour();

enum class Ink { kPlain, kDim, kBold, kInternal, kExternal, kGood, kBad, kWarn };
// `text` in that ink, or as it is without colours.
std::string in_ink(Ink ink, std::string_view text);

struct Cell {
  std::string text;
  Ink ink = Ink::kPlain;
};

// Rows are printed as they come: widths start from the columns' and only grow, so that a live table need not wait.
class Table {
 public:
  struct Column {
    std::string head;
    size_t width = 0;  // at least
    bool right = false;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void print_head();
  // Needs as many cells as columns.
  void print_row(const std::vector<Cell>& cells);

 private:
  void print_cell(size_t column, const Cell& cell);
  std::vector<Column> columns_;
};

// Number of terminal cells that UTF-8 `text` takes, one for each code point.
size_t display_width(std::string_view text);

// One line of RFC 4180 comma-separated values, with its newline.
std::string csv_line(const std::vector<std::string>& values);

}  // namespace portbook

#include "cli/table.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"

namespace portbook {

bool use_colour() {
  static const bool colour = [] {
    const char* no_colour = std::getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0');
  }();
  return colour;
}

std::string in_ink(Ink ink, std::string_view text) {
  constexpr std::string_view kCodes[] = {"", "2", "1", "36", "35", "32", "31", "33"};
  if (ink == Ink::kPlain || text.empty() || !use_colour()) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", kCodes[static_cast<size_t>(ink)], text);
}

size_t display_width(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

void Table::print_cell(size_t column, const Cell& cell) {
  Column& about = columns_[column];
  const size_t width = display_width(cell.text);
  about.width = std::max(about.width, width);
  const bool last = column + 1 == columns_.size();
  const std::string padding(about.width - width, ' ');
  if (about.right) {
    fmt::print("{}{}{}", padding, in_ink(cell.ink, cell.text), last ? "\n" : "  ");
  } else {
    fmt::print("{}{}{}", in_ink(cell.ink, cell.text), last ? "" : padding, last ? "\n" : "  ");
  }
}

void Table::print_head() {
  for (size_t i = 0; i < columns_.size(); ++i) print_cell(i, {columns_[i].head, Ink::kDim});
}

void Table::print_row(const std::vector<Cell>& cells) {
  PB_CHECK(cells.size() == columns_.size());
  for (size_t i = 0; i < cells.size(); ++i) print_cell(i, cells[i]);
}

std::string csv_line(const std::vector<std::string>& values) {
  std::string line;
  for (const std::string& value : values) {
    if (&value != &values.front()) line += ',';
    if (value.find_first_of(",\"\r\n") == std::string::npos) {
      line += value;
      continue;
    }
    line += '"';
    for (const char c : value) {
      if (c == '"') line += '"';
      line += c;
    }
    line += '"';
  }
  line += "\n";
  return line;
}

}  // namespace portbook

// Text as a terminal shows it: without what a terminal would take as a command, and as wide as it comes out.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace portbook {

// The text with a question mark for each thing that a terminal or a reader's eye would not take as text: control characters (C0
// with line ends and tabs, DEL, C1), marks that turn the direction of writing, separators of lines, and bytes that are not UTF-8.
std::string printable(std::string_view text);

// The same for JSON, whose meaning stays: DEL, C1 and marks of direction are written as \u00XX. Line ends are left alone.
std::string printable_json(std::string_view json);

// Columns that printable text takes: none for a combining mark, two for a wide character.
size_t display_width(std::string_view text);

// The text, or as much of its beginning as leaves room for an ellipsis within `columns`. Needs printable text.
std::string cut_to_width(std::string_view text, size_t columns);

}  // namespace portbook

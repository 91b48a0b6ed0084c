// What a command says: to people on a terminal, to programs in a pipe. Whatever comes from a book is text, never a command to the
// terminal.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "cli/terminal_text.h"

namespace portbook {

enum class Colour : uint8_t { kAuto, kAlways, kNever };
// Which colours the user asked for with --color. Before anything is printed.
void choose_colour(Colour wanted);
// True iff standard output takes colours: asked for, or a terminal that is not TERM=dumb, and NO_COLOR is not set or empty
// (https://no-color.org).
bool use_colour();

// Columns of the terminal that standard output is, when this was first asked; 0 when it is none, or does not say.
size_t terminal_columns();
// True iff somebody looks at standard error while it is written: progress goes there and nowhere else.
bool shows_progress();
// Puts a line of progress in the place of the one before it; nothing where nobody looks. An empty line takes it away.
void show_progress(std::string_view line);

enum class Ink : uint8_t { kPlain, kBold, kDim, kInternal, kExternal, kGood, kWarn, kBad };

// Text that a terminal may be sent: printable, with nothing in it but our own colours.
class Shown {
 public:
  Shown(const char* text) : text_(printable(text)) {}         // NOLINT(google-explicit-constructor): every text may be shown
  Shown(std::string_view text) : text_(printable(text)) {}    // NOLINT(google-explicit-constructor)
  Shown(const std::string& text) : text_(printable(text)) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }
  Shown& operator+=(const Shown& more) {
    text_ += more.text_;
    return *this;
  }
  friend Shown operator+(Shown before, const Shown& after) { return before += after; }

 private:
  friend Shown inked(Ink ink, std::string_view text);
  std::string text_;
};

// The text in a colour where colours are wanted.
Shown inked(Ink ink, std::string_view text);

// Bytes for programs, as they are: CSV, proofs. What standard output does not take ends the process: one sentence on standard
// error, exit code 5.
void write_out(std::string_view bytes);
// Hands over what waits in the buffer. Ends the process as above.
void flush_out();
// JSON for programs, as above; characters that a terminal would obey are escaped.
inline void write_json(std::string_view json) {
  write_out(printable_json(json));
}
// Bytes for standard error, behind what was printed before; what it does not take is lost, since nobody is there to be told.
void write_error(std::string_view bytes);

// How say() and tell() take a value: texts become printable, numbers stay.
template <typename T>
decltype(auto) as_shown(const T& value) {
  if constexpr (std::is_same_v<T, Shown>) {
    return std::string_view(value.text());
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return printable(value);
  } else {
    return (value);
  }
}
template <typename T>
using AsShown = std::remove_cvref_t<decltype(as_shown(std::declval<const std::remove_cvref_t<T>&>()))>;

// What say() would print.
template <typename... T>
std::string shown(fmt::format_string<AsShown<T>...> format, const T&... values) {
  return fmt::format(fmt::runtime(fmt::string_view(format)), as_shown(values)...);
}
// A sentence or a line for people, on standard output.
template <typename... T>
void say(fmt::format_string<AsShown<T>...> format, const T&... values) {
  write_out(shown<T...>(format, values...));
}
// The same on standard error: what is no part of the answer.
template <typename... T>
void tell(fmt::format_string<AsShown<T>...> format, const T&... values) {
  write_error(shown<T...>(format, values...));
}

}  // namespace portbook

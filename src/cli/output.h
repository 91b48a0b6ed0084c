// What commands print: nothing here throws or aborts, whatever became of the terminal, pipe or file behind it.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace portbook {

// Writes to standard output. False once a write has failed (a full disk, a closed pipe): from then on nothing is written, and
// finish_output() says why.
bool write_out(std::string_view text);
template <typename... Args>
bool print_out(fmt::format_string<Args...> format, Args&&... args) {
  return write_out(fmt::format(format, std::forward<Args>(args)...));
}
// Writes what is buffered; false as above.
bool flush_out();

// Writes to standard error, behind what was printed before. What cannot be said there cannot be said anywhere.
void write_err(std::string_view text);
template <typename... Args>
void print_err(fmt::format_string<Args...> format, Args&&... args) {
  write_err(fmt::format(format, std::forward<Args>(args)...));
}

// At a command's end: its exit code, or that of a failed write, after saying on standard error what failed.
int finish_output(int code);

}  // namespace portbook

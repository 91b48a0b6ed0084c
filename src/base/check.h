// Checks that stay on in release builds: a failed check is a bug in portbook, never an operating error.
#pragma once

namespace portbook {

// Prints the failed condition with its place and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace portbook

// The only macro of the code base: it has to know the text and the place of its condition.
#define PB_CHECK(condition)                                     \
  do {                                                          \
    if (!(condition)) [[unlikely]]                              \
      ::portbook::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)

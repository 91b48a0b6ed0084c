#include "cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/result.h"

namespace portbook {

namespace {

Colour chosen = Colour::kAuto;     // set once, by the parser of the command line
std::atomic<int> failed_with = 0;  // errno of the first write to standard output that failed

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

bool is_dumb() {
  const char* terminal = std::getenv("TERM");
  return terminal != nullptr && std::string_view(terminal) == "dumb";
}

void note_failure() {
  if (failed_with == 0) failed_with = errno;
}

[[noreturn]] void end_without_output() {
  write_error(fmt::format("portbook: cannot write to standard output: {}\n", std::strerror(failed_with)));
  std::_Exit(exit_code(ErrorCode::kIo));  // not exit: it would try to write the rest once more
}

}  // namespace

void choose_colour(Colour wanted) {
  chosen = wanted;
}

bool use_colour() {
  if (chosen != Colour::kAuto) return chosen == Colour::kAlways;
  static const bool kTakesColours = isatty(STDOUT_FILENO) != 0 && !is_set("NO_COLOR") && !is_dumb();
  return kTakesColours;
}

size_t terminal_columns() {
  static const size_t kColumns = [] {
    winsize size{};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size_t{size.ws_col} : 0;
  }();
  return kColumns;
}

bool shows_progress() {
  static const bool kLookedAt = isatty(STDERR_FILENO) != 0 && !is_dumb();
  return kLookedAt;
}

void show_progress(std::string_view line) {
  if (shows_progress()) write_error(fmt::format("\r\033[K{}", printable(line)));
}

Shown inked(Ink ink, std::string_view text) {
  static constexpr std::array<std::string_view, 8> kCodes = {"", "1", "2", "36", "35", "32", "33", "31"};
  Shown out(text);
  if (use_colour() && ink != Ink::kPlain && !out.empty())
    out.text_ = fmt::format("\033[{}m{}\033[0m", kCodes[static_cast<size_t>(ink)], out.text_);
  return out;
}

void write_out(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) note_failure();
  if (failed_with != 0) end_without_output();
}

void flush_out() {
  if (std::fflush(stdout) != 0) note_failure();
  if (failed_with != 0) end_without_output();
}

void write_error(std::string_view bytes) {
  if (failed_with == 0 && std::fflush(stdout) != 0) note_failure();
  (void)std::fwrite(bytes.data(), 1, bytes.size(), stderr);
}

}  // namespace portbook

#include "cli/output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/result.h"

namespace portbook {

namespace {
int failed_with = 0;  // errno of the first write that failed; one thread prints
}  // namespace

bool write_out(std::string_view text) {
  if (failed_with != 0) return false;
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) failed_with = errno == 0 ? EIO : errno;
  return failed_with == 0;
}

bool flush_out() {
  if (failed_with != 0) return false;
  errno = 0;
  if (std::fflush(stdout) != 0) failed_with = errno == 0 ? EIO : errno;
  return failed_with == 0;
}

void write_err(std::string_view text) {
  flush_out();
  std::fwrite(text.data(), 1, text.size(), stderr);
}

int finish_output(int code) {
  if (flush_out()) return code;
  print_err("portbook: what was to be printed could not be written: {}\n", std::strerror(failed_with));
  return exit_code(ErrorCode::kIo);
}

}  // namespace portbook

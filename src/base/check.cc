#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace portbook {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "portbook: bug: check failed: %s at %s:%d\n", condition, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace portbook

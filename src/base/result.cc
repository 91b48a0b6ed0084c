#include "base/result.h"

#include <array>
#include <cstddef>

#include "base/check.h"

namespace portbook {

int exit_code(ErrorCode code) {
  constexpr std::array kCodes = {2, 3, 4, 5, 6, 7, 8, 9};
  const auto index = static_cast<size_t>(code);
  PB_CHECK(index < kCodes.size());
  return kCodes[index];
}

}  // namespace portbook

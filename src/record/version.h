// The version of this program, as it stands in records and answers.
#pragma once

#include <string_view>

namespace portbook {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace portbook

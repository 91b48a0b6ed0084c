// Which logs of programs that portbook understands are on this host.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "logs/log_shipper.h"

namespace portbook {

// The logs at the places where Debian's and Fedora's packages put them, that are there and that this process may read, in the order
// of their programs. `root` stands before each path; "/" but in tests.
std::vector<FollowedLog> find_logs(const std::filesystem::path& root = "/");

// "FILE:FORMAT" or, where `format` is not empty, "FILE"; `named` has the names that are taken. Errors: kBadInput.
Result<FollowedLog> parse_followed_log(std::string_view text, std::string_view format, const std::vector<FollowedLog>& named);

// "haproxy".
std::string_view name_of(LineFormat format);

// What the program has to be told so that its lines name every port; one sentence.
std::string_view advice_for(LineFormat format);

}  // namespace portbook

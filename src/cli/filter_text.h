// The filter as it was typed, made into what the book reads.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace portbook {

// The words joined, with every FIELD:@FILE (or FIELD:@"FILE") outside quotes replaced by the values in that file: one on each line,
// its first cell or word; blank lines and those that begin with # are left out. The file is read here, by who asks: the book opens
// none. Errors: kNotFound (cannot be read), kBadInput (no values in it; a filter with lists that cannot be read, by the list's line
// or the position in what was typed), kLimit (the filter becomes longer than the book takes).
Result<std::string> filter_text(const std::vector<std::string>& words);

}  // namespace portbook

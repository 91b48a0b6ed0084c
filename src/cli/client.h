// Asks a running book over its unix socket or a loopback URL.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cli/command.h"

namespace portbook {

using Params = std::vector<std::pair<std::string, std::string>>;

// One connection, one question at a time.
class Client {
 public:
  // Errors: kUnavailable (no book is running there), kDenied (another user's book), kBadInput (not an http URL).
  static Result<std::unique_ptr<Client>> connect(const BookChoice& choice);
  virtual ~Client() = default;

  // Calls `line` for each line of the answer's body as it arrives, without its newline, until it returns false.
  // Errors: what the book answered, as its code and sentence; kUnavailable when the connection broke.
  virtual Status get_lines(std::string_view path, const Params& params, const std::function<bool(std::string_view)>& line) = 0;
  // The whole body. Errors as above.
  Result<std::string> get(std::string_view path, const Params& params = {});
};

}  // namespace portbook

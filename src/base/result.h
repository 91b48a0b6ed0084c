// Operating errors (disk full, peer reset, corrupt file, bad query) as values; no exception crosses our functions.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace portbook {

// What kind of thing went wrong; decides the exit code and the HTTP status.
enum class ErrorCode {
  kBadInput,     // the caller's bytes or words are wrong: exit 2, HTTP 400
  kNotFound,     // no such record, file or book: exit 3, HTTP 404
  kDenied,       // privilege or credential missing: exit 4, HTTP 403
  kIo,           // the disk or the network failed: exit 5, HTTP 500
  kCorrupt,      // stored bytes are not what was written: exit 6, HTTP 500
  kLimit,        // a named limit was reached: exit 7, HTTP 413
  kUnavailable,  // not running, read-only, or shutting down: exit 8, HTTP 503
  kNewer,        // written by a newer portbook: exit 9, HTTP 400
};

// One operating error: a code and one sentence for a person. Context is put in front on the way up.
struct Error {
  ErrorCode code = ErrorCode::kIo;
  std::string message;

  // The same error with "`context`: " in front of its message.
  [[nodiscard]] Error in(std::string_view context) const { return {code, std::string(context) + ": " + message}; }
};

template <typename T>
using Result = std::expected<T, Error>;

using Status = Result<void>;

// Shorthand for returning an error.
[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

// Passes the error of `result` on with "`context`: " in front.
template <typename T>
[[nodiscard]] std::unexpected<Error> fail_in(std::string_view context, const Result<T>& result) {
  return std::unexpected(result.error().in(context));
}

// The process exit code for an error: 2 to 9, as listed at ErrorCode.
[[nodiscard]] int exit_code(ErrorCode code);

}  // namespace portbook

// Asks a running book over its unix socket or a URL.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace portbook {

// How a book on another machine is asked.
struct RemoteAccess {
  std::string token;
  std::filesystem::path authority;  // PEM: whose certificates to believe; empty: this machine's usual ones
};

// One connection for each request; blocking. Moves only.
class Client {
 public:
  // Errors: kBadInput (a path too long for a unix socket).
  static Result<Client> over_unix_socket(const std::filesystem::path& socket);
  // "http://127.0.0.1:7171", "https://book.example.org:7171". Errors: kBadInput (not such a URL; a token over plain HTTP to
  // elsewhere; an authority's file that holds no certificate).
  static Result<Client> over_url(std::string_view url, const RemoteAccess& access);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  using Params = std::vector<std::pair<std::string, std::string>>;  // empty values are left out
  // The whole body. Errors: what the book answered, as an error of ours; kUnavailable (nothing answers there); kDenied; kIo when
  // the connection broke.
  Result<std::string> get(std::string_view path, const Params& params = {});
  // The same, held against a limit; progress() gets the bytes so far as they come. Errors: also kLimit.
  Result<std::string> get(std::string_view path, const Params& params, size_t bytes_max,
                          const std::function<void(size_t bytes)>& progress);
  // The same with another method: "POST", "DELETE".
  Result<std::string> send(std::string_view method, std::string_view path, const Params& params = {});
  // Calls line() for each line of the body, without its newline, until it returns false. Errors as above.
  Status lines(std::string_view path, const Params& params, const std::function<bool(std::string_view line)>& line);

 private:
  struct Place;
  explicit Client(std::unique_ptr<Place> place);
  std::unique_ptr<Place> place_;
};

// The error that a book says as the last line of a stream, {"error":{…}}.
Error book_error(std::string_view line);

}  // namespace portbook

// The HTTP/1.1 listener: sockets, limits and who may ask. It knows no route; a handler answers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace portbook {

inline constexpr size_t kHttpHeaderBytesMax = 16 * 1024;
inline constexpr size_t kHttpBodyBytesMax = 8 * 1024 * 1024;
inline constexpr size_t kHttpConnectionsMax = 1024;
inline constexpr size_t kHttpAnswersMax = 256;  // answers under way at once, tails among them; each has a thread
inline constexpr size_t kHttpUnsentBytesMax = 256 * 1024;
inline constexpr unsigned kHttpIdleSeconds = 30;  // a client that sends no request, or takes no byte, for so long is let go

struct HttpRequest {
  std::string method;                                      // HEAD arrives as GET; the body of its answer is left out
  std::string path;                                        // percent-decoded, without the query
  std::vector<std::pair<std::string, std::string>> query;  // percent-decoded, '+' is a blank
  std::string body;
  std::string last_event_id;
  std::string if_none_match;
  std::string accept_encoding;
  uint32_t caller_uid = 0;  // whose process asked, as the kernel says

  // The first parameter of that name; valid as long as the request.
  [[nodiscard]] std::optional<std::string_view> param(std::string_view name) const;
};

// Splits "/path?a=b&c" into a request's path and query. False if an escape is malformed or decodes to a zero byte.
bool parse_target(std::string_view target, HttpRequest& request);

// One answer under way. Used by one handler on its own thread.
class HttpResponse {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  virtual ~HttpResponse() = default;

  // The whole answer at once. Exactly one of whole() and begin() is called, once.
  virtual void whole(int status, std::string_view content_type, std::string body, const Headers& headers = {}) = 0;
  // Starts an answer whose length is not known yet.
  virtual void begin(int status, std::string_view content_type, const Headers& headers = {}) = 0;
  // Sends a part; waits while kHttpUnsentBytesMax are unsent. False when the client has gone, took nothing for
  // kHttpIdleSeconds, or the server stops: the handler should return.
  virtual bool write(std::string_view part) = 0;
  // True once write() would return false. Long work that writes nothing asks this now and then.
  [[nodiscard]] virtual bool gone() const = 0;
};

using HttpHandler = std::function<void(const HttpRequest&, HttpResponse&)>;

struct HttpOptions {
  std::string address = "127.0.0.1";  // loopback only
  uint16_t port = 0;                  // 0: any free one
  std::filesystem::path unix_socket;  // mode 0600; empty for none
};

// Listens on loopback TCP and on a unix socket. A caller is known by the uid that owns its end of the connection: root, the uid of
// this process and members of the group `portbook` may ask; others get 403. Over TCP, `Host` must name this server on loopback and
// `Origin`, when there is one, this server, else 403: a page of somebody else must not ask through a browser.
class HttpServer {
 public:
  // `handler` is called from threads of the server, several at once.
  // Errors: kUnavailable (port in use, naming it); kDenied (an address that is not loopback); kBadInput; kIo.
  static Result<std::unique_ptr<HttpServer>> start(const HttpOptions& options, HttpHandler handler);
  // Ends every answer under way and joins all threads.
  virtual ~HttpServer() = default;
  [[nodiscard]] virtual uint16_t port() const = 0;
};

}  // namespace portbook

// HTTP/1.1 as bytes: requests out of what a client sends, the head of an answer. No sockets, no threads.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "server/http.h"

namespace portbook {

// A request that is whole, and what decides whether it is answered.
struct ReadRequest {
  HttpRequest request;      // without caller and time
  bool readable = true;     // false: path or query are no percent-encoded UTF-8
  size_t target_bytes = 0;  // path and query, encoded
  std::string host;
  std::string origin;
  std::string fetch_site;  // what a browser says of who asks (Fetch Metadata)
  std::string fetch_mode;
  unsigned version = 11;  // 10: no chunks
  bool keep_alive = false;
};

// The requests of one connection, out of bytes as they come.
class RequestReader {
 public:
  struct NeedMore {};
  // NeedMore; a request; or why this is none, after which nothing more can be read.
  using Step = std::variant<NeedMore, ReadRequest, HttpResponse>;

  // `admit` is asked of each request that has a body; empty: each may have kRequestBodyBytesMax bytes.
  explicit RequestReader(HttpAdmit admit = {});
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  // Where the next bytes of the client go; valid until the next call of any kind.
  std::span<char> space();
  // The first `bytes` of space() are the client's.
  void took(size_t bytes);
  Step next();
  // Whether the client waits to be told to send the body (RFC 9110 section 10.1.1); true once.
  bool take_wants_continue() { return std::exchange(wants_continue_, false); }

 private:
  struct Parser;
  std::optional<HttpResponse> decide_body();

  const HttpAdmit admit_;
  BodyPass pass_;
  bool decided_ = false;  // about the body of the request that is read
  bool wants_continue_ = false;
  std::unique_ptr<Parser> parser_;
  std::string bytes_;  // read; those before start_ are done with
  size_t start_ = 0;
  size_t end_ = 0;
};

enum class BodyIs {
  kWhole,    // of `body_bytes`
  kChunked,  // see chunk_head()
  kNone,     // none follows, whatever the head says (304)
};
// Status line and header lines, with the empty line.
std::string response_head(const HttpResponse& response, unsigned version, bool keep_alive, BodyIs body, size_t body_bytes);
// What stands before a chunk of so many bytes (more than 0), behind each, and in place of the last. Source: RFC 9112 section 7.1.
std::string chunk_head(size_t bytes);
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// An error as the API says it.
HttpResponse refusal(int status, std::string_view code, std::string_view message);

// Why the request is refused before anybody looks what it asks; nothing: it is not. Of this machine's callers the Host header must
// be a loopback name (a web site may point a name of its own here), and no other web site may ask.
std::optional<HttpResponse> refused_unseen(const ReadRequest& read, const Caller& caller);

}  // namespace portbook

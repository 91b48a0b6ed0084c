// The sockets: listens on loopback, or anywhere with TLS, and on a unix socket; reads requests within limits, writes answers and
// streams.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "server/caller.h"
#include "server/tls.h"

namespace portbook {

inline constexpr size_t kRequestHeaderBytesMax = 32 * 1024;  // all header lines together
inline constexpr size_t kRequestTargetBytesMax = 24 * 1024;  // path and query
inline constexpr size_t kConnectionsMax = 2048;              // open at once, of this machine's callers and of others each
inline constexpr size_t kStreamsMax = 256;                   // answers that stream at once, without tails
inline constexpr size_t kTailsMax = 1024;                    // answers that last as long as their clients stay
inline constexpr size_t kChunkBytes = 64 * 1024;             // a stream makes no more than about this before the client takes it
inline constexpr size_t kUntakenBytesMax = 256 << 20;        // of whole answers that their clients have not taken yet
inline constexpr double kTailPiecesPerMs = 2;                // of all tails together: beyond it they come later

struct HttpRequest {
  std::string method;
  std::string path;                                         // decoded, begins with '/'
  std::vector<std::pair<std::string, std::string>> params;  // decoded, in order
  std::string last_event_id;
  std::string if_none_match;
  std::string authorization;
  std::string cookie;
  std::string body;
  std::string content_type;
  std::string content_encoding;
  std::shared_ptr<void> held;  // of its BodyPass; shared: with whoever works on it after the client has gone
  bool accepts_gzip = false;
  bool accepts_html = false;
  Caller caller;
  TimeNs received = 0;  // when it had been read

  // The value of the first parameter of that name; nothing when absent. Valid as long as the request.
  [[nodiscard]] std::optional<std::string_view> param(std::string_view name) const;
};

// A body made piece by piece. Its calls come one at a time, from worker threads.
class BodyStream {
 public:
  enum class Next {
    kMore,  // call again once the client has taken what was appended
    kWait,  // nothing now: call again when the book has grown, or after a second; only of a stream that lasts
    kEnd,
  };
  virtual ~BodyStream() = default;
  // Appends to `out`; returns within some tens of milliseconds, so that a client that has gone is noticed.
  virtual Next next(std::string& out) = 0;
  // True: it lasts as long as its client stays. Such streams give way to every other answer: they have a worker of their own, of
  // low priority, and take turns.
  [[nodiscard]] virtual bool lasts() const { return false; }
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json; charset=utf-8";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string_view fixed_body;         // instead of `body`: bytes that live as long as the program
  std::unique_ptr<BodyStream> stream;  // instead of both
  // Above 0: this is no answer yet; the handler is to be called again with the same request after so long. No worker waits.
  std::chrono::milliseconds ask_again{0};
};

inline constexpr size_t kRequestBodyBytesMax = 64 * 1024;  // where nobody says otherwise

// Whether a body may come.
struct BodyPass {
  size_t bytes_max = kRequestBodyBytesMax;
  std::shared_ptr<void> held = {};           // goes with the request
  std::optional<HttpResponse> refusal = {};  // instead
};
// Asked once of each request that has a body, when its head has come; `bytes` are nothing where they come in chunks. From the
// thread of the sockets: must not wait.
using HttpAdmit = std::function<BodyPass(const HttpRequest& head, std::optional<uint64_t> bytes)>;

// Answers one request. Called from worker threads, several at once.
using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

struct HttpOptions {
  std::string address = "127.0.0.1";  // without TLS loopback only
  uint16_t port = 7171;               // 0: any free one
  TlsIdentity tls;                    // none: plain HTTP, and callers are known by their port's uid
  HttpAdmit admit;                    // empty: kRequestBodyBytesMax for all
  std::filesystem::path unix_socket;  // made with mode 0600; empty: none
};

// Counts for /metrics.
struct HttpStatistics {
  uint64_t requests = 0;
  uint64_t refused = 0;  // over a limit, not allowed or not HTTP
  uint64_t connections = 0;
  uint64_t streams = 0;  // open, without tails
  uint64_t tails = 0;    // open
};

class HttpServer {
 public:
  // Takes the port and the socket's path; who connects waits until run().
  // Errors: kBadInput (not an address; not loopback and no TLS), kUnavailable (port in use), kDenied, kIo. One sentence each.
  static Result<std::unique_ptr<HttpServer>> bind(const HttpOptions& options, HttpHandler handler);
  // Begins to answer. Once.
  virtual void run() = 0;
  // Closes every connection and joins the threads; afterwards the handler is not called any more.
  virtual ~HttpServer() = default;

  [[nodiscard]] virtual uint16_t port() const = 0;
  // For connections from now on. Thread-safe; only of a server that was bound with TLS.
  virtual void use_tls(TlsIdentity identity) = 0;
  // Streams that wait look again. Thread-safe, does not block.
  virtual void wake_streams() = 0;
  [[nodiscard]] virtual HttpStatistics statistics() const = 0;
};

// Percent-decoding; '+' is a blank in queries. Nothing when an escape is broken.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_blank);
std::string percent_encoded(std::string_view text);

// The path and parameters of a request as one may be asked for again, in ASCII.
std::string target_of(const HttpRequest& request);
// Whether a browser that is sent there stays with this server: printable ASCII of at most kTargetBytesMax that begins with one '/'
// and that no browser reads as the beginning of a host.
bool is_own_target(std::string_view target);
inline constexpr size_t kTargetBytesMax = 4096;

}  // namespace portbook

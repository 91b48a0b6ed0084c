#include "server/http_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/check.h"
#include "record/endpoint.h"
#include "record/json.h"

namespace portbook {

namespace {

namespace http = boost::beast::http;
using RawRequest = http::request<http::string_body>;

constexpr size_t kReadBytes = 8 * 1024;

std::string_view text_of(const boost::core::string_view& text) {
  return {text.data(), text.size()};
}

// "localhost:7171", "127.0.0.1", "[::1]:80": names that cannot be made to point elsewhere.
bool is_loopback_authority(std::string_view authority) {
  std::string_view host = authority;
  if (host.starts_with('[')) {
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return false;
    host = host.substr(1, close - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  if (host == "localhost") return true;
  const auto ip = parse_ip(host);
  return ip && ip->is_loopback();
}

bool is_loopback_origin(std::string_view origin) {
  constexpr std::string_view kScheme = "http://";
  return origin.starts_with(kScheme) && is_loopback_authority(origin.substr(kScheme.size()));
}

// "https://book.example.org:7171" of the Host header "book.example.org:7171".
bool is_https_origin_of(std::string_view origin, std::string_view host) {
  constexpr std::string_view kScheme = "https://";
  return origin.starts_with(kScheme) && !host.empty() && origin.substr(kScheme.size()) == host;
}

// Path and parameters; false when they are no percent-encoded UTF-8.
bool read_target(std::string_view target, HttpRequest& request) {
  const size_t mark = target.find('?');
  const auto path = percent_decoded(target.substr(0, mark), false);
  if (!path || !path->starts_with('/')) return false;
  request.path = *path;
  std::string_view rest = mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    const auto key = percent_decoded(pair.substr(0, equals), true);
    const auto value = percent_decoded(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), true);
    if (!key || !value || !is_utf8(as_bytes(*key)) || !is_utf8(as_bytes(*value))) return false;
    request.params.emplace_back(*key, *value);
  }
  return true;
}

ReadRequest request_of(const RawRequest& raw) {
  ReadRequest read;
  HttpRequest& request = read.request;
  request.method = std::string(text_of(raw.method_string()));
  read.target_bytes = raw.target().size();
  read.readable = read_target(text_of(raw.target()), request);
  request.last_event_id = std::string(text_of(raw["Last-Event-ID"]));
  request.if_none_match = std::string(text_of(raw[http::field::if_none_match]));
  request.authorization = std::string(text_of(raw[http::field::authorization]));
  request.cookie = std::string(text_of(raw[http::field::cookie]));
  request.accepts_html = text_of(raw[http::field::accept]).find("text/html") != std::string_view::npos;
  request.accepts_gzip = text_of(raw[http::field::accept_encoding]).find("gzip") != std::string_view::npos;
  read.host = std::string(text_of(raw[http::field::host]));
  read.origin = std::string(text_of(raw[http::field::origin]));
  read.fetch_site = std::string(text_of(raw["Sec-Fetch-Site"]));
  read.fetch_mode = std::string(text_of(raw["Sec-Fetch-Mode"]));
  read.version = raw.version();
  read.keep_alive = raw.keep_alive();
  request.content_type = std::string(text_of(raw[http::field::content_type]));
  request.content_encoding = std::string(text_of(raw[http::field::content_encoding]));
  return read;
}

HttpResponse unreadable(const boost::system::error_code& error, size_t body_bytes_max) {
  if (error == http::error::header_limit)
    return refusal(431, "limit", fmt::format("the request's header is longer than {} bytes", kRequestHeaderBytesMax));
  if (error == http::error::body_limit)
    return refusal(413, "limit", fmt::format("the request's body is longer than {} bytes", body_bytes_max));
  return refusal(400, "bad_input", fmt::format("this is not an HTTP request: {}", error.message()));
}

}  // namespace

struct RequestReader::Parser {
  std::optional<http::request_parser<http::string_body>> parser;
};

RequestReader::RequestReader(HttpAdmit admit) : admit_(std::move(admit)), parser_(std::make_unique<Parser>()) {}
RequestReader::~RequestReader() = default;

std::span<char> RequestReader::space() {
  bytes_.erase(0, start_);
  end_ -= start_;
  start_ = 0;
  bytes_.resize(end_ + kReadBytes);
  return std::span(bytes_).subspan(end_);
}

void RequestReader::took(size_t bytes) {
  PB_CHECK(end_ + bytes <= bytes_.size());
  end_ += bytes;
}

std::optional<HttpResponse> RequestReader::decide_body() {
  auto& parser = *parser_->parser;
  decided_ = true;
  if (parser.is_done()) return std::nullopt;
  std::optional<uint64_t> bytes;
  if (const auto length = parser.content_length()) bytes = *length;
  if (admit_) pass_ = admit_(request_of(parser.get()).request, bytes);
  if (pass_.refusal) return std::move(pass_.refusal);
  if (bytes.value_or(0) > pass_.bytes_max) return unreadable(http::error::body_limit, pass_.bytes_max);
  parser.body_limit(pass_.bytes_max);
  wants_continue_ = text_of(parser.get()[http::field::expect]) == "100-continue";
  return std::nullopt;
}

RequestReader::Step RequestReader::next() {
  auto& parser = parser_->parser;
  if (!parser) {
    parser.emplace();
    parser->eager(false);  // stops behind the head
    parser->header_limit(kRequestHeaderBytesMax);
    parser->body_limit(boost::none);  // until the head says what it is for
    pass_ = {};
    decided_ = false;
    wants_continue_ = false;
  }
  // Each call of put() takes what it can of the head and the body; what it leaves has to be shown again, with more behind it.
  while (start_ < end_ && !parser->is_done()) {
    boost::system::error_code error;
    const size_t taken = parser->put(boost::asio::const_buffer(bytes_.data() + start_, end_ - start_), error);
    start_ += taken;
    if (error == http::error::need_more) return NeedMore{};
    if (error) return unreadable(error, pass_.bytes_max);
    if (parser->is_header_done() && !decided_) {
      if (auto refusal = decide_body()) return std::move(*refusal);
    }
    if (taken == 0) break;
  }
  if (!parser->is_done()) return NeedMore{};
  ReadRequest read = request_of(parser->get());
  read.request.body = std::move(parser->get().body());
  read.request.held = std::move(pass_.held);
  parser.reset();
  return read;
}

std::string response_head(const HttpResponse& response, unsigned version, bool keep_alive, BodyIs body, size_t body_bytes) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
  std::string head = fmt::format("HTTP/1.{} {} {}\r\n", version % 10, response.status, text_of(reason));
  const auto put = [&head](std::string_view name, std::string_view value) {
    PB_CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
    head += fmt::format("{}: {}\r\n", name, value);
  };
  put("Server", "portbook");
  put("Content-Type", response.content_type);
  const bool says_how_long_kept =
      std::ranges::any_of(response.headers, [](const auto& header) { return header.first == "Cache-Control"; });
  if (!says_how_long_kept) put("Cache-Control", "no-store");
  put("X-Content-Type-Options", "nosniff");
  put("Cross-Origin-Resource-Policy", "same-origin");
  for (const auto& [name, value] : response.headers) put(name, value);
  if (!keep_alive && version >= 11) put("Connection", "close");
  if (keep_alive && version < 11) put("Connection", "keep-alive");
  if (body == BodyIs::kWhole) put("Content-Length", std::to_string(body_bytes));
  if (body == BodyIs::kChunked) put("Transfer-Encoding", "chunked");
  return head + "\r\n";
}

std::string chunk_head(size_t bytes) {
  return fmt::format("{:x}\r\n", bytes);
}

HttpResponse refusal(int status, std::string_view code, std::string_view message) {
  HttpResponse response;
  response.status = status;
  response.body = fmt::format(R"({{"error":{{"code":"{}","message":)", code);
  append_json_string(message, response.body);
  response.body += "}}\n";
  return response;
}

std::optional<HttpResponse> refused_unseen(const ReadRequest& read, const Caller& caller) {
  if (read.target_bytes > kRequestTargetBytesMax)
    return refusal(414, "limit", fmt::format("the path and query are longer than {} bytes", kRequestTargetBytesMax));
  if (!caller.unix_socket && !caller.remote && !is_loopback_authority(read.host)) {
    return refusal(403, "denied",
                   "the Host header names no loopback address; open the page as http://127.0.0.1 or http://localhost");
  }
  const bool own_origin = caller.remote ? is_https_origin_of(read.origin, read.host) : is_loopback_origin(read.origin);
  const bool followed_link = read.fetch_mode == "navigate" && read.request.method == "GET";
  const bool other_site = read.fetch_site == "cross-site" || (read.fetch_site == "same-site" && caller.remote);
  if ((!read.origin.empty() && !own_origin) || (other_site && !followed_link))
    return refusal(403, "denied", "another web site may not read this book");
  if (!read.readable) return refusal(400, "bad_input", "the path or query is not valid percent-encoded UTF-8");
  return std::nullopt;
}

}  // namespace portbook

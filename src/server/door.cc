#include "server/door.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "query/json_writer.h"
#include "server/credentials.h"

namespace portbook {

namespace {

// The prefix makes browsers insist on Secure, on Path=/ and on this very host.
constexpr std::string_view kCookie = "__Host-portbook";
constexpr std::string_view kBearer = "Bearer ";

// No script: it works before anything of the page may be loaded. The policy lets the form go to this book alone.
constexpr std::string_view kLoginPage = R"(<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>portbook: log in</title>
<style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:18vh auto;padding:0 1rem}}
input,button{{font:inherit;padding:.5rem;width:100%;box-sizing:border-box;margin:.4rem 0}}.bad{{color:#c62828}}</style>
<body><main><h1>portbook</h1><p>This book answers who has a token.</p>{}
<form method="post" action="{}"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button></form>
<p>On the book's host: <code>portbook token add NAME</code></p></main></body></html>
)";

constexpr auto kNoParams = std::array<std::string_view, 0>{};
constexpr auto kLoginParams = std::to_array<std::string_view>({"to"});
constexpr auto kTokenParams = std::to_array<std::string_view>({"name", "sha256", "expires"});
constexpr auto kRecordsParams = std::to_array<std::string_view>({"source", "first"});
constexpr auto kDoorRoutes = std::to_array<DoorRoute>(
    {{"/login", kLoginParams}, {"/logout", kNoParams}, {"/api/v1/tokens", kTokenParams}, {kRecordsPath, kRecordsParams}});

// Where a browser goes once it has logged in: what it had asked for, or the page.
std::string_view target_after(const HttpRequest& login) {
  const std::string_view to = login.param("to").value_or("/");
  return is_own_target(to) ? to : "/";
}

// The login that leads there.
std::string login_for(std::string_view target) {
  return target == "/" || !is_own_target(target) ? "/login" : "/login?to=" + percent_encoded(target);
}

// For the login that was asked for.
HttpResponse login_page(const HttpRequest& login, int status, std::string_view message) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/html; charset=utf-8";
  response.body = fmt::format(kLoginPage, message.empty() ? "" : fmt::format("<p class=\"bad\" role=\"alert\">{}</p>", message),
                              login_for(target_after(login)));
  response.headers.emplace_back("Content-Security-Policy",
                                "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
                                "frame-ancestors 'none'");
  // With no-referrer a browser would say "null" for the form's origin.
  response.headers.emplace_back("Referrer-Policy", "same-origin");
  return response;
}

HttpResponse go_to(std::string_view path, std::string cookie) {
  HttpResponse response = text_response("");
  response.status = 303;
  response.headers.emplace_back("Location", std::string(path));
  if (!cookie.empty()) response.headers.emplace_back("Set-Cookie", std::move(cookie));
  return response;
}

std::string cookie_header(std::string_view value, uint64_t seconds) {
  return fmt::format("{}={}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict", kCookie, value, seconds);
}

// The value of our cookie in "a=b; c=d"; empty: not there.
std::string_view cookie_value(std::string_view cookies) {
  while (!cookies.empty()) {
    const size_t end = std::min(cookies.find(';'), cookies.size());
    std::string_view one = cookies.substr(0, end);
    cookies.remove_prefix(std::min(end + 1, cookies.size()));
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    if (one.starts_with(kCookie) && one.substr(kCookie.size()).starts_with('=')) return one.substr(kCookie.size() + 1);
  }
  return {};
}

std::string form_value(std::string_view body, std::string_view name) {
  while (!body.empty()) {
    const size_t end = std::min(body.find('&'), body.size());
    const std::string_view pair = body.substr(0, end);
    body.remove_prefix(std::min(end + 1, body.size()));
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name)
      return percent_decoded(pair.substr(equals + 1), true).value_or("");
  }
  return {};
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t start = text.find_first_not_of(kBlanks);
  return start == std::string_view::npos ? std::string_view() : text.substr(start, text.find_last_not_of(kBlanks) + 1 - start);
}

HttpResponse not_allowed(std::string_view methods) {
  HttpResponse response = error_response({ErrorCode::kBadInput, fmt::format("this answers {} alone", methods)});
  response.status = 405;
  response.headers.emplace_back("Allow", std::string(methods));
  return response;
}

bool only_reads(const HttpRequest& request) {
  return request.method == "GET" || request.method == "HEAD";
}

HttpResponse without_token(const HttpRequest& request) {
  // A person who opens the page, and not the page that asks.
  if (only_reads(request) && request.accepts_html && !request.path.starts_with("/api/"))
    return go_to(login_for(target_of(request)), "");
  HttpResponse response = error_response(
      {ErrorCode::kDenied, request.authorization.empty() && request.cookie.empty()
                               ? "this book answers who has a token: log in at /login, or send it (portbook --token-file FILE)"
                               : "this token is not known here, has expired or was taken back"});
  response.status = 401;
  response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"portbook\"");
  return response;
}

}  // namespace

std::span<const DoorRoute> door_routes() {
  return kDoorRoutes;
}

// Ends a stream whose token has ended.
class Door::Guarded final : public BodyStream {
 public:
  Guarded(std::unique_ptr<BodyStream> inside, const Door& door, const Hash& token)
      : inside_(std::move(inside)), door_(door), token_(token) {}
  Next next(std::string& out) override {
    if (!door_.readers_.find(token_, door_.clock_.now())) return Next::kEnd;
    return inside_->next(out);
  }
  [[nodiscard]] bool lasts() const override { return inside_->lasts(); }

 private:
  std::unique_ptr<BodyStream> inside_;
  const Door& door_;
  Hash token_;
};

std::optional<Hash> Door::shown(const HttpRequest& request) {
  if (request.authorization.starts_with(kBearer)) return token_hash(trimmed(request.authorization.substr(kBearer.size())));
  const std::string_view cookie = cookie_value(request.cookie);
  if (cookie.empty()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto session = sessions_.find(token_hash(cookie));
  if (session == sessions_.end() || clock_.now() >= session->second.ends) return std::nullopt;
  return session->second.token_hash;
}

HttpResponse Door::answer(const HttpRequest& request) {
  const auto own = std::ranges::find(kDoorRoutes, std::string_view(request.path), &DoorRoute::path);
  if (own != kDoorRoutes.end()) {
    if (Status known = only_known_params(request, own->path, own->params); !known) return error_response(known.error());
  }
  if (request.path == "/login") return log_in(request);
  if (request.path == "/logout") return log_out(request);
  if (request.path == "/api/v1/tokens") return tokens(request);
  if (request.path == kRecordsPath) return intake_.answer(request);
  if (!only_reads(request)) return not_allowed("GET, HEAD");
  if (!request.caller.remote) return api_.answer(request);
  const auto token = shown(request);
  const auto reader = token ? readers_.find(*token, clock_.now()) : std::nullopt;
  if (!reader) return without_token(request);
  HttpRequest known = request;
  known.caller.token = reader->name;
  HttpResponse response = api_.answer(known);
  if (response.stream) response.stream = std::make_unique<Guarded>(std::move(response.stream), *this, *token);
  return response;
}

HttpResponse Door::log_in(const HttpRequest& request) {
  if (only_reads(request)) return login_page(request, 200, "");
  if (request.method != "POST") return not_allowed("GET, HEAD, POST");
  if (!request.caller.remote) return go_to(target_after(request), "");
  const Hash token = token_hash(trimmed(form_value(request.body, "token")));
  const auto reader = readers_.find(token, clock_.now());
  if (!reader) return login_page(request, 401, "This token is not known here, has expired or was taken back.");
  const std::string cookie = make_token();
  const TimeNs now = clock_.now();
  const TimeNs ends = now + static_cast<TimeNs>(kSessionNs);
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(sessions_, [&](const auto& one) { return now >= one.second.ends; });
    if (sessions_.size() >= kSessionsMax)
      sessions_.erase(std::ranges::min_element(sessions_, {}, [](const auto& one) { return one.second.ends; }));
    sessions_[token_hash(cookie)] = {token, ends};
  }
  Caller caller = request.caller;
  caller.token = reader->name;
  api_.context().reading_log.note_change(caller, "login", fmt::format("A browser logged in with the token {}.", reader->name));
  return go_to(target_after(request), cookie_header(cookie, kSessionNs / kNsPerSecond));
}

HttpResponse Door::log_out(const HttpRequest& request) {
  if (request.method != "POST") return not_allowed("POST");
  {
    const std::lock_guard lock(mutex_);
    sessions_.erase(token_hash(cookie_value(request.cookie)));
  }
  return go_to("/login", cookie_header("", 0));
}

// Over the unix socket alone, which no web site reaches; of those whom it lets in, group portbook may read and no more.
HttpResponse Door::tokens(const HttpRequest& request) {
  if (!request.caller.unix_socket || !owns_book(request.caller.uid)) {
    return error_response(
        {ErrorCode::kDenied, fmt::format("tokens are kept by root and {}, over the book's unix socket", user_name(geteuid()))});
  }
  if (only_reads(request)) {
    std::string out;
    Json json(out);
    json.open('[');
    for (const Reader& reader : readers_.list()) {
      json.open('{');
      json.text("name", reader.name);
      json.text("scope", "read");
      json.time("added", reader.added);
      json.time("expires", reader.expires);
      json.close('}');
    }
    json.close(']');
    return json_response(out + "\n");
  }
  if (request.method != "POST" && request.method != "DELETE") return not_allowed("GET, HEAD, POST, DELETE");
  const auto done = request.method == "POST" ? add_token(request) : remove_token(request);
  return done ? text_response(*done + "\n") : error_response(done.error());
}

Result<std::string> Door::add_token(const HttpRequest& request) {
  Reader reader;
  reader.name = request.param("name").value_or("");
  reader.added = clock_.now();
  Bytes hash;
  if (!parse_hex(request.param("sha256").value_or(""), hash) || hash.size() != reader.token_hash.size())
    return fail(ErrorCode::kBadInput, "sha256 is the hash of the token's characters, 64 hexadecimal digits");
  std::ranges::copy(hash, reader.token_hash.begin());
  if (const auto expires = request.param("expires")) {
    const auto time = parse_time(*expires, reader.added);
    if (!time) return std::unexpected(time.error());
    if (time->time <= reader.added) return fail(ErrorCode::kBadInput, fmt::format("{} is past already", *expires));
    reader.expires = time->time;
  }
  const std::string said = fmt::format("The token {} reads this book{}.", reader.name,
                                       reader.expires ? " until " + format_time(*reader.expires) : " until it is taken back");
  if (Status added = readers_.add(std::move(reader)); !added) return std::unexpected(added.error());
  api_.context().reading_log.note_change(request.caller, "token added", said);
  return said;
}

Result<std::string> Door::remove_token(const HttpRequest& request) {
  const std::string name(request.param("name").value_or(""));
  if (Status removed = readers_.remove(name); !removed) return std::unexpected(removed.error());
  std::string said = fmt::format("The token {} reads this book no more.", name);
  api_.context().reading_log.note_change(request.caller, "token removed", said);
  return said;
}

}  // namespace portbook

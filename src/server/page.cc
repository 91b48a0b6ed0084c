// The page: static files with hashed names for ever, the rest checked by their hash.
#include <fmt/format.h>

#include <algorithm>

#include "server/api.h"
#include "server/page_file.h"

namespace portbook {

namespace {

constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; font-src "
    "'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

constexpr std::string_view kNoPage =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>portbook</title><body>"
    "<h1>portbook is running</h1><p>This program was built without its page. To build it: <code>./dev build</code>, which runs "
    "<code>npm ci &amp;&amp; npm run build</code> in <code>ui/</code> and then builds the program again.</p>"
    "<p>The API answers at <a href=\"/api/v1/status\">/api/v1/status</a>, and the command line works as it is.</p></body></html>\n";

const PageFile* file_named(std::string_view path) {
  const auto files = page_files();
  const auto found = std::ranges::find(files, path, &PageFile::path);
  return found == files.end() ? nullptr : &*found;
}

void put_page_headers(HttpResponse& response) {
  response.headers.emplace_back("Content-Security-Policy", std::string(kPolicy));
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
  response.headers.emplace_back("X-Frame-Options", "DENY");
}

}  // namespace

HttpResponse answer_page(const HttpRequest& request) {
  HttpResponse response;
  const PageFile* file = file_named(request.path == "/" ? "/index.html" : request.path);
  // A view of the page has no dot in its path: the page reads the path itself.
  const bool is_view = request.path.substr(request.path.rfind('/')).find('.') == std::string::npos;
  if (file == nullptr && is_view) file = file_named("/index.html");
  if (file == nullptr) {
    if (!is_view) return error_response({ErrorCode::kNotFound, fmt::format("there is no {}", request.path)});
    response.content_type = "text/html; charset=utf-8";
    response.fixed_body = kNoPage;
    put_page_headers(response);
    return response;
  }
  const std::string etag = fmt::format("\"{}\"", file->etag);
  const bool hashed_name = file->path.starts_with("/assets/");
  response.content_type = std::string(file->content_type);
  response.headers.emplace_back("ETag", etag);
  response.headers.emplace_back("Cache-Control", hashed_name ? "public, max-age=31536000, immutable" : "no-cache");
  response.headers.emplace_back("Vary", "Accept-Encoding");
  put_page_headers(response);
  if (request.if_none_match == etag) {
    response.status = 304;
    return response;
  }
  if (request.accepts_gzip && !file->gzipped.empty()) {
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.fixed_body = file->gzipped;
  } else {
    response.fixed_body = file->content;
  }
  return response;
}

}  // namespace portbook

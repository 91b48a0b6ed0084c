// Lines of nginx: the recommended log_format of docs/sources.md, of its http and its stream module, and its own `combined`. Names
// and escapes as in nginx's ngx_http_log_module.
#pragma once

#include <string_view>

#include "record/record.h"
#include "sources/line.h"

namespace portbook {

// A request or a session that nginx took to a server is of kind `proxy`; one that it answered itself, and every line of `combined`,
// a `note`. nginx has no variable for its own end towards the server, so `up.src` is never there. Of the request's text nothing is
// kept. False if the line is none of those, or names no client with an address.
bool decode_nginx(std::string_view line, const LineOrigin& origin, Record& record);

}  // namespace portbook

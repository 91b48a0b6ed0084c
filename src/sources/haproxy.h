// HAProxy's log lines: its tcplog and httplog formats, and the one that docs/sources.md recommends, which alone has both legs.
#pragma once

#include "record/record.h"
#include "sources/line.h"

namespace portbook {

// What `log-format` has to be for all eight values; docs/sources.md has the same.
inline constexpr std::string_view kHaproxyLogFormat = "portbook/1 %Ts.%ms %Tt %ci:%cp %fi:%fp %bi:%bp %si:%sp %f %b %s %ts %U %B";

// Sets the fields of a `proxy` record from a line without its syslog header; false, with anything in `record`, when the line is of
// none of those formats or does not say who the client was. An address that is missing there ("-", a unix socket) stays absent.
// Bytes: bytes_out is what the client sent, bytes_in what it got.
bool decode_haproxy(std::string_view line, const LineOrigin& origin, Record& record);

}  // namespace portbook

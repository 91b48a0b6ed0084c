// PostgreSQL's server log: jsonlog, csvlog, and on stderr with Debian's prefix or with the one that docs/sources.md recommends,
// which names the client in each line.
#pragma once

#include "record/record.h"
#include "sources/line.h"

namespace portbook {

// What `log_line_prefix` has to be, with a blank behind it; docs/sources.md has the same.
inline constexpr std::string_view kPostgresqlLinePrefix = "portbook/1 %n [%p] %c %q%r %u %d %a";

// The `cause` of a line that goes on with the message before it.
inline constexpr std::string_view kPostgresqlContinues = "continues the record before";

// Sets the fields of a `note`; false, with anything in `record`, when the line is none of these. `src` is the client where the
// line names it: by the prefix, or by "connection received" and "disconnection". `principal` is the database user of a connection
// that the server authorised; a name that was only asked for stands in `attrs`. A line with two severities is not understood: a
// client may have put one into its name.
bool decode_postgresql(std::string_view line, const LineOrigin& origin, Record& record);

}  // namespace portbook

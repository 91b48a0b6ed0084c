// PgBouncer's log: which client it has, and from which end of its own it reaches a server.
#pragma once

#include "record/record.h"
#include "sources/line.h"

namespace portbook {

// Sets the fields of a `note` from a line that names an endpoint; false, with anything in `record`, for others. A client's line has
// the client as `src`; "new connection to server" has PgBouncer's own end as `src` and the server as `dst`. A line with a second
// "@" is not understood: a client may have put an address into its name.
bool decode_pgbouncer(std::string_view line, const LineOrigin& origin, Record& record);

}  // namespace portbook

// OpenSSH's sshd: who logged in, or tried to, from which endpoint.
#pragma once

#include "record/record.h"
#include "sources/syslog_header.h"

namespace portbook {

// Sets the fields of a `note` from a line that names the client's endpoint; false, with anything in `record`, for others, for lines
// that another program than sshd wrote, and for those without a time. `principal` is who was let in; a name that was only tried
// stands in `attrs`. A line in which " port " stands where a client could have put it, in a user's name, is not understood.
bool decode_sshd(const SyslogHeader& line, Record& record);

}  // namespace portbook

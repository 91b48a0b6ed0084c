// A syslog message as it comes over a socket, RFC 5424 or RFC 3164, to a record.
#pragma once

#include <optional>
#include <string_view>

#include "record/record.h"
#include "sources/line.h"

namespace portbook {

// The `cause` of a note whose text is not a whole message.
inline constexpr std::string_view kMessageTooLong = "message longer than 64 KiB";
inline constexpr std::string_view kMessageUnfinished = "the connection ended within this message";

// Where a message came from, beside its text.
struct SyslogArrival {
  LineOrigin origin;
  std::string_view from;     // the sender, as the kernel says: "127.0.0.1:40112", "pid 7273"; empty: nobody knows
  std::string_view trouble;  // why the text is not whole; empty: it is
};

// What the timeQuality of RFC 5424 section 7.1 says of the sender's clock; nothing where that is not synchronised or not said.
std::optional<uint64_t> clock_error_in(std::string_view structured);

// Makes the record, without source and number, as decode_line() of the format syslog does; `host` is that of a message that names
// none. True when it was understood. The host that the header names becomes the record's: claimed, as all that a log says.
bool read_syslog_message(std::string_view text, const SyslogArrival& arrival, std::string_view host, Record& record);

}  // namespace portbook

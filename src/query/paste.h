// Finds the endpoints and the time in any text that somebody pastes, such as a line of another program's log.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "record/endpoint.h"

namespace portbook {

inline constexpr size_t kPasteBytesMax = 16'384;

struct PasteSpan {
  enum class Role : uint8_t { kTime, kEndpoint, kPeer };
  size_t start = 0;  // bytes of the text
  size_t end = 0;
  Role role = Role::kTime;
};
std::string_view to_text(PasteSpan::Role role);

struct Pasted {
  std::optional<Endpoint> endpoint;  // the one asked about: named as client or source, else the first
  std::optional<Endpoint> peer;      // the other one, where the text names two
  std::optional<WrittenTime> time;   // the first time in the text
  std::vector<PasteSpan> spans;      // ascending
};

// Knows ISO 8601 and RFC 3339, epoch numbers, syslog ("Nov 22 12:03:04"), nginx error logs ("2026/11/22 12:03:04"), access logs
// ("22/Nov/2026:12:03:04 +0000") and times of today. Endpoints: address:port, [v6]:port, and an address whose port follows as a
// word
// ("from 203.0.113.5 port 41234", "SRC=… SPT=…"). A syslog time is the latest of its kind that is not after `now` by more than a
// day. Text beyond kPasteBytesMax is not looked at.
Pasted read_pasted(std::string_view text, TimeNs now);

}  // namespace portbook

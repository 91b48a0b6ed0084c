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
  std::optional<Ip> address;         // the first address, where none has a port
  std::vector<PasteSpan> spans;      // ascending
};

// Times: see paste_time.h. Endpoints: address:port, [v6]:port, address.port (tcpdump), address and port in neighbouring columns
// (Zeek), both addresses and then both ports (AWS flow logs), and an address whose port follows as a word or a named value ("from
// 203.0.113.5 port 41234", "SRC=… SPT=…", "id.orig_p": …). Text beyond kPasteBytesMax is not looked at.
Pasted read_pasted(std::string_view text, TimeNs now);

}  // namespace portbook

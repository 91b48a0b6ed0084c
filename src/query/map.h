// Map: which services talk to which, with counts, bytes and failures.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "query/filter.h"
#include "query/search.h"

namespace portbook {

inline constexpr size_t kMapLinksMax = 5'000;       // different pairs of services
inline constexpr uint64_t kMapRowsMax = 1'000'000;  // connections looked at

// Who stands at one end: a container or a program on a host, where the book knows it; else the address.
struct Service {
  enum class Kind : uint8_t { kContainer, kProgram, kAddress };
  Kind kind = Kind::kAddress;
  std::string name;  // container name or id, last part of the program's path, or address
  std::string host;  // empty for an address
  auto operator<=>(const Service&) const = default;
};
std::string to_text(const Service& service);  // "nginx on web-7", "198.51.100.9"

struct ServiceLink {
  Service from;
  Service to;
  std::string port;    // of the server as its clients ask for it; "5432/tcp"
  uint64_t count = 0;  // connections; one whose both ends are in the book counts once
  uint64_t failed = 0;
  uint64_t open = 0;
  uint64_t bytes_out = 0;  // from `from` to `to`
  uint64_t bytes_in = 0;
  TimeNs first = 0;
  TimeNs last = 0;
};

struct ServiceMap {
  std::vector<ServiceLink> links;  // greatest count first
  uint64_t connections = 0;
  bool cut = false;  // a limit was met: only the newest connections are in it
};

// Errors: kIo, kCorrupt.
Result<ServiceMap> service_map(const View& view, Filter filter, std::chrono::milliseconds time_max);

std::string to_json(const ServiceMap& map);
std::string to_html(const ServiceMap& map, std::string_view origin, std::string_view filter);

}  // namespace portbook

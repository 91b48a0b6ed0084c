#include "logs/pool_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sources/line.h"

namespace portbook {

namespace {

// In the order of places_.
enum Column : size_t { kAddress, kPort, kOwnAddress, kOwnPort, kPtr, kLink, kConnected, kUser, kDatabase, kPeerPid, kApplication };
constexpr auto kLegColumns =
    std::to_array<std::string_view>({"addr", "port", "local_addr", "local_port", "ptr", "link", "connect_time", "user", "database",
                                     "remote_pid", "application_name"});
constexpr size_t kLegColumnsNeeded = kPeerPid;  // older ones than 1.18 have no names of applications, and some no numbers
constexpr auto kModeColumns = std::to_array<std::string_view>({"database", "user", "pool_mode"});

Result<std::vector<size_t>> places_of(std::string_view what, std::span<const std::string_view> names,
                                      std::span<const std::string_view> wanted, size_t needed) {
  std::vector<size_t> places;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto at = std::ranges::find(names, wanted[i]);
    if (at == names.end() && i < needed)
      return fail(ErrorCode::kUnavailable,
                  fmt::format("{} has no column {}: this is no PgBouncer that portbook knows", what, wanted[i]));
    places.push_back(static_cast<size_t>(at - names.begin()));  // behind all of them: not there
  }
  return places;
}

// "unix" has none, and neither has a connection that is not made yet, "(bad-af)". False: it is none of these.
bool read_endpoint(std::string_view address, std::string_view port, std::optional<Endpoint>& endpoint) {
  endpoint.reset();
  if (address.empty() || address.starts_with("unix") || address == "(bad-af)") return true;
  const auto ip = parse_ip(address);
  uint64_t number = 0;
  if (!ip || !parse_count(port, number) || number > 65'535) return false;
  if (number != 0 && !ip->is_unspecified()) endpoint = Endpoint{*ip, static_cast<uint16_t>(number)};
  return true;
}

bool is_ptr(std::string_view text) {
  constexpr size_t kPtrBytesMax = 32;
  return text.starts_with("0x") && text.size() > 2 && text.size() <= kPtrBytesMax &&
         std::ranges::all_of(text.substr(2), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::unexpected<Error> strange(std::string_view what, std::string_view column) {
  return fail(ErrorCode::kBadInput, fmt::format("{} has a value of {} that is none", what, column));
}

}  // namespace

Status PoolLegs::take_columns(std::string_view what, std::span<const std::string_view> names) {
  what_ = what;
  auto places = places_of(what, names, kLegColumns, kLegColumnsNeeded);
  if (!places) return std::unexpected(places.error());
  places_ = std::move(*places);
  columns_ = names.size();
  return {};
}

Status PoolLegs::take_row(std::span<const std::string_view> values) {
  if (places_.empty() || values.size() != columns_) return strange(what_, "a row");
  if (++rows_ > kConsoleRowsMax) return fail(ErrorCode::kLimit, fmt::format("{} has more than {} rows", what_, kConsoleRowsMax));
  const auto value = [&](Column column) { return places_[column] < values.size() ? values[places_[column]] : std::string_view(); };
  PoolLeg leg;
  if (!read_endpoint(value(kAddress), value(kPort), leg.peer)) return strange(what_, "addr and port");
  if (!read_endpoint(value(kOwnAddress), value(kOwnPort), leg.own)) return strange(what_, "local_addr and local_port");
  leg.ptr = value(kPtr);
  leg.link = value(kLink);
  if (!is_ptr(leg.ptr)) return strange(what_, "ptr");
  if (!leg.link.empty() && !is_ptr(leg.link)) return strange(what_, "link");
  leg.connected = value(kConnected);
  leg.user = value(kUser);
  leg.database = value(kDatabase);
  leg.application = value(kApplication);
  if (!value(kPeerPid).empty() && !parse_count(value(kPeerPid), leg.peer_pid)) return strange(what_, "remote_pid");
  std::string name = leg.ptr;
  if (!legs_.emplace(std::move(name), std::move(leg)).second) return strange(what_, "ptr, given twice,");
  return {};
}

Status PoolModes::take_columns(std::string_view what, std::span<const std::string_view> names) {
  auto places = places_of(what, names, kModeColumns, kModeColumns.size());
  if (!places) return std::unexpected(places.error());
  places_ = std::move(*places);
  columns_ = names.size();
  return {};
}

Status PoolModes::take_row(std::span<const std::string_view> values) {
  if (places_.empty() || values.size() != columns_) return strange("SHOW POOLS", "a row");
  if (modes_.size() >= kConsoleRowsMax)
    return fail(ErrorCode::kLimit, fmt::format("SHOW POOLS has more than {} rows", kConsoleRowsMax));
  modes_.insert_or_assign({std::string(values[places_[0]]), std::string(values[places_[1]])}, std::string(values[places_[2]]));
  return {};
}

std::string_view PoolModes::of(const PoolLeg& server) const {
  const auto found = modes_.find({server.database, server.user});
  return found == modes_.end() ? std::string_view() : found->second;
}

}  // namespace portbook

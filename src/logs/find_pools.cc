#include "logs/find_pools.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <system_error>

#include "logs/pool_sampler.h"
#include "record/endpoint.h"
#include "sources/line.h"

namespace portbook {

namespace {

constexpr std::string_view kSocketName = ".s.PGSQL.";
constexpr auto kFolders = std::to_array<std::string_view>({"run/postgresql", "run/pgbouncer"});

// 0: it is none.
uint16_t port_of(std::string_view file_name) {
  uint64_t port = 0;
  if (!file_name.starts_with(kSocketName) || !parse_count(file_name.substr(kSocketName.size()), port) || port > 65'535) return 0;
  return static_cast<uint16_t>(port);
}

// "6432", else "postgresql-6432", else nothing.
std::string name_for(const PoolPlace& place, const std::vector<PoolPlace>& named) {
  std::string folder = place.socket.empty() ? "tcp" : place.socket.parent_path().filename().string();
  std::erase_if(folder, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.'; });
  for (const std::string& name : {std::to_string(place.port), fmt::format("{}-{}", folder.substr(0, 64), place.port)}) {
    if (std::ranges::find(named, name, &PoolPlace::name) == named.end()) return name;
  }
  return {};
}

}  // namespace

std::string PoolPlace::to_text() const {
  if (!socket.empty()) return socket.string();
  return address.find(':') == std::string::npos ? fmt::format("{}:{}", address, port) : fmt::format("[{}]:{}", address, port);
}

Result<PoolPlace> parse_pool_place(std::string_view text, const std::vector<PoolPlace>& named) {
  PoolPlace place;
  if (text.starts_with('/')) {
    place.socket = std::filesystem::path(text).lexically_normal();
    std::error_code error;
    if (std::filesystem::is_directory(place.socket, error)) place.socket /= fmt::format("{}{}", kSocketName, kPgbouncerPort);
    place.port = port_of(place.socket.filename().string());
  } else if (const auto pattern = parse_endpoint_pattern(text); pattern && pattern->is_address() && pattern->port) {
    if (!pattern->network.base.is_loopback())
      return fail(ErrorCode::kBadInput, fmt::format("{} is not loopback: PgBouncer is asked on its own host", text));
    place.address = portbook::to_text(pattern->network.base);
    place.port = *pattern->port;
  }
  if (place.port == 0)
    return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is no place of a PgBouncer: a socket such as /run/postgresql/{}{}, its "
                                                  "folder, or an address and port of loopback such as 127.0.0.1:{}",
                                                  text, kSocketName, kPgbouncerPort, kPgbouncerPort));
  if (named.size() >= kPoolConsolesMax)
    return fail(ErrorCode::kBadInput, fmt::format("at most {} PgBouncers are asked by one process", kPoolConsolesMax));
  place.name = name_for(place, named);
  const bool twice = std::ranges::any_of(named, [&](const PoolPlace& one) { return one.to_text() == place.to_text(); });
  if (twice || place.name.empty()) return fail(ErrorCode::kBadInput, fmt::format("{} is named twice", place.to_text()));
  return place;
}

std::vector<PoolPlace> find_pools(const std::filesystem::path& root) {
  std::vector<PoolPlace> found;
  for (const std::string_view folder : kFolders) {
    std::error_code error;
    std::set<std::string> paths;
    for (auto entry = std::filesystem::directory_iterator(root / folder, error);
         !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      const std::filesystem::path& path = entry->path();
      std::error_code unknown;
      const bool is_socket = port_of(path.filename().string()) != 0 && entry->is_socket(unknown);
      if (is_socket && !std::filesystem::exists(path.string() + ".lock", unknown)) paths.insert(path.string());
    }
    for (const std::string& path : paths) {
      if (auto place = parse_pool_place(path, found)) found.push_back(std::move(*place));
    }
  }
  return found;
}

}  // namespace portbook

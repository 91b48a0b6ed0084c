// Which PgBouncers are on this host, and how somebody names one.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace portbook {

inline constexpr uint16_t kPgbouncerPort = 6432;  // where its packages put it

// Where a console is: a unix socket, or a port of loopback.
struct PoolPlace {
  std::filesystem::path socket;  // empty: the address
  std::string address;           // "127.0.0.1"
  uint16_t port = 0;
  std::string name;  // in the source's name: the port, with as much of its place as tells it from others

  // "/run/postgresql/.s.PGSQL.6432", "127.0.0.1:6432".
  [[nodiscard]] std::string to_text() const;
};

// "/run/postgresql/.s.PGSQL.6432", the folder of the socket of kPgbouncerPort, or "127.0.0.1:6432"; `named` has those before it.
// Errors: kBadInput (nothing of these, not loopback, or named before).
Result<PoolPlace> parse_pool_place(std::string_view text, const std::vector<PoolPlace>& named);

// The sockets of PgBouncers in the folders where packages put them: those that PostgreSQL's own lock file is not beside. `root`
// stands before each path; "/" but in tests.
std::vector<PoolPlace> find_pools(const std::filesystem::path& root = "/");

}  // namespace portbook

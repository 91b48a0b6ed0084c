// What PgBouncer's console answers to SHOW CLIENTS, SHOW SERVERS and SHOW POOLS. Pure.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "record/endpoint.h"

namespace portbook {

inline constexpr size_t kConsoleRowsMax = 100'000;  // of one answer

// A connection of PgBouncer, to a client or to a server. What goes over a unix socket has no endpoints.
struct PoolLeg {
  std::string ptr;   // "0x560219a3ebe0": its name within PgBouncer, given again to later ones
  std::string link;  // the other leg's, empty where there is none
  std::string user;
  std::string database;
  std::string application;  // empty where it is not said
  std::string connected;    // "2026-11-24 05:03:48 UTC"
  std::optional<Endpoint> peer;
  std::optional<Endpoint> own;
  uint64_t peer_pid = 0;  // of a server's backend, or of a client over a unix socket; 0: not known

  // Of two answers: whether both speak of one connection.
  [[nodiscard]] bool same_as(const PoolLeg& other) const {
    return ptr == other.ptr && connected == other.connected && peer == other.peer && own == other.own;
  }
};

// The rows of one answer: columns by their names, in whatever order this version has them.
class PoolLegs {
 public:
  // `what`: "SHOW CLIENTS", for sentences. Errors: kUnavailable (a column that is needed is not there).
  Status take_columns(std::string_view what, std::span<const std::string_view> names);
  // Errors: kBadInput (a value that none can be), kLimit (kConsoleRowsMax).
  Status take_row(std::span<const std::string_view> values);
  // Of those of which nothing is lacking. Unique by `ptr`.
  [[nodiscard]] const std::map<std::string, PoolLeg, std::less<>>& legs() const { return legs_; }

 private:
  std::string what_;
  std::vector<size_t> places_;  // of the needed columns
  size_t columns_ = 0;
  size_t rows_ = 0;
  std::map<std::string, PoolLeg, std::less<>> legs_;
};

// How long a client keeps a server's connection: "session", "transaction", "statement".
class PoolModes {
 public:
  // As PoolLegs.
  Status take_columns(std::string_view what, std::span<const std::string_view> names);
  Status take_row(std::span<const std::string_view> values);
  // Of a server's connection; empty where it is not said.
  [[nodiscard]] std::string_view of(const PoolLeg& server) const;

 private:
  std::vector<size_t> places_;
  size_t columns_ = 0;
  std::map<std::pair<std::string, std::string>, std::string> modes_;  // of database and user
};

}  // namespace portbook

// Asking PgBouncer's console: the options of `portbook follow` and `portbook up`, and the process.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "logs/find_pools.h"
#include "logs/pool_sampler.h"

namespace portbook {

struct PoolOptions {
  std::vector<std::string> places;
  std::string user;
  std::string password_file;
  std::string interval;
};
// --pgbouncer and what belongs to it.
void add_pool_options(CLI::App& command, PoolOptions& options);

struct PoolRole {
  std::vector<PoolPlace> places;
  std::string user;  // to PgBouncer
  std::string password;
  uint64_t interval_ns = kPoolIntervalDefaultNs;
  std::optional<uint64_t> clock_error_ns;  // as somebody said; nothing: as the kernel says
  std::filesystem::path book;              // ingest socket
  std::filesystem::path spool;             // folder
  std::string token;
  std::string host;
  int supervisor = -1;
};
// Places, user, password and interval. Errors: kBadInput, kNotFound, kDenied (the file with the password).
Status read_pool_options(const PoolOptions& options, PoolRole& role);

// Arguments of the process that `portbook up` runs, with what it finds on this host if `look`, said for each; empty: there is none
// to ask. Errors: as above.
Result<std::vector<std::string>> pool_arguments(PoolOptions options, bool look, const std::filesystem::path& folder,
                                                const std::string& host);

// As run_follow().
int run_pools(const PoolRole& role);

// What the process that `portbook up` runs keeps, and one that is started apart; beside a book, in its meeting place.
std::filesystem::path default_pool_spool(const std::filesystem::path& data, bool apart);

}  // namespace portbook

#include "cli/pools.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>

#include "base/clock.h"
#include "cli/boundaries.h"
#include "cli/output.h"
#include "logs/postgresql_login.h"

namespace portbook {

namespace {

constexpr std::string_view kOwnUser = "pgbouncer";  // PgBouncer lets it in over its socket, from the user that it runs as
constexpr size_t kUserBytesMax = 63;
constexpr mode_t kOthers = 0077;

Result<std::string> read_password(const std::string& path) {
  std::ifstream file(path);
  struct stat about{};
  if (!file || stat(path.c_str(), &about) != 0)
    return fail(ErrorCode::kNotFound, fmt::format("cannot read the file of the password {}", path));
  if ((about.st_mode & kOthers) != 0)
    return fail(ErrorCode::kDenied,
                fmt::format("{} may be read by others than its owner; take that away with: chmod 600 {}", path, path));
  std::string password(kPasswordBytesMax + 1, '\0');
  file.read(password.data(), static_cast<std::streamsize>(password.size()));
  password.resize(static_cast<size_t>(file.gcount()));
  password.resize(std::min(password.find('\n'), password.size()));
  if (password.empty() || password.size() > kPasswordBytesMax || password.find('\0') != std::string::npos)
    return fail(ErrorCode::kBadInput, fmt::format("{} has no line with a password of at most {} bytes", path, kPasswordBytesMax));
  return password;
}

}  // namespace

void add_pool_options(CLI::App& command, PoolOptions& options) {
  command
      .add_option("--pgbouncer", options.places,
                  "Ask this PgBouncer's console which client uses which server's connection: its unix socket, or 127.0.0.1:PORT")
      ->allow_extra_args(false);
  command.add_option("--pgbouncer-user", options.user,
                     "As whom: a user of stats_users (default pgbouncer, over its socket as the user that it runs as)");
  command.add_option("--pgbouncer-password-file", options.password_file, "File of one line, mode 0600, with that user's password");
  command.add_option("--pgbouncer-interval", options.interval, "How often, 100ms to 1h (default 1s)");
}

Status read_pool_options(const PoolOptions& options, PoolRole& role) {
  for (const std::string& text : options.places) {
    auto place = parse_pool_place(text, role.places);
    if (!place) return fail_in("--pgbouncer", place);
    if (place->socket.empty() && options.user.empty())
      return fail(ErrorCode::kBadInput, fmt::format("{} is asked with --pgbouncer-user, one of its stats_users", place->to_text()));
    role.places.push_back(std::move(*place));
  }
  role.user = options.user.empty() ? kOwnUser : options.user;
  if (role.user.size() > kUserBytesMax)
    return fail(ErrorCode::kBadInput, fmt::format("--pgbouncer-user: a name has at most {} bytes", kUserBytesMax));
  if (!options.password_file.empty()) {
    auto password = read_password(options.password_file);
    if (!password) return std::unexpected(password.error());
    role.password = std::move(*password);
  }
  if (options.interval.empty()) return {};
  const auto interval = parse_duration(options.interval);
  if (!interval) return fail_in("--pgbouncer-interval", interval);
  if (*interval < kPoolIntervalMinNs || *interval > kPoolIntervalMaxNs)
    return fail(ErrorCode::kBadInput, "--pgbouncer-interval is from 100ms to 1h");
  role.interval_ns = *interval;
  return {};
}

Result<std::vector<std::string>> pool_arguments(PoolOptions options, bool look, const std::filesystem::path& folder,
                                                const std::string& host) {
  PoolRole role;
  if (const Status read = read_pool_options(options, role); !read) return std::unexpected(read.error());
  if (look) {
    for (const PoolPlace& found : find_pools()) {
      if (auto place = parse_pool_place(found.to_text(), role.places); place) role.places.push_back(std::move(*place));
    }
  }
  if (role.places.empty()) return std::vector<std::string>();
  std::vector<std::string> arguments = {
      "follow", "--book", default_ingest_socket(folder).string(), "--spool", default_pool_spool(folder, false).string(),
      "--host", host};
  for (const PoolPlace& place : role.places) {
    tell("Asking PgBouncer at {} which client uses which connection.\n", place.to_text());
    arguments.insert(arguments.end(), {"--pgbouncer", place.to_text()});
  }
  const auto pass_on = [&](const char* name, const std::string& value) {
    if (!value.empty()) arguments.insert(arguments.end(), {name, value});
  };
  pass_on("--pgbouncer-user", options.user);
  pass_on("--pgbouncer-password-file", options.password_file);
  pass_on("--pgbouncer-interval", options.interval);
  return arguments;
}

std::filesystem::path default_pool_spool(const std::filesystem::path& data, bool apart) {
  return meeting_folder(data) / (apart ? "pgbouncer" : "pools");
}

}  // namespace portbook

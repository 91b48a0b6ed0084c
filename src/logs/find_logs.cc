#include "logs/find_logs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <system_error>

#include "base/check.h"
#include "logs/rotated_files.h"

namespace portbook {

namespace {

struct Place {
  std::string_view format;
  std::string_view folder;
  std::string_view begin;  // of the file's name
  std::string_view end;    // the same: the whole name
};

constexpr auto kPlaces = std::to_array<Place>({{"haproxy", "var/log", "haproxy.log", "haproxy.log"},
                                               {"nginx", "var/log/nginx", "access.log", "access.log"},
                                               {"postgresql", "var/log/postgresql", "postgresql-", ".json"},
                                               {"postgresql", "var/log/postgresql", "postgresql-", ".csv"},
                                               {"postgresql", "var/log/postgresql", "postgresql-", ".log"},
                                               {"pgbouncer", "var/log/postgresql", "pgbouncer.log", "pgbouncer.log"},
                                               {"pgbouncer", "var/log/pgbouncer", "pgbouncer.log", "pgbouncer.log"},
                                               {"sshd", "var/log", "auth.log", "auth.log"},
                                               {"sshd", "var/log", "secure", "secure"}});

bool is_at(const Place& place, const std::string& name) {
  return place.begin == place.end
             ? name == place.begin
             : name.starts_with(place.begin) && name.ends_with(place.end) && name.size() >= place.begin.size() + place.end.size();
}

// The file's own name, else with those of the folders above it, until it is unique.
std::string name_for(const std::filesystem::path& path, const std::vector<FollowedLog>& named) {
  std::string name;
  std::filesystem::path rest = path;
  while (rest.has_filename()) {
    name = rest.filename().string() + (name.empty() ? "" : "-" + name);
    std::ranges::replace_if(name, [](char c) { return !is_log_name(std::string_view(&c, 1)); }, '_');
    if (name.size() > kLogNameBytesMax) name = name.substr(name.size() - kLogNameBytesMax);
    if (std::ranges::find(named, name, &FollowedLog::name) == named.end()) return name;
    if (rest.parent_path() == rest) break;
    rest = rest.parent_path();
  }
  return name;
}

std::string known_formats() {
  std::string names;
  for (const LineFormatName& one : line_formats()) names += (names.empty() ? "" : ", ") + std::string(one.name);
  return names;
}

}  // namespace

std::vector<FollowedLog> find_logs(const std::filesystem::path& root) {
  std::vector<FollowedLog> found;
  for (const Place& place : kPlaces) {
    const auto format = line_format_named(place.format);
    if (!format) continue;
    std::set<std::filesystem::path> paths;
    std::error_code error;
    const auto folder = root / place.folder;
    for (auto entry = std::filesystem::directory_iterator(folder, error); !error && entry != std::filesystem::directory_iterator();
         entry.increment(error)) {
      if (is_at(place, entry->path().filename().string())) paths.insert(entry->path());
    }
    for (const auto& path : paths) {
      if (found.size() == kFollowedLogsMax || !std::filesystem::is_regular_file(path, error) || access(path.c_str(), R_OK) != 0)
        continue;
      FollowedLog log;
      log.path = path;
      log.format = *format;
      log.name = name_for(path, found);
      found.push_back(std::move(log));
    }
  }
  return found;
}

Result<FollowedLog> parse_followed_log(std::string_view text, std::string_view format, const std::vector<FollowedLog>& named) {
  const size_t colon = text.rfind(':');
  std::string_view file = text;
  std::string_view word = format;
  if (colon != std::string_view::npos && line_format_named(text.substr(colon + 1))) {
    file = text.substr(0, colon);
    word = text.substr(colon + 1);
  }
  const auto known = line_format_named(word);
  if (!known) {
    return fail(ErrorCode::kBadInput,
                word.empty()
                    ? fmt::format("\"{}\" does not say whose log it is: FILE:PROGRAM, with one of {}", text, known_formats())
                    : fmt::format("--format: there is no \"{}\"; there are {}", word, known_formats()));
  }
  std::error_code error;
  FollowedLog log;
  log.path = std::filesystem::absolute(file, error).lexically_normal();
  if (file.empty() || error || !log.path.has_filename())
    return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is no path of a file", file));
  if (std::ranges::find(named, log.path, &FollowedLog::path) != named.end())
    return fail(ErrorCode::kBadInput, fmt::format("{} is named twice", log.path.string()));
  log.format = *known;
  log.name = name_for(log.path, named);
  return log;
}

std::string_view name_of(LineFormat format) {
  const auto known = line_formats();
  const auto found = std::ranges::find(known, format, &LineFormatName::format);
  return found == known.end() ? std::string_view("unknown") : found->name;
}

std::string_view advice_for(LineFormat format) {
  switch (format) {
    case LineFormat::kHaproxy:
      return "Its lines do not name both ends of both connections; with the log-format of docs/sources.md they do.";
    case LineFormat::kPostgresql:
      return "Its lines do not name the client's port; with log_connections = on and jsonlog, or the log_line_prefix of "
             "docs/sources.md, they do.";
    case LineFormat::kPgbouncer: return "Its lines name no ports; with log_connections = 1 they do.";
    case LineFormat::kNginx: return "Its lines do not name the client's port; with the log_format of docs/sources.md they do.";
    case LineFormat::kSyslog: return "";  // names_ports() asks nothing of it
    case LineFormat::kSshd: return "Its lines name no ports; with LogLevel INFO or VERBOSE they do.";
  }
  PB_CHECK(false);
}

}  // namespace portbook

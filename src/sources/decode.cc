#include "sources/decode.h"

#include <array>

#include "sources/haproxy.h"
#include "sources/named_values.h"
#include "sources/nginx.h"
#include "sources/pgbouncer.h"
#include "sources/postgresql.h"
#include "sources/sshd.h"
#include "sources/syslog_header.h"

namespace portbook {

namespace {

constexpr auto kFormats = std::to_array<LineFormatName>({{LineFormat::kHaproxy, "haproxy"},
                                                         {LineFormat::kPostgresql, "postgresql"},
                                                         {LineFormat::kPgbouncer, "pgbouncer"},
                                                         {LineFormat::kSshd, "sshd"},
                                                         {LineFormat::kNginx, "nginx"},
                                                         {LineFormat::kSyslog, "syslog"}});

// RFC 5424, 6.2.1.
constexpr auto kSeverities =
    std::to_array<std::string_view>({"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"});
constexpr auto kFacilities = std::to_array<std::string_view>(
    {"kern", "user",  "mail",  "daemon", "auth",   "syslog", "lpr",    "news",   "uucp",   "cron",   "authpriv", "ftp",
     "ntp",  "audit", "alert", "clock",  "local0", "local1", "local2", "local3", "local4", "local5", "local6",   "local7"});

std::optional<LineFormat> format_of_program(std::string_view app) {
  if (app.starts_with("sshd")) return LineFormat::kSshd;  // and sshd-session, sshd-auth
  if (app.starts_with("postgres")) return LineFormat::kPostgresql;
  const auto known = line_format_named(app);
  return known == LineFormat::kSyslog ? std::nullopt : known;
}

// What any program says: who said it, and what.
bool decode_note(const SyslogHeader& line, const LineOrigin& origin, Record& record) {
  if (line.app.empty()) return false;
  record.clear();
  record.set(Field::kKind, Kind::kNote);
  record.set(Field::kVantage, Vantage::kApp);
  record.set(Field::kTime, line.time.value_or(origin.read));
  record.set(Field::kApp, line.app);
  record.set(Field::kMessage, line.message);
  NamedValues values;
  values.add("pid", line.pid);
  if (line.priority) {
    values.add("facility", kFacilities[*line.priority / 8]);
    values.add("severity", kSeverities[*line.priority % 8]);
  }
  values.set_on(record);
  return true;
}

bool decode_message(LineFormat format, const SyslogHeader& line, const LineOrigin& origin, Record& record) {
  switch (format) {
    case LineFormat::kHaproxy: return decode_haproxy(line.message, origin, record);
    case LineFormat::kPostgresql: return decode_postgresql(line.message, origin, record);
    case LineFormat::kPgbouncer: return decode_pgbouncer(line.message, origin, record);
    case LineFormat::kSshd: return decode_sshd(line, record);
    case LineFormat::kNginx: return decode_nginx(line.message, origin, record);
    case LineFormat::kSyslog: break;
  }
  const auto program = format_of_program(line.app);
  return program ? decode_message(*program, line, origin, record) : decode_note(line, origin, record);
}

}  // namespace

std::span<const LineFormatName> line_formats() {
  return kFormats;
}

std::optional<LineFormat> line_format_named(std::string_view name) {
  for (const LineFormatName& one : kFormats) {
    if (one.name == name) return one.format;
  }
  return std::nullopt;
}

bool decode_line(LineFormat format, std::string_view line, const LineOrigin& origin, Record& record) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  const SyslogHeader header = parse_syslog_header(line, origin);
  const bool understood = decode_message(format, header, origin, record);
  if (!understood) {
    record.clear();
    record.set(Field::kKind, Kind::kNote);
    record.set(Field::kVantage, Vantage::kApp);
    record.set(Field::kTime, header.time.value_or(origin.read));
    record.set(Field::kMessage, line);
    record.set(Field::kCause, kNotUnderstood);
    if (!header.app.empty()) record.set(Field::kApp, header.app);
  }
  if (!header.host.empty()) record.set(Field::kHost, header.host);
  if (origin.clock_error_ns) {
    const uint64_t cut_off = record.time() % kNsPerSecond == 0 ? kNsPerSecond : 0;  // written in whole seconds
    record.set(Field::kClockError, *origin.clock_error_ns + cut_off);
  }
  return understood;
}

}  // namespace portbook

#include "sources/decode.h"

#include <array>

#include "base/check.h"
#include "sources/haproxy.h"
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
                                                         {LineFormat::kNginx, "nginx"}});

bool decode_message(LineFormat format, const SyslogHeader& line, const LineOrigin& origin, Record& record) {
  switch (format) {
    case LineFormat::kHaproxy: return decode_haproxy(line.message, origin, record);
    case LineFormat::kPostgresql: return decode_postgresql(line.message, origin, record);
    case LineFormat::kPgbouncer: return decode_pgbouncer(line.message, origin, record);
    case LineFormat::kSshd: return decode_sshd(line, record);
    case LineFormat::kNginx: return decode_nginx(line.message, origin, record);
  }
  PB_CHECK(false);
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

#include "logs/line_record.h"

#include "base/check.h"
#include "sources/syslog_header.h"

namespace portbook {

namespace {

// The same for every reading of a line: whether it is told must not hang on when it is read.
constexpr TimeNs kAnyMoment = 1'795'000'000 * kNsPerSecond;

std::string_view sentence_of(LogGap gap) {
  switch (gap) {
    case LogGap::kLost: return "the file was replaced, shortened or removed before all of it was read, and no copy of it was found";
    case LogGap::kPositions: return "it is not known how far this log had been read: what was not, up to now, is left out";
    case LogGap::kBook: return "the book lacks what it had acknowledged: it was set back or replaced";
    case LogGap::kRefused: return "the book refused a batch";
    case LogGap::kLate: return "lines were written into a rotated file after the next one had been begun";
    case LogGap::kNone: break;
  }
  PB_CHECK(false);
}

}  // namespace

bool holds_something(std::string_view line) {
  return line.find_first_not_of(" \t\r") != std::string_view::npos;
}

bool is_line_of(LineFormat format, std::string_view line) {
  if (!holds_something(line)) return false;
  if (format != LineFormat::kSshd) return true;
  const SyslogHeader header = parse_syslog_header(line, {kAnyMoment, {}});
  return header.app.empty() || header.app.starts_with("sshd");
}

bool names_ports(LineFormat format, const Record& record) {
  if (format == LineFormat::kSyslog) return true;  // many programs' lines have none to name
  if (!record.has(Field::kSrcPort)) return false;
  return format != LineFormat::kHaproxy || record.has(Field::kUpSrcPort);
}

bool read_log_line(LineFormat format, const LogLine& line, const LineOrigin& origin, std::string_view host, Record& record) {
  record.clear();
  bool understood = false;
  if (line.cut) {
    record.set(Field::kKind, Kind::kNote);
    record.set(Field::kVantage, Vantage::kApp);
    record.set(Field::kTime, origin.read);
    record.set(Field::kMessage, line.text);
    record.set(Field::kCause, kLineTooLong);
  } else {
    understood = decode_line(format, line.text, origin, record);
  }
  if (!record.has(Field::kHost)) record.set(Field::kHost, host);
  return understood;
}

void read_log_gap(const LogPosition& position, std::string_view source, std::string_view host, TimeNs now, std::string_view refusal,
                  Record& record) {
  record.clear();
  record.set(Field::kKind, Kind::kGap);
  record.set(Field::kVantage, Vantage::kBook);
  record.set(Field::kTime, now);
  record.set(Field::kHost, host);
  record.set(Field::kAbout, source);
  record.set(Field::kEnd, now);
  if (position.gap_count > 0) record.set(Field::kCount, position.gap_count);
  std::string cause(sentence_of(position.gap));
  if (!refusal.empty()) cause += ": " + std::string(refusal);
  record.set(Field::kCause, std::string_view(cause));
}

}  // namespace portbook

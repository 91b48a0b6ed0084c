#include "query/coverage_report.h"

#include <fmt/format.h>

#include <map>

#include "query/asked_hosts.h"
#include "query/html.h"
#include "query/json_writer.h"
#include "query/moment.h"
#include "query/search.h"
#include "query/who.h"

namespace portbook {

namespace {

std::string end_text(const Record& record, Field ip, Field port) {
  if (!record.has(ip)) return "unknown";
  const auto endpoint = record.endpoint(ip, port);
  return endpoint && endpoint->port != 0 ? to_text(*endpoint) : to_text(record.ip(ip));
}

bool has_ports(const Row& row, CoverageReport& report, std::map<std::string, uint64_t>& reasons) {
  const Record& record = row.record;
  if (!record.has(Field::kSrcPort) || !record.has(Field::kDstPort)) return false;
  if (record.uint_or(Field::kDirection, 0) != static_cast<uint64_t>(Direction::kOut)) return true;
  const auto nat = static_cast<Nat>(record.uint_or(Field::kNat, static_cast<uint64_t>(Nat::kUnknown)));
  if (nat == Nat::kTranslated) {
    ++report.external_known;
    return true;
  }
  if (nat == Nat::kNone) {
    ++report.external_same;
    return true;
  }
  if (!record.has(Field::kNatReason)) return false;
  ++reasons[std::string(enum_name(Field::kNatReason, record.uint(Field::kNatReason)))];
  return true;
}

void look_at(const Row& row, CoverageReport& report, std::map<std::string, uint64_t>& reasons) {
  const Record& record = row.record;
  const std::array<bool, kQualities.size()> has = {record.has(Field::kSrcIp) && record.has(Field::kDstIp),
                                                   has_ports(row, report, reasons), record.has(Field::kClockError),
                                                   record.has(Field::kPid) && record.has(Field::kExe)};
  ++report.connections;
  std::vector<Quality> lacks;
  for (const Quality quality : kQualities) {
    const auto at = static_cast<size_t>(quality);
    has[at] ? static_cast<void>(++report.with[at]) : lacks.push_back(quality);
  }
  if (lacks.empty()) return;
  ++report.exceptions_total;
  if (report.exceptions.size() >= kExceptionsListedMax) return;
  report.exceptions.push_back(
      {row.id, row.start, std::string(record.text_or(Field::kHost, "")),
       fmt::format("{} → {}", end_text(record, Field::kSrcIp, Field::kSrcPort), end_text(record, Field::kDstIp, Field::kDstPort)),
       std::move(lacks)});
}

// Never rounded up to a whole: 99.9996 % is not 100 %.
std::string share_text(uint64_t part, uint64_t whole) {
  if (whole == 0) return "–";
  const uint64_t thousandths = part / whole == 1 ? 100'000 : part * 100'000 / whole;
  return fmt::format("{}.{:03} %", thousandths / 1000, thousandths % 1000);
}

std::string lacks_text(const Exception& exception) {
  std::vector<std::string_view> names;
  for (const Quality quality : exception.lacks) names.push_back(to_sentence(quality));
  return fmt::format("{}", fmt::join(names, "; "));
}

}  // namespace

std::string_view to_text(Quality quality) {
  switch (quality) {
    case Quality::kAddresses: return "both_addresses";
    case Quality::kPorts: return "both_ports";
    case Quality::kClock: return "synchronised_clock";
    case Quality::kProcess: return "identified_process";
  }
  return "";
}

std::string_view to_sentence(Quality quality) {
  switch (quality) {
    case Quality::kAddresses: return "both addresses";
    case Quality::kPorts: return "both ports, or a stated reason";
    case Quality::kClock: return "a synchronised clock";
    case Quality::kProcess: return "an identified process";
  }
  return "";
}

Result<CoverageReport> coverage_report(const View& view, Coverage& coverage, Filter filter, std::string filter_text, TimeNs now,
                                       std::chrono::milliseconds time_max) {
  if (auto status = coverage.refresh(view); !status) return std::unexpected(status.error());
  CoverageReport report;
  report.filter = std::move(filter_text);
  const NumberRange asked = start_range(filter);
  report.from = asked.low;
  report.to = std::min(asked.high, now);
  const auto hosts = asked_hosts(filter, coverage.hosts());
  std::map<std::string, uint64_t> reasons;
  Search search(view, std::move(filter), std::nullopt);
  const auto stop_at = std::chrono::steady_clock::now() + time_max;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(stop_at - std::chrono::steady_clock::now());
    if (left.count() <= 0 || report.connections >= kReportRowsMax) break;
    const auto done =
        search.step(kReportRowsMax - report.connections, left, [&](const Row& row) { look_at(row, report, reasons); });
    if (!done) return std::unexpected(done.error());
    if (*done) break;
  }
  report.cut = !search.done();
  report.external_unknown.assign(reasons.begin(), reasons.end());
  report.sources = coverage.sources();
  report.completeness = coverage.over(report.from, std::max(report.from, report.to), hosts);
  report.gaps = report.completeness.missing;
  return report;
}

std::string to_json(const CoverageReport& report) {
  std::string out;
  Json json(out);
  json.open('{');
  json.text("filter", report.filter);
  json.time("from", report.from == 0 ? std::nullopt : std::optional(report.from));
  json.text("to", format_time(report.to));
  json.number("connections", report.connections);
  json.open("shares", '[');
  for (const Quality quality : kQualities) {
    json.open('{');
    json.text("what", to_text(quality));
    json.number("count", report.with[static_cast<size_t>(quality)]);
    json.text("share", share_text(report.with[static_cast<size_t>(quality)], report.connections));
    json.close('}');
  }
  json.close(']');
  json.open("external", '{');
  json.number("known", report.external_known);
  json.number("same", report.external_same);
  json.open("unknown", '{');
  for (const auto& [reason, count] : report.external_unknown) json.number(reason, count);
  json.close('}');
  json.close('}');
  json.open("exceptions", '[');
  for (const Exception& exception : report.exceptions) {
    json.open('{');
    json.number("record", exception.record);
    json.time("start", exception.start);
    json.text("host", exception.host);
    json.text("connection", exception.connection);
    json.open("lacks", '[');
    for (const Quality quality : exception.lacks) json.element(to_text(quality));
    json.close(']');
    json.close('}');
  }
  json.close(']');
  json.number("exceptions_total", report.exceptions_total);
  json.raw("completeness", to_json(report.completeness));
  json.boolean("cut", report.cut);
  json.close('}');
  return out;
}

std::string to_html(const CoverageReport& report, std::string_view origin) {
  HtmlPage page("Coverage of recorded connections");
  page.paragraph(fmt::format("Book {}. {} – {}. Filter: {}.", origin,
                             report.from == 0 ? std::string("From its beginning") : moment_text(report.from),
                             moment_text(report.to), report.filter.empty() ? "none" : report.filter));
  page.paragraph(report.completeness.sentence);
  if (report.cut) page.warning("A limit was met: only the newest connections were looked at.");
  page.heading("Of all connections");
  std::vector<std::vector<std::string>> shares;
  for (const Quality quality : kQualities) {
    const uint64_t count = report.with[static_cast<size_t>(quality)];
    shares.push_back({std::string(to_sentence(quality)), std::to_string(count), std::to_string(report.connections),
                      share_text(count, report.connections)});
  }
  page.table({"have", "connections", "of", "share"}, shares);
  page.heading("External ports of outbound connections");
  std::vector<std::vector<std::string>> external = {{"translated: external port known", std::to_string(report.external_known)},
                                                    {"not translated on their host", std::to_string(report.external_same)}};
  for (const auto& [reason, count] : report.external_unknown)
    external.push_back({fmt::format("unknown: {}", reason), std::to_string(count)});
  page.table({"external port", "connections"}, external);
  page.heading(fmt::format("Gaps ({})", report.gaps.size()));
  std::vector<std::vector<std::string>> gaps;
  for (const Missing& gap : report.gaps) {
    const auto from = gap.gap.from == 0 ? std::nullopt : std::optional(gap.gap.from);
    gaps.push_back({gap.source, interval_text(from, gap.gap.to, "from the beginning", "not ended"),
                    gap.gap.count ? std::to_string(*gap.gap.count) : "unknown", gap.gap.cause,
                    gap.gap.record ? fmt::format("#{}", *gap.gap.record) : "none"});
  }
  page.table({"source", "when", "lost", "cause", "record"}, gaps);
  page.heading(fmt::format("Exceptions ({})", report.exceptions_total));
  if (report.exceptions_total > report.exceptions.size())
    page.warning(fmt::format("The {} newest are listed.", report.exceptions.size()));
  std::vector<std::vector<std::string>> exceptions;
  for (const Exception& one : report.exceptions)
    exceptions.push_back({fmt::format("#{}", one.record), one.start ? moment_text(*one.start, kNsPerMs) : "before capture began",
                          one.host, one.connection, lacks_text(one)});
  page.table({"record", "began", "host", "connection", "lacks"}, exceptions);
  page.heading("Sources");
  std::vector<std::vector<std::string>> sources;
  for (const Source& source : report.sources)
    sources.push_back({source.name, source.covers, source.means,
                       source.runs.empty() ? "never" : moment_text(source.runs.front().from),
                       source.clock_synchronised ? "synchronised" : "not synchronised"});
  page.table({"source", "captures", "by", "first began", "clock"}, sources);
  return page.finished();
}

}  // namespace portbook

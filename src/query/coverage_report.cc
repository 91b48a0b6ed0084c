#include "query/coverage_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "query/asked_hosts.h"
#include "query/each_record.h"
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

constexpr FieldSet report_fields() {
  FieldSet fields = fields_of(kRowFields);
  fields.add(fields_of(kProcessKeyFields));
  fields.add(fields_of(std::array{Field::kProto, Field::kSrcIp, Field::kSrcPort, Field::kDstIp, Field::kDstPort, Field::kSrcNatIp,
                                  Field::kSrcNatPort, Field::kDstNatIp, Field::kDstNatPort, Field::kNat, Field::kNatReason,
                                  Field::kHost, Field::kExe, Field::kClockError}));
  return fields;
}
constexpr FieldSet kReportFields = report_fields();

// Looks at one connection after the other.
class Examiner {
 public:
  // Both must outlive it.
  Examiner(Search& search, CoverageReport& report) : joins_(search.joins()), reading_(search.reading()), report_(report) {}

  void look_at(uint64_t index, const Record& main) {
    const bool joined = reading_ == Reading::kConnections;
    const Record& owner = joined ? owner_record(joins_, main) : main;
    const std::array<bool, kQualities.size()> has = {main.has(Field::kSrcIp) && main.has(Field::kDstIp), has_ports(main),
                                                     main.has(Field::kClockError),
                                                     owner.has(Field::kPid) && owner.has(Field::kExe)};
    ++report_.connections;
    std::vector<Quality> lacks;
    for (const Quality quality : kQualities) {
      const auto at = static_cast<size_t>(quality);
      has[at] ? static_cast<void>(++report_.with[at]) : lacks.push_back(quality);
    }
    if (lacks.empty()) return;
    ++report_.exceptions_total;
    if (report_.exceptions.size() < kExceptionsListedMax) list(index, main, std::move(lacks));
  }
  void finish() {
    for (const auto& [reason, count] : reasons_) report_.external_unknown.emplace_back(enum_name(Field::kNatReason, reason), count);
    std::ranges::sort(report_.external_unknown);
  }

 private:
  bool has_ports(const Record& main) {
    if (!main.has(Field::kSrcPort) || !main.has(Field::kDstPort)) return false;
    if (main.uint_or(Field::kDirection, 0) != static_cast<uint64_t>(Direction::kOut)) return true;
    const auto nat = static_cast<Nat>(main.uint_or(Field::kNat, static_cast<uint64_t>(Nat::kUnknown)));
    if (nat == Nat::kTranslated || has_lease(main)) {
      ++report_.external_known;
      return true;
    }
    if (nat == Nat::kNone) {
      ++report_.external_same;
      return true;
    }
    if (!main.has(Field::kNatReason)) return false;
    ++reasons_[main.uint(Field::kNatReason)];
    return true;
  }
  bool has_lease(const Record& main) {
    return reading_ == Reading::kConnections && !main.has(Field::kSrcNatIp) && !main.has(Field::kDstNatIp) &&
           joins_.translation_of(main).has_value();
  }
  void list(uint64_t index, const Record& main, std::vector<Quality> lacks) {
    std::optional<TimeNs> start = row_interval(main).start;
    if (!start && main.has(Field::kConn)) start = connection_row(joins_, index, main).start;
    report_.exceptions.push_back(
        {index, start, std::string(main.text_or(Field::kHost, "")),
         fmt::format("{} → {}", end_text(main, Field::kSrcIp, Field::kSrcPort), end_text(main, Field::kDstIp, Field::kDstPort)),
         std::move(lacks)});
  }

  Joins& joins_;
  const Reading reading_;
  CoverageReport& report_;
  std::map<uint64_t, uint64_t> reasons_;
};

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
  Search search(view, std::move(filter), std::nullopt);
  Examiner examiner(search, report);
  const auto whole = each_record(search, kReportFields, kReportRowsMax, std::chrono::steady_clock::now() + time_max,
                                 [&](uint64_t index, const Record& main) { examiner.look_at(index, main); });
  if (!whole) return std::unexpected(whole.error());
  report.cut = !*whole;
  examiner.finish();
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

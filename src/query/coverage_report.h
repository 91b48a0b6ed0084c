// The audit report: of which share of the connections the book can say what it promises, every exception, every gap.
#pragma once

#include <array>
#include <chrono>

#include "query/coverage.h"
#include "query/filter.h"

namespace portbook {

inline constexpr size_t kExceptionsListedMax = 10'000;
inline constexpr uint64_t kReportRowsMax = 5'000'000;

// What every connection should have.
enum class Quality : uint8_t { kAddresses, kPorts, kClock, kProcess };
inline constexpr auto kQualities = std::to_array({Quality::kAddresses, Quality::kPorts, Quality::kClock, Quality::kProcess});
std::string_view to_text(Quality quality);      // "both_addresses", as in JSON
std::string_view to_sentence(Quality quality);  // for people

struct Exception {
  uint64_t record = 0;
  std::optional<TimeNs> start;
  std::string host;
  std::string connection;  // "10.0.0.1:1 → 10.0.0.2:2"
  std::vector<Quality> lacks;
};

struct CoverageReport {
  std::string filter;
  TimeNs from = 0;  // 0: from the book's beginning
  TimeNs to = 0;
  uint64_t connections = 0;
  std::array<uint64_t, kQualities.size()> with{};                  // connections that have it, by Quality
  uint64_t external_known = 0;                                     // of the outbound ones: translated, with both external values
  uint64_t external_same = 0;                                      // this host saw no translation
  std::vector<std::pair<std::string, uint64_t>> external_unknown;  // by stated reason
  std::vector<Exception> exceptions;                               // newest first
  uint64_t exceptions_total = 0;
  std::vector<Source> sources;
  std::vector<Missing> gaps;
  CompletenessAnswer completeness;
  bool cut = false;  // a limit was met: only the newest connections were looked at
};

// Both ports: source and destination, and of an outbound connection the external pair, or that there is none, or a stated reason
// why it is unknown. Errors: kIo, kCorrupt.
Result<CoverageReport> coverage_report(const View& view, Coverage& coverage, Filter filter, std::string filter_text, TimeNs now,
                                       std::chrono::milliseconds time_max);

std::string to_json(const CoverageReport& report);
std::string to_html(const CoverageReport& report, std::string_view origin);

}  // namespace portbook

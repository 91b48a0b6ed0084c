#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/clock.h"
#include "cli/output.h"
#include "query/filter.h"
#include "record/fields.h"

namespace portbook {

namespace {

constexpr auto kUsualColumns =
    std::to_array<std::string_view>({"id", "start", "duration", "state", "internal", "external", "dst", "exe", "pid", "user"});
constexpr auto kRowColumns = std::to_array<std::string_view>(
    {"id", "state", "start", "duration", "internal", "external", "dst", "src", "records", "nat", "nat_reason"});

std::string endpoint_of(simdjson::dom::element record, std::string_view side) {
  const std::string ip = member(record, fmt::format("{}.ip", side));
  const std::string port = member(record, fmt::format("{}.port", side));
  if (ip.empty() || port.empty()) return ip;
  return ip.contains(':') ? fmt::format("[{}]:{}", ip, port) : fmt::format("{}:{}", ip, port);
}

constexpr std::string_view kUnknown = "unknown";
constexpr std::string_view kWhat = "what";  // a column for people only: what the others do not say

std::string in_words(std::string name) {
  std::ranges::replace(name, '_', ' ');
  return name;
}

// The external endpoint, or why there is none: a port that is not known is never blank where there is an internal one.
std::string external_for_people(simdjson::dom::element row) {
  std::string external = member(row, "external");
  if (!external.empty() || member(row, "internal").empty()) return external;
  if (member(row, "nat") == "none") return "same";
  const std::string reason = member(row, "nat_reason");
  return reason.empty() ? std::string(kUnknown) : fmt::format("{}: {}", kUnknown, in_words(reason));
}

// The destination, and which end is this host's: → it asked for it, ← it was asked, ⇄ it only forwarded.
std::string destination_for_people(simdjson::dom::element record) {
  const std::string endpoint = endpoint_of(record, "dst");
  const std::string direction = member(record, "direction");
  if (endpoint.empty()) return endpoint;
  return fmt::format("{} {}", direction == "out" ? "→" : direction == "in" ? "←" : direction == "forward" ? "⇄" : " ", endpoint);
}

// A book of records holds more than connections: those are named by their kind.
std::string state_for_people(simdjson::dom::element row, simdjson::dom::element record) {
  const std::string state = member(row, "state");
  return state == "record" ? in_words(member(record, "kind")) : state;
}

// How a connection failed; of any other record, the members that make its sentence.
std::string what_for_people(simdjson::dom::element row, simdjson::dom::element record) {
  const std::string outcome = member(record, "outcome");
  if (!outcome.empty() && outcome != "ok") return outcome;
  if (member(row, "state") != "record") return {};
  const std::string kind = member(record, "kind");
  if (kind == "process") return member(record, "cmdline");
  if (kind == "clock") return in_words(member(record, "clock_state"));
  if (kind == "gap") {
    const std::string count = member(record, "count");
    const std::string end = member(record, "end");
    return fmt::format("{} – {}, {} lost: {}", short_time(member(record, "start")), end.empty() ? "not ended" : short_time(end),
                       count.empty() ? "unknown how many" : count, member(record, "cause"));
  }
  if (kind == "batch") return fmt::format("{} of {}", member(record, "count"), member(record, "about"));
  if (kind == "address") {
    return fmt::format("{}/{} {} {}", member(record, "address"), member(record, "prefix"), member(record, "interface"),
                       member(record, "state"));
  }
  std::string what;
  for (const std::string_view name : {"action", "principal", "cause", "count", "about", "covers", "app", "message", "role"}) {
    const std::string value = member(record, name);
    if (!value.empty()) what += (what.empty() ? "" : "  ") + value;
  }
  return what;
}

// One cell; `people` asks for what reads well, else for what can be computed with.
std::string cell_of(simdjson::dom::element row, std::string_view column, bool people) {
  simdjson::dom::element record;
  if (row.at_key("record").get(record) != simdjson::SUCCESS) return {};
  if (column == "duration") {
    uint64_t ns = 0;
    if (row.at_key("duration_ns").get(ns) != simdjson::SUCCESS) return {};
    return people ? short_duration(ns) : std::to_string(ns);
  }
  if (people && column == "dst") return destination_for_people(record);
  if (column == "dst" || column == "src") return endpoint_of(record, column);
  if (column == "start" && people) return short_time(member(row, "start"));
  if (people && column == "external") return external_for_people(row);
  if (people && column == "state") return state_for_people(row, record);
  if (people && column == kWhat) return what_for_people(row, record);
  if (std::ranges::find(kRowColumns, column) != kRowColumns.end()) return member(row, column);
  std::string value = member(record, column);
  if (people && column == "exe") value.erase(0, value.rfind('/') + 1);
  const auto field = field_named(column);
  return people && field && info(*field).type == FieldType::kTime ? short_time(value) : value;
}

constexpr size_t kBetween = 2;    // blanks between columns
constexpr size_t kColumnMin = 8;  // a column is cut to this at most
// Cut, these would say something else.
constexpr auto kNeverCut = std::to_array<std::string_view>(
    {"id",    "record", "start", "began",     "duration", "internal", "external", "dst",      "src",      "port",   "pid",
     "count", "failed", "open",  "bytes_out", "bytes_in", "share",    "field",    "src.port", "dst.port", "src.ip", "dst.ip"});
// Of the usual table, what a narrow terminal does without, the least first: never an end or a port.
constexpr auto kLeastFirst = std::to_array<std::string_view>({"duration", "pid", "what", "user", "state", "exe"});
constexpr size_t kYearBytes = 5;  // "2026-"
constexpr size_t kNarrow = 110;   // terminal columns below which a time is without its year

Ink ink_of(std::string_view column, std::string_view cell) {
  if (column == "internal") return Ink::kInternal;
  if (column == "external") return cell.starts_with(kUnknown) || cell == "same" ? Ink::kDim : Ink::kExternal;
  if (column == "state") return cell == "failed" ? Ink::kBad : cell == "open" ? Ink::kBold : Ink::kDim;
  return column == "id" || column == kWhat ? Ink::kDim : Ink::kPlain;
}

}  // namespace

std::string member(simdjson::dom::element object, std::string_view name) {
  simdjson::dom::element value;
  if (object.at_key(name).get(value) != simdjson::SUCCESS || value.is_null()) return {};
  std::string_view text;
  return value.get(text) == simdjson::SUCCESS ? std::string(text) : simdjson::minify(value);
}

void add_output_options(CLI::App& command, OutputOptions& options) {
  auto* json = command.add_flag("--json", options.json, "One JSON object a line");
  command.add_flag("--csv", options.csv, "Comma-separated values with a header")->excludes(json);
  command.add_option("--columns", options.columns, "Columns of the table or CSV, such as start,internal,external,cmdline")
      ->delimiter(',');
}

std::string short_time(std::string_view time) {
  if (time.size() < 23) return std::string(time);
  return fmt::format("{} {}", time.substr(0, 10), time.substr(11, 12));
}

std::string short_duration(uint64_t ns) {
  const uint64_t minutes = ns / (60 * kNsPerSecond);
  const double seconds = static_cast<double>(ns % (60 * kNsPerSecond)) / 1e9;
  if (ns < 1000) return fmt::format("{} ns", ns);
  if (ns < kNsPerMs) return fmt::format("{} µs", ns / 1000);
  if (ns < kNsPerSecond) return fmt::format("{} ms", ns / kNsPerMs);
  if (minutes == 0) return fmt::format("{:.1f} s", seconds);
  if (minutes < 60) return fmt::format("{}m {:.1f}s", minutes, seconds);
  return fmt::format("{}h {}m", minutes / 60, minutes % 60);
}

void Table::print_line(const std::vector<std::string>& cells, InkOf ink, bool is_header) const {
  Shown out = "";
  size_t blanks = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string cell = cut_to_width(printable(cells[i]), widths_[i]);
    if (!cell.empty()) {
      out += std::string(blanks, ' ');
      blanks = 0;
    }
    out += inked(is_header ? Ink::kDim : ink(header_[i], cell), cell);
    blanks += widths_[i] - display_width(cell) + kBetween;
  }
  say("{}\n", out);
}

void Table::leave_out(size_t column) {
  PB_CHECK(!header_printed_);
  header_.erase(header_.begin() + static_cast<std::ptrdiff_t>(column));
  for (auto& row : rows_) row.erase(row.begin() + static_cast<std::ptrdiff_t>(column));
  widths_.clear();
}

void Table::leave_out_empty() {
  for (size_t i = header_.size(); i-- > 0;) {
    if (std::ranges::none_of(rows_, [i](const auto& row) { return !row[i].empty(); })) leave_out(i);
  }
}

std::vector<std::string> Table::leave_out_to_fit(std::span<const std::string_view> least_first) {
  std::vector<std::string> gone;
  for (const std::string_view name : least_first) {
    measure();
    if (columns_max_ == 0 || line_width() <= columns_max_) break;
    const auto found = std::ranges::find(header_, name);
    if (found == header_.end()) continue;
    gone.push_back(*found);
    leave_out(static_cast<size_t>(found - header_.begin()));
  }
  return gone;
}

void Table::measure() {
  widths_.resize(header_.size());
  for (size_t i = 0; i < widths_.size(); ++i) {
    widths_[i] = std::max(widths_[i], display_width(header_[i]));
    for (const auto& row : rows_) widths_[i] = std::max(widths_[i], display_width(printable(row[i])));
  }
  // The widest that may be cut gives way first, a column at a time.
  while (columns_max_ != 0 && line_width() > columns_max_) {
    size_t widest = header_.size();
    for (size_t i = 0; i < header_.size(); ++i) {
      const bool whole = std::ranges::find(kNeverCut, header_[i]) != kNeverCut.end();
      if (whole || widths_[i] <= std::max(kColumnMin, display_width(header_[i]))) continue;
      if (widest == header_.size() || widths_[i] > widths_[widest]) widest = i;
    }
    if (widest == header_.size()) return;  // the terminal folds the lines: what is left must not be cut
    --widths_[widest];
  }
}

size_t Table::line_width() const {
  size_t width = 0;
  for (const size_t one : widths_) width += one + kBetween;
  return width - std::min(width, kBetween);
}

void Table::print(InkOf ink) {
  measure();
  if (!header_printed_) print_line(header_, ink, true);
  header_printed_ = true;
  for (const auto& row : rows_) print_line(row, ink, false);
  rows_.clear();
}

void print_csv(const std::vector<std::string>& cells) {
  std::string out;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) out += ',';
    const std::string cell = terminal_columns() == 0 ? cells[i] : printable(cells[i]);
    if (cell.find_first_of(",\"\n\r") == std::string::npos) {
      out += cell;
      continue;
    }
    out += '"';
    for (const char c : cell) {
      if (c == '"') out += '"';
      out += c;
    }
    out += '"';
  }
  write_out(out + "\r\n");
}

Result<RowPrinter> RowPrinter::make(OutputOptions options) {
  std::vector<std::string_view> names(kRowColumns.begin(), kRowColumns.end());
  for (const FieldInfo& field : kFields) names.push_back(field.name);
  for (const std::string& column : options.columns) {
    if (std::ranges::find(names, column) != names.end()) continue;
    const std::string near = nearest_name(column, names);
    return fail(ErrorCode::kBadInput,
                fmt::format("there is no column \"{}\"{}", column,
                            near.empty() ? "; `portbook fields` lists them" : "; did you mean " + near + "?"));
  }
  const bool usual = options.columns.empty();
  if (usual) {
    options.columns.assign(kUsualColumns.begin(), kUsualColumns.end());
    if (!options.csv) options.columns.emplace_back(kWhat);
  }
  RowPrinter printer(std::move(options));
  printer.usual_columns_ = usual;
  const size_t terminal = terminal_columns();
  printer.narrow_ = terminal != 0 && terminal < kNarrow;
  return printer;
}

void RowPrinter::print(std::string_view row) {
  if (options_.json) {
    write_json(row);
    write_out("\n");
    return;
  }
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(row);
  simdjson::dom::element element;
  if (parser.parse(padded).get(element) != simdjson::SUCCESS) return;
  std::vector<std::string> cells;
  for (const std::string& column : options_.columns) {
    cells.push_back(cell_of(element, column, !options_.csv));
    if (usual_columns_ && narrow_ && column == "start" && cells.back().size() > kYearBytes) cells.back().erase(0, kYearBytes);
  }
  if (options_.csv) {
    if (!header_printed_) print_csv(options_.columns);
    header_printed_ = true;
    print_csv(cells);
    return;
  }
  table_.add(std::move(cells));
  if (table_.waiting() >= kAligned) print_table();
}

void RowPrinter::print_table() {
  if (usual_columns_ && !header_printed_) left_out_ = table_.leave_out_to_fit(kLeastFirst);
  table_.print(ink_of);
  header_printed_ = true;
}

void RowPrinter::flush() {
  if (table_.waiting() > 0) print_table();
  flush_out();
}

void RowPrinter::finish() {
  if (options_.csv && !header_printed_) print_csv(options_.columns);
  if (usual_columns_ && !header_printed_ && table_.waiting() > 0) table_.leave_out_empty();
  flush();
  if (!left_out_.empty())
    tell("Left out, as this terminal is narrow: {}. --columns names what to show.\n", fmt::to_string(fmt::join(left_out_, ", ")));
}

}  // namespace portbook

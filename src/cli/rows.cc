#include "cli/rows.h"

#include <fmt/format.h>

#include <cstdio>

namespace portbook {

namespace {

std::vector<Table::Column> usual_columns() {
  return {{"time, UTC", 23, false},   {"", 1, false},         {"internal", 21, false}, {"external", 21, false},
          {"destination", 21, false}, {"process", 18, false}, {"lasted", 8, true},     {"user", 8, false},
          {"record", 7, true}};
}

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    parts.emplace_back(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  }
  return parts;
}

std::vector<Table::Column> chosen_columns(const std::vector<std::string>& names) {
  if (names.empty()) return usual_columns();
  std::vector<Table::Column> columns;
  for (const std::string& name : names) columns.push_back({name, 8, false});
  return columns;
}

std::string basename_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string endpoint_text(simdjson::dom::element record, const std::string& side) {
  const std::string ip = member_text(record, side + ".ip");
  const std::string port = member_text(record, side + ".port");
  if (ip.empty()) return "unknown";
  const std::string host = ip.find(':') == std::string::npos ? ip : "[" + ip + "]";
  return port.empty() ? host : host + ":" + port;
}

Cell lasted_cell(simdjson::dom::element row, simdjson::dom::element record) {
  const std::string state = member_text(row, "state");
  const std::string outcome = member_text(record, "outcome");
  if (state == "open") return {"open", Ink::kBold};
  if (state == "failed") return {outcome.empty() ? "failed" : outcome, Ink::kBad};
  uint64_t ns = 0;
  if (row["duration_ns"].get(ns) == simdjson::SUCCESS) return {duration_text(ns), outcome == "reset" ? Ink::kBad : Ink::kPlain};
  return {state == "record" ? "" : "unknown", Ink::kDim};
}

Cell external_cell(simdjson::dom::element row) {
  const std::string external = member_text(row, "external");
  if (!external.empty()) return {external, Ink::kExternal};
  const std::string nat = member_text(row, "nat");
  if (nat == "none") return {"same", Ink::kDim};
  const std::string reason = member_text(row, "nat_reason");
  return {nat == "unknown" || nat.empty() ? (reason.empty() ? "unknown" : "unknown: " + reason) : "", Ink::kWarn};
}

std::vector<Cell> usual_cells(simdjson::dom::element row, simdjson::dom::element record) {
  std::string time = member_text(row, "start");
  if (time.empty()) time = member_text(record, "time");
  if (time.size() > 23) time = time.substr(0, 10) + " " + time.substr(11, 12);
  const std::string direction = member_text(record, "direction");
  const std::string exe = basename_of(member_text(record, "exe"));
  const std::string pid = member_text(record, "pid");
  if (!record["src.ip"].error() || !record["dst.ip"].error()) {
    std::string user = member_text(record, "user");
    if (user.empty()) user = member_text(record, "uid");
    std::string internal = member_text(row, "internal");
    if (internal.empty()) internal = endpoint_text(record, "src");
    return {{time},
            {direction == "out"  ? "→"
             : direction == "in" ? "←"
                                 : " "},
            {internal, Ink::kInternal},
            external_cell(row),
            {endpoint_text(record, "dst")},
            {exe.empty() && pid.empty() ? "unknown" : exe + " " + pid},
            lasted_cell(row, record),
            {user.empty() ? "unknown" : user},
            {"#" + member_text(row, "id"), Ink::kDim}};
  }
  // A record of the book itself has no endpoints: what it says stands in their place.
  std::string says = member_text(record, "kind");
  for (const char* name :
       {"action", "address", "interface", "state", "about", "covers", "cause", "count", "exe", "cmdline", "message"}) {
    const std::string text = member_text(record, name);
    if (!text.empty()) says += " " + text;
  }
  return {{time}, {" "}, {says, Ink::kDim}, {""}, {""}, {""}, {""}, {""}, {"#" + member_text(row, "id"), Ink::kDim}};
}

}  // namespace

std::string member_text(simdjson::dom::element object, std::string_view name) {
  simdjson::dom::element value;
  if (object[name].get(value) != simdjson::SUCCESS || value.is_null()) return {};
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return std::string(text);
  return simdjson::minify(value);
}

std::string duration_text(uint64_t ns) {
  const double seconds = static_cast<double>(ns) / 1e9;
  if (ns < 1'000'000) return fmt::format("{:.0f} µs", static_cast<double>(ns) / 1e3);
  if (ns < 1'000'000'000) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (ns < 60'000'000'000) return fmt::format("{:.1f} s", seconds);
  const auto whole = ns / 1'000'000'000;
  if (whole < 3600) return fmt::format("{}m {:.1f}s", whole / 60, seconds - static_cast<double>(whole / 60 * 60));
  if (whole < 86'400) return fmt::format("{}h {}m", whole / 3600, whole / 60 % 60);
  return fmt::format("{}d {}h", whole / 86'400, whole / 3600 % 24);
}

RowPrinter::RowPrinter(Format format, std::string_view columns)
    : format_(format), columns_(split(columns)), table_(chosen_columns(columns_)) {
  if (format_ == Format::kCsv && columns_.empty()) {
    columns_ = {"id",       "start", "state", "direction", "internal", "external",  "nat",        "dst.ip",
                "dst.port", "host",  "pid",   "exe",       "user",     "container", "duration_ns"};
  }
}

void RowPrinter::print_head() {
  if (head_printed_) return;
  head_printed_ = true;
  if (format_ == Format::kTable) table_.print_head();
  if (format_ == Format::kCsv) fmt::print("{}", csv_line(columns_));
}

Status RowPrinter::print(std::string_view json) {
  if (format_ == Format::kJson && columns_.empty()) {
    fmt::print("{}\n", json);
    return {};
  }
  simdjson::dom::element row;
  simdjson::dom::element record;
  if (parser_.parse(json.data(), json.size()).get(row) != simdjson::SUCCESS || row["record"].get(record) != simdjson::SUCCESS) {
    return fail(ErrorCode::kCorrupt, "the book answered with something that is no row");
  }
  print_head();
  if (format_ == Format::kTable && columns_.empty()) {
    table_.print_row(usual_cells(row, record));
    return {};
  }
  std::vector<std::string> values;
  std::string object = "{";
  for (const std::string& name : columns_) {
    simdjson::dom::element value;
    if (row[name].get(value) != simdjson::SUCCESS && record[name].get(value) != simdjson::SUCCESS) {
      values.emplace_back();
      continue;
    }
    values.push_back(member_text(row[name].error() ? record : row, name));
    object += fmt::format("{}\"{}\":{}", object.size() > 1 ? "," : "", name, simdjson::minify(value));
  }
  if (format_ == Format::kJson) fmt::print("{}}}\n", object);
  if (format_ == Format::kCsv) fmt::print("{}", csv_line(values));
  if (format_ == Format::kTable) {
    std::vector<Cell> cells;
    for (std::string& value : values) cells.push_back({std::move(value)});
    table_.print_row(cells);
  }
  return {};
}

void RowPrinter::finish() {
  print_head();
  std::fflush(stdout);
}

}  // namespace portbook

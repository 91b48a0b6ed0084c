// Rows for people and programs: an aligned table with colours, NDJSON or CSV.
#pragma once

#include <simdjson.h>

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/output.h"

namespace portbook {

struct OutputOptions {
  bool json = false;
  bool csv = false;
  std::vector<std::string> columns;  // empty: the usual ones
};
void add_output_options(CLI::App& command, OutputOptions& options);

// A text member of an object; numbers and objects as JSON; empty for null and where there is none.
std::string member(simdjson::dom::element object, std::string_view name);

// Prints cells as aligned columns, the header first; ink(column, cell) colours one. On a terminal that is too narrow, columns of
// text are cut, the widest first and none below 8 places; ends, ports, numbers and times never are. In a pipe nothing is.
class Table {
 public:
  explicit Table(std::vector<std::string> header, size_t columns_max = terminal_columns())
      : header_(std::move(header)), columns_max_(columns_max) {}
  using InkOf = Ink (*)(std::string_view column, std::string_view cell);
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  [[nodiscard]] size_t waiting() const { return rows_.size(); }
  // Leaves out the columns in which no row has anything. Nothing may have been printed yet, and no row may come after.
  void leave_out_empty();
  // Leaves out columns in this order until a line fits the terminal; their names. Needs the same.
  std::vector<std::string> leave_out_to_fit(std::span<const std::string_view> least_first);
  // Prints what was added since; widths only grow.
  void print(InkOf ink);

 private:
  void leave_out(size_t column);
  void measure();
  [[nodiscard]] size_t line_width() const;
  void print_line(const std::vector<std::string>& cells, InkOf ink, bool is_header) const;
  std::vector<std::string> header_;
  size_t columns_max_;  // 0: as wide as it comes
  std::vector<std::vector<std::string>> rows_;
  std::vector<size_t> widths_;
  bool header_printed_ = false;
};

// One line of CSV to stdout, ended by CR LF (RFC 4180). Cells stand as they are, but printable on a terminal.
void print_csv(const std::vector<std::string>& cells);

// Prints rows (the HTTP contract's Row objects) to stdout. The usual table ends with what its other columns do not say.
class RowPrinter {
 public:
  // Errors: kBadInput, naming a column that is neither a field nor one of id, state, start, duration, internal, external, records.
  static Result<RowPrinter> make(OutputOptions options);

  // `row` is one Row object as JSON text. Table rows wait until kAligned of them are there, or flush() is called.
  void print(std::string_view row);
  void flush();
  // As flush(), after the last row: usual columns in which no row has anything are left out.
  void finish();

 private:
  explicit RowPrinter(OutputOptions options) : options_(std::move(options)), table_(options_.columns) {}
  void print_table();

  static constexpr size_t kAligned = 500;
  OutputOptions options_;
  Table table_;
  std::vector<std::string> left_out_;
  bool narrow_ = false;
  bool usual_columns_ = false;   // nobody asked for these by name
  bool header_printed_ = false;  // of CSV or of the table
};

// "2026-11-22T12:03:01.990123456Z" as "2026-11-22 12:03:01.990".
std::string short_time(std::string_view time);
// Two units at most: "738 ms", "5.0 s", "1m 50.9s".
std::string short_duration(uint64_t ns);

}  // namespace portbook

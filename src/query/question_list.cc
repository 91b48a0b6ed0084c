#include "query/question_list.h"

#include <fmt/format.h>

#include <algorithm>

#include "query/filter.h"
#include "query/paste.h"

namespace portbook {

namespace {

constexpr std::string_view kZeekFields = "#fields\t";
constexpr std::string_view kFlowLogFields = "version account-id ";  // the first line of a flow log file

std::string_view without_line_end(std::string_view line) {
  while (line.ends_with('\r') || line.ends_with('\n')) line.remove_suffix(1);
  return line;
}

// "Source IP" as "source_ip": a word, as log lines name their values.
std::string word_of(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.';
    out += upper ? static_cast<char>(c + 32) : plain ? c : '_';
  }
  return out;
}

// Column names hold no endpoint, no address and no number of their own.
bool may_be_header(std::string_view line) {
  const Pasted pasted = read_pasted(line, 0);
  return !pasted.endpoint && !pasted.address && !pasted.time;
}

}  // namespace

std::vector<std::string> split_cells(std::string_view line, char separator) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += '"';
      ++i;
    } else if (c == '"' && (quoted || cells.back().empty())) {
      quoted = !quoted;
    } else if (c == separator && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  return cells;
}

Result<bool> QuestionList::take_header(std::string_view line) {
  const bool zeek = line.starts_with(kZeekFields);
  if (zeek) line.remove_prefix(kZeekFields.size());
  if (!zeek && !may_be_header(line)) {
    if (!wanted_.empty()) return fail(ErrorCode::kBadInput, "the first line does not name its columns, so none can be chosen");
    return false;
  }
  const char* separators = "\t;,";
  while (*separators != '\0' && !line.contains(*separators)) ++separators;
  if (*separators == '\0' && wanted_.empty()) return line.starts_with(kFlowLogFields);
  separator_ = *separators == '\0' ? ',' : *separators;
  names_ = split_cells(line, separator_);
  for (const std::string& column : wanted_) {
    if (std::ranges::find(names_, column) != names_.end()) continue;
    const std::string near = nearest_name(column, std::vector<std::string_view>(names_.begin(), names_.end()));
    return fail(ErrorCode::kBadInput, fmt::format("there is no column \"{}\"; {}", column,
                                                  near.empty() ? fmt::format("the first line has {}", fmt::join(names_, ", "))
                                                               : fmt::format("did you mean {}?", near)));
  }
  for (std::string& name : names_) {
    const bool read = wanted_.empty() || std::ranges::find(wanted_, name) != wanted_.end();
    name = read ? word_of(name) : "";
  }
  return true;
}

// Addresses come first: the port that belongs to one is looked for behind it.
std::string QuestionList::labelled(const std::vector<std::string>& cells) const {
  std::string addresses;
  std::string others;
  for (size_t i = 0; i < cells.size() && i < names_.size(); ++i) {
    if (names_[i].empty() || cells[i].empty() || cells[i] == "-") continue;
    std::string& out = parse_ip(cells[i]) ? addresses : others;
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", names_[i], cells[i]);
  }
  return addresses + (addresses.empty() || others.empty() ? "" : " ") + others;
}

Result<std::optional<std::string>> QuestionList::read(std::string_view line) {
  line = without_line_end(line);
  if (line.find_first_not_of(" \t") == std::string_view::npos) return std::nullopt;
  const bool zeek = line.starts_with(kZeekFields);
  if (line.starts_with('#') && !zeek) return std::nullopt;
  if (first_ || zeek) {
    first_ = false;
    const auto header = take_header(line);
    if (!header) return std::unexpected(header.error());
    if (*header) return std::nullopt;
  }
  if (names_.empty()) return std::string(line);
  return labelled(split_cells(line, separator_));
}

}  // namespace portbook

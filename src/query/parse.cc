// A recursive-descent parser straight over the text: words, fields, values and literals are told apart by where they stand.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <expected>

#include "query/filter.h"
#include "query/value.h"

namespace portbook {

namespace {

constexpr auto kWords = std::to_array<std::string_view>({"ip", "port", "since", "until", "at", "records", "duration"});

// Kinds that make up connections; a filter that names others asks for evidence records.
constexpr auto kConnectionKinds = std::to_array<Kind>({Kind::kOpen, Kind::kClose, Kind::kFailed, Kind::kExisting});

template <typename T>
using Parsed = std::expected<T, FilterError>;

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_name(char c) {
  return is_name_start(c) || (c >= '0' && c <= '9') || c == '.';
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

FilterNode node_of(Test test) {
  FilterNode node;
  node.op = FilterNode::Op::kTest;
  node.test = std::move(test);
  return node;
}

FilterNode joined(FilterNode::Op op, std::vector<FilterNode> children) {
  if (children.size() == 1) return std::move(children.front());
  FilterNode node;
  node.op = op;
  node.children = std::move(children);
  return node;
}

class Parser {
 public:
  Parser(std::string_view text, TimeNs now, Filter& filter) : text_(text), now_(now), filter_(filter) {}

  Parsed<FilterNode> whole() {
    auto node = any_of();
    if (!node) return node;
    if (at_ < text_.size()) return error(at_, 1, "there is a ) without its (", "the end, or a further test");
    return node;
  }

 private:
  std::unexpected<FilterError> error(size_t position, size_t length, std::string message, std::string expected,
                                     std::string suggestion = {}) const {
    return std::unexpected(FilterError{std::move(message), std::min(position, text_.size()),
                                       std::min(length, text_.size() - std::min(position, text_.size())), std::move(expected),
                                       std::move(suggestion)});
  }
  // The error of a value that stands at `position`.
  std::unexpected<FilterError> placed(FilterError wrong, size_t position, size_t length) const {
    wrong.position = std::min(position, text_.size());
    wrong.length = std::min(length, text_.size() - wrong.position);
    return std::unexpected(std::move(wrong));
  }

  [[nodiscard]] char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void skip_blanks() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }
  // Where the run of characters that are no blank and no parenthesis ends.
  [[nodiscard]] size_t word_end() const {
    size_t end = at_;
    while (end < text_.size() && !is_blank(text_[end]) && text_[end] != '(' && text_[end] != ')') ++end;
    return end;
  }
  // Takes the keyword if it stands here as a word of its own.
  bool take_keyword(std::string_view keyword) {
    skip_blanks();
    const size_t end = word_end();
    if (lower(text_.substr(at_, end - at_)) != keyword) return false;
    at_ = end;
    return true;
  }

  Parsed<FilterNode> any_of() {
    std::vector<FilterNode> alternatives;
    do {
      auto node = all_of();
      if (!node) return node;
      alternatives.push_back(std::move(*node));
    } while (take_keyword("or"));
    return joined(FilterNode::Op::kAny, std::move(alternatives));
  }

  [[nodiscard]] bool at_or() const { return lower(text_.substr(at_, word_end() - at_)) == "or"; }

  Parsed<FilterNode> all_of() {
    std::vector<FilterNode> parts;
    const bool whole_text = at_ == 0;
    bool after_and = false;
    while (true) {
      skip_blanks();
      const bool ends = at_ == text_.size() || peek() == ')' || at_or();
      if (ends && (after_and || (parts.empty() && !(whole_text && at_ == text_.size())))) {
        return error(at_, 1, "a test is missing here", "a field with its value, an endpoint or a \"text\"");
      }
      if (ends) return joined(FilterNode::Op::kAll, std::move(parts));
      if (!parts.empty() && !after_and && take_keyword("and")) {
        after_and = true;
        continue;
      }
      auto node = one();
      if (!node) return node;
      parts.push_back(std::move(*node));
      after_and = false;
    }
  }

  Parsed<FilterNode> one() {
    const size_t start = at_;
    if (take_keyword("not") || (peek() == '-' && !is_blank(peek(1)) && take_minus())) {
      skip_blanks();
      if (at_ == text_.size()) return error(start, at_ - start, "not stands before nothing", "what is not to match");
      if (++depth_ > kFilterDepthMax) return too_deep(start);
      auto inner = one();
      --depth_;
      if (!inner) return inner;
      FilterNode node;
      node.op = FilterNode::Op::kNot;
      node.children.push_back(std::move(*inner));
      return node;
    }
    if (peek() == '(') return group();
    if (++tests_ > kFilterTestsMax)
      return error(start, 1, fmt::format("more than {} tests in one filter", kFilterTestsMax), "a shorter filter");
    if (peek() == '"') return free_text();
    if (peek() == '~' && peek(1) == '"') return free_regex();
    return term();
  }

  bool take_minus() {
    ++at_;
    return true;
  }

  std::unexpected<FilterError> too_deep(size_t position) const {
    return error(position, 1, fmt::format("more than {} parentheses and nots inside each other", kFilterDepthMax),
                 "a flatter filter");
  }

  Parsed<FilterNode> group() {
    const size_t start = at_++;
    if (++depth_ > kFilterDepthMax) return too_deep(start);
    auto node = any_of();
    --depth_;
    if (!node) return node;
    if (peek() != ')') return error(start, 1, "this parenthesis is never closed", ")");
    ++at_;
    return node;
  }

  // Reads "…" with \" and \\ inside; at_ stands on the opening quote.
  Parsed<std::string> quoted() {
    const size_t start = at_++;
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\' && (peek(1) == '"' || peek(1) == '\\')) ++at_;
      out += text_[at_++];
    }
    if (at_ == text_.size()) return error(start, text_.size() - start, "this quotation mark is never closed", "\"");
    ++at_;
    return out;
  }

  // The raw text between quotes, for regular expressions: only \" is special.
  Parsed<std::string> quoted_regex() {
    const size_t start = at_++;
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        if (text_[at_ + 1] != '"') out += '\\';
        ++at_;
      }
      out += text_[at_++];
    }
    if (at_ >= text_.size()) return error(start, text_.size() - start, "this quotation mark is never closed", "\"");
    ++at_;
    return out;
  }

  Parsed<FilterNode> free_text() {
    auto text = quoted();
    if (!text) return std::unexpected(text.error());
    Test test;
    test.subject = Subject::kAnyText;
    test.texts.push_back({TextPattern::How::kContains, std::move(*text), nullptr});
    return node_of(std::move(test));
  }

  Parsed<FilterNode> free_regex() {
    const size_t start = at_++;
    Test test;
    test.subject = Subject::kAnyText;
    return regex_into(std::move(test), start);
  }

  Parsed<FilterNode> regex_into(Test test, size_t start) {
    auto pattern = quoted_regex();
    if (!pattern) return std::unexpected(pattern.error());
    if (auto added = add_regex(test, *pattern); !added) return placed(added.error(), start, at_ - start);
    return node_of(std::move(test));
  }

  Parsed<FilterNode> term() {
    const size_t start = at_;
    size_t end = at_;
    if (is_name_start(peek())) {
      while (end < text_.size() && is_name(text_[end])) ++end;
    }
    const char sign = end < text_.size() ? text_[end] : '\0';
    const std::string_view name = text_.substr(start, end - start);
    if (end > start && sign == ':' && !is_literal(text_.substr(start, word_end() - start))) return field_term(name);
    if (end > start && sign == '~' && end + 1 < text_.size() && text_[end + 1] == '"') return regex_term(name);
    return literal_or_word();
  }

  // fe80::1 begins like a field's name.
  static bool is_literal(std::string_view word) {
    return word.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos && parse_ip(word).has_value();
  }

  Parsed<FilterNode> regex_term(std::string_view name) {
    const size_t start = at_;
    const auto field = field_named(name);
    if (!field) return unknown_field(name, start);
    at_ += name.size() + 1;
    Test test;
    test.field = *field;
    return regex_into(std::move(test), start);
  }

  std::unexpected<FilterError> unknown_field(std::string_view name, size_t start) const {
    std::vector<std::string_view> names(kWords.begin(), kWords.end());
    for (const FieldInfo& field : kFields) names.push_back(field.name);
    const std::string near = nearest_name(lower(name), names);
    std::string message = fmt::format("there is no field \"{}\"", name);
    if (!near.empty()) message += fmt::format("; did you mean {}?", near);
    return error(start, name.size(), std::move(message), "a field name", near);
  }

  Parsed<FilterNode> field_term(std::string_view name) {
    const size_t start = at_;
    Test test;
    if (const auto field = field_named(name)) {
      test.field = *field;
    } else if (name == "ip") {
      test.subject = Subject::kAnyIp;
    } else if (name == "port") {
      test.subject = Subject::kAnyPort;
    } else if (name == "duration") {
      test.subject = Subject::kDuration;
    } else if (name == "at") {
      test.subject = Subject::kOpenAt;
    } else if (name == "since" || name == "until") {
      return bound(name);
    } else if (name == "records") {
      return records();
    } else {
      return unknown_field(name, start);
    }
    at_ += name.size() + 1;
    if (auto read = values(test); !read) return std::unexpected(read.error());
    note_kinds(test);
    return node_of(std::move(test));
  }

  // since:15m, since:12:00, until:2026-11-22T12:30Z
  Parsed<FilterNode> bound(std::string_view name) {
    at_ += name.size() + 1;
    const size_t start = at_;
    std::string text;
    if (peek() == '"') {
      auto inner = quoted();
      if (!inner) return std::unexpected(inner.error());
      text = *inner;
    } else {
      at_ = word_end();
      text = text_.substr(start, at_ - start);
    }
    TimeNs moment = 0;
    if (const auto ago = parse_duration(text)) {
      moment = now_ > *ago ? now_ - *ago : 0;
    } else {
      const auto written = parse_time(text, now_);
      if (!written) {
        return error(start, std::max<size_t>(at_ - start, 1), fmt::format("\"{}\" is neither a time nor a duration", text),
                     "a time such as 2026-11-22T12:00Z or 12:00, or a duration before now such as 15m");
      }
      moment = written->time;
    }
    Test test;
    test.subject = Subject::kStart;
    if (name == "since") {
      test.numbers.push_back({moment, UINT64_MAX});
    } else if (moment > 0) {
      test.numbers.push_back({0, moment - 1});
    }
    return node_of(std::move(test));
  }

  Parsed<FilterNode> records() {
    at_ += std::string_view("records:").size();
    const size_t start = at_;
    at_ = word_end();
    const std::string_view value = text_.substr(start, at_ - start);
    if (value != "all") {
      return error(start, std::max<size_t>(value.size(), 1), fmt::format("records is never \"{}\"", value), "all", "all");
    }
    filter_.records_all = true;
    return FilterNode{};
  }

  void note_kinds(const Test& test) {
    if (test.subject != Subject::kField || test.any_value) return;
    for (const NumberRange& range : test.numbers) {
      if (test.field == Field::kKind &&
          std::ranges::none_of(kConnectionKinds, [&](Kind kind) { return range.contains(static_cast<uint64_t>(kind)); })) {
        filter_.asks_for_records = true;
      }
      if (test.field == Field::kKind && !range.contains(static_cast<uint64_t>(Kind::kClose)) &&
          (range.contains(static_cast<uint64_t>(Kind::kOpen)) || range.contains(static_cast<uint64_t>(Kind::kExisting)))) {
        filter_.note =
            "A connection stands here by its newest record: kind:open and kind:existing find those that are still open. For the "
            "open "
            "records of connections that have ended, add records:all; for connections open at a moment, write at:TIME.";
      }
      if (test.field == Field::kVantage && !range.contains(static_cast<uint64_t>(Vantage::kSocket)))
        filter_.asks_for_records = true;
    }
  }

  Parsed<bool> values(Test& test) {
    if (peek() != '(') return value(test);
    const size_t start = at_++;
    while (true) {
      skip_blanks();
      if (at_ == text_.size()) return error(start, 1, "this parenthesis is never closed", ")");
      if (auto read = value(test); !read) return read;
      skip_blanks();
      if (peek() == ')') {
        ++at_;
        return true;
      }
      if (at_ < text_.size() && !take_keyword("or")) {
        return error(at_, std::max<size_t>(word_end() - at_, 1), "alternatives are joined with or", "or, or )", "or");
      }
    }
  }

  Parsed<bool> value(Test& test) {
    if (++tests_ > kFilterTestsMax)
      return error(at_, 1, fmt::format("more than {} tests in one filter", kFilterTestsMax), "a shorter filter");
    const size_t start = at_;
    WrittenValue written;
    for (const std::string_view sign : {">=", "<=", ">", "<"}) {
      if (written.compare.empty() && text_.substr(at_).starts_with(sign)) written.compare = sign;
    }
    at_ += written.compare.size();
    std::string text;
    if (peek() == '"') {
      auto inner = quoted();
      if (!inner) return std::unexpected(inner.error());
      text = std::move(*inner);
      written.quoted = true;
    } else {
      const size_t end = word_end();
      text = text_.substr(at_, end - at_);
      at_ = end;
    }
    written.text = text;
    if (auto added = add_value(test, written, now_); !added) return placed(added.error(), start, std::max<size_t>(at_ - start, 1));
    return true;
  }

  // 203.0.113.5:41234, 10.0.0.0/8, [2001:db8::1]:53@12:03, or a bare word of free text.
  Parsed<FilterNode> literal_or_word() {
    const size_t start = at_;
    const size_t end = word_end();
    const std::string_view word = text_.substr(start, end - start);
    const size_t sign = word.find('@');
    const std::string_view endpoint = word.substr(0, sign);
    const auto pattern = parse_endpoint_pattern(endpoint);
    if (!pattern) {
      const bool meant = endpoint.find_first_not_of("0123456789abcdefABCDEF.:/[]") == std::string_view::npos &&
                         endpoint.find_first_of(".:[") != std::string_view::npos;
      if (meant || endpoint.empty() || word.contains(':')) {
        return error(start, std::max<size_t>(word.size(), 1), pattern.error().message,
                     "a field with its value, or an endpoint such as 203.0.113.5:41234");
      }
      at_ = end;
      Test test;
      test.subject = Subject::kAnyText;
      if (auto added = add_value(test, {word, "", false}, now_); !added) return placed(added.error(), start, word.size());
      return node_of(std::move(test));
    }
    at_ = end;
    Test test;
    test.subject = pattern->port ? Subject::kEndpoint : Subject::kAnyIp;
    if (auto added = add_value(test, {endpoint, "", true}, now_); !added) return placed(added.error(), start, endpoint.size());
    if (sign == std::string_view::npos) return node_of(std::move(test));
    Test open_at;
    open_at.subject = Subject::kOpenAt;
    if (auto added = add_value(open_at, {word.substr(sign + 1), "", true}, now_); !added) {
      return placed(added.error(), start + sign + 1, std::max<size_t>(word.size() - sign - 1, 1));
    }
    std::vector<FilterNode> both;
    both.push_back(node_of(std::move(test)));
    both.push_back(node_of(std::move(open_at)));
    return joined(FilterNode::Op::kAll, std::move(both));
  }

  std::string_view text_;
  TimeNs now_;
  Filter& filter_;
  size_t at_ = 0;
  size_t depth_ = 0;
  size_t tests_ = 0;
};

void narrow(const FilterNode& node, NumberRange& range) {
  if (node.op == FilterNode::Op::kAll) {
    for (const FilterNode& child : node.children) narrow(child, range);
  }
  if (node.op != FilterNode::Op::kTest || node.test.numbers.size() != 1) return;
  const bool open_at = node.test.subject == Subject::kOpenAt;  // it may have begun at any time before
  if (!open_at && node.test.subject != Subject::kStart) return;
  if (!open_at) range.low = std::max(range.low, node.test.numbers.front().low);
  range.high = std::min(range.high, node.test.numbers.front().high);
}

}  // namespace

std::span<const std::string_view> filter_words() {
  return kWords;
}

std::expected<Filter, FilterError> parse_filter(std::string_view text, TimeNs now) {
  if (text.size() > kFilterBytesMax) {
    return std::unexpected(FilterError{fmt::format("the filter is longer than {} bytes", kFilterBytesMax),
                                       kFilterBytesMax,
                                       text.size() - kFilterBytesMax,
                                       "a shorter filter",
                                       {}});
  }
  Filter filter;
  auto root = Parser(text, now, filter).whole();
  if (!root) return std::unexpected(root.error());
  filter.root = std::move(*root);
  if (filter.records_all || filter.asks_for_records) filter.note.clear();
  return filter;
}

NumberRange start_range(const Filter& filter) {
  NumberRange range;
  narrow(filter.root, range);
  return range;
}

}  // namespace portbook

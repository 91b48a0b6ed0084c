// Runs tests/query/*.test: records, questions over them, and what is expected, as text. docs/query.md shows the form.
//
// The records stand in blocks of three rows without any index: a key finds every row, so what the questions find does not depend on
// the store's look-ups, and every question crosses blocks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "query/search.h"
#include "query/who.h"
#include "record/json.h"

namespace portbook {
namespace {

constexpr TimeNs kNow = 1'795'356'000'000'000'000;  // 2026-11-22T14:00:00Z
constexpr size_t kRowsPerBlock = 3;

class PlainBlock final : public Block {
 public:
  explicit PlainBlock(uint64_t first) : first_(first), columns_(std::make_shared<Columns>()) {}
  void append(const Record& record) {
    columns_->append(record);
    columns_->publish();
    min_ = std::min(min_, record.time());
    max_ = std::max(max_, record.time());
  }
  uint64_t first_index() const override { return first_; }
  TimeNs time_min() const override { return min_; }
  TimeNs time_max() const override { return max_; }
  Result<std::shared_ptr<const Columns>> columns() override { return columns_; }
  Status rows_with(RowKey, uint32_t row_end, std::vector<uint32_t>& rows) override {
    for (uint32_t row = 0; row < row_end; ++row) rows.push_back(row);
    return {};
  }
  uint32_t rows() const { return columns_->rows(); }

 private:
  uint64_t first_;
  std::shared_ptr<Columns> columns_;
  TimeNs min_ = UINT64_MAX;
  TimeNs max_ = 0;
};

View view_of(const std::vector<Record>& records) {
  std::vector<BlockRef> refs;
  std::shared_ptr<PlainBlock> block;
  for (size_t i = 0; i < records.size(); ++i) {
    if (i % kRowsPerBlock == 0) {
      block = std::make_shared<PlainBlock>(i);
      refs.push_back({block, 0});
    }
    block->append(records[i]);
    refs.back().rows = block->rows();
  }
  return {records.size(), std::move(refs)};
}

// The ids of all rows, in pages of `page` rows, each found from the cursor of the one before.
std::string search_ids(const View& view, const std::string& text, size_t page) {
  auto cursor = std::optional<Cursor>();
  std::string ids;
  while (true) {
    auto filter = parse_filter(text, kNow);
    if (!filter) return fmt::format("{} {} {}", filter.error().position, filter.error().length, filter.error().suggestion);
    Search search(view, std::move(*filter), cursor);
    size_t rows = 0;
    bool done = false;
    while (!done && rows < page) {
      const auto step = search.step(page - rows, std::chrono::seconds(5), [&](const Row& row) {
        ids += fmt::format("{}{}", ids.empty() ? "" : " ", row.id);
        ++rows;
      });
      if (!step) return step.error().message;
      done = *step;
    }
    if (done) return ids;
    cursor = search.cursor();
  }
}

std::string row_text(const View& view, const std::string& text) {
  auto filter = parse_filter(text, kNow);
  if (!filter) return filter.error().message;
  Search search(view, std::move(*filter), std::nullopt);
  std::string out;
  const auto done = search.step(1, std::chrono::seconds(5), [&](const Row& row) {
    out = fmt::format("{} {} {} {} user {} pid {} records {}", row.id, to_text(row.state),
                      row.internal ? to_text(*row.internal) : "-", row.external ? to_text(*row.external) : "-",
                      row.record.text_or(Field::kUser, "-"), row.record.uint_or(Field::kPid, 0), fmt::join(row.records, ","));
  });
  return done ? out : done.error().message;
}

// "owner complete | It was … | matches owned 10.0.0.1:1 pid 7; ruled_out owned …"
std::string who_text(const View& view, const std::string& text) {
  WhoParts parts;
  // peer= and host= stand after the question.
  std::string rest = text;
  for (const auto& [name, target] :
       {std::pair{" peer=", &parts.peer}, std::pair{" host=", &parts.host}, std::pair{" window=", &parts.window}}) {
    const size_t at = rest.find(name);
    if (at == std::string::npos) continue;
    const size_t end = std::min(rest.find(' ', at + 1), rest.size());
    *target = rest.substr(at + std::string_view(name).size(), end - at - std::string_view(name).size());
    rest.erase(at, end - at);
  }
  parts.text = rest;
  const auto question = read_who_question(parts, kNow);
  if (!question) return question.error().message;
  Coverage coverage;
  const auto answer = who(view, coverage, *question, kNow);
  if (!answer) return answer.error().message;
  std::string out = fmt::format("{} {} | {}", to_text(answer->verdict), to_text(answer->completeness.state), answer->sentence);
  for (const Candidate& one : answer->candidates) {
    out += fmt::format(" | {} {} {} pid {}, {}",
                       one.verdict == Candidate::Verdict::kMatches    ? "matches"
                       : one.verdict == Candidate::Verdict::kRuledOut ? "ruled_out"
                                                                      : "not_covering",
                       one.relation == Candidate::Relation::kOwned    ? "owned"
                       : one.relation == Candidate::Relation::kSeenBy ? "seen_by"
                                                                      : "listener",
                       one.internal ? to_text(*one.internal) : "-", one.process ? one.process->record.uint(Field::kPid) : 0,
                       one.state.substr(0, one.state.find(" at ")));
  }
  return out;
}

std::string answer_to(const View& view, const std::string& line) {
  const size_t blank = line.find(' ');
  const std::string command = line.substr(0, blank);
  const std::string rest = blank == std::string::npos ? "" : line.substr(blank + 1);
  if (command == "row") return row_text(view, rest);
  if (command == "who") return who_text(view, rest);
  if (command != "search") return "there is no " + command;
  const std::string ids = search_ids(view, rest, 1000);
  EXPECT_EQ(search_ids(view, rest, 1), ids) << "pages of one row differ from one page: " << rest;
  EXPECT_EQ(search_ids(view, rest, 2), ids) << "pages of two rows differ from one page: " << rest;
  return ids;
}

class QueryText : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(QueryText, AnswersAsWritten) {
  std::ifstream file(GetParam());
  ASSERT_TRUE(file.is_open());
  std::vector<Record> records;
  std::string question;
  size_t number = 0;
  size_t answers = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with('{')) {
      Record record;
      const auto read = from_json(line, record);
      ASSERT_TRUE(read.has_value()) << GetParam() << ":" << number << ": " << read.error().message;
      records.push_back(record);
    } else if (line.starts_with("->")) {
      ++answers;
      const std::string expected = line.size() > 3 ? line.substr(3) : "";
      EXPECT_EQ(answer_to(view_of(records), question), expected) << GetParam().filename() << ":" << number << ": " << question;
    } else {
      question = line;
    }
  }
  EXPECT_GT(answers, 0u);
}

std::vector<std::filesystem::path> files() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(PORTBOOK_SOURCE_DIR "/tests/query")) {
    if (entry.path().extension() == ".test") found.push_back(entry.path());
  }
  std::ranges::sort(found);
  return found;
}

INSTANTIATE_TEST_SUITE_P(Files, QueryText, testing::ValuesIn(files()),
                         [](const auto& parameter) { return parameter.param.stem().string(); });

}  // namespace
}  // namespace portbook

#include "query/question_list.h"

#include <gtest/gtest.h>

#include "query/paste.h"

namespace portbook {
namespace {

constexpr TimeNs kNow = 1'795'356'000'000'000'000;  // 2026-11-22T14:00:00Z

// "endpoint peer time" of each question that the lines ask, as who would read it.
std::vector<std::string> asked(const std::vector<std::string>& lines, std::vector<std::string> columns = {}) {
  QuestionList list(std::move(columns));
  std::vector<std::string> out;
  for (const std::string& line : lines) {
    const auto question = list.read(line);
    if (!question) return {question.error().message};
    if (!*question) continue;
    const Pasted pasted = read_pasted(**question, kNow);
    out.push_back((pasted.endpoint ? to_text(*pasted.endpoint) : "-") + " " + (pasted.peer ? to_text(*pasted.peer) : "-") + " " +
                  (pasted.time ? format_time(pasted.time->time).substr(0, 19) : "-"));
  }
  return out;
}

using Lines = std::vector<std::string>;

TEST(QuestionList, TakesLinesAsTheyStand) {
  EXPECT_EQ(asked({"203.0.113.5:41234@2026-11-22T12:03:04Z", "", "# a comment", "2026-11-22T12:03:05Z client=203.0.113.6:4\r"}),
            (Lines{"203.0.113.5:41234 - 2026-11-22T12:03:04", "203.0.113.6:4 - 2026-11-22T12:03:05"}));
}

TEST(QuestionList, ReadsTheColumnsOfATable) {
  EXPECT_EQ(
      asked({"time,src_port,src_ip,dst_ip,dst_port,note", "2026-11-22T12:03:04Z,41234,203.0.113.5,198.51.100.9,443,\"a, b\"",
             "2026-11-22T12:03:05Z,41235,203.0.113.5,198.51.100.9,443,"}),
      (Lines{"203.0.113.5:41234 198.51.100.9:443 2026-11-22T12:03:04", "203.0.113.5:41235 198.51.100.9:443 2026-11-22T12:03:05"}));
  EXPECT_EQ(asked({"Sample;Address;Port;When", "1;203.0.113.5;41234;2026-11-22 12:03:04"}),
            (Lines{"203.0.113.5:41234 - 2026-11-22T12:03:04"}));
  EXPECT_EQ(asked({"endpoint\twhen", "203.0.113.5:41234\t2026-11-22 14:03:04 +0200"}),
            (Lines{"203.0.113.5:41234 - 2026-11-22T12:03:04"}));
}

TEST(QuestionList, ReadsOnlyTheColumnsThatAreWanted) {
  const Lines table = {"seen,gateway,endpoint,reported", "2026-11-22T12:03:04Z,192.0.2.1:9,203.0.113.5:41234,2026-11-23T08:00:00Z"};
  EXPECT_EQ(asked(table, {"endpoint", "seen"}), (Lines{"203.0.113.5:41234 - 2026-11-22T12:03:04"}));
  EXPECT_EQ(asked(table, {"endpiont"}), (Lines{"there is no column \"endpiont\"; did you mean endpoint?"}));
  EXPECT_EQ(asked({"203.0.113.5:1"}, {"endpoint"}), (Lines{"the first line does not name its columns, so none can be chosen"}));
}

TEST(QuestionList, ReadsZeekAndFlowLogs) {
  EXPECT_EQ(asked({"#separator \\x09", "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p", "#types\ttime\tstring",
                   "1795348984.5\tCHhA\t203.0.113.5\t41234\t198.51.100.9\t443"}),
            (Lines{"203.0.113.5:41234 198.51.100.9:443 2026-11-22T12:03:04"}));
  EXPECT_EQ(
      asked({"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status",
             "2 123456789010 eni-1 203.0.113.5 198.51.100.9 41234 443 6 20 4249 1795348984 1795349043 ACCEPT OK"}),
      (Lines{"203.0.113.5:41234 198.51.100.9:443 2026-11-22T12:03:04"}));
}

TEST(QuestionList, SplitsQuotedCells) {
  EXPECT_EQ(split_cells(R"(a,"b,""c""",,d)", ','), (Lines{"a", "b,\"c\"", "", "d"}));
}

}  // namespace
}  // namespace portbook

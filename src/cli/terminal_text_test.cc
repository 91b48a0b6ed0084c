#include "cli/terminal_text.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

TEST(TerminalText, SendsNoCommandToTheTerminal) {
  EXPECT_EQ(printable("nginx: worker"), "nginx: worker");
  EXPECT_EQ(printable("a\x1b[31mb"), "a?[31mb");
  EXPECT_EQ(printable("a\x1b]0;title\x07"), "a?]0;title?");
  EXPECT_EQ(printable(std::string_view("a\0b\x7f\r\n\t", 7)), "a?b????");
  EXPECT_EQ(printable("a\u009b31mb"), "a?31mb") << "C1: what some terminals take as ESC [";
  EXPECT_EQ(printable("a\x9b"
                      "31mb"),
            "a?31mb")
      << "the same as a byte alone";
  EXPECT_EQ(printable("evil\u202egpj.exe"), "evil?gpj.exe");
  EXPECT_EQ(printable("a\u2028b\u2066c"), "a?b?c");
}

TEST(TerminalText, LeavesOtherWritingAlone) {
  for (const char* text : {"Größe", "データベース", "é", "👩‍💻", "→ 10.0.0.1:5"}) EXPECT_EQ(printable(text), text);
}

TEST(TerminalText, ShowsBytesThatAreNoUtf8AsQuestionMarks) {
  EXPECT_EQ(printable("a\xff"
                      "b"),
            "a?b");
  EXPECT_EQ(printable("\xc3"), "?");
  EXPECT_EQ(printable("\xe2\x82"), "??");
  EXPECT_EQ(printable("\xc0\xaf"), "??") << "longer than it needs to be";
  EXPECT_EQ(printable("\xed\xa0\x80"), "???") << "half of a pair";
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????") << "beyond the last character";
}

TEST(TerminalText, JsonMeansTheSame) {
  EXPECT_EQ(printable_json("{\"a\":\"x\"}\n"), "{\"a\":\"x\"}\n");
  EXPECT_EQ(printable_json("\"\x7f\u009b\u202eö\""), "\"\\u007f\\u009b\\u202eö\"");
}

TEST(TerminalText, MeasuresColumnsNotBytes) {
  EXPECT_EQ(display_width(""), 0u);
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("Größe"), 5u);
  EXPECT_EQ(display_width("データ"), 6u);
  EXPECT_EQ(display_width("e\u0301"), 1u);
  EXPECT_EQ(display_width("→ …"), 3u);
  EXPECT_EQ(display_width("🚀"), 2u);
}

TEST(TerminalText, CutsBetweenCharacters) {
  EXPECT_EQ(cut_to_width("abcdef", 6), "abcdef");
  EXPECT_EQ(cut_to_width("abcdef", 4), "abc…");
  EXPECT_EQ(cut_to_width("データベース", 6), "デー…");
  EXPECT_EQ(cut_to_width("データベース", 7), "データ…");
  EXPECT_EQ(cut_to_width("abc", 1), "…");
  EXPECT_EQ(cut_to_width("abc", 0), "");
}

}  // namespace
}  // namespace portbook

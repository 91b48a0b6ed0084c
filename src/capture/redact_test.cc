#include "capture/redact.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "capture/redact_text.h"

namespace portbook {
namespace {

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
}

// "curl|-s|x" as the kernel holds it.
std::string arguments(std::string bars) {
  for (char& c : bars) c = c == '|' ? '\0' : c;
  return bars + '\0';
}
std::string redacted(std::string bars) {
  return redact_arguments(arguments(std::move(bars))).text;
}
uint32_t count(std::string bars) {
  return redact_arguments(arguments(std::move(bars))).count;
}

struct Line {
  std::string written;
  std::string given;     // as the kernel holds it
  std::string expected;  // as it must be recorded
  uint32_t secrets = 0;
};

// tests/data/redact/command_lines.txt says how a line is written.
std::vector<Line> command_lines() {
  std::ifstream file(PORTBOOK_SOURCE_DIR "/tests/data/redact/command_lines.txt");
  std::vector<Line> lines;
  for (std::string text; std::getline(file, text);) {
    if (text.empty() || text.starts_with('#')) continue;
    Line line;
    line.written = text;
    replace_all(text, "↵", "\n");
    std::string secret;
    for (size_t at = 0; at < text.size();) {
      const std::string_view rest = std::string_view(text).substr(at);
      if (rest.starts_with("¦")) {
        line.given += '\0';
        line.expected += ' ';
        at += std::string_view("¦").size();
      } else if (rest.starts_with("⟦")) {
        const size_t end = text.find("⟧", at);
        at += std::string_view("⟦").size();
        line.given += text.substr(at, end - at);
        line.expected += kRedactedMark;
        ++line.secrets;
        at = end + std::string_view("⟧").size();
      } else {
        line.given += text[at];
        line.expected += text[at];
        ++at;
      }
    }
    line.given += '\0';
    lines.push_back(std::move(line));
  }
  return lines;
}

TEST(Redact, what_people_run) {
  const std::vector<Line> lines = command_lines();
  EXPECT_GE(lines.size(), 120u);
  for (const Line& line : lines) {
    const Redacted result = redact_arguments(line.given);
    EXPECT_EQ(result.text, line.expected) << line.written;
    EXPECT_EQ(result.count == 0, line.secrets == 0) << line.written;
  }
}

TEST(Redact, every_prefix_of_a_line_is_survived) {
  for (const Line& line : command_lines()) {
    for (size_t length = 0; length <= line.given.size(); ++length) redact_arguments(std::string_view(line.given).substr(0, length));
  }
}

TEST(Redact, counts_arguments_and_survives_odd_ones) {
  EXPECT_EQ(count("x|--password=a|--token=b|c"), 2u);
  EXPECT_EQ(redacted(""), "");
  EXPECT_EQ(redacted("|"), " ");
  EXPECT_EQ(redacted("x|--password="), "x --password=");
  EXPECT_EQ(redacted("x|://@|=|:|\"|\"a\":"), "x ://@ = : \" \"a\":");
  EXPECT_EQ(redacted("x|--password"), "x --password");
  EXPECT_EQ(redacted("mysql|-p"), "mysql -p");
  EXPECT_EQ(redacted("curl|-u"), "curl -u");
  EXPECT_EQ(redacted("sh|-c|'"), "sh -c '");
  EXPECT_EQ(redacted("x|password=[redacted]"), "x password=[redacted]");
}

TEST(Redact, names) {
  for (const char* name :
       {"password", "--db-password", "PGPASSWORD", "X-Api-Key", "storepass", "-pw", "DB_PASS", "client_secret", "psk"})
    EXPECT_TRUE(names_a_secret(name)) << name;
  for (const char* name : {"", "PWD", "OLDPWD", "--password-file", "--token-url", "--max-tokens", "user", "port", "--no-password",
                           "bypass", "pass-through", "keyboard"})
    EXPECT_FALSE(names_a_secret(name)) << name;
}

// The longest argument list that is read is 8 KiB; eight times as long must take about eight times as long, whatever it holds.
TEST(Redact, takes_linear_time) {
  const std::vector<std::string> parts = {"eyJ",
                                          "://",
                                          "://b:c",
                                          "a=",
                                          "token=",
                                          ":",
                                          "\"",
                                          "\"token\":",
                                          "cookie:",
                                          "Bearer ",
                                          "'a b ",
                                          "mysql ",
                                          ",a",
                                          "a,token=",
                                          "-----BEGIN ",
                                          "ghp_",
                                          "-----BEGIN PRIVATE KEY-----",
                                          "\\\"",
                                          "$(",
                                          "password '",
                                          "password =",
                                          "identified with a",
                                          "identified by '",
                                          "api.telegram.org/bot",
                                          "echo a|",
                                          "curl -s",
                                          " "};
  // Of this thread's processor time: what else the machine does is not counted, but it takes caches and clock rate away. So each
  // length is measured until its best time fits, which that of a quadratic search never does.
  constexpr int kTriesMax = 40;
  const auto nanoseconds = [](const std::string& text) {
    const auto now = [] {
      timespec time{};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
    };
    const double began = now();
    redact_arguments(text);
    return now() - began;
  };
  for (const std::string& part : parts) {
    std::string small = std::string("x") + '\0';
    while (small.size() < 8 * 1024) small += part;
    std::string large = std::string("x") + '\0';
    while (large.size() < 64 * 1024) large += part;
    double of_small = 1e18;
    double of_large = 1e18;
    // Eight times, with room for cold caches; quadratic would be 64 times.
    const auto fits = [&] { return of_large < 32 * (of_small + 20'000); };
    for (int i = 0; i < kTriesMax && (i < 3 || !fits()); ++i) {
      of_small = std::min(of_small, nanoseconds(small));
      of_large = std::min(of_large, nanoseconds(large));
    }
    EXPECT_TRUE(fits()) << part << ": " << of_small << " and " << of_large << " ns";
  }
}

}  // namespace
}  // namespace portbook

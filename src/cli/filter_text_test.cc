#include "cli/filter_text.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "query/filter.h"

namespace portbook {
namespace {

class FilterText : public testing::Test {
 protected:
  ~FilterText() override { std::filesystem::remove(path_); }

  std::string expanded(const std::string& content, const std::string& before, const std::string& after = "") {
    std::ofstream(path_) << content;
    const auto text = filter_text({before + path_ + after});
    return text ? *text : text.error().message;
  }

  std::string path_ = std::filesystem::temp_directory_path() / ("portbook-list-" + std::to_string(getpid()));
};

TEST_F(FilterText, PutsTheValuesOfAListInItsPlace) {
  EXPECT_EQ(expanded("# a feed\n10.0.0.0/8, bad\n\n2001:db8::1\r\n", "dst.ip:@", " -direction:in"),
            "dst.ip:(10.0.0.0/8 or 2001:db8::1) -direction:in");
  EXPECT_EQ(expanded("curl\n\"/opt/a b/x\"\n*odd*\n", "(exe:@", ") user:alice"),
            "(exe:(curl or \"/opt/a b/x\" or \"*odd*\")) user:alice");
  EXPECT_EQ(expanded("443\n", "dst.port:@\"", "\""), "dst.port:(443)");
}

TEST_F(FilterText, TheBookReadsWhatComesOut) {
  const std::string text = expanded("10.0.0.0/8\n2001:db8::1\n203.0.113.9\n", "ip:@");
  EXPECT_TRUE(parse_filter(text, 0).has_value()) << text;
}

TEST_F(FilterText, LeavesTheRestAlone) {
  EXPECT_EQ(*filter_text({"cmdline~\"a:@b\"", "10.0.0.1:1@12:00"}), "cmdline~\"a:@b\" 10.0.0.1:1@12:00");
  EXPECT_EQ(*filter_text({"\"x:@/none"}), "\"x:@/none");
  EXPECT_EQ(*filter_text({}), "");
}

TEST_F(FilterText, SaysWhatIsWrongWithAList) {
  EXPECT_EQ(filter_text({"ip:@/none/such"}).error().message, "cannot read the list /none/such");
  EXPECT_NE(expanded("# nothing\n", "ip:@").find("holds no value"), std::string::npos);
  std::string many;
  for (int i = 0; i < 2000; ++i) many += "203.0.113.200\n";
  EXPECT_NE(expanded(many, "ip:@").find("split it"), std::string::npos);
}

TEST_F(FilterText, NamesTheLineOfAWrongValue) {
  const std::string wrong = expanded("# a feed\n10.0.0.0/8\n\n10.0.0.300\n", "user:alice dst.ip:@", " exe:curl");
  EXPECT_EQ(wrong.substr(0, wrong.find(" is not")), path_ + ", line 4: \"10.0.0.300\"");
  EXPECT_EQ(expanded("tcp\ntpc\n", "proto:@").substr(0, path_.size() + 8), path_ + ", line 2");
}

TEST_F(FilterText, NamesThePlaceInWhatWasTyped) {
  const std::string behind = expanded("10.0.0.0/8\n10.0.0.1\n", "ip:@", " dts.port:1");
  EXPECT_NE(behind.find("(at position " + std::to_string(4 + path_.size() + 2) + ";"), std::string::npos) << behind;
  const std::string before = expanded("10.0.0.0/8\n", "dts.port:1 ip:@");
  EXPECT_NE(before.find("(at position 1;"), std::string::npos) << before;
  const std::string field = expanded("10.0.0.0/8\n", "op:@");
  EXPECT_NE(field.find("(at position 1;"), std::string::npos) << field;
}

}  // namespace
}  // namespace portbook

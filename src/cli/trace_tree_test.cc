#include "cli/trace_tree.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace portbook {
namespace {

struct Step {
  size_t from;
  size_t to;
};

// Node n is record #1n; `starts` are where the path begins.
std::string tree_of(size_t nodes, const std::vector<size_t>& starts, const std::vector<Step>& steps) {
  std::string json = R"({"nodes":[)";
  for (size_t i = 0; i < nodes; ++i) {
    const bool start = std::find(starts.begin(), starts.end(), i) != starts.end();
    json += fmt::format(
        R"({}{{"id":{},"start":{},"record":{},"host":"web-{}","direction":"out","proto":"tcp","state":"open","src":"10.0.0.{}:1","dst":"10.0.0.9:2","interval":{{}}}})",
        i == 0 ? "" : ",", i, start, 10 + i, i, i);
  }
  json += R"(],"edges":[)";
  for (size_t i = 0; i < steps.size(); ++i) {
    json += fmt::format(R"({}{{"class":"proven","method":"step {}-{}","from":{},"to":{},"order":"","leases":[]}})",
                        i == 0 ? "" : ",", steps[i].from, steps[i].to, steps[i].from, steps[i].to);
  }
  json += "]}";
  simdjson::dom::parser parser;
  simdjson::dom::element parsed;
  simdjson::dom::array all;
  simdjson::dom::array edges;
  EXPECT_EQ(parser.parse(json).get(parsed), simdjson::SUCCESS) << json;
  EXPECT_EQ(parsed["nodes"].get(all), simdjson::SUCCESS);
  EXPECT_EQ(parsed["edges"].get(edges), simdjson::SUCCESS);
  return trace_tree(all, edges);
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(TraceTree, a_path_found_from_both_its_ends_stands_once) {
  const std::string tree = tree_of(3, {0, 2}, {{0, 1}, {1, 2}});
  EXPECT_EQ(count(tree, "step 0-1"), 1u) << tree;
  EXPECT_EQ(count(tree, "step 1-2"), 1u) << tree;
  for (const std::string host : {"web-0", "web-1", "web-2"}) EXPECT_EQ(count(tree, "on " + host), 1u) << tree;
  EXPECT_EQ(count(tree, "came from"), 0u) << tree;
  EXPECT_EQ(count(tree, "as above"), 0u) << tree;
}

TEST(TraceTree, a_second_beginning_says_what_the_first_did_not) {
  // 0 led to 1; so may have 2. 1 led on to 3.
  const std::string tree = tree_of(4, {0, 1}, {{0, 1}, {2, 1}, {1, 3}});
  for (const std::string step : {"step 0-1", "step 2-1", "step 1-3"}) EXPECT_EQ(count(tree, step), 1u) << step << '\n' << tree;
  EXPECT_EQ(count(tree, "#11, as above\n└─ came from"), 1u) << tree;
  // Over a step that is written the way leads to one that is not: 3 came of 1, which 2 may have led to.
  const std::string further = tree_of(4, {0, 3}, {{0, 1}, {2, 1}, {1, 3}});
  EXPECT_EQ(count(further, "step 2-1"), 1u) << further;
}

TEST(TraceTree, beginnings_with_nothing_in_common_stand_each_by_itself) {
  const std::string tree = tree_of(4, {0, 2}, {{0, 1}, {2, 3}});
  EXPECT_EQ(count(tree, "led to"), 2u) << tree;
  EXPECT_EQ(count(tree_of(2, {0, 1}, {}), "opened"), 2u);
}

TEST(TraceTree, a_path_that_meets_itself_ends) {
  const std::string tree = tree_of(4, {0, 2}, {{0, 1}, {1, 0}, {1, 2}, {2, 1}, {0, 3}});
  for (const std::string step : {"step 0-1", "step 1-0", "step 1-2", "step 2-1", "step 0-3"})
    EXPECT_GE(count(tree, step), 1u) << step << '\n' << tree;
  EXPECT_EQ(count(tree, "on web-3"), 1u) << tree;
}

}  // namespace
}  // namespace portbook

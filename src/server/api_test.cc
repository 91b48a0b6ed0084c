#include "server/api.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>

#include "server/door.h"

namespace portbook {
namespace {

// Path → names of its query parameters, as docs/api/openapi.yaml writes them: two blanks before a path, one line a parameter.
std::map<std::string, std::set<std::string>> described() {
  std::map<std::string, std::set<std::string>> paths;
  std::ifstream file(PORTBOOK_SOURCE_DIR "/docs/api/openapi.yaml");
  std::string path;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("  /") && line.ends_with(':')) {
      path = line.substr(2, line.size() - 3);
      paths[path];
    }
    constexpr std::string_view kParameter = "        - {name: ";
    if (line.starts_with(kParameter) && line.contains("in: query")) {
      paths[path].insert(line.substr(kParameter.size(), line.find(',') - kParameter.size()));
    }
  }
  return paths;
}

TEST(Api, RoutesAreThoseThatTheDescriptionNames) {
  std::map<std::string, std::set<std::string>> routes;
  for (const Route& route : api_routes()) routes[std::string(route.path)] = {route.params.begin(), route.params.end()};
  for (const DoorRoute& route : door_routes()) routes[std::string(route.path)] = {route.params.begin(), route.params.end()};
  EXPECT_EQ(routes, described());
}

TEST(Url, DecodesWhatItEncodes) {
  const std::string text = "dst.port:443 \"a+b%\" \xc3\xbc&=/?";
  EXPECT_EQ(percent_decoded(percent_encoded(text), true), text);
  EXPECT_EQ(percent_decoded("a+b", true), "a b");
  EXPECT_EQ(percent_decoded("a+b", false), "a+b");
  EXPECT_FALSE(percent_decoded("%4", false).has_value());
  EXPECT_FALSE(percent_decoded("%zz", false).has_value());
}

TEST(Url, ATargetIsAskedForAgain) {
  HttpRequest request;
  request.path = "/trace";
  EXPECT_EQ(target_of(request), "/trace");
  request.params = {{"q", "[2001:db8::1]:443@2026-11-22T12:03Z"}, {"note", "ü&="}};
  EXPECT_EQ(target_of(request), "/trace?q=%5B2001%3Adb8%3A%3A1%5D%3A443%402026-11-22T12%3A03Z&note=%C3%BC%26%3D");
  EXPECT_TRUE(is_own_target(target_of(request)));
  request.path = "/a b/\\/c";
  request.params.clear();
  EXPECT_EQ(target_of(request), "/a%20b/%5C/c");
}

TEST(Url, ATargetOfAnotherServerIsNone) {
  EXPECT_TRUE(is_own_target("/"));
  EXPECT_TRUE(is_own_target("/?q=//evil.example.org"));
  for (const std::string_view other : {"", "evil", "https://evil.example.org", "//evil.example.org", "/\\evil.example.org",
                                       "/\t/evil.example.org", "/\r\nSet-Cookie: a=b", "javascript:alert(1)", "/\xc3\xbc", " /"})
    EXPECT_FALSE(is_own_target(other)) << other;
  EXPECT_FALSE(is_own_target("/" + std::string(kTargetBytesMax, 'a')));
}

}  // namespace
}  // namespace portbook

#include "server/readers.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "server/credentials.h"

namespace portbook {
namespace {

constexpr TimeNs kNow = 1'800'000'000 * TimeNs{kNsPerSecond};

struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "readers_test.XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path path;
};

Reader reader(std::string name, std::string_view token, std::optional<TimeNs> expires = std::nullopt) {
  return {std::move(name), token_hash(token), kNow, expires};
}

TEST(Readers, AreKnownByTheirTokenUntilItExpires) {
  const Folder folder;
  auto readers = Readers::load(folder.path);
  ASSERT_TRUE(readers.has_value()) << readers.error().message;
  ASSERT_TRUE((*readers)->add(reader("audit", "one", kNow + 10)).has_value());
  ASSERT_TRUE((*readers)->add(reader("always", "two")).has_value());
  EXPECT_EQ((*readers)->find(token_hash("one"), kNow + 9)->name, "audit");
  EXPECT_FALSE((*readers)->find(token_hash("one"), kNow + 10).has_value());
  EXPECT_EQ((*readers)->find(token_hash("two"), kNow + 1000)->name, "always");
  EXPECT_FALSE((*readers)->find(token_hash("three"), kNow).has_value());
}

TEST(Readers, OutliveTheBook) {
  const Folder folder;
  {
    auto readers = Readers::load(folder.path);
    ASSERT_TRUE((*readers)->add(reader("audit", "one", kNow + 10)).has_value());
    ASSERT_TRUE((*readers)->add(reader("always", "two")).has_value());
    ASSERT_TRUE((*readers)->remove("audit").has_value());
  }
  auto again = Readers::load(folder.path);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_FALSE((*again)->find(token_hash("one"), kNow).has_value());
  EXPECT_TRUE((*again)->find(token_hash("two"), kNow).has_value());
  EXPECT_EQ(std::filesystem::status(folder.path / kReadersFile).permissions(), std::filesystem::perms(0600));
}

TEST(Readers, HaveANameOfTheirOwn) {
  const Folder folder;
  auto readers = Readers::load(folder.path);
  ASSERT_TRUE((*readers)->add(reader("audit", "one")).has_value());
  EXPECT_EQ((*readers)->add(reader("audit", "two")).error().code, ErrorCode::kBadInput);
  for (const std::string name : {"", "two words", "line\nbreak", "../up"})
    EXPECT_EQ((*readers)->add(reader(name, "three")).error().code, ErrorCode::kBadInput) << name;
  EXPECT_EQ((*readers)->remove("nobody").error().code, ErrorCode::kNotFound);
}

TEST(Readers, TextIsReadBackAndNothingElseIs) {
  const std::vector<Reader> readers{reader("audit", "one", kNow + 10), reader("always", "two")};
  const std::string text = readers_text(readers);
  const auto back = parse_readers(text);
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(readers_text(*back), text);
  EXPECT_EQ(parse_readers("portbook readers 2\n").error().code, ErrorCode::kNewer);
  for (size_t cut = 1; cut < text.size(); ++cut) {
    const auto part = parse_readers(text.substr(0, cut));
    EXPECT_TRUE(!part || text[cut - 1] == '\n') << cut;
  }
  std::string other_scope = text;
  other_scope.replace(other_scope.find(" read "), 6, " root ");
  EXPECT_EQ(parse_readers(other_scope).error().message, "line 2: this is not a reader");
}

}  // namespace
}  // namespace portbook

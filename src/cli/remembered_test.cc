#include "cli/remembered.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iterator>

#include "base/hash.h"
#include "query/json_writer.h"

namespace portbook {
namespace {

// A server's side of a log: what it answers about itself, true or not.
class Server {
 public:
  Server(Byte seed, size_t records) : signer_(make_ed25519_signer("web-7", Ed25519Seed{seed})) { grow(records); }

  void grow(size_t records) {
    for (size_t i = 0; i < records; ++i) leaves_.push_back(leaf_hash(as_bytes(fmt::format("{}", leaves_.size()))));
  }
  void rewrite(size_t index) { leaves_[index] = leaf_hash(as_bytes("something else")); }
  void shrink(size_t size) { leaves_.resize(size); }

  [[nodiscard]] std::string vkey() const { return to_vkey(make_verifier(*signer_)); }
  [[nodiscard]] std::string checkpoint() const {
    return *sign_checkpoint({leaves_.size(), *root_of(nodes_, leaves_.size())}, *signer_);
  }

  [[nodiscard]] AskBook ask() const {
    return [this](const std::string& target) { return answer(target); };
  }

 private:
  class Nodes final : public NodeReader {
   public:
    explicit Nodes(const std::vector<Hash>& leaves) : leaves_(leaves) {}
    Result<Hash> node(unsigned height, uint64_t index) override {
      if (height == 0) return leaves_[index];
      return node_hash(*node(height - 1, 2 * index), *node(height - 1, 2 * index + 1));
    }

   private:
    const std::vector<Hash>& leaves_;
  };

  Result<std::string> answer(const std::string& target) const {
    if (target == "/api/v1/vkey") return vkey() + "\n";
    if (target == "/api/v1/checkpoint") return checkpoint();
    const uint64_t from = number_after(target, "from=", 0);
    const uint64_t to = number_after(target, "to=", leaves_.size());
    if (!target.starts_with("/api/v1/consistency?") || from > to || to > leaves_.size())
      return fail(ErrorCode::kBadInput, "a size was expected");
    std::string out;
    Json json(out);
    json.open('{');
    json.number("to", to);
    json.open("hashes", '[');
    for (const Hash& hash : *consistency_proof(nodes_, from, to)) json.element(base64(hash));
    json.close(']');
    json.text("checkpoint", checkpoint());
    json.close('}');
    return out;
  }

  static uint64_t number_after(const std::string& text, std::string_view name, uint64_t absent) {
    const size_t at = text.find(name);
    uint64_t number = absent;
    if (at != std::string::npos) std::from_chars(text.data() + at + name.size(), text.data() + text.size(), number);
    return number;
  }

  std::unique_ptr<Signer> signer_;
  std::vector<Hash> leaves_;
  mutable Nodes nodes_{leaves_};
};

class Remembered : public testing::Test {
 protected:
  Remembered() { std::filesystem::remove_all(folder_); }
  ~Remembered() override { std::filesystem::remove_all(folder_); }

  Held::Verdict verdict(const Server& server, const std::string& url = kUrl) const {
    const auto held = books_.check(url, server.ask());
    EXPECT_TRUE(held.has_value()) << held.error().message;
    return held ? held->verdict : Held::kNotRemembered;
  }
  std::string remembered(const Server& server) const {
    std::ifstream file(books_.file_of_key(server.vkey()));
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  static inline const std::string kUrl = "http://127.0.0.1:7171";
  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / fmt::format("portbook-remembered-test-{}", getpid()) / "state";
  const RememberedBooks books_{folder_};
};

TEST_F(Remembered, ABookThatGrowsIsTheSame) {
  Server book(1, 3);
  EXPECT_EQ(verdict(book), Held::kSame);
  EXPECT_EQ(remembered(book), "portbook-remembered 1\n" + book.vkey() + "\n" + book.checkpoint());
  for (const size_t records : {0, 1, 4, 300}) {
    book.grow(records);
    EXPECT_EQ(verdict(book), Held::kSame);
    EXPECT_EQ(remembered(book), "portbook-remembered 1\n" + book.vkey() + "\n" + book.checkpoint());
  }
}

TEST_F(Remembered, EveryRewrittenRecordIsFoundAtEverySize) {
  constexpr size_t kRecords = 9;
  const Server honest(1, kRecords);
  ASSERT_EQ(verdict(honest), Held::kSame);
  const std::string known = remembered(honest);
  for (size_t index = 0; index < kRecords; ++index) {
    for (const size_t more : {0, 1, 7}) {
      Server liar(1, kRecords);
      liar.rewrite(index);
      liar.grow(more);
      EXPECT_EQ(verdict(liar), Held::kRewritten) << index << " +" << more;
      EXPECT_EQ(remembered(honest), known) << "the lie was remembered";
      std::ifstream file(books_.file_of_key(liar.vkey()).string() + ".contradiction");
      EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
                "portbook-remembered 1\n" + liar.vkey() + "\n" + liar.checkpoint());
    }
  }
  EXPECT_EQ(verdict(honest), Held::kSame) << "the honest book is known again";
}

TEST_F(Remembered, ABookThatWasPutBackIsFound) {
  Server book(1, 9);
  ASSERT_EQ(verdict(book), Held::kSame);
  book.shrink(5);
  const auto checked = books_.check(kUrl, book.ask());
  ASSERT_TRUE(checked.has_value()) << checked.error().message;
  EXPECT_EQ(checked->verdict, Held::kRewritten);
  EXPECT_NE(checked->why.find("it had signed 9 records, now it has 5"), std::string::npos) << checked->why;
}

TEST_F(Remembered, AnotherKeyIsAnErrorAtAUrlOnly) {
  ASSERT_EQ(verdict(Server(1, 3)), Held::kSame);
  const Server other(2, 3);
  EXPECT_EQ(verdict(other), Held::kRewritten);
  EXPECT_EQ(verdict(other, "http://127.0.0.1:7172"), Held::kSame);
  EXPECT_EQ(verdict(other, ""), Held::kSame);
  EXPECT_EQ(verdict(other), Held::kRewritten);
  std::filesystem::remove(books_.file_of_url(kUrl));
  EXPECT_EQ(verdict(other), Held::kSame);
}

TEST_F(Remembered, AnAnswersCheckpointIsHeldAgainstIt) {
  Server book(1, 3);
  const Verifier key = *parse_vkey(book.vkey());
  const std::string older = book.checkpoint();
  book.grow(4);
  ASSERT_EQ(verdict(book), Held::kSame);
  book.grow(2);
  const std::string newer = book.checkpoint();
  book.grow(5);
  EXPECT_EQ(books_.extends(key, older, book.ask()).value().verdict, Held::kSame);
  EXPECT_EQ(books_.extends(key, newer, book.ask()).value().verdict, Held::kSame);
  Server liar(1, 9);
  liar.rewrite(2);
  EXPECT_EQ(books_.extends(key, liar.checkpoint(), book.ask()).value().verdict, Held::kRewritten);
}

TEST_F(Remembered, AFileThatSomebodyChangedIsNamed) {
  const Server book(1, 3);
  ASSERT_EQ(verdict(book), Held::kSame);
  const std::filesystem::path path = books_.file_of_key(book.vkey());
  const std::string whole = remembered(book);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    std::ofstream(path, std::ios::binary) << changed;
    const auto checked = books_.check(kUrl, book.ask());
    ASSERT_FALSE(checked.has_value()) << at;
    EXPECT_EQ(checked.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(checked.error().message.find(path.string()), std::string::npos);
  }
}

TEST_F(Remembered, WhereNothingCanBeWrittenTheBookIsCheckedAllTheSame) {
  std::filesystem::create_directories(folder_.parent_path());
  std::ofstream(folder_) << "a file where the folder should be";
  EXPECT_EQ(verdict(Server(1, 3)), Held::kNotRemembered);
}

}  // namespace
}  // namespace portbook

#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/hash.h"

namespace portbook {
namespace {

// RFC 4648 section 10.
TEST(Bytes, Base64Vectors) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(base64(as_bytes(plain)), encoded);
    Bytes back;
    ASSERT_TRUE(parse_base64(encoded, back)) << encoded;
    EXPECT_EQ(as_text(back), plain);
  }
}

TEST(Bytes, Base64RefusesWhatIsNotCanonical) {
  Bytes out;
  for (const char* bad : {"Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Z g=", "=Zg=", "Zg==\n"})
    EXPECT_FALSE(parse_base64(bad, out)) << bad;
}

TEST(Bytes, Hex) {
  Bytes out;
  ASSERT_TRUE(parse_hex("00ffA5", out));
  EXPECT_EQ(hex(out), "00ffa5");
  EXPECT_FALSE(parse_hex("0", out));
  EXPECT_FALSE(parse_hex("0g", out));
}

TEST(Bytes, Utf8) {
  EXPECT_TRUE(is_utf8(as_bytes("h\xc3\xa9llo")));
  EXPECT_FALSE(is_utf8(as_bytes("\xff")));
  EXPECT_FALSE(is_utf8(as_bytes("\xed\xa0\x80")));  // a surrogate
}

TEST(Hash, KnownValue) {
  EXPECT_EQ(hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256(as_bytes("ab"), as_bytes("c")), sha256(as_bytes("abc")));
}

}  // namespace
}  // namespace portbook

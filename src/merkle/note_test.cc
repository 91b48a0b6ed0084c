#include "merkle/note.h"

#include <gtest/gtest.h>

#include "merkle/checkpoint.h"
#include "merkle/naive_tree.h"
#include "merkle/proof_file.h"

namespace portbook {
namespace {

Ed25519Seed seed(Byte first) {
  Ed25519Seed bytes{};
  bytes[0] = first;
  return bytes;
}

class Note : public testing::Test {
 protected:
  std::unique_ptr<Signer> signer_ = make_ed25519_signer("book.example.org/web-7", seed(1));
  std::unique_ptr<Signer> other_ = make_ed25519_signer("witness.example.org", seed(2));
  Verifier key_ = make_verifier(*signer_);
  Verifier other_key_ = make_verifier(*other_);

  static std::string signature_line(const std::string& note) { return note.substr(note.rfind("\n\n") + 2); }
  [[nodiscard]] bool opens(std::string_view note) const { return open_note(note, {&key_, 1}).has_value(); }
};

// RFC 8032 section 7.1, test 1.
TEST(Ed25519, Rfc8032Vector) {
  Bytes raw;
  ASSERT_TRUE(parse_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", raw));
  Ed25519Seed secret;
  std::ranges::copy(raw, secret.begin());
  const auto signer = make_ed25519_signer("x", secret);
  EXPECT_EQ(hex(signer->public_key()), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const auto signature = *signer->sign({});
  EXPECT_EQ(hex(signature),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141"
            "438e7a100b");
  EXPECT_TRUE(ed25519_verify(signer->public_key(), {}, signature));
  EXPECT_FALSE(ed25519_verify(signer->public_key(), as_bytes("x"), signature));
}

TEST_F(Note, GoldenVkey) {
  const auto verifier = parse_vkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
  ASSERT_TRUE(verifier.has_value()) << verifier.error().message;
  EXPECT_EQ(verifier->name, "example.com/foo");
  EXPECT_EQ(note_key_id(verifier->name, verifier->key), 0x530d903aU);
  EXPECT_EQ(to_vkey(*verifier), "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
}

TEST_F(Note, BadVkeysAreRefused) {
  for (const char* vkey :
       {"", "a", "a+b", "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "example.com/foo+530d903a+Aeky"}) {
    EXPECT_FALSE(parse_vkey(vkey).has_value()) << vkey;
  }
}

TEST_F(Note, OpensWhatItSigned) {
  const std::string note = *sign_note("one\n\ntwo\n", *signer_);
  const auto text = open_note(note, {&key_, 1});
  ASSERT_TRUE(text.has_value()) << text.error().message;
  EXPECT_EQ(*text, "one\n\ntwo\n") << "the split is at the last empty line";
}

TEST_F(Note, EveryFlippedByteIsRefused) {
  const std::string note = *sign_note("book.example.org/web-7\n12\n", *signer_);
  for (size_t i = 0; i < note.size(); ++i) {
    std::string changed = note;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(opens(changed)) << i;
  }
  for (size_t length = 0; length < note.size(); ++length) EXPECT_FALSE(opens(note.substr(0, length)));
}

TEST_F(Note, UnknownSignaturesAreIgnored) {
  const std::string mine = *sign_note("text\n", *signer_);
  const std::string theirs = *sign_note("text\n", *other_);
  EXPECT_TRUE(opens(mine + signature_line(theirs)));
  EXPECT_TRUE(opens("text\n\n" + signature_line(theirs) + signature_line(mine)));
  EXPECT_FALSE(opens(theirs)) << "nobody known signed it";
}

TEST_F(Note, AKnownKeyThatFailsRejectsTheNote) {
  const std::string mine = *sign_note("text\n", *signer_);
  const std::string theirs = *sign_note("other text\n", *other_);
  const Verifier both[] = {key_, other_key_};
  EXPECT_FALSE(open_note(mine + signature_line(theirs), both).has_value());
}

TEST_F(Note, MalformedOnesAreRefused) {
  const std::string mine = *sign_note("text\n", *signer_);
  EXPECT_FALSE(opens(mine + "\n"));
  EXPECT_FALSE(opens(mine + "junk\n"));
  EXPECT_FALSE(opens("text\n" + signature_line(mine)));
  EXPECT_FALSE(opens("te\txt\n\n" + signature_line(mine)));
  EXPECT_FALSE(opens("te\xffxt\n\n" + signature_line(mine)));
  EXPECT_FALSE(opens("\n\n"));
  std::string many = "text\n\n";
  for (int i = 0; i < 101; ++i) many += signature_line(mine);
  EXPECT_FALSE(opens(many));
}

TEST_F(Note, KeyNames) {
  for (const char* good : {"a", "book.example.org/web-7", "bücher"}) EXPECT_TRUE(is_key_name(good)) << good;
  for (const char* bad : {"", "a b", "a+b", "a\n",
                          "a\xc2\xa0"
                          "b",
                          "\xff"}) {
    EXPECT_FALSE(is_key_name(bad)) << bad;
  }
}

TEST_F(Note, CheckpointsComeBack) {
  const NaiveTree tree(5);
  const TreeHead head{5, tree.root(5)};
  const auto checkpoint = open_checkpoint(*sign_checkpoint(head, *signer_), key_);
  ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->head, head);
  EXPECT_EQ(checkpoint->origin, signer_->name());
  EXPECT_FALSE(open_checkpoint(*sign_checkpoint(head, *other_), key_).has_value());
  EXPECT_FALSE(open_checkpoint(*sign_note("somebody else\n5\n" + base64(head.root) + "\n", *signer_), key_).has_value());
}

TEST_F(Note, BadCheckpointsAreRefused) {
  const std::string root = base64(empty_root());
  EXPECT_TRUE(parse_checkpoint_text("o\n0\n" + root + "\n").has_value());
  EXPECT_TRUE(parse_checkpoint_text("o\n7\n" + root + "\nextension\n").has_value());
  for (const std::string& text :
       {std::string(), "o\n0\n" + root, "\n0\n" + root + "\n", "o\n00\n" + root + "\n", "o\n-1\n" + root + "\n",
        "o\n\n" + root + "\n", "o\n9223372036854775808\n" + root + "\n", "o\n1x\n" + root + "\n", std::string("o\n1\nAAAA\n"),
        "o\n1\n" + root + "\n\n", "o\n1\n" + root + "\nunended"}) {
    EXPECT_FALSE(parse_checkpoint_text(text).has_value()) << text;
  }
}

TEST_F(Note, ProofFilesComeBackAndHold) {
  const NaiveTree tree(50);
  ProofFile proof{17, tree.inclusion(17, 50), *sign_checkpoint({50, tree.root(50)}, *signer_), std::nullopt};
  const auto back = parse_proof_file(to_text(proof));
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(back->hashes, proof.hashes);
  EXPECT_EQ(back->checkpoint, proof.checkpoint);
  EXPECT_EQ(verify_proof_file(*back, as_bytes("record 17"), key_)->head.size, 50U);
  EXPECT_FALSE(verify_proof_file(*back, as_bytes("record 18"), key_).has_value());
  EXPECT_FALSE(verify_proof_file(*back, as_bytes("record 17"), other_key_).has_value());
  proof.extra = Bytes{1, 2, 3};
  EXPECT_EQ(parse_proof_file(to_text(proof))->extra, proof.extra);
}

TEST_F(Note, BadProofFilesAreRefused) {
  const std::string good = "c2sp.org/tlog-proof@v1\nindex 0\n" + base64(empty_root()) + "\n\ncheckpoint";
  EXPECT_TRUE(parse_proof_file(good).has_value());
  for (size_t length = 0; length <= good.size() - 10; ++length) EXPECT_FALSE(parse_proof_file(good.substr(0, length)).has_value());
  for (const char* text :
       {"c2sp.org/tlog-proof@v2\nindex 0\n\nx", "c2sp.org/tlog-proof@v1\nindex 00\n\nx", "c2sp.org/tlog-proof@v1\n\nx",
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\nx", "c2sp.org/tlog-proof@v1\nextra ?\nindex 0\n\nx"}) {
    EXPECT_FALSE(parse_proof_file(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace portbook

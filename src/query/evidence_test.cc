#include "query/evidence.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/hash.h"
#include "merkle/checkpoint.h"
#include "merkle/note.h"
#include "merkle/proof_file.h"
#include "merkle/tree.h"
#include "record/cbor.h"

namespace portbook {
namespace {

constexpr std::string_view kAnswer =
    R"({"sentence":"It was <python3> on web-7","detail":"pid 7.","candidates":[{"verdict":"matches","relation":"owned","state":"open now","reason":"","hops":[{"title":"10.8.3.17:51420","text":"internal endpoint","class":"proven","records":[0]}],"records":[0,1]}],"completeness":{"state":"incomplete","sentence":"Incomplete. web-7/socket has a gap.","missing":[{"source":"web-7/socket","from":"2026-11-22T12:00:00.000000000Z","to":null,"cause":"ring full","record":1}]}})"
    "\n";

class EvidenceFile : public testing::Test {
 protected:
  EvidenceFile() {
    for (const uint64_t i : {0, 1}) {
      Record record;
      record.set(Field::kKind, i == 0 ? Kind::kOpen : Kind::kGap);
      record.set(Field::kTime, 1'795'348'984'000'000'000 + i);
      record.set(Field::kHost, "web-7");
      encode(record, evidence_.records[i].bytes);
      leaves_[i] = leaf_hash(evidence_.records[i].bytes);
    }
    const std::string checkpoint = *sign_checkpoint({2, node_hash(leaves_[0], leaves_[1])}, *signer_);
    for (const uint64_t i : {0, 1}) evidence_.records[i].proof = to_text(ProofFile{i, {leaves_[1 - i]}, checkpoint, std::nullopt});
    evidence_.asked = R"({"command":"who","q":"10.8.3.17:51420"})";
    evidence_.answer = kAnswer;
    evidence_.vkey = to_vkey(make_verifier(*signer_));
  }

  static std::string why(const std::string& file, const std::string& vkey = {}) {
    const auto check = check_evidence(file, vkey);
    return check ? std::string("holds") : check.error().message;
  }

  std::unique_ptr<Signer> signer_ = make_ed25519_signer("web-7", Ed25519Seed{1});
  std::unique_ptr<Signer> other_ = make_ed25519_signer("web-7", Ed25519Seed{2});
  std::array<Hash, 2> leaves_{};
  Evidence evidence_;
};

TEST_F(EvidenceFile, HoldsAndSaysWhatItProves) {
  const std::string file = write_evidence(evidence_);
  const auto check = check_evidence(file, evidence_.vkey);
  ASSERT_TRUE(check.has_value()) << check.error().message;
  EXPECT_EQ(check->origin, "web-7");
  EXPECT_EQ(check->records, 2u);
  EXPECT_EQ(check->size_max, 2u);
  EXPECT_EQ(check->sentence, "It was <python3> on web-7");
  EXPECT_EQ(check->completeness, "Incomplete. web-7/socket has a gap.");
  EXPECT_NE(check->report.find("It was &lt;python3&gt; on web-7"), std::string::npos);
  EXPECT_NE(check->report.find("ring full"), std::string::npos);
}

// Where each section's bytes stand in the file, by name.
std::vector<std::tuple<std::string, size_t, size_t>> regions(const std::string& file) {
  std::vector<std::tuple<std::string, size_t, size_t>> found;
  size_t at = file.find('\n') + 1;
  while (!file.substr(at).starts_with("end ")) {
    const size_t line_end = file.find('\n', at);
    const std::string line = file.substr(at, line_end - at);
    const size_t colon = line.find(": ");
    const size_t length = std::stoull(line.substr(colon + 2));
    found.emplace_back(line.substr(0, colon), line_end + 1, line_end + 1 + length);
    at = line_end + length + 2;
  }
  return found;
}

TEST_F(EvidenceFile, WithoutARecordItProvesNothing) {
  evidence_.records.clear();
  evidence_.answer = R"({"sentence":"Nobody had 203.0.113.5:41234","completeness":{"state":"complete","sentence":"Complete."}})";
  EXPECT_TRUE(why(write_evidence(evidence_), evidence_.vkey).contains("nothing in it is proven"));
}

TEST_F(EvidenceFile, OneChangedByteIsFoundAndItsSectionNamed) {
  const std::string file = write_evidence(evidence_);
  ASSERT_EQ(why(file), "holds");
  for (size_t at = 0; at < file.size(); ++at) {
    std::string changed = file;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    ASSERT_NE(why(changed), "holds") << "byte " << at;
  }
  for (const auto& [name, from, to] : regions(file)) {
    for (size_t at = from; at < to; ++at) {
      std::string changed = file;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      ASSERT_NE(why(changed).find(fmt::format("section \"{}\"", name)), std::string::npos) << why(changed);
    }
  }
}

TEST_F(EvidenceFile, EveryCutAndEveryAdditionIsFound) {
  const std::string file = write_evidence(evidence_);
  for (size_t length = 0; length < file.size(); ++length) ASSERT_NE(why(file.substr(0, length)), "holds") << length;
  EXPECT_NE(why(file + "x"), "holds");
}

// Whoever changes the file can also write new digests: then the proofs, the signature and the report still hold it.
TEST_F(EvidenceFile, NewDigestsDoNotHelp) {
  for (size_t at = 0; at < evidence_.records[0].bytes.size(); ++at) {
    Evidence changed = evidence_;
    changed.records[0].bytes[at] ^= 1;
    EXPECT_NE(why(write_evidence(changed)), "holds") << "record byte " << at;
  }
  for (size_t at = 0; at < evidence_.records[0].proof.size(); ++at) {
    Evidence changed = evidence_;
    changed.records[0].proof[at] = static_cast<char>(changed.records[0].proof[at] ^ 1);
    EXPECT_NE(why(write_evidence(changed)), "holds") << "proof byte " << at;
  }
  Evidence missing = evidence_;
  missing.records.erase(1);
  EXPECT_NE(why(write_evidence(missing)).find("names record 1, which is not in the file"), std::string::npos);
  Evidence swapped = evidence_;
  std::swap(swapped.records[0].proof, swapped.records[1].proof);
  EXPECT_NE(why(write_evidence(swapped)).find("is that of record"), std::string::npos);
}

TEST_F(EvidenceFile, AnotherKeyIsFoundByTheKeyThatWasKept) {
  Evidence forged = evidence_;
  const std::string checkpoint = *sign_checkpoint({2, node_hash(leaves_[0], leaves_[1])}, *other_);
  for (const uint64_t i : {0, 1}) forged.records[i].proof = to_text(ProofFile{i, {leaves_[1 - i]}, checkpoint, std::nullopt});
  EXPECT_NE(why(write_evidence(forged)), "holds") << "the file's own key did not sign";
  forged.vkey = to_vkey(make_verifier(*other_));
  EXPECT_EQ(why(write_evidence(forged)), "holds");
  EXPECT_NE(why(write_evidence(forged), evidence_.vkey).find("another key"), std::string::npos);
}

TEST_F(EvidenceFile, IsTheSumOfItsParts) {
  std::string file = evidence_head(evidence_);
  for (auto& [index, proven] : evidence_.records) file += evidence_section(index, proven);
  const std::string whole = write_evidence(evidence_);
  for (auto& [index, proven] : evidence_.records) proven.proof.clear();  // as its last part may be made
  EXPECT_EQ(file + evidence_end(evidence_), whole);
}

TEST_F(EvidenceFile, AnAnswerThatWasCutSaysSo) {
  evidence_.answer = "{\"row\":{\"id\":0,\"records\":[0,1]}}\n{\"end\":{\"rows\":1,\"cursor\":\"12:9\"}}\n";
  const auto check = check_evidence(write_evidence(evidence_), evidence_.vkey);
  ASSERT_TRUE(check.has_value()) << check.error().message;
  EXPECT_EQ(check->cut, "The answer ends after 1 rows: older rows that match, if there are any, are not in this file.");
  EXPECT_NE(check->report.find(check->cut), std::string::npos);
  EXPECT_EQ(check->checkpoints.size(), 1u);
  evidence_.answer = "{\"row\":{\"id\":0,\"records\":[0,1]}}\n{\"end\":{\"rows\":1,\"cursor\":null}}\n";
  EXPECT_EQ(check_evidence(write_evidence(evidence_), evidence_.vkey)->cut, "");
}

TEST_F(EvidenceFile, OtherFilesAreNamedAsSuch) {
  EXPECT_EQ(why("hello"), "this is neither a book’s folder nor an evidence file");
  EXPECT_EQ(why("portbook-evidence 2\n"), "the first line names a format that this portbook does not know");
}

// docs/formats/evidence.md shows this file up to its report.
TEST(EvidenceExample, IsTheOneInTheDocument) {
  const auto signer = make_ed25519_signer("web-7", Ed25519Seed{1});
  Record record;
  record.set(Field::kKind, Kind::kOpen);
  record.set(Field::kTime, 1'795'348'984'000'000'000);
  Evidence evidence;
  evidence.asked = R"({"command":"who","q":"10.8.3.17:51420"})";
  evidence.answer = "{\"sentence\":\"It was python3 on web-7\",\"records\":[0]}\n";
  evidence.vkey = to_vkey(make_verifier(*signer));
  encode(record, evidence.records[0].bytes);
  const std::string checkpoint = *sign_checkpoint({1, leaf_hash(evidence.records[0].bytes)}, *signer);
  evidence.records[0].proof = to_text(ProofFile{0, {}, checkpoint, std::nullopt});
  const std::string file = write_evidence(evidence);
  ASSERT_TRUE(check_evidence(file, evidence.vkey).has_value());
  const std::string shown = file.substr(0, file.find("report: "));
  std::ifstream document(PORTBOOK_SOURCE_DIR "/docs/formats/evidence.md");
  const std::string text(std::istreambuf_iterator<char>(document), {});
  EXPECT_NE(text.find("```\n" + shown + "```\n"), std::string::npos) << shown;
}

TEST(EvidenceRecords, AreNeitherNoneNorTooMany) {
  EXPECT_EQ(records_to_prove(R"({"records":[]})").error().code, ErrorCode::kNotFound);
  std::string numbers = "0";
  for (size_t i = 1; i < kEvidenceRecordsMax; ++i) numbers += fmt::format(",{}", i);
  EXPECT_EQ(records_to_prove(fmt::format(R"({{"records":[{}]}})", numbers))->size(), kEvidenceRecordsMax);
  EXPECT_EQ(records_to_prove(fmt::format(R"({{"records":[{},99999]}})", numbers)).error().code, ErrorCode::kLimit);
}

TEST(EvidenceRecords, AreThoseThatTheAnswerNames) {
  EXPECT_EQ(*records_named_in(kAnswer), (std::vector<uint64_t>{0, 1}));
  EXPECT_EQ(
      *records_named_in("{\"row\":{\"id\":9,\"record\":{\"pid\":4},\"records\":[9,7]}}\n{\"end\":{\"rows\":1,\"size\":50}}\n"),
      (std::vector<uint64_t>{7, 9}));
  EXPECT_FALSE(records_named_in("nonsense").has_value());
}

}  // namespace
}  // namespace portbook

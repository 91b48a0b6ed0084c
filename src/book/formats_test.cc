// The worked examples of docs/formats are what the code writes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "book/head.h"
#include "merkle/checkpoint.h"
#include "record/cbor.h"
#include "store/index_run.h"
#include "store/log_frame.h"
#include "store/seal.h"

namespace portbook {
namespace {

std::string page(const std::string& name) {
  std::ifstream file(std::string(PORTBOOK_SOURCE_DIR) + "/docs/formats/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Sixteen bytes a line, as the pages show them.
void expect_dump(const std::string& text, ByteView bytes) {
  for (size_t at = 0; at < bytes.size(); at += 16) {
    const std::string line = fmt::format("{:08x}  {}", at, hex(bytes.subspan(at, std::min<size_t>(16, bytes.size() - at))));
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
}

Record example() {
  Record record;
  record.set(Field::kKind, Kind::kNote);
  record.set(Field::kTime, uint64_t{1'795'348'984'123'000'000});
  record.set(Field::kSource, "a/b");
  record.set(Field::kSourceSeq, uint64_t{1});
  return record;
}

Bytes example_bytes() {
  Bytes bytes;
  encode(example(), bytes);
  return bytes;
}

TEST(Formats, LogPage) {
  const std::string text = page("log.md");
  expect_dump(text, encode_log_header({1, 0}));
  FrameBuilder frame;
  frame.add(example_bytes(), 1);
  expect_dump(text, frame.finish(1, 0));
}

TEST(Formats, HeadPage) {
  const std::string text = page("head.md");
  const auto signer = make_ed25519_signer("example.org/book", Ed25519Seed{1});
  EXPECT_NE(text.find(to_vkey(make_verifier(*signer))), std::string::npos);
  const std::string note = *sign_checkpoint({1, leaf_hash(example_bytes())}, *signer);
  std::istringstream lines(note);
  for (std::string line; std::getline(lines, line);) EXPECT_NE(text.find("    " + line), std::string::npos) << line;
  const auto slot = encode_head_slot({1, note});
  expect_dump(text, ByteView(slot).first(48));
  expect_dump(text, ByteView(slot).last(16));
}

TEST(Formats, SegmentPage) {
  Columns columns;
  columns.append(example());
  columns.publish();
  const auto sealed = seal_block(0, columns, 1, std::vector<Hash>{leaf_hash(example_bytes())}, {}, encode_columns);
  ASSERT_TRUE(sealed.has_value()) << sealed.error().message;
  const std::string text = page("segment.md");
  EXPECT_NE(text.find("takes 3,511 bytes"), std::string::npos);
  EXPECT_EQ(sealed->file.size(), 3511U);
  expect_dump(text, ByteView(sealed->file).first(0xc0));
  EXPECT_NE(text.find(hex([] {
    Bytes key;
    append_big(key, endpoint_key({Ip::v4(0x0a080311), 51420}));
    return key;
  }())),
            std::string::npos);
}

TEST(Formats, IndexRunPage) {
  const std::string text = page("index_run.md");
  IndexRunWriter writer({{0, 256, 1'000, 2'000, 7}}, 2);
  const RowKey endpoint = endpoint_key({Ip::v4(0x0a080311), 51420});
  writer.add({static_cast<uint32_t>(endpoint >> 32), {0, kMarkOpen}});
  writer.add({0x5b27c260, {0, 0}});
  const Bytes file = writer.finish();
  EXPECT_EQ(file.size(), 0x75U);
  expect_dump(text, file);
}

}  // namespace
}  // namespace portbook

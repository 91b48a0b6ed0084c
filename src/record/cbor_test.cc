#include "record/cbor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "record/cbor_item.h"
#include "record/json.h"
#include "record/random_record.h"

namespace portbook {
namespace {

using testing::HasSubstr;

Bytes from_hex(std::string_view text) {
  Bytes out;
  EXPECT_TRUE(parse_hex(text, out)) << text;
  return out;
}

// The worked example of docs/formats/record.md: what capture writes for a usual outgoing connection.
Record usual_open() {
  Record record;
  record.set(Field::kKind, Kind::kOpen);
  record.set(Field::kTime, uint64_t{1'795'348'981'990'412'877});
  record.set(Field::kVantage, Vantage::kSocket);
  record.set(Field::kSource, "web-7/socket");
  record.set(Field::kSourceSeq, uint64_t{2'106'331});
  record.set(Field::kHost, "web-7");
  record.set(Field::kProto, Proto::kTcp);
  record.set(Field::kDirection, Direction::kOut);
  record.set(Field::kSrcIp, Field::kSrcPort, {*parse_ip("10.8.3.17"), 51420});
  record.set(Field::kDstIp, Field::kDstPort, {*parse_ip("198.51.100.9"), 443});
  record.set(Field::kNat, Nat::kNone);
  Id128 conn;
  for (size_t i = 0; i < conn.size(); ++i) conn[i] = static_cast<Byte>(i < 8 ? 0xa0 + i : 0);
  conn[14] = 0x2a;
  conn[15] = 0x31;
  record.set(Field::kConn, conn);
  record.set(Field::kNetns, uint64_t{4026531840});
  record.set(Field::kPid, uint64_t{7273});
  record.set(Field::kProcessStart, uint64_t{1'795'348'692'006'120'000});
  record.set(Field::kExe, "/usr/bin/python3");
  record.set(Field::kUid, uint64_t{1001});
  record.set(Field::kClockError, uint64_t{400'000});
  return record;
}

// The page must say what the code does: its table holds a line for every field, and its example is what encode() gives.
std::string format_page() {
  std::ifstream file(PORTBOOK_SOURCE_DIR "/docs/formats/record.md");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string table_line(const FieldInfo& about) {
  constexpr std::string_view kTypes[] = {"uint", "signed", "time", "duration", "port", "enum", "ip", "text", "id128", "cbor"};
  std::string values;
  for (const EnumName& name : enum_names(about.field))
    values += (values.empty() ? ": " : ", ") + std::to_string(name.value) + " " + std::string(name.name);
  return "| " + std::to_string(index_of(about.field)) + " | `" + std::string(about.name) + "` | " +
         std::string(kTypes[static_cast<size_t>(about.type)]) + " | " + std::to_string(about.maximum) + " | " +
         std::string(about.doc) + values + " | " + std::string(about.ocsf) + " | " + std::string(about.ecs) + " |";
}

TEST(Cbor, FormatPageHoldsEveryField) {
  const std::string page = format_page();
  for (const FieldInfo& about : kFields) EXPECT_THAT(page, HasSubstr(table_line(about) + "\n"));
}

TEST(Cbor, FormatPageShowsTheUsualOpen) {
  Bytes bytes;
  encode(usual_open(), bytes);
  std::string page = format_page();
  std::string shown;
  const size_t from = page.find("```hex\n");
  ASSERT_NE(from, std::string::npos);
  for (const char c : page.substr(from + 7, page.find("```", from + 7) - from - 7)) {
    if (std::isxdigit(c)) shown += c;
  }
  EXPECT_EQ(shown, hex(bytes));
  EXPECT_THAT(page, HasSubstr(std::to_string(bytes.size()) + " bytes"));
  EXPECT_LE(bytes.size(), 182U);  // leaf hash in three SHA-256 blocks
}

TEST(Cbor, DecodeInvertsEncode) {
  RandomRecords random(1);
  Record record;
  Record back;
  Bytes bytes;
  Bytes again;
  for (int i = 0; i < 20'000; ++i) {
    random.next(record, static_cast<unsigned>(i % 11));
    bytes.clear();
    const size_t length = encode(record, bytes);
    ASSERT_EQ(length, bytes.size());
    ASSERT_EQ(encoded_length(bytes).value(), length);
    const auto status = decode(bytes, back);
    ASSERT_TRUE(status.has_value()) << status.error().message << " " << hex(bytes);
    ASSERT_TRUE(back == record);
    again.clear();
    encode(back, again);
    ASSERT_EQ(again, bytes);
  }
}

TEST(Cbor, EveryPrefixIsRefused) {
  Bytes bytes;
  encode(usual_open(), bytes);
  Record record;
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(decode(ByteView(bytes).first(length), record).has_value()) << length;
    EXPECT_FALSE(encoded_length(ByteView(bytes).first(length)).has_value()) << length;
  }
}

TEST(Cbor, SequenceIsCutIntoRecords) {
  Bytes bytes;
  const size_t first = encode(usual_open(), bytes);
  encode(usual_open(), bytes);
  EXPECT_EQ(encoded_length(bytes).value(), first);
  EXPECT_EQ(encoded_length(ByteView(bytes).subspan(first)).value(), first);
}

TEST(Cbor, RefusesWhatIsNotDeterministic) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "map was expected"},
      {"80", "map was expected"},                     // an array
      {"bf0001ff", "map was expected"},               // indefinite length
      {"b80100 01", "map was expected"},              // length not in shortest form
      {"a1180001", "shortest form"},                  // key not in shortest form
      {"a1001801", "kind: its value is not determ"},  // value not in shortest form
      {"a200010001", "out of order or twice"},
      {"a201010001", "out of order or twice"},
      {"a100 01 00", "bytes follow"},
      {"a10101", "kind is missing"},
      {"a10000", "kind: 0 is no value"},
      {"a20001 0a00", "src.port: port 0"},
      {"a20001 0a1a00010000", "src.port: it is above"},
      {"a20001 0943010203", "src.ip: an address of 4 or 16 bytes"},
      {"a20001 095000000000000000000000ffff01020304", "src.ip: IPv4-mapped"},
      {"a20001 0343616263", "source: text must be CBOR text iff"},
      {"a20001 0361ff", "source: text must be CBOR text iff"},
      {"a20001 03f90000", "source: its value is not determ"},  // a float
      {"a20001 03c001", "source: its value is not determ"},    // a tag
      {"a20001 0f20", "netns: an unsigned number"},
      {"a20001 184f3bffffffffffffffff", "clock_step: it is above"},
      {"a20001 184243a16161", "attrs: it is no canonical"},
      {"a20001 0e4101", "conn: 16 bytes"},
  };
  Record record;
  for (const auto& [text, why] : cases) {
    std::string packed(text);
    std::erase(packed, ' ');
    const auto status = decode(from_hex(packed), record);
    ASSERT_FALSE(status.has_value()) << text;
    EXPECT_EQ(status.error().code, ErrorCode::kBadInput) << text;
    EXPECT_THAT(status.error().message, HasSubstr(why)) << text;
  }
}

TEST(Cbor, UnknownKeysAndValuesMeanANewerSource) {
  Record record;
  for (const char* text : {"a2000118ff01", "a10018c8", "a2000102 18c8"}) {
    std::string packed(text);
    std::erase(packed, ' ');
    const auto status = decode(from_hex(packed), record);
    ASSERT_FALSE(status.has_value()) << text;
    EXPECT_EQ(status.error().code, ErrorCode::kNewer) << text;
    EXPECT_THAT(status.error().message, HasSubstr("newer than this book"));
  }
}

TEST(Cbor, NumbersInShortestForm) {
  // RFC 8949 appendix A.
  const std::pair<uint64_t, const char*> vectors[] = {{0, "00"},
                                                      {23, "17"},
                                                      {24, "1818"},
                                                      {100, "1864"},
                                                      {1000, "1903e8"},
                                                      {1000000, "1a000f4240"},
                                                      {1000000000000, "1b000000e8d4a51000"},
                                                      {UINT64_MAX, "1bffffffffffffffff"}};
  for (const auto& [value, text] : vectors) {
    Bytes out;
    append_cbor_head(out, CborMajor::kUnsigned, value);
    EXPECT_EQ(hex(out), text);
    CborReader reader(out);
    CborItem item;
    ASSERT_TRUE(reader.next(item));
    EXPECT_EQ(item.value, value);
  }
}

TEST(Cbor, AttrsKeysAscend) {
  EXPECT_TRUE(is_canonical_attrs(from_hex("a2616101616201")));
  EXPECT_FALSE(is_canonical_attrs(from_hex("a2616201616101")));
  EXPECT_FALSE(is_canonical_attrs(from_hex("a2616101616101")));
  EXPECT_FALSE(is_canonical_attrs(from_hex("a16161a0")));
  EXPECT_FALSE(is_canonical_attrs(from_hex("a161610100")));
}

TEST(Record, LongTextIsCutAndMarked) {
  Record record;
  record.set(Field::kKind, Kind::kNote);
  record.set(Field::kComm, std::string(63, 'x') + "\xc3\xa9tail");
  EXPECT_EQ(record.text(Field::kComm), std::string(63, 'x'));
  EXPECT_EQ(record.text(Field::kCut), "comm");
  record.set(Field::kUser, std::string(300, 'u'));
  EXPECT_EQ(record.text(Field::kCut), "comm,user");
}

TEST(Record, PortZeroIsUnknown) {
  Record record;
  record.set(Field::kSrcIp, Field::kSrcPort, {*parse_ip("10.0.0.1"), 0});
  EXPECT_TRUE(record.has(Field::kSrcIp));
  EXPECT_FALSE(record.has(Field::kSrcPort));
}

TEST(Record, LocalEndFollowsDirection) {
  Record record = usual_open();
  EXPECT_EQ(to_text(*local_end(record)), "10.8.3.17:51420");
  EXPECT_EQ(to_text(*remote_end(record)), "198.51.100.9:443");
  record.set(Field::kDirection, Direction::kIn);
  EXPECT_EQ(to_text(*local_end(record)), "198.51.100.9:443");
  record.set(Field::kDirection, Direction::kForward);
  EXPECT_FALSE(local_end(record).has_value());
}

TEST(Fields, NamesAreUniqueAndKeysDense) {
  for (size_t i = 0; i < kFieldCount; ++i) {
    EXPECT_EQ(index_of(kFields[i].field), i);
    EXPECT_EQ(field_named(kFields[i].name), kFields[i].field) << kFields[i].name;
    EXPECT_EQ(kFields[i].type == FieldType::kEnum, !enum_names(kFields[i].field).empty()) << kFields[i].name;
  }
}

}  // namespace
}  // namespace portbook

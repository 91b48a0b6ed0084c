#include "ship/wire.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <sstream>

namespace portbook {
namespace {

Bytes encoded(const ShipMessage& message) {
  Bytes out;
  append_message(out, message);
  return out;
}

// One of each kind, with every field set. The views' bytes live as long as the program.
const std::vector<ShipMessage>& samples() {
  static const Bytes records(300, 0xa1);
  static const Bytes numbers = [] {
    Bytes out;
    append_number(out, {"events", 12});
    append_number(out, {"lost_events", UINT64_MAX});
    return out;
  }();
  static const Bytes lines = [] {
    Bytes out;
    append_line(out, {"TCP connections", "ok", "bpf sockops on cgroup2", "Every namespace."});
    append_line(out, {"Clock", "warn", "", ""});
    return out;
  }();
  static const std::vector<ShipMessage> all = {
      AgentHello{1, "web-8", "0.1.0", "secret"},
      AgentHello{1, "web-8", "0.1.0", "", ShipPurpose::kImport},
      BookWelcome{1, 4 << 20, 5 << 20, 65000, "0.1.0", "portbook/web-7"},
      SourceOpen{3, "web-8/socket"},
      SourceOpened{3, ShipCode::kAgain, 77, "an earlier connection still holds it"},
      ShippedBatch{3, 12, 78, records},
      BatchAnswer{3, ShipCode::kSequence, 78, 80, "it begins with 78"},
      ReportMessage{true, 1000, 2000, 1, numbers, lines},
      PingMessage{9},
      PongMessage{UINT64_MAX},
      ByeMessage{ByeCode::kDenied, "the token was revoked"},
      EnrolmentRequest{EnrolmentAction::kRevoke, 70, Hash{1, 2, 3}, "web-8"},
      EnrolmentAnswer{ShipCode::kRefused, "no such host"},
      ToldMessage{3, 1'795'348'984'123'000'000},
  };
  return all;
}

TEST(Wire, every_message_comes_back_as_it_went) {
  for (const ShipMessage& message : samples()) {
    const Bytes bytes = encoded(message);
    const DecodedMessage decoded = decode_message(bytes);
    const auto* whole = std::get_if<WholeMessage>(&decoded);
    ASSERT_NE(whole, nullptr) << "kind " << message.index();
    EXPECT_EQ(whole->length, bytes.size());
    EXPECT_EQ(whole->message.index(), message.index());
    EXPECT_EQ(encoded(whole->message), bytes) << "kind " << message.index();
  }
}

TEST(Wire, every_prefix_asks_for_more_and_never_for_more_than_there_is) {
  for (const ShipMessage& message : samples()) {
    const Bytes bytes = encoded(message);
    for (size_t length = 0; length < bytes.size(); ++length) {
      const DecodedMessage decoded = decode_message(ByteView(bytes).first(length));
      const auto* more = std::get_if<NeedMore>(&decoded);
      ASSERT_NE(more, nullptr) << "kind " << message.index() << ", " << length << " bytes";
      EXPECT_GT(more->bytes_min, length);
      EXPECT_LE(more->bytes_min, bytes.size());
    }
  }
}

TEST(Wire, two_messages_in_one_buffer_are_taken_one_after_the_other) {
  for (const ShipMessage& first : samples()) {
    Bytes bytes = encoded(first);
    const size_t length = bytes.size();
    append_message(bytes, PingMessage{5});
    const DecodedMessage decoded = decode_message(bytes);
    ASSERT_TRUE(std::holds_alternative<WholeMessage>(decoded));
    EXPECT_EQ(std::get<WholeMessage>(decoded).length, length);
    const DecodedMessage next = decode_message(ByteView(bytes).subspan(length));
    EXPECT_EQ(std::get<PingMessage>(std::get<WholeMessage>(next).message).number, 5u);
  }
}

TEST(Wire, a_payload_that_is_shorter_or_longer_than_its_fields_is_malformed) {
  for (const ShipMessage& message : samples()) {
    // A batch's records and an enrolment's text reach to the end, whatever that is.
    if (std::holds_alternative<ShippedBatch>(message) || std::holds_alternative<EnrolmentAnswer>(message)) continue;
    const Bytes bytes = encoded(message);
    for (const int change : {-1, 1}) {
      Bytes changed = bytes;
      changed.resize(bytes.size() + static_cast<size_t>(change));
      store_little(changed.data(), static_cast<uint32_t>(changed.size() - kShipHeaderBytes));
      EXPECT_TRUE(std::holds_alternative<Malformed>(decode_message(changed))) << "kind " << message.index() << " " << change;
    }
  }
}

bool is_malformed(const Bytes& bytes) {
  return std::holds_alternative<Malformed>(decode_message(bytes));
}

TEST(Wire, what_no_message_may_be_is_malformed_before_its_bytes_are_awaited) {
  Bytes unknown(kShipHeaderBytes);
  unknown[4] = 99;
  EXPECT_TRUE(is_malformed(unknown));
  Bytes reserved = encoded(PingMessage{1});
  reserved[6] = 1;
  EXPECT_TRUE(is_malformed(reserved));
  Bytes long_control = encoded(PingMessage{1});
  store_little(long_control.data(), static_cast<uint32_t>(kShipControlBytesMax + 1));
  EXPECT_TRUE(is_malformed(long_control));
  Bytes long_batch(kShipHeaderBytes);
  store_little(long_batch.data(), static_cast<uint32_t>(kShipBatchHeaderBytes + kShipBatchBytesMax + 1));
  long_batch[4] = 5;
  EXPECT_TRUE(is_malformed(long_batch));
}

TEST(Wire, values_out_of_their_range_are_malformed) {
  const Bytes records(3, 0xa0);
  const Bytes good = encoded(ShippedBatch{1, 1, 1, records});
  EXPECT_FALSE(is_malformed(good));
  const auto with = [&](size_t offset, auto value) {
    Bytes changed = good;
    store_little(changed.data() + kShipHeaderBytes + offset, value);
    return changed;
  };
  EXPECT_TRUE(is_malformed(with(0, static_cast<uint16_t>(kShipSourcesMax))));
  EXPECT_TRUE(is_malformed(with(2, uint16_t{1})));
  EXPECT_TRUE(is_malformed(with(4, uint32_t{0})));
  EXPECT_TRUE(is_malformed(with(4, kBatchRecordsMax + 1)));
  EXPECT_TRUE(is_malformed(with(8, uint64_t{0})));
  EXPECT_FALSE(is_malformed(with(8, kSourceSeqMax - 1)));
  EXPECT_TRUE(is_malformed(with(8, kSourceSeqMax)));
  EXPECT_FALSE(is_malformed(encoded(SourceOpened{1, ShipCode::kTaken, kSourceSeqMax, ""})));
  EXPECT_TRUE(is_malformed(encoded(SourceOpened{1, ShipCode::kTaken, kSourceSeqMax + 1, ""})));
  EXPECT_TRUE(is_malformed(encoded(BatchAnswer{1, ShipCode::kTaken, 1, kSourceSeqMax + 1, ""})));
  Bytes hello = encoded(AgentHello{1, "h", "p", ""});
  hello[kShipHeaderBytes] = 'X';
  EXPECT_TRUE(is_malformed(hello));
  Bytes bye = encoded(ByeMessage{ByeCode::kVersion, ""});
  ++bye[kShipHeaderBytes];
  EXPECT_TRUE(is_malformed(bye));
}

TEST(Wire, the_front_of_a_batch_is_the_same_when_it_is_written_apart) {
  const Bytes records(1000, 0xa2);
  const ShippedBatch batch{7, 10, 123456789, records};
  Bytes apart;
  append(apart, batch_front(batch));
  append(apart, records);
  EXPECT_EQ(apart, encoded(batch));
}

TEST(Wire, a_report_never_outgrows_a_message) {
  Bytes numbers;
  Bytes lines;
  const std::string text(5000, 'x');
  for (int i = 0; i < 500; ++i) {
    append_number(numbers, {text, 1});
    append_line(lines, {text, text, text, text});
  }
  const Bytes bytes = encoded(ReportMessage{true, 0, 0, 0, numbers, lines});
  const DecodedMessage decoded = decode_message(bytes);
  ASSERT_TRUE(std::holds_alternative<WholeMessage>(decoded));
  ByteView rest = std::get<ReportMessage>(std::get<WholeMessage>(decoded).message).lines;
  ReportLine line;
  size_t count = 0;
  while (next_line(rest, line)) ++count;
  EXPECT_GT(count, 5u);
  EXPECT_LE(count, kShipLinesMax);
  EXPECT_EQ(line.detail.size(), kShipReasonBytesMax);
}

// docs/formats/ship.md shows these bytes.
TEST(Wire, the_page_s_example_is_what_the_code_writes) {
  std::ifstream file(PORTBOOK_SOURCE_DIR "/docs/formats/ship.md");
  std::stringstream text;
  text << file.rdbuf();
  std::string page = text.str();
  Bytes on_page;
  const std::regex line("    [0-9a-f]{8}  ([0-9a-f ]+)\n");
  for (std::sregex_iterator one(page.begin(), page.end(), line), end; one != end; ++one) {
    std::string digits = (*one)[1];
    std::erase(digits, ' ');
    Bytes part;
    ASSERT_TRUE(parse_hex(digits, part));
    append(on_page, part);
  }
  Bytes records;
  ASSERT_TRUE(parse_hex("a4000c011b18ea5c638e8284c00363612f620401", records));
  Bytes bytes;
  append_message(bytes, AgentHello{kShipVersion, "a", "0.1.0", ""});
  append_message(bytes, SourceOpen{0, "a/b"});
  append_message(bytes, ShippedBatch{0, 1, 1, records});
  append_message(bytes, BatchAnswer{0, ShipCode::kTaken, 1, 1, ""});
  EXPECT_EQ(hex(on_page), hex(bytes));
}

}  // namespace
}  // namespace portbook

// What an agent and a book say to each other over a stream socket: framed, versioned messages, each size held to a named limit.
// docs/formats/ship.md has the grammar, the offsets and a worked example.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/result.h"
#include "record/batch.h"

namespace portbook {

inline constexpr uint16_t kShipVersion = 2;
inline constexpr size_t kShipHeaderBytes = 8;
inline constexpr size_t kShipBatchHeaderBytes = 16;        // of a batch message's payload, before the records
inline constexpr size_t kShipHelloBytesMax = 1024;         // header and payload of a first message
inline constexpr size_t kShipControlBytesMax = 64 * 1024;  // payload of every message but a batch and a list
inline constexpr size_t kShipTextBytesMax = 255;           // host, source, versions, token
inline constexpr size_t kShipListBytesMax = 512 * 1024;    // of the answer to an enrolment: it may list every agent
inline constexpr size_t kShipReasonBytesMax = 1024;        // sentences; longer ones are cut by the sender
inline constexpr size_t kShipLinesMax = 64;                // of a report
inline constexpr size_t kShipNumbersMax = 64;              // of a report
inline constexpr size_t kShipNumbersBytesMax = 16 * 1024;  // of a report
inline constexpr size_t kShipLinesBytesMax = 40 * 1024;    // of a report
inline constexpr size_t kShipSourcesMax = 32;              // streams of one connection
// Record bytes of one batch: BatchBuilder's full one, its last record, and room for longer numbers.
inline constexpr size_t kShipBatchBytesMax = kBatchBytesMax / 2 + 512 * 1024;
inline constexpr uint32_t kShipWindowBytes = 4 * 1024 * 1024;  // of records; above that the book reads no further batch of an agent

// Texts and bytes of a decoded message are valid as long as the buffer that it was decoded from.

// What a connection is for. An import's coming and going says nothing about capture.
enum class ShipPurpose : uint16_t { kCapture, kImport };

// The first message of a connection, from the agent.
struct AgentHello {
  uint16_t version = kShipVersion;
  std::string_view host;
  std::string_view program;  // version of the agent's portbook
  std::string_view token;    // empty: the peer's user is its credential
  ShipPurpose purpose = ShipPurpose::kCapture;
};
// The book's answer to a hello that it accepts.
struct BookWelcome {
  uint16_t version = kShipVersion;
  uint32_t window_bytes = kShipWindowBytes;
  uint32_t batch_bytes_max = kShipBatchBytesMax;
  uint32_t batch_records_max = kBatchRecordsMax;
  std::string_view program;
  std::string_view origin;  // name of the book
};
// The agent will send batches of `source` as stream number `stream`, below kShipSourcesMax and once each.
struct SourceOpen {
  uint16_t stream = 0;
  std::string_view source;
};
// What becomes of a batch or a source.
enum class ShipCode : uint8_t {
  kTaken,     // durable, hashed, signed and searchable; a source: may be written
  kRefused,   // is not what a batch must be, and never will be
  kAgain,     // not now: the book is read-only, its disk is full, or an earlier connection still holds the source
  kSequence,  // does not follow: the sequence goes on after `last_seq`
  kNewer,     // has what only a newer book knows
  kDenied,    // this credential may not say that
};
struct SourceOpened {
  uint16_t stream = 0;
  ShipCode code = ShipCode::kTaken;
  uint64_t last_seq = 0;  // last source_seq that the book has of it; 0 for none
  std::string_view reason;
};
struct ShippedBatch {
  uint16_t stream = 0;
  uint32_t count = 0;
  uint64_t seq_first = 0;
  ByteView bytes;
};
// One for each batch, those of one stream in the order in which they were sent.
struct BatchAnswer {
  uint16_t stream = 0;
  ShipCode code = ShipCode::kTaken;
  uint64_t seq_first = 0;  // of the batch
  uint64_t last_seq = 0;   // last source_seq that the book has of the source
  std::string_view reason;
};
// What the agent says of itself; the newest counts.
struct ReportMessage {
  bool capturing = false;    // the first snapshot is done
  uint64_t spool_bytes = 0;  // that wait on the agent's disk
  uint64_t spool_bytes_max = 0;
  uint64_t refused_batches = 0;
  ByteView numbers;  // for next_number()
  ByteView lines;    // for next_line()
};
struct PingMessage {
  uint64_t number = 0;
};
struct PongMessage {
  uint64_t number = 0;
};
// Instead of a hello, from root or the book's own user: makes or takes back an agent's credential.
enum class EnrolmentAction : uint8_t { kEnrol, kRevoke, kList };
struct EnrolmentRequest {
  EnrolmentAction action = EnrolmentAction::kList;
  uint32_t vantages = 0;  // bit v: Vantage v may be written
  Hash token_hash{};      // SHA-256 of the token
  std::string_view host;
};
struct EnrolmentAnswer {
  ShipCode code = ShipCode::kTaken;  // kTaken, kRefused, kAgain or kDenied
  std::string_view text;             // kList: the credentials as in the book's file; else a sentence
};
// The last message of a connection, from either side; an error code says why.
enum class ByeCode : uint8_t { kStopping, kMalformed, kDenied, kLimit, kVersion };
struct ByeMessage {
  ByeCode code = ByeCode::kStopping;
  std::string_view reason;
};
// All that the source of that stream will ever tell of what happened up to `until` was answered with kTaken.
struct ToldMessage {
  uint16_t stream = 0;
  TimeNs until = 0;
};
using ShipMessage = std::variant<AgentHello, BookWelcome, SourceOpen, SourceOpened, ShippedBatch, BatchAnswer, ReportMessage,
                                 PingMessage, PongMessage, ByeMessage, EnrolmentRequest, EnrolmentAnswer, ToldMessage>;

// One named total of a report, and one line about what is captured.
struct ReportNumber {
  std::string_view name;
  uint64_t value = 0;
};
struct ReportLine {
  std::string_view what;
  std::string_view state;  // "ok", "warn", "off"
  std::string_view means;
  std::string_view detail;
};
// Takes the next one from the front; false at the end. The view must come from a decoded report.
bool next_number(ByteView& numbers, ReportNumber& number);
bool next_line(ByteView& lines, ReportLine& line);
// Append one each, to make the views that a report is encoded from. Texts longer than their limit are cut; what does not fit into a
// report any more is left out.
void append_number(Bytes& numbers, const ReportNumber& number);
void append_line(Bytes& lines, const ReportLine& line);

// The three outcomes of decoding; nothing is allocated.
struct WholeMessage {
  ShipMessage message;
  size_t length = 0;  // bytes that it took from the buffer's front
};
struct NeedMore {
  size_t bytes_min = 0;  // that the buffer must have before it is worth trying again
};
struct Malformed {
  std::string_view reason;  // lives as long as the program
};
using DecodedMessage = std::variant<WholeMessage, NeedMore, Malformed>;

// Decodes the message at the front of `bytes`. Never asks for more than the greatest message has.
DecodedMessage decode_message(ByteView bytes);

// Appends the message. Texts longer than their limit are cut; needs a batch within kShipBatchBytesMax, or it aborts.
void append_message(Bytes& out, const ShipMessage& message);
// Header and payload front of a batch message, for a writer that sends the record bytes from where they are.
std::array<Byte, kShipHeaderBytes + kShipBatchHeaderBytes> batch_front(const ShippedBatch& batch);

}  // namespace portbook

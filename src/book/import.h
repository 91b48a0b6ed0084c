// Takes records that somebody wrote as JSON, a line each, into a book: checked, numbered in a source of their own, durable, hashed
// and signed like all others. docs/import.md.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "book/book.h"
#include "record/json.h"

namespace portbook {

inline constexpr size_t kImportLineBytesMax = 1024 * 1024;
inline constexpr size_t kImportSourceBytesMax = 150;

// What may be imported without anybody vouching for it: what other programs said. No kernel of a known host saw it.
inline constexpr uint32_t kImportVantages = 1U << static_cast<unsigned>(Vantage::kProxy) |
                                            1U << static_cast<unsigned>(Vantage::kApp) |
                                            1U << static_cast<unsigned>(Vantage::kGateway);

// Those that a kernel saw: taken from whoever vouches for it.
inline constexpr uint32_t kVouchedVantages =
    1U << static_cast<unsigned>(Vantage::kSocket) | 1U << static_cast<unsigned>(Vantage::kNat);

constexpr uint32_t kinds_of(std::initializer_list<Kind> kinds) {
  uint32_t set = 0;
  for (const Kind kind : kinds) set |= 1U << static_cast<unsigned>(kind);
  return set;
}
// The others say what was captured and what the book did: whoever could import them could make an answer look complete.
inline constexpr uint32_t kImportKinds =
    kinds_of({Kind::kOpen, Kind::kClose, Kind::kFailed, Kind::kListen, Kind::kUsedBy, Kind::kExisting, Kind::kProcess,
              Kind::kNatOpen, Kind::kNatClose, Kind::kProxy, Kind::kNote});

inline constexpr std::string_view kNotARecord = "not a record";  // begins the `cause` of a note that stands for a wrong line

struct ImportProgress {
  uint64_t bytes = 0;    // read
  uint64_t records = 0;  // taken in: durable, hashed, signed, searchable
};

// Makes the record that a line is, without source and number, or says why it is none. Owned by one thread.
using LineReader = std::function<Status(std::string_view line, Record& record)>;

struct ImportOptions {
  std::string source;                                        // at most kImportSourceBytesMax bytes
  uint32_t vantages = kImportVantages;                       // bit v: records of Vantage v are taken; never that of `book`
  unsigned threads = 2;                                      // that parse
  std::function<void(const ImportProgress&)> progress = {};  // called now and then by the thread that imports
  // Makes a reader for each thread; what these make is taken as it is. Empty: lines are JSON, read and checked by ImportLine.
  std::function<LineReader()> reader = {};
  // A wrong line becomes a `note` of this time, with the line as its message and what is wrong as its cause. Nothing: it ends the
  // import.
  std::optional<TimeNs> note_bad_lines = {};
};

struct ImportReport {
  uint64_t records = 0;  // taken in by this run
  uint64_t already = 0;  // that the book had from an earlier run
  uint64_t bad = 0;      // wrong lines of this run that notes stand for
};

// Where an import goes: a book of this process, or one that runs in another.
class ImportTarget {
 public:
  virtual ~ImportTarget() = default;
  // The last number that the book has of the source. Asked once, before everything else. Errors: as of the target.
  virtual Result<uint64_t> last_seq(const std::string& source) = 0;
  // What is returned is called in the order of the batches, and may wait while the book has enough to do. It answers once, from any
  // thread: with success when the batch is durable, hashed, signed and searchable.
  using Answered = std::function<void(const Status&)>;
  using Submit = std::move_only_function<void(Answered)>;
  // Called by several threads. Errors: kBadInput: the batch is not what the book takes.
  virtual Result<Submit> prepare(Batch batch) = 0;
};
// `book` must outlive it.
std::unique_ptr<ImportTarget> make_import_target(Book& book);

// Reads one line into `record`, without source and number. Errors: kBadInput naming the field: no JSON object of the field table's
// names, without time or vantage, with a source or source_seq of its own, of a kind that only a book or its agents write;
// kDenied (a vantage that is not in `vantages`).
class ImportLine {
 public:
  explicit ImportLine(uint32_t vantages) : vantages_(vantages) {}
  Status read(std::string_view line, Record& record);
  // What read() demands of a record that was read otherwise.
  Status check(const Record& record) const;

 private:
  const uint32_t vantages_;
  JsonReader json_;
};

// A stretch of whole lines and where it stands in its file.
struct LineChunk {
  std::string text;
  uint64_t line_first = 1;  // 1 is the file's first
  uint64_t seq_first = 1;   // number of its first record: lines that hold nothing are not counted
  uint64_t records = 0;
};

// Cuts what a descriptor gives into chunks of whole lines. Memory: two chunks.
class LineChunks {
 public:
  explicit LineChunks(int fd) : fd_(fd) {}
  // False at the end. Errors: kIo; kLimit (a line longer than kImportLineBytesMax, naming it).
  Result<bool> next(LineChunk& chunk);
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  Status fill();

  const int fd_;
  std::string kept_;
  bool at_end_ = false;
  uint64_t bytes_ = 0;
  uint64_t next_line_ = 1;
  uint64_t next_seq_ = 1;
};

// Imports all lines from `fd`, in their order. The n-th line that holds something becomes source_seq n of
// `options.source`: those that the book has are skipped, so that an import that ended early goes on where it was. Memory: a few MiB
// beside the book's queue. `already`, `records` and `bad` are also told of a run that failed.
// Errors: what a line or the descriptor gave, naming the line; what the book said (kUnavailable, kIo); kBadInput when the book has
// more records of that source than there are lines. What stands before the failure is in the book.
Status import_lines(int fd, ImportTarget& target, const ImportOptions& options, ImportReport& report);

}  // namespace portbook

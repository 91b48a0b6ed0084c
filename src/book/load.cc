#include "book/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "book/folder.h"
#include "record/cbor.h"

namespace portbook {

namespace {

constexpr uint64_t kLogFileBytesMax = uint64_t{1} << 30;

// Takes in the records of the log's frames, one file after the other.
class LogLoader {
 public:
  LogLoader(Disk& disk, LoadedBook& book, Beyond beyond, uint32_t block_rows)
      : disk_(disk), book_(book), beyond_(beyond), block_rows_(block_rows) {}

  Status load() {
    const auto names = disk_.list();
    if (!names) return std::unexpected(names.error());
    std::vector<uint64_t> serials;
    for (const std::string& name : *names) {
      if (const uint64_t serial = log_file_serial(name); serial != 0) serials.push_back(serial);
    }
    check_root();
    for (const uint64_t serial : serials) {
      if (stopped()) break;
      if (Status done = load_file(serial, serial == serials.back()); !done) return done;
    }
    finish();
    return {};
  }

 private:
  [[nodiscard]] bool stopped() const { return book_.damage.has_value() || ended_; }
  [[nodiscard]] uint64_t size() const { return book_.tree.size(); }

  void damaged(std::string sentence) {
    if (!book_.damage) book_.damage = std::move(sentence);
  }

  Status load_file(uint64_t serial, bool last) {
    const std::string name = log_file_name(serial);
    const auto bytes = read_file(disk_, name, kLogFileBytesMax);
    if (!bytes) return std::unexpected(bytes.error());
    const auto header = parse_log_header(*bytes);
    if (!header && header.error().code == ErrorCode::kNewer) return fail_in(name, header);
    if (!header || header->serial != serial) {
      damaged(header ? fmt::format("{} says that it is log file {}", name, header->serial) : header.error().in(name).message);
      return {};
    }
    Log::Existing found{serial, header->first_index, header->first_index, kLogHeaderBytes};
    while (!stopped()) {
      const LogItem item = read_log_item(*bytes, found.end_offset, serial);
      if (const auto* frame = std::get_if<Frame>(&item)) {
        if (!take_frame(*frame, found, name)) break;
      } else {
        if (const auto* bad = std::get_if<BadFrame>(&item)) take_bad(*bad, serial, last);
        break;
      }
    }
    book_.logs.push_back(found);
    return {};
  }

  // False when nothing further of this file is to be read.
  bool take_frame(const Frame& frame, Log::Existing& found, const std::string& name) {
    if (frame.first_index != found.end_index) {
      damaged(fmt::format("{} offset {}: the frame begins at record {} where {} follows", name, frame.offset, frame.first_index,
                          found.end_index));
      return false;
    }
    const uint64_t end = frame.first_index + frame.count;
    if (end > book_.signed_head.size && size() >= book_.signed_head.size && beyond_ == Beyond::kIgnore) {
      ended_ = true;
      return false;
    }
    if (end > size() && !take_records(frame, name)) return false;
    found.end_index = end;
    found.end_offset = frame.offset + frame_bytes(frame.payload.size());
    return true;
  }

  bool take_records(const Frame& frame, const std::string& name) {
    if (frame.first_index > size()) {
      damaged(
          fmt::format("{} offset {}: records {} to {} are missing before it", name, frame.offset, size(), frame.first_index - 1));
      return false;
    }
    ByteView rest = frame.payload;
    uint64_t index = frame.first_index;
    for (uint32_t i = 0; i < frame.count; ++i, ++index) {
      const auto length = encoded_length(rest);
      const ByteView bytes = length ? rest.first(*length) : rest;
      const Status decoded = length ? decode(bytes, record_) : Status(std::unexpected(length.error()));
      if (!decoded) {
        damaged(fmt::format("{} offset {}: record {}: {}", name, frame.offset, index, decoded.error().message));
        return false;
      }
      if (index >= size()) take_record(bytes);
      rest = rest.subspan(*length);
    }
    if (!rest.empty()) damaged(fmt::format("{} offset {}: the frame has bytes behind its last record", name, frame.offset));
    return rest.empty();
  }

  void take_record(ByteView bytes) {
    if (book_.unsealed.empty() || book_.unsealed.back()->full())
      book_.unsealed.push_back(std::make_shared<OpenBlock>(size(), block_rows_));
    book_.unsealed.back()->append(record_);
    book_.tree.append_leaf(leaf_hash(bytes));
    book_.last_seq.insert_or_assign(std::string(record_.text_or(Field::kSource, "")), record_.uint_or(Field::kSourceSeq, 0));
    check_root();
  }

  void check_root() {
    if (size() != book_.signed_head.size || book_.tree.root() == book_.signed_head.root) return;
    damaged(fmt::format("the first {} records do not hash to the root that the head signed", size()));
  }

  void take_bad(const BadFrame& bad, uint64_t serial, bool last) {
    if (size() < book_.signed_head.size || !last) {
      damaged(fmt::format("{} offset {}: {}, below the signed size {}", log_file_name(serial), bad.offset, bad.reason,
                          book_.signed_head.size));
      return;
    }
    book_.torn = TornTail{serial, bad.offset, bad.nonzero_end - bad.offset, bad.reason};
  }

  void finish() {
    for (const auto& block : book_.unsealed) block->publish();
    if (size() < book_.signed_head.size) {
      damaged(fmt::format("the head signed {} records, but only {} are here", book_.signed_head.size, size()));
    }
  }

  Disk& disk_;
  LoadedBook& book_;
  const Beyond beyond_;
  const uint32_t block_rows_;
  bool ended_ = false;
  Record record_;
};

// What retention left: it stands for the records that were removed.
Status load_kept(Disk& disk, LoadedBook& book) {
  auto kept = read_kept_file(disk);
  if (!kept && kept.error().code != ErrorCode::kCorrupt) return fail_in(std::string(kKeptFileName), kept);
  if (!kept) {
    book.damage = kept.error().in(std::string(kKeptFileName)).message;
    return {};
  }
  for (const Hash& group : kept->kept.groups) book.tree.append_group(group);
  book.last_seq = kept->kept.seqs;
  book.kept = std::move(*kept);
  return {};
}

// Takes in the sealed segments: their level-1 hashes make the tree; their records are read when they are asked for.
Status load_segments(Disk& disk, LoadedBook& book) {
  const auto names = disk.list();
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    const auto first = segment_first_index(name);
    if (!first) continue;
    if (*first < book.kept.kept.below) {
      book.leftovers.push_back(name);
      continue;
    }
    const auto file = disk.open_to_read(name);
    if (!file) return std::unexpected(file.error());
    auto footer = read_segment_footer(**file);
    if (!footer && footer.error().code != ErrorCode::kCorrupt) return fail_in(name, footer);
    if (!footer) {
      book.damage = footer.error().in(name).message;
      return {};
    }
    if (footer->rows % kGroupLeaves != 0) {
      book.damage = fmt::format("{} holds {} records, which is no multiple of 256", name, footer->rows);
      return {};
    }
    if (footer->first_index != *first || *first != book.tree.size()) {
      book.damage = fmt::format("{} begins at record {} where {} follows", name, footer->first_index, book.tree.size());
      return {};
    }
    for (const Hash& group : footer->groups) book.tree.append_group(group);
    book.last_seq = footer->seqs;
    book.sealed.push_back(std::move(*footer));
  }
  if (book.tree.size() > book.signed_head.size) {
    book.damage = fmt::format("the head signed {} records, but {} are sealed: it is older than the data (rollback)",
                              book.signed_head.size, book.tree.size());
  }
  return {};
}

Status load_head(Disk& disk, LoadedBook& book) {
  auto content = read_head_file(disk);
  if (!content) return std::unexpected(content.error());
  if (content->bad) book.bad_head_slot = content->bad->message;
  if (!content->newest) return fail(ErrorCode::kCorrupt, "head: neither slot holds a whole head");
  book.head = std::move(*content->newest);
  const auto checkpoint = open_checkpoint(book.head.note, book.verifier);
  if (!checkpoint) return fail(ErrorCode::kCorrupt, "head: " + checkpoint.error().message);
  book.signed_head = checkpoint->head;
  return {};
}

}  // namespace

Result<LoadedBook> load_book(Disk& disk, Beyond beyond, uint32_t block_rows) {
  LoadedBook book;
  const auto origin = read_origin(disk);
  if (!origin) return std::unexpected(origin.error());
  const auto verifier = read_verifier(disk);
  if (!verifier) return std::unexpected(verifier.error());
  book.verifier = *verifier;
  if (Status head = load_head(disk, book); !head) {
    if (head.error().code != ErrorCode::kCorrupt) return std::unexpected(head.error());
    book.damage = head.error().message;
  }
  if (*origin != book.verifier.name) book.damage = fmt::format("book: it names {}, the key {}", *origin, book.verifier.name);
  if (book.damage) return book;
  if (Status kept = load_kept(disk, book); !kept) return std::unexpected(kept.error());
  if (book.damage) return book;
  if (Status segments = load_segments(disk, book); !segments) return std::unexpected(segments.error());
  if (Status logs = LogLoader(disk, book, beyond, block_rows).load(); !logs) return std::unexpected(logs.error());
  return book;
}

}  // namespace portbook

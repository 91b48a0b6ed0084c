#include "book/verify.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "book/block_check.h"
#include "book/folder.h"
#include "book/head.h"
#include "book/kept.h"
#include "book/own_records.h"
#include "book/verify_runs.h"
#include "merkle/checkpoint.h"
#include "record/cbor.h"
#include "store/log.h"
#include "store/segment.h"

namespace portbook {

namespace {

constexpr int kRetriesWhileRunning = 50;  // the log's files are given back under our eyes
constexpr uint64_t kLogFileBytesMax = uint64_t{1} << 30;

// "offset 123: what" as segment and head errors say it.
std::optional<uint64_t> offset_in(std::string_view message) {
  const size_t at = message.find("offset ");
  if (at == std::string_view::npos) return std::nullopt;
  uint64_t offset = 0;
  std::from_chars(message.data() + at + 7, message.data() + message.size(), offset);
  return offset;
}

std::string newest_log(const std::vector<std::string>& names) {
  const auto newest = std::ranges::max_element(names, {}, [](const std::string& name) { return log_file_serial(name); });
  return newest == names.end() ? std::string() : *newest;
}

class Verification {
 public:
  Verification(Disk& disk, bool running, const VerifyOptions& options) : disk_(disk), running_(running), options_(options) {}

  Result<VerifyReport> run() {
    if (Status done = check_names(); !done) return std::unexpected(done.error());
    if (!bad()) {
      if (Status done = check_head(); !done) return std::unexpected(done.error());
    }
    if (!bad()) {
      if (Status done = check_records(); !done) return std::unexpected(done.error());
    }
    if (!bad()) {
      if (Status done = check_runs(); !done) return std::unexpected(done.error());
    }
    if (!bad() && !running_) {
      if (Status done = check_leftovers(); !done) return std::unexpected(done.error());
    }
    report_.first_kept = kept_.kept.below;
    report_.kept_after = kept_.kept.until;
    report_.records_checked = range_.size() - std::min(range_.size(), kept_.kept.below);
    return std::move(report_);
  }

 private:
  [[nodiscard]] bool bad() const { return report_.problem.has_value(); }

  void found(std::string file, std::optional<uint64_t> offset, std::optional<uint64_t> record, std::string_view what) {
    if (bad()) return;
    std::string sentence = file;
    if (offset) sentence += fmt::format(", offset {}", *offset);
    if (record) sentence += fmt::format(", record {}", *record);
    report_.problem = VerifyProblem{fmt::format("{}: {}", sentence, what), std::move(file), offset, record};
  }

  // An error that says that bytes are bad becomes the finding; others are passed on.
  Status found_error(std::string file, std::optional<uint64_t> record, const Error& error) {
    if (error.code != ErrorCode::kCorrupt && error.code != ErrorCode::kNotFound) return std::unexpected(error.in(file));
    found(std::move(file), offset_in(error.message), record, error.message);
    return {};
  }

  // `book`, `vkey`, `key`: who this book is.
  Status check_names() {
    const auto origin = read_origin(disk_);
    if (!origin && origin.error().code == ErrorCode::kNotFound) return std::unexpected(origin.error());
    if (!origin) return found_error(std::string(kBookFileName), std::nullopt, origin.error());
    const auto own = read_verifier(disk_);
    if (!own) return found_error(std::string(kVkeyFileName), std::nullopt, own.error());
    key_ = *own;
    if (options_.vkey) {
      const auto given = parse_vkey(*options_.vkey);
      if (!given) return fail_in("the key given", given);
      if (*given != *own) found(std::string(kVkeyFileName), 0, std::nullopt, "it is not the key that was given");
      key_ = *given;
    }
    if (*origin != key_.name)
      found(std::string(kBookFileName), 0, std::nullopt, fmt::format("it names {}, the key {}", *origin, key_.name));
    report_.origin = *origin;
    report_.vkey = to_vkey(key_);
    // Whoever checks a copy has no private key, and need not be able to read it.
    const auto signer = read_signer(disk_);
    if (!signer && signer.error().code == ErrorCode::kCorrupt)
      return found_error(std::string(kKeyFileName), std::nullopt, signer.error());
    if (signer && make_verifier(**signer) != *own)
      found(std::string(kKeyFileName), 0, std::nullopt, "it is not the key that vkey names");
    return {};
  }

  Status check_head() {
    const auto content = read_head_file(disk_);
    const std::string file(kHeadFileName);
    if (!content) return found_error(file, std::nullopt, content.error());
    if (content->bad && !running_) found(file, offset_in(content->bad->message).value_or(0), std::nullopt, content->bad->message);
    if (!content->newest) {
      found(file, 0, std::nullopt, "neither slot holds a whole head");
      return {};
    }
    const HeadSlot& slot = *content->newest;
    const uint64_t at = slot.counter % 2 * kHeadSlotBytes;
    const auto checkpoint = open_checkpoint(slot.note, key_);
    if (!checkpoint) {
      found(file, at, std::nullopt, checkpoint.error().message);
      return {};
    }
    report_.checkpoint = slot.note;
    report_.size = checkpoint->head.size;
    report_.root = checkpoint->head.root;
    return check_older();
  }

  Status check_older() {
    if (!options_.older_checkpoint) return {};
    const auto older = open_checkpoint(*options_.older_checkpoint, key_);
    if (!older) return fail_in("the older checkpoint", older);
    older_ = older->head;
    if (older_->size > report_.size) {
      found(std::string(kHeadFileName), 0, report_.size,
            fmt::format("the older checkpoint has {} records, the book only {}: it was cut or rolled back", older_->size,
                        report_.size));
    }
    return {};
  }

  // Sealed blocks while there are any, then the log; a running book may seal on meanwhile.
  Status check_records() {
    if (Status done = begin_with_kept(); !done) return done;
    for (int tries = 0; range_.size() < report_.size && !bad();) {
      const std::string name = segment_file_name(range_.size());
      const auto file = disk_.open_to_read(name);
      if (file) {
        if (Status done = check_segment(name, **file); !done) return done;
        tries = 0;
        continue;
      }
      if (file.error().code != ErrorCode::kNotFound) return std::unexpected(file.error());
      if (running_) {  // removed under our eyes?
        const auto kept = read_kept_file(disk_);
        if (kept && kept->kept.below > range_.size()) {
          if (Status done = check_head(); !done) return done;
          if (Status done = begin_with_kept(); !done) return done;
          continue;
        }
      }
      const CompactRange sealed = range_;
      const SourceSeqs sealed_seqs = seqs_;
      const uint64_t sealed_findings = report_.findings;
      if (Status done = check_log(); !done) return done;
      if (!running_ || (!bad() && range_.size() >= report_.size)) break;
      if (++tries > kRetriesWhileRunning) break;
      // What looked damaged may have been a file given back after its block was sealed: then there is a segment now.
      report_.problem.reset();
      range_ = sealed;
      seqs_ = sealed_seqs;
      report_.findings = sealed_findings;
    }
    if (bad()) return {};
    if (range_.size() < report_.size) {
      found(last_file_, std::nullopt, range_.size(), fmt::format("the head signed {} records, but they end here", report_.size));
    } else if (range_.root() != report_.root) {
      found(std::string(kHeadFileName), std::nullopt, std::nullopt, "the records do not hash to the root that the head signed");
    } else if (kept_.kept.below > 0 && !removal_recorded_) {
      found(std::string(kKeptFileName), 0, std::nullopt,
            fmt::format("no record of the book says that the records below {} were removed and that this file stands for them",
                        kept_.kept.below));
    }
    return {};
  }

  // What stands for the records that retention removed.
  Status begin_with_kept() {
    const std::string file(kKeptFileName);
    auto kept = read_kept_file(disk_);
    if (!kept) return found_error(file, std::nullopt, kept.error());
    kept_ = std::move(*kept);
    range_ = {};
    run_check_ = {};
    report_.segments = 0;
    removal_recorded_ = false;
    note_older({});
    if (kept_.kept.below > report_.size) {
      found(file, 0, std::nullopt,
            fmt::format("it stands for {} records, but the head signed only {}", kept_.kept.below, report_.size));
      return {};
    }
    for (const Hash& group : kept_.kept.groups) range_.append(group, kGroupHeight);
    seqs_ = kept_.kept.seqs;
    if (!older_ || older_->size > kept_.kept.below || older_->size == 0) return {};
    const auto root = kept_.kept.root_at(older_->size);
    if (!root) {
      found(
          file, std::nullopt, std::nullopt,
          fmt::format("the older checkpoint's {} records are no longer kept, nor the hashes that would connect it", older_->size));
    } else if (*root != older_->root) {
      found(file, std::nullopt, std::nullopt,
            fmt::format("the first {} records do not hash to the older checkpoint's root", older_->size));
    }
    return {};
  }

  // The record that announced the removal quotes the hash of what it left.
  void note_admin(const Record& record) {
    if (record.kind() != Kind::kAdmin || record.text_or(Field::kAction, "") != kRemovalAction) return;
    if (record.text_or(Field::kMessage, "").find(hex(kept_.hash)) != std::string_view::npos) removal_recorded_ = true;
  }

  void note_admins_in(const Columns& columns, uint32_t rows) {
    for (uint32_t row = 0; row < rows && !removal_recorded_; ++row) {
      if (columns.uint(row, Field::kKind) != static_cast<uint64_t>(Kind::kAdmin)) continue;
      columns.read(row, record_);
      note_admin(record_);
    }
  }

  Status check_segment(const std::string& name, File& file) {
    const uint64_t first = range_.size();
    last_file_ = name;
    const auto footer = read_segment_footer(file);
    if (!footer) return found_error(name, first, footer.error());
    if (running_ && first + footer->rows > report_.size) {
      if (Status done = check_head(); !done) return done;  // sealed since the head was read
    }
    if (footer->first_index != first || footer->rows % kGroupLeaves != 0 || first + footer->rows > report_.size) {
      found(name, 0, first,
            fmt::format("it says that it holds {} records from {} on, which cannot stand here", footer->rows, footer->first_index));
      return {};
    }
    const auto columns = read_segment_columns(file, *footer);
    if (!columns) return found_error(name, first, columns.error());
    const auto index = read_segment_section(file, footer->index);
    if (!index) return found_error(name, first, index.error());
    std::vector<SeqBreak> breaks;
    const BlockFacts facts = facts_of(**columns, footer->rows, seqs_, breaks);
    if (const auto fault = find_fault(*footer, facts, *index, seqs_, breaks)) {
      found(name, fault->offset, fault->record, fault->what);
      return {};
    }
    run_check_.note_block(*footer, facts.keys);
    note_findings(**columns);
    check_older_in(**columns, facts, first);
    if (kept_.kept.below > 0) note_admins_in(**columns, footer->rows);
    for (const Hash& group : facts.groups) range_.append(group, kGroupHeight);
    ++report_.segments;
    tell_progress();
    return {};
  }

  Status check_runs() {
    const auto finding = run_check_.check(disk_);
    if (!finding) return std::unexpected(finding.error());
    if (*finding) found((*finding)->file, offset_in((*finding)->what), (*finding)->record, (*finding)->what);
    return {};
  }

  // The frames from the next record up to the signed size.
  Status check_log() {
    const auto names = disk_.list();
    if (!names) return std::unexpected(names.error());
    newest_log_ = newest_log(*names);
    for (const std::string& name : *names) {
      const uint64_t serial = log_file_serial(name);
      if (serial == 0 || bad() || range_.size() >= report_.size) continue;
      const auto bytes = read_file(disk_, name, kLogFileBytesMax);
      if (!bytes && bytes.error().code == ErrorCode::kNotFound && running_) continue;
      if (!bytes) return std::unexpected(bytes.error());
      check_log_file(name, serial, *bytes, [&](const Frame& frame) { return check_frame(name, frame); });
    }
    return {};
  }

  // Calls take(frame) for the file's frames until it returns false.
  template <typename Take>
  void check_log_file(const std::string& name, uint64_t serial, const Bytes& bytes, const Take& take) {
    const auto header = parse_log_header(bytes);
    if (!header || header->serial != serial) {
      found(name, 0, std::nullopt, header ? "it says that it is another log file" : header.error().message);
      return;
    }
    uint64_t next = header->first_index;
    uint64_t at = kLogHeaderBytes;
    while (!bad()) {
      const LogItem item = read_log_item(bytes, at, serial);
      if (std::holds_alternative<LogEnd>(item)) return;
      if (const auto* torn = std::get_if<BadFrame>(&item)) {
        take_torn(name, *torn, next);
        return;
      }
      const auto& frame = std::get<Frame>(item);
      if (frame.first_index != next) {
        found(name, frame.offset, next, fmt::format("the frame begins at record {}", frame.first_index));
        return;
      }
      if (!take(frame)) return;
      next += frame.count;
      at += frame_bytes(frame.payload.size());
    }
  }

  // Behind everything that is signed, in the newest log file, it is what a process leaves that was killed while it wrote. As the
  // book does at its start.
  void take_torn(const std::string& name, const BadFrame& torn, uint64_t next) {
    const bool signed_is_read = range_.size() >= report_.size && next >= report_.size;
    if (!signed_is_read || name != newest_log_) {
      found(name, torn.offset, next, torn.reason);
    } else if (looks_behind_) {
      found(name, torn.offset, next, fmt::format("{}, behind the signed size; opening the book cuts it off", torn.reason));
      report_.problem->only_unsettled = true;
    }
  }

  // False when the signed size is reached.
  bool check_frame(const std::string& name, const Frame& frame) {
    last_file_ = name;
    if (range_.size() >= report_.size) return false;
    if (frame.first_index > range_.size()) {
      found(name, frame.offset, range_.size(), fmt::format("the records from here to {} are missing", frame.first_index - 1));
      return false;
    }
    ByteView rest = frame.payload;
    for (uint32_t i = 0; i < frame.count && !bad(); ++i) {
      const uint64_t index = frame.first_index + i;
      const auto offset = frame.offset + kFrameHeaderBytes + static_cast<uint64_t>(rest.data() - frame.payload.data());
      const auto length = encoded_length(rest);
      if (!length) {
        found(name, offset, index, length.error().message);
        break;
      }
      check_logged(name, offset, index, rest.first(*length));
      rest = rest.subspan(*length);
    }
    if (!bad() && !rest.empty()) found(name, frame.offset, frame.first_index, "the frame has bytes behind its last record");
    tell_progress();
    return !bad();
  }

  void check_logged(const std::string& name, uint64_t offset, uint64_t index, ByteView bytes) {
    if (Status decoded = decode(bytes, record_); !decoded) {
      found(name, offset, index, decoded.error().message);
      return;
    }
    if (index != range_.size()) return;  // sealed already
    uint64_t& last = seqs_[std::string(record_.text_or(Field::kSource, ""))];
    const uint64_t seq = record_.uint_or(Field::kSourceSeq, 0);
    if (seq != last + 1) {
      found(name, offset, index, describe({0, std::string(record_.text_or(Field::kSource, "")), last + 1, seq}));
      return;
    }
    last = seq;
    range_.append(leaf_hash(bytes));
    note_admin(record_);
    note_older(range_);
    note_finding(record_);
  }

  void note_findings(const Columns& columns) {
    for (uint32_t row = 0; row < columns.rows(); ++row) {
      if (columns.uint(row, Field::kKind) != static_cast<uint64_t>(Kind::kAdmin)) continue;
      columns.read(row, record_);
      note_finding(record_);
    }
  }

  void note_finding(const Record& record) {
    if (record.kind() != Kind::kAdmin || record.text_or(Field::kAction, "") != kSelfCheckFound) return;
    if (report_.findings++ == 0) report_.first_finding = record.text_or(Field::kMessage, "");
  }

  // What stands behind the signed size: an unsettled crash at best.
  Status check_leftovers() {
    const auto names = disk_.list();
    if (!names) return std::unexpected(names.error());
    newest_log_ = newest_log(*names);
    looks_behind_ = true;
    for (const std::string& name : *names) {
      if (const auto first = segment_first_index(name); first && *first >= report_.size) {
        found(name, 0, *first, fmt::format("it lies behind the signed size {}", report_.size));
      } else if (first && *first < kept_.kept.below && !bad()) {
        found(name, std::nullopt, *first, "its records are no longer kept; opening the book removes it");
        report_.problem->only_unsettled = true;
      }
      const uint64_t serial = log_file_serial(name);
      if (serial == 0 || bad()) continue;
      const auto bytes = read_file(disk_, name, kLogFileBytesMax);
      if (!bytes) return std::unexpected(bytes.error());
      check_log_file(name, serial, *bytes, [&](const Frame& frame) {
        if (frame.first_index + frame.count <= report_.size) return true;
        found(name, frame.offset, report_.size,
              fmt::format("{} records behind the signed size are not covered by a signature; opening the book takes them in",
                          frame.first_index + frame.count - report_.size));
        report_.problem->only_unsettled = true;
        return false;
      });
    }
    return {};
  }

  // Compares with the older checkpoint where a tree has its size.
  void note_older(const CompactRange& range) {
    if (!older_ || range.size() != older_->size || range.root() == older_->root) return;
    found(last_file_, std::nullopt, std::nullopt,
          fmt::format("the first {} records do not hash to the older checkpoint's root", older_->size));
  }

  void check_older_in(const Columns& columns, const BlockFacts& facts, uint64_t first) {
    if (!older_ || older_->size <= first || older_->size > first + columns.rows()) return;
    CompactRange range = range_;
    const uint64_t rows = older_->size - first;
    for (uint64_t group = 0; group < rows / kGroupLeaves; ++group) range.append(facts.groups[group], kGroupHeight);
    Bytes bytes;
    for (uint64_t row = rows / kGroupLeaves * kGroupLeaves; row < rows; ++row) {
      columns.read(static_cast<uint32_t>(row), record_);
      bytes.clear();
      encode(record_, bytes);
      range.append(leaf_hash(bytes));
    }
    note_older(range);
  }

  void tell_progress() const {
    if (options_.progress) options_.progress(range_.size(), report_.size);
  }

  Disk& disk_;
  const bool running_;
  const VerifyOptions& options_;
  VerifyReport report_;
  Verifier key_;
  std::optional<TreeHead> older_;
  CompactRange range_;
  SourceSeqs seqs_;
  RunCheck run_check_;
  KeptFile kept_;
  bool removal_recorded_ = false;
  std::string last_file_{kHeadFileName};
  std::string newest_log_;
  bool looks_behind_ = false;  // the signed size
  Record record_;
};

}  // namespace

Result<VerifyReport> verify_disk(Disk& disk, bool running, const VerifyOptions& options) {
  return Verification(disk, running, options).run();
}

Result<bool> is_running(const std::filesystem::path& folder) {
  const std::string path = (folder / kLockFileName).string();
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return false;
  if (fd < 0)
    return fail(errno == EACCES ? ErrorCode::kDenied : ErrorCode::kIo,
                fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  const bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(fd);
  return locked;
}

Result<VerifyReport> verify_book(const std::filesystem::path& folder, const VerifyOptions& options) {
  const auto running = is_running(folder);
  if (!running) return std::unexpected(running.error());
  const auto disk = make_machine_disk(folder);
  return verify_disk(*disk, *running, options);
}

}  // namespace portbook

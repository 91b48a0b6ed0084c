#include "logs/file_follower.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "logs/rotated_files.h"

namespace portbook {

namespace {

constexpr size_t kChunkBytes = 128 * 1024;
constexpr size_t kVerifiedBytes = 256;  // read again with each chunk: a file that was cut and has grown since does not have them

FileDescriptor open_log(const std::filesystem::path& path) {
  return FileDescriptor(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

// As many bytes from `offset` as there are, at most `bytes_max`; less after an error.
std::string read_at(const FileDescriptor& fd, uint64_t offset, size_t bytes_max) {
  std::string bytes(bytes_max, '\0');
  size_t at = 0;
  while (at < bytes_max) {
    const ssize_t got = pread(fd.get(), bytes.data() + at, bytes_max - at, static_cast<off_t>(offset + at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    at += static_cast<size_t>(got);
  }
  bytes.resize(at);
  return bytes;
}

bool has_tail(const FileDescriptor& fd, const LogPosition& position) {
  const std::string tail = read_at(fd, position.offset - position.tail_bytes, position.tail_bytes);
  return tail.size() == position.tail_bytes && tail_digest(as_bytes(tail)) == position.tail_digest;
}

// Where the last whole line of a file ends.
uint64_t end_of_lines(const FileDescriptor& fd, uint64_t size) {
  const uint64_t from = size - std::min<uint64_t>(size, kLogLineBytesMax);
  const std::string last = read_at(fd, from, static_cast<size_t>(size - from));
  const size_t newline = last.rfind('\n');
  return newline == std::string::npos ? size : from + newline + 1;
}

}  // namespace

FileFollower::FileFollower(std::filesystem::path path, std::optional<LogPosition> known, Clock& clock, FollowerTimes times,
                           IsRecord is_record)
    : path_(std::move(path)), clock_(clock), times_(times), is_record_(std::move(is_record)), base_(known) {}

void FileFollower::restart(uint64_t book_seq) {
  book_seq_ = book_seq;
  turn_.reset();
  fd_.reset();
  lost_since_ = 0;
  if (!base_) return;
  at_ = *base_;
  if (base_->seq <= book_seq) return;
  turn_ = *base_;
  turn_->seq = book_seq;
  turn_->gap = LogGap::kBook;
  turn_->gap_count = base_->seq - book_seq;
}

void FileFollower::passed() {
  base_ = *std::exchange(turn_, std::nullopt);
  at_ = *base_;
  fd_.reset();
  lost_since_ = 0;
}

void FileFollower::give_up(LogPosition end, uint64_t first, uint64_t count) {
  end.seq = first - 1;
  end.gap = LogGap::kRefused;
  end.gap_count = count;
  turn_ = end;
}

LogPosition FileFollower::here() const {
  if (passing_over_) return line_begin_;
  LogPosition position = at_;
  if (!fd_.valid()) return position;
  const auto behind = static_cast<size_t>(read_to_ - at_.offset);
  const std::string_view before = std::string_view(buffer_).substr(0, buffer_.size() - behind);
  const std::string_view tail = before.substr(before.size() - std::min(before.size(), kTailBytesMax));
  position.tail_bytes = static_cast<uint32_t>(tail.size());
  position.tail_digest = tail_digest(as_bytes(tail));
  return position;
}

FileFollower::Step FileFollower::next(LogLine& line) {
  if (turn_) return Step::kTurn;
  if (!base_) return begin() ? Step::kTurn : Step::kNothing;
  if (at_.gap != LogGap::kNone) {
    gap_ = at_;
    at_.gap = LogGap::kNone;
    at_.gap_count = 0;
    if (++at_.seq > book_seq_) return Step::kGap;
  }
  if (!fd_.valid() && !open_current()) return turn_ ? Step::kTurn : Step::kNothing;
  while (true) {
    while (take_line(line)) {
      if (!line.cut && !is_record_(line.text)) continue;
      if (++at_.seq > book_seq_) return Step::kLine;
    }
    switch (fill()) {
      case Read::kSome: break;
      case Read::kEnd: return at_end(line);
      case Read::kReplaced:
        at_ = here();
        passing_over_ = false;
        fd_.reset();
        if (!open_current()) return turn_ ? Step::kTurn : Step::kNothing;
    }
  }
}

// A log that was never followed is read from its beginning. One of which the book has records must not be.
bool FileFollower::begin() {
  const FileDescriptor fd = open_log(path_);
  struct stat about{};
  if (!fd.valid() || fstat(fd.get(), &about) != 0 || !S_ISREG(about.st_mode)) {
    problem_ = fd.valid() ? "it is no file" : std::strerror(errno);
    return false;
  }
  problem_.clear();
  turn_to_start(LogGap::kNone, about.st_ino);
  if (book_seq_ == 0) return true;
  turn_ = behind(fd, LogGap::kPositions, about.st_ino, static_cast<uint64_t>(about.st_size));
  return true;
}

// The gap that stands behind the last whole line of a file.
LogPosition FileFollower::behind(const FileDescriptor& fd, LogGap gap, uint64_t inode, uint64_t size) const {
  LogPosition to;
  to.seq = std::max(at_.seq, book_seq_);
  to.inode = inode;
  to.offset = end_of_lines(fd, size);
  to.tail_bytes = static_cast<uint32_t>(std::min<uint64_t>(to.offset, kTailBytesMax));
  to.tail_digest = tail_digest(as_bytes(read_at(fd, to.offset - to.tail_bytes, to.tail_bytes)));
  to.gap = gap;
  return to;
}

void FileFollower::turn_to_start(LogGap gap, uint64_t inode) {
  LogPosition to;
  to.seq = std::max(at_.seq, book_seq_);
  to.inode = inode;
  to.tail_digest = tail_digest({});
  to.gap = gap;
  turn_ = to;
}

void FileFollower::use(FileDescriptor fd, uint64_t device, uint64_t inode) {
  fd_ = std::move(fd);
  device_ = device;
  at_.inode = inode;
  buffer_ = read_at(fd_, at_.offset - at_.tail_bytes, at_.tail_bytes);
  read_to_ = at_.offset;
  passing_over_ = false;
  grew_at_ = clock_.boot_ns();
  lost_since_ = 0;
  problem_.clear();
}

bool FileFollower::open_if_same(const std::filesystem::path& path, bool same_inode) {
  FileDescriptor fd = open_log(path);
  struct stat about{};
  if (!fd.valid() || fstat(fd.get(), &about) != 0 || !S_ISREG(about.st_mode)) return false;
  if ((same_inode && about.st_ino != at_.inode) || !has_tail(fd, at_)) return false;
  use(std::move(fd), about.st_dev, about.st_ino);
  return true;
}

// The file in which at_ is: by its inode, wherever rotation has put it, else by the bytes before the position, as in a copy of it.
bool FileFollower::open_current() {
  struct stat about{};
  const bool there = stat(path_.c_str(), &about) == 0;
  if (!there) problem_ = std::strerror(errno);
  const auto rotated = rotated_files(path_);
  for (const bool same_inode : {true, false}) {
    if (!same_inode && at_.tail_bytes == 0) break;
    if (open_if_same(path_, same_inode)) return true;
    for (const RotatedFile& one : rotated) {
      if (open_if_same(one.path, same_inode)) return true;
    }
  }
  if (!there) return false;
  if (!open_log(path_).valid()) {
    problem_ = std::strerror(errno);
    return false;
  }
  const uint64_t now = clock_.boot_ns();
  if (lost_since_ == 0) lost_since_ = now;
  if (now - lost_since_ >= times_.lost_ns) turn_to_start(LogGap::kLost, about.st_ino);
  return false;
}

// One read gives what was read before and what follows, so that nobody can cut the file in between unseen.
FileFollower::Read FileFollower::fill() {
  compact();
  const size_t verified = std::min(buffer_.size(), kVerifiedBytes);
  std::string bytes(verified + kChunkBytes, '\0');
  ssize_t got = 0;
  do {
    got = pread(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(read_to_ - verified));
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    problem_ = std::strerror(errno);
    return Read::kEnd;
  }
  bytes.resize(static_cast<size_t>(got));
  if (bytes.size() < verified || !buffer_.ends_with(std::string_view(bytes).substr(0, verified))) return Read::kReplaced;
  if (bytes.size() == verified) return Read::kEnd;
  buffer_.append(bytes, verified);
  read_to_ += bytes.size() - verified;
  grew_at_ = clock_.boot_ns();
  return Read::kSome;
}

// Leaves the tail before the position.
void FileFollower::compact() {
  const size_t kept = std::min(buffer_.size(), static_cast<size_t>(read_to_ - at_.offset) + kTailBytesMax);
  buffer_.erase(0, buffer_.size() - kept);
}

bool FileFollower::take_line(LogLine& line) {
  const size_t begin = buffer_.size() - static_cast<size_t>(read_to_ - at_.offset);
  const size_t newline = buffer_.find('\n', begin);
  if (newline != std::string::npos) {
    give(std::string_view(buffer_).substr(begin, newline - begin), newline + 1 - begin, line);
    return true;
  }
  if (passing_over_ || buffer_.size() - begin > kLogLineBytesMax) pass_over(begin);
  return false;
}

// `text` is the line, or the end of one that was passed over; `bytes` with its newline.
void FileFollower::give(std::string_view text, size_t bytes, LogLine& line) {
  at_.offset += bytes;
  line = {text.substr(0, kLogLineBytesMax), text.size() > kLogLineBytesMax};
  if (!passing_over_) return;
  passing_over_ = false;
  given_ = std::exchange(long_line_, {});
  line = {given_, true};
}

void FileFollower::pass_over(size_t begin) {
  if (!passing_over_) {
    line_begin_ = here();
    long_line_ = buffer_.substr(begin, kLogLineBytesMax);
    passing_over_ = true;
  }
  at_.offset = read_to_;
}

FileFollower::Step FileFollower::at_end(LogLine& line) {
  if (late_lines()) return Step::kTurn;
  struct stat about{};
  if (stat(path_.c_str(), &about) != 0) {
    problem_ = std::strerror(errno);
    return Step::kNothing;
  }
  if (about.st_dev != device_ || about.st_ino != at_.inode) return leave_rotated(about.st_ino, about.st_size == 0, line);
  problem_.clear();
  if (at_.seq >= book_seq_) return Step::kNothing;
  // What the book has of this file is not in it: it was cut behind the position.
  turn_ = behind(fd_, LogGap::kLost, at_.inode, read_to_);
  return Step::kTurn;
}

// Whoever wrote a rotated file may do so for a moment longer.
FileFollower::Step FileFollower::leave_rotated(uint64_t path_inode, bool next_is_empty, LogLine& line) {
  if (clock_.boot_ns() - grew_at_ < (next_is_empty ? times_.rotated_empty_ns : times_.rotated_ns)) return Step::kNothing;
  if (read_to_ > at_.offset || passing_over_) {
    const std::string_view rest = std::string_view(buffer_).substr(buffer_.size() - static_cast<size_t>(read_to_ - at_.offset));
    give(rest, rest.size(), line);
    if ((line.cut || is_record_(line.text)) && ++at_.seq > book_seq_) return Step::kLine;
  }
  const uint64_t next = rotated_after(rotated_files(path_), at_.inode);
  turn_to_start(at_.seq < book_seq_ ? LogGap::kLost : LogGap::kNone, next == 0 ? path_inode : next);
  left_size_ = read_to_;
  left_ = std::move(fd_);
  return Step::kTurn;
}

bool FileFollower::late_lines() {
  struct stat about{};
  if (!left_.valid() || fstat(left_.get(), &about) != 0 || static_cast<uint64_t>(about.st_size) <= left_size_) return false;
  LogPosition to = here();
  to.seq = std::max(at_.seq, book_seq_);
  to.gap = LogGap::kLate;
  turn_ = to;
  left_.reset();
  return true;
}

}  // namespace portbook

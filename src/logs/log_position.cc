#include "logs/log_position.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "record/batch.h"

namespace portbook {

namespace {

constexpr std::string_view kHead = "portbook positions ";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kEnd = "end ";
constexpr std::string_view kNewName = "positions.new";
constexpr auto kGapNames = std::to_array<std::string_view>({"-", "lost", "positions", "book", "refused", "late"});
constexpr size_t kSourceBytesMax = 255;

uint64_t digest_of(std::string_view text) {
  return XXH3_64bits(text.data(), text.size());
}

std::string_view take_until(std::string_view& rest, char end) {
  const size_t at = std::min(rest.find(end), rest.size());
  const std::string_view part = rest.substr(0, at);
  rest.remove_prefix(std::min(at + 1, rest.size()));
  return part;
}

// Without sign and without leading zeros, so that a text has one form.
bool parse_number(std::string_view digits, uint64_t maximum, uint64_t& value) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc{} && end == digits.data() + digits.size() && value <= maximum && fmt::format("{}", value) == digits;
}

bool parse_digest(std::string_view digits, uint64_t& value) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return error == std::errc{} && end == digits.data() + digits.size() && fmt::format("{:016x}", value) == digits;
}

bool parse_gap(std::string_view word, LogGap& gap) {
  const auto found = std::ranges::find(kGapNames, word);
  if (found == kGapNames.end()) return false;
  gap = static_cast<LogGap>(found - kGapNames.begin());
  return true;
}

bool is_source(std::string_view text) {
  return !text.empty() && text.size() <= kSourceBytesMax && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

bool parse_line(std::string_view line, std::string& source, LogPosition& position) {
  source = take_until(line, ' ');
  uint64_t tail_bytes = 0;
  const bool good = is_source(source) && parse_number(take_until(line, ' '), kSourceSeqMax, position.seq) &&
                    parse_number(take_until(line, ' '), UINT64_MAX, position.inode) &&
                    parse_number(take_until(line, ' '), kLogOffsetMax, position.offset) &&
                    parse_number(take_until(line, ' '), kTailBytesMax, tail_bytes) &&
                    parse_digest(take_until(line, ' '), position.tail_digest) && parse_gap(take_until(line, ' '), position.gap) &&
                    parse_number(line, UINT64_MAX, position.gap_count);
  position.tail_bytes = static_cast<uint32_t>(tail_bytes);
  return good && tail_bytes <= position.offset;
}

}  // namespace

bool is_log_name(std::string_view name) {
  return !name.empty() && name.size() <= kLogNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  });
}

uint64_t tail_digest(ByteView tail) {
  return XXH3_64bits(tail.data(), tail.size());
}

std::string positions_text(const LogPositions& positions) {
  std::string text = fmt::format("{}{}\n", kHead, kVersion);
  for (const auto& [source, one] : positions) {
    text += fmt::format("{} {} {} {} {} {:016x} {} {}\n", source, one.seq, one.inode, one.offset, one.tail_bytes, one.tail_digest,
                        kGapNames[static_cast<size_t>(one.gap)], one.gap_count);
  }
  return text + fmt::format("{}{:016x}\n", kEnd, digest_of(text));
}

Result<LogPositions> parse_positions(std::string_view text) {
  const auto corrupt = [](size_t number) { return fail(ErrorCode::kCorrupt, fmt::format("line {} is damaged", number)); };
  std::string_view rest = text;
  std::string_view head = take_until(rest, '\n');
  if (!head.starts_with(kHead)) return corrupt(1);
  if (head.substr(kHead.size()) != kVersion) return fail(ErrorCode::kNewer, "it was written by another version of portbook");
  LogPositions positions;
  for (size_t number = 2; !rest.empty(); ++number) {
    const auto checked = text.substr(0, static_cast<size_t>(rest.data() - text.data()));
    const std::string_view line = take_until(rest, '\n');
    if (line.starts_with(kEnd) && rest.empty() && text.ends_with('\n')) {
      if (line.substr(kEnd.size()) != fmt::format("{:016x}", digest_of(checked))) return corrupt(number);
      return positions;
    }
    std::string source;
    LogPosition position;
    if (positions.size() >= kPositionsMax || !parse_line(line, source, position)) return corrupt(number);
    if (!positions.empty() && positions.rbegin()->first >= source) return corrupt(number);
    positions.emplace(std::move(source), position);
  }
  return fail(ErrorCode::kCorrupt, "its last line is missing");
}

Result<PositionsFile> PositionsFile::open(std::unique_ptr<Disk> disk) {
  PositionsFile file;
  file.disk_ = std::move(disk);
  const auto bytes = read_file(*file.disk_, kPositionsName, kPositionsBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return file;
  if (!bytes) return std::unexpected(bytes.error());
  auto positions = parse_positions(as_text(*bytes));
  if (!positions) return fail_in(fmt::format("{}/{}", file.disk_->where(), kPositionsName), positions);
  file.positions_ = std::move(*positions);
  return file;
}

const LogPosition* PositionsFile::find(std::string_view source) const {
  const auto found = positions_.find(source);
  return found == positions_.end() ? nullptr : &found->second;
}

void PositionsFile::note(const std::string& source, const LogPosition& position) {
  LogPosition& kept = positions_[source];
  dirty_ = dirty_ || kept != position;
  kept = position;
}

Status PositionsFile::store(const std::string& source, const LogPosition& position) {
  note(source, position);
  return flush();
}

// Whole or not at all: what stood there before holds until the new one is durable.
Status PositionsFile::flush() {
  if (!dirty_) return {};
  auto file = disk_->create(kNewName);
  if (!file) return std::unexpected(file.error());
  if (Status written = (*file)->write_at(0, as_bytes(positions_text(positions_))); !written) return written;
  if (Status synced = (*file)->sync(); !synced) return synced;
  if (Status renamed = disk_->rename(kNewName, kPositionsName); !renamed) return renamed;
  if (Status synced = disk_->sync_names(); !synced) return synced;
  dirty_ = false;
  return {};
}

}  // namespace portbook

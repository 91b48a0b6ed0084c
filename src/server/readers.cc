#include "server/readers.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <array>

#include "server/credentials.h"
#include "store/disk.h"

namespace portbook {

namespace {

constexpr std::string_view kHead = "portbook readers 1\n";
constexpr size_t kFileBytesMax = 1024 * 1024;
constexpr std::string_view kScope = "read";  // the only one: every question, no change
constexpr std::string_view kNever = "-";

// NAME SHA256 SCOPE ADDED EXPIRES
std::optional<Reader> parse_line(std::string_view line) {
  std::array<std::string_view, 5> words;
  for (std::string_view& word : words) {
    const size_t end = std::min(line.find(' '), line.size());
    word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  Reader reader;
  Bytes hash;
  reader.name = words[0];
  if (!line.empty() || !is_credential_name(reader.name) || !parse_hex(words[1], hash) || hash.size() != reader.token_hash.size() ||
      words[2] != kScope) {
    return std::nullopt;
  }
  std::ranges::copy(hash, reader.token_hash.begin());
  const auto added = parse_time(words[3], 0);
  if (!added) return std::nullopt;
  reader.added = added->time;
  if (words[4] == kNever) return reader;
  const auto expires = parse_time(words[4], 0);
  if (!expires) return std::nullopt;
  reader.expires = expires->time;
  return reader;
}

}  // namespace

std::string readers_text(const std::vector<Reader>& readers) {
  std::string out(kHead);
  for (const Reader& one : readers) {
    out += fmt::format("{} {} {} {} {}\n", one.name, hex(one.token_hash), kScope, format_time(one.added),
                       one.expires ? format_time(*one.expires) : std::string(kNever));
  }
  return out;
}

Result<std::vector<Reader>> parse_readers(std::string_view text) {
  if (!text.starts_with(kHead)) {
    if (text.starts_with("portbook readers "))
      return fail(ErrorCode::kNewer, "the list of readers was written by a newer portbook");
    return fail(ErrorCode::kCorrupt, "line 1: this is not a list of readers");
  }
  text.remove_prefix(kHead.size());
  std::vector<Reader> readers;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const auto reader = end == std::string_view::npos ? std::nullopt : parse_line(text.substr(0, end));
    if (!reader || readers.size() == kReadersMax)
      return fail(ErrorCode::kCorrupt, fmt::format("line {}: this is not a reader", readers.size() + 2));
    readers.push_back(*reader);
    text.remove_prefix(end + 1);
  }
  return readers;
}

Result<std::unique_ptr<Readers>> Readers::load(std::filesystem::path folder) {
  auto made = std::unique_ptr<Readers>(new Readers(std::move(folder)));
  const auto disk = make_machine_disk(made->folder_);
  const auto bytes = read_file(*disk, kReadersFile, kFileBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return made;
  if (!bytes) return std::unexpected(bytes.error());
  auto readers = parse_readers(as_text(*bytes));
  if (!readers) return fail_in((made->folder_ / kReadersFile).string(), readers);
  made->readers_ = std::move(*readers);
  return made;
}

std::optional<Reader> Readers::find(const Hash& token_hash, TimeNs now) const {
  const std::lock_guard lock(mutex_);
  std::optional<Reader> found;
  for (const Reader& one : readers_) {
    if (CRYPTO_memcmp(one.token_hash.data(), token_hash.data(), token_hash.size()) == 0) found = one;
  }
  if (found && found->expires && now >= *found->expires) return std::nullopt;
  return found;
}

Status Readers::store(std::vector<Reader> readers) {
  const auto disk = make_machine_disk(folder_);
  if (Status written = write_file(*disk, kReadersFile, as_bytes(readers_text(readers))); !written)
    return fail_in("the list of readers", written);
  readers_ = std::move(readers);
  return {};
}

Status Readers::add(Reader reader) {
  if (!is_credential_name(reader.name)) {
    return fail(ErrorCode::kBadInput,
                fmt::format("\"{}\" is no name for a token: letters, digits, dots, dashes and underscores", reader.name));
  }
  const std::lock_guard lock(mutex_);
  if (std::ranges::find(readers_, reader.name, &Reader::name) != readers_.end()) {
    return fail(ErrorCode::kBadInput,
                fmt::format("there is a token named {0} already; take it back first: portbook token remove {0}", reader.name));
  }
  if (readers_.size() >= kReadersMax) return fail(ErrorCode::kLimit, fmt::format("a book knows at most {} tokens", kReadersMax));
  std::vector<Reader> changed = readers_;
  changed.push_back(std::move(reader));
  return store(std::move(changed));
}

Status Readers::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  std::vector<Reader> changed = readers_;
  if (std::erase_if(changed, [&](const Reader& one) { return one.name == name; }) == 0)
    return fail(ErrorCode::kNotFound, fmt::format("there is no token named \"{}\"", name));
  return store(std::move(changed));
}

std::vector<Reader> Readers::list() const {
  const std::lock_guard lock(mutex_);
  return readers_;
}

}  // namespace portbook

#include "cli/remembered.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <simdjson.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/hash.h"
#include "cli/table.h"

namespace portbook {

namespace {

constexpr std::string_view kKeyFirstLine = "portbook-remembered 1\n";
constexpr size_t kFileBytesMax = 64 * 1024;

std::string name_of(std::string_view text) {
  return hex(sha256(as_bytes(text), {})).substr(0, 32);
}

// Empty where there is no such file.
Result<std::string> read_file(const std::filesystem::path& path) {
  std::error_code unknown;
  if (!std::filesystem::exists(path, unknown)) {
    if (unknown) return fail(ErrorCode::kIo, fmt::format("cannot read {}: {}", path.string(), unknown.message()));
    return std::string();
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ErrorCode::kIo, fmt::format("cannot read {}", path.string()));
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (text.empty() || text.size() > kFileBytesMax)
    return fail(ErrorCode::kCorrupt, fmt::format("{} is not what portbook wrote", path.string()));
  return text;
}

// Whoever reads the file meanwhile, or afterwards, has the old or the new content.
Status write_file(const std::filesystem::path& path, std::string_view content) {
  std::error_code failed;
  std::filesystem::create_directories(path.parent_path().parent_path(), failed);
  std::filesystem::create_directory(path.parent_path(), failed);
  if (!failed) std::filesystem::permissions(path.parent_path(), std::filesystem::perms::owner_all, failed);
  const std::filesystem::path fresh = fmt::format("{}.{}", path.string(), getpid());
  std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (file) std::filesystem::rename(fresh, path, failed);
  if (file && !failed) return {};
  std::error_code gone;
  std::filesystem::remove(fresh, gone);
  return fail(ErrorCode::kIo, fmt::format("cannot write {}", path.string()));
}

std::string key_file(const std::string& vkey, const std::string& checkpoint) {
  return fmt::format("{}{}\n{}", kKeyFirstLine, vkey, checkpoint);
}

std::string url_file(const std::string& url, const std::string& vkey) {
  return fmt::format("{}\n{}\n", url, vkey);
}

// The checkpoint that is remembered of `key`; nothing when there is none.
Result<std::optional<Checkpoint>> remembered_of(const std::filesystem::path& path, const Verifier& key) {
  const auto text = read_file(path);
  if (!text) return std::unexpected(text.error());
  if (text->empty()) return std::nullopt;
  const std::string start = key_file(to_vkey(key), "");
  if (!text->starts_with(start)) return fail(ErrorCode::kCorrupt, fmt::format("{} is not what portbook wrote", path.string()));
  auto checkpoint = open_checkpoint(std::string_view(*text).substr(start.size()), key);
  if (!checkpoint) return fail(ErrorCode::kCorrupt, fmt::format("{}: {}", path.string(), checkpoint.error().message));
  return std::move(*checkpoint);
}

struct Consistency {
  uint64_t to = 0;
  std::vector<Hash> hashes;
  std::string checkpoint;  // the newest
};

Result<Consistency> read_consistency(const std::string& answer) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(answer);
  simdjson::dom::element parsed;
  simdjson::dom::array hashes;
  std::string_view checkpoint;
  Consistency out;
  const auto bad = [] { return fail(ErrorCode::kCorrupt, "what the book says of its own log is no consistency proof"); };
  if (parser.parse(padded).get(parsed) != simdjson::SUCCESS || parsed["to"].get(out.to) != simdjson::SUCCESS ||
      parsed["hashes"].get(hashes) != simdjson::SUCCESS || parsed["checkpoint"].get(checkpoint) != simdjson::SUCCESS)
    return bad();
  for (const auto one : hashes) {
    std::string_view text;
    Bytes bytes;
    if (one.get(text) != simdjson::SUCCESS || !parse_base64(text, bytes) || bytes.size() != Hash().size()) return bad();
    std::copy(bytes.begin(), bytes.end(), out.hashes.emplace_back().begin());
  }
  out.checkpoint = checkpoint;
  return out;
}

Result<Checkpoint> signed_by(const Verifier& key, const std::string& note) {
  auto checkpoint = open_checkpoint(note, key);
  if (!checkpoint)
    return fail(ErrorCode::kCorrupt, fmt::format("the book’s checkpoint does not hold: {}", checkpoint.error().message));
  return checkpoint;
}

// What the book has newly signed when it extends `known`; else why that is not shown.
struct Extension {
  std::string note;  // as it signed
  std::string why;   // empty: it extends
};

Result<Extension> extension_of(const TreeHead& known, const Verifier& key, const AskBook& ask) {
  Extension out;
  const auto answer = ask(fmt::format("/api/v1/consistency?from={}", known.size));
  if (!answer && answer.error().code != ErrorCode::kBadInput) return std::unexpected(answer.error());
  if (!answer) {
    const auto note = ask("/api/v1/checkpoint");
    if (!note) return std::unexpected(note.error());
    out.note = *note;
    out.why = answer.error().message;
    const auto newest = signed_by(key, *note);
    if (!newest) return std::unexpected(newest.error());
    if (newest->head.size < known.size)
      out.why = fmt::format("it had signed {} records, now it has {}", known.size, newest->head.size);
    return out;
  }
  const auto proof = read_consistency(*answer);
  if (!proof) return std::unexpected(proof.error());
  const auto newest = signed_by(key, proof->checkpoint);
  if (!newest) return std::unexpected(newest.error());
  out.note = proof->checkpoint;
  if (const auto holds = verify_consistency(known, newest->head, proof->hashes); !holds) out.why = holds.error().message;
  return out;
}

Result<Extension> first_of(const AskBook& ask) {
  auto note = ask("/api/v1/checkpoint");
  if (!note) return std::unexpected(note.error());
  return Extension{std::move(*note), ""};
}

// A folder that this user may not read or write is no fault of the book's.
Result<Held> not_remembered(const Error& error) {
  if (error.code != ErrorCode::kIo) return std::unexpected(error);
  return Held{Held::kNotRemembered, error.message};
}

}  // namespace

std::filesystem::path RememberedBooks::file_of_key(const std::string& vkey) const {
  return folder_ / ("key-" + name_of(vkey));
}

std::filesystem::path RememberedBooks::file_of_url(const std::string& url) const {
  return folder_ / ("url-" + name_of(url));
}

// `known`: the same key answered at `url` before.
Result<Held> RememberedBooks::held_at(const std::string& url, const std::string& vkey, bool& known) const {
  known = url.empty();
  if (known) return Held{};
  const auto before = read_file(file_of_url(url));
  if (!before) return not_remembered(before.error());
  known = *before == url_file(url, vkey);
  if (known || before->empty()) return Held{};
  return Held{Held::kRewritten, fmt::format("another book answers at {} than the last time: its key is {}. Whoever knows that it "
                                            "was replaced removes {}",
                                            url, vkey, file_of_url(url).string())};
}

Held RememberedBooks::contradiction(const std::string& vkey, const std::string& newest, std::string_view why) const {
  const std::filesystem::path known = file_of_key(vkey);
  const std::filesystem::path beside = known.string() + ".contradiction";
  const bool kept = write_file(beside, key_file(vkey, newest)).has_value();
  return {Held::kRewritten,
          fmt::format("this book is not the one that answered before: its key has signed two histories ({}). What it signed then "
                      "is in {}{}",
                      why, known.string(), kept ? fmt::format(", what it signs now in {}", beside.string()) : "")};
}

Result<Held> RememberedBooks::check(const std::string& url, const AskBook& ask) const {
  const auto text = ask("/api/v1/vkey");
  if (!text) return std::unexpected(text.error());
  const std::string vkey = text->substr(0, text->find('\n'));
  const auto key = parse_vkey(vkey);
  if (!key) return fail(ErrorCode::kCorrupt, fmt::format("the book’s key does not hold: {}", key.error().message));
  bool known_url = false;
  auto at_url = held_at(url, vkey, known_url);
  if (!at_url || at_url->verdict != Held::kSame) return at_url;
  // What is remembered is read before the book is asked: another process may remember a newer one meanwhile.
  const auto known = remembered_of(file_of_key(vkey), *key);
  if (!known) return not_remembered(known.error());
  const auto newest = *known ? extension_of((*known)->head, *key, ask) : first_of(ask);
  if (!newest) return std::unexpected(newest.error());
  if (!newest->why.empty()) return contradiction(vkey, newest->note, newest->why);
  const auto checkpoint = signed_by(*key, newest->note);
  if (!checkpoint) return std::unexpected(checkpoint.error());
  if (checkpoint->head.size > (*known ? (*known)->head.size : 0)) {
    if (const auto written = write_file(file_of_key(vkey), key_file(vkey, newest->note)); !written)
      return not_remembered(written.error());
  }
  if (known_url) return Held{};
  if (const auto written = write_file(file_of_url(url), url_file(url, vkey)); !written) return not_remembered(written.error());
  return Held{};
}

Result<Held> RememberedBooks::extends(const Verifier& key, const std::string& checkpoint, const AskBook& ask) const {
  const auto other = signed_by(key, checkpoint);
  if (!other) return std::unexpected(other.error());
  const auto known = remembered_of(file_of_key(to_vkey(key)), key);
  if (!known) return not_remembered(known.error());
  if (!*known || other->head.size == 0) return Held{};
  const bool newer = other->head.size >= (*known)->head.size;
  const TreeHead& older_head = newer ? (*known)->head : other->head;
  const TreeHead& newer_head = newer ? other->head : (*known)->head;
  const auto answer = ask(fmt::format("/api/v1/consistency?from={}&to={}", older_head.size, newer_head.size));
  // It signed as many records, and says now that it has fewer.
  if (!answer && answer.error().code == ErrorCode::kBadInput)
    return contradiction(to_vkey(key), checkpoint, answer.error().message);
  if (!answer) return std::unexpected(answer.error());
  const auto proof = read_consistency(*answer);
  if (!proof) return std::unexpected(proof.error());
  const auto holds = verify_consistency(older_head, newer_head, proof->hashes);
  return holds ? Held{} : contradiction(to_vkey(key), checkpoint, holds.error().message);
}

std::optional<std::filesystem::path> remembered_folder() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return std::filesystem::path(state) / "portbook-remembered";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::filesystem::path(home) / ".local/state/portbook-remembered";
  return std::nullopt;
}

}  // namespace portbook

#include "book/folder.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace portbook {

namespace {

constexpr std::string_view kPrivatePrefix = "PRIVATE+KEY+";
constexpr std::string_view kBookPrefix = "portbook book, format ";
constexpr uint64_t kSmallFileMax = 64 * 1024;

Result<std::string> read_text(Disk& disk, std::string_view name) {
  const auto bytes = read_file(disk, name, kSmallFileMax);
  if (!bytes) return std::unexpected(bytes.error());
  return std::string(as_text(*bytes));
}

std::unexpected<Error> bad_key(std::string_view why) {
  return fail(ErrorCode::kCorrupt, fmt::format("key: {}", why));
}

}  // namespace

Ed25519Seed machine_entropy() {
  Ed25519Seed seed;
  PB_CHECK(RAND_bytes(seed.data(), static_cast<int>(seed.size())) == 1);
  return seed;
}

std::string private_key_text(const std::string& name, const Ed25519Seed& seed) {
  Bytes typed{1};
  append(typed, seed);
  const Verifier verifier = make_verifier(*make_ed25519_signer(name, seed));
  return fmt::format("{}{}+{:08x}+{}\n", kPrivatePrefix, name, verifier.id, base64(typed));
}

Result<std::unique_ptr<Signer>> parse_private_key(std::string_view text) {
  if (!text.starts_with(kPrivatePrefix)) return bad_key("this is not a private key file");
  const std::string_view rest = text.substr(kPrivatePrefix.size());
  const size_t first = rest.find('+');
  const size_t second = first == std::string_view::npos ? first : rest.find('+', first + 1);
  if (second == std::string_view::npos || !rest.ends_with('\n')) return bad_key("it is not of the form PRIVATE+KEY+NAME+ID+KEY");
  const std::string name(rest.substr(0, first));
  Bytes typed;
  Ed25519Seed seed;
  if (!is_key_name(name) || !parse_base64(rest.substr(second + 1, rest.size() - second - 2), typed) || typed.size() != 33) {
    return bad_key("it is not an Ed25519 key in base64");
  }
  std::copy(typed.begin() + 1, typed.end(), seed.begin());
  // Other spellings, other types and wrong ids all differ from the one way to write it.
  if (private_key_text(name, seed) != text) return bad_key("its id does not belong to its name and key");
  return make_ed25519_signer(name, seed);
}

std::string book_file_text(std::string_view origin) {
  return fmt::format("{}{}\norigin {}\n", kBookPrefix, kBookFormat, origin);
}

Result<std::string> parse_book_file(std::string_view text) {
  uint32_t format = 0;
  if (!text.starts_with(kBookPrefix)) return fail(ErrorCode::kCorrupt, "book: this is not a book's folder");
  const std::string_view rest = text.substr(kBookPrefix.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), format);
  if (error != std::errc{}) return fail(ErrorCode::kCorrupt, "book: this is not a book's folder");
  if (format > kBookFormat) return fail(ErrorCode::kNewer, fmt::format("book format {}: written by a newer portbook", format));
  const std::string_view after = rest.substr(static_cast<size_t>(end - rest.data()));
  constexpr std::string_view kOrigin = "\norigin ";
  if (!after.starts_with(kOrigin) || !after.ends_with('\n')) return fail(ErrorCode::kCorrupt, "book: it names no origin");
  std::string origin(after.substr(kOrigin.size(), after.size() - kOrigin.size() - 1));
  if (!is_key_name(origin) || book_file_text(origin) != text) return fail(ErrorCode::kCorrupt, "book: its text is damaged");
  return origin;
}

Result<std::string> read_origin(Disk& disk) {
  const auto text = read_text(disk, kBookFileName);
  if (!text) return std::unexpected(text.error());
  return parse_book_file(*text);
}

Result<Verifier> read_verifier(Disk& disk) {
  const auto text = read_text(disk, kVkeyFileName);
  if (!text) return std::unexpected(text.error());
  if (!text->ends_with('\n')) return fail(ErrorCode::kCorrupt, "vkey: it is cut short");
  auto verifier = parse_vkey(std::string_view(*text).substr(0, text->size() - 1));
  if (!verifier) return fail(ErrorCode::kCorrupt, "vkey: " + verifier.error().message);
  if (to_vkey(*verifier) + "\n" != *text) return fail(ErrorCode::kCorrupt, "vkey: its text is damaged");
  return verifier;
}

Result<std::unique_ptr<Signer>> read_signer(Disk& disk) {
  const auto text = read_text(disk, kKeyFileName);
  if (!text) return std::unexpected(text.error());
  return parse_private_key(*text);
}

Result<std::unique_ptr<Signer>> make_signer(Disk& disk, const std::string& origin, const Entropy& entropy) {
  auto signer = read_signer(disk);
  if (!signer && signer.error().code == ErrorCode::kNotFound) {
    const std::string text = private_key_text(origin, entropy());
    if (Status done = write_file(disk, kKeyFileName, as_bytes(text)); !done) return std::unexpected(done.error());
    signer = parse_private_key(text);
  }
  if (!signer) return signer;
  if ((*signer)->name() != origin) return bad_key(fmt::format("it belongs to {}, not to {}", (*signer)->name(), origin));
  if (Status done = write_file(disk, kVkeyFileName, as_bytes(to_vkey(make_verifier(**signer)) + "\n")); !done) {
    return std::unexpected(done.error());
  }
  return signer;
}

}  // namespace portbook

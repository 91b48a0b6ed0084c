#include "merkle/note.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

constexpr Byte kEd25519 = 1;
constexpr std::string_view kSignaturePrefix = "\xe2\x80\x94 ";  // em dash, blank

std::unexpected<Error> bad(std::string message) {
  return fail(ErrorCode::kBadInput, std::move(message));
}

// Whether a note's bytes may be read as text at all.
bool is_note_text(std::string_view text) {
  return is_utf8(as_bytes(text)) && std::ranges::none_of(text, [](char c) { return static_cast<Byte>(c) < 0x20 && c != '\n'; });
}

struct SignatureLine {
  std::string_view name;
  uint32_t id = 0;
  Bytes signature;
};

// Reads `— NAME BASE64` without its newline.
bool read_signature(std::string_view line, SignatureLine& out) {
  if (!line.starts_with(kSignaturePrefix)) return false;
  line.remove_prefix(kSignaturePrefix.size());
  const size_t blank = line.find(' ');
  if (blank == std::string_view::npos) return false;
  out.name = line.substr(0, blank);
  if (!is_key_name(out.name) || !parse_base64(line.substr(blank + 1), out.signature) || out.signature.size() < 5) return false;
  out.id = load_big<uint32_t>(out.signature.data());
  out.signature.erase(out.signature.begin(), out.signature.begin() + 4);
  return true;
}

bool verifies(const Verifier& key, std::string_view text, const Bytes& signature) {
  Ed25519Signature raw;
  if (signature.size() != raw.size()) return false;
  std::ranges::copy(signature, raw.begin());
  return ed25519_verify(key.key, as_bytes(text), raw);
}

}  // namespace

bool is_key_name(std::string_view name) {
  if (name.empty() || !is_utf8(as_bytes(name))) return false;
  // ASCII white space and control characters, "+", and Unicode's white space as Go's unicode.IsSpace has it.
  if (std::ranges::any_of(name, [](char c) { return static_cast<Byte>(c) <= 0x20 || c == '+' || c == 0x7f; })) return false;
  for (const std::string_view space :
       {"\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84",
        "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
        "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"}) {
    if (name.find(space) != std::string_view::npos) return false;
  }
  return true;
}

uint32_t note_key_id(std::string_view name, const Ed25519Public& key) {
  static constexpr Byte kSeparator[] = {0x0a, kEd25519};
  return load_big<uint32_t>(sha256(as_bytes(name), kSeparator, key).data());
}

Verifier make_verifier(const Signer& signer) {
  return {signer.name(), note_key_id(signer.name(), signer.public_key()), signer.public_key()};
}

std::string to_vkey(const Verifier& verifier) {
  Bytes typed{kEd25519};
  append(typed, verifier.key);
  return fmt::format("{}+{:08x}+{}", verifier.name, verifier.id, base64(typed));
}

Result<Verifier> parse_vkey(std::string_view text) {
  const size_t first = text.find('+');
  const size_t second = first == std::string_view::npos ? first : text.find('+', first + 1);
  if (second == std::string_view::npos) return bad("the key is not of the form NAME+ID+KEY");
  Verifier verifier;
  verifier.name = text.substr(0, first);
  const std::string_view id = text.substr(first + 1, second - first - 1);
  Bytes typed;
  if (!is_key_name(verifier.name)) return bad("the key's name is empty or holds a blank");
  if (id.size() != 8 || std::from_chars(id.data(), id.data() + 8, verifier.id, 16).ptr != id.data() + 8) {
    return bad("the key's id is not eight hexadecimal digits");
  }
  if (!parse_base64(text.substr(second + 1), typed) || typed.size() != 33 || typed[0] != kEd25519) {
    return bad("the key is not an Ed25519 key in base64");
  }
  std::copy(typed.begin() + 1, typed.end(), verifier.key.begin());
  if (note_key_id(verifier.name, verifier.key) != verifier.id) return bad("the key's id does not belong to its name and key");
  return verifier;
}

Result<std::string> sign_note(std::string_view text, Signer& signer) {
  PB_CHECK(text.ends_with('\n') && is_note_text(text) && is_key_name(signer.name()));
  const auto signature = signer.sign(as_bytes(text));
  if (!signature) return std::unexpected(signature.error());
  Bytes blob;
  append_big(blob, note_key_id(signer.name(), signer.public_key()));
  append(blob, *signature);
  return fmt::format("{}\n{}{} {}\n", text, kSignaturePrefix, signer.name(), base64(blob));
}

Result<std::string_view> open_note(std::string_view note, std::span<const Verifier> known) {
  if (note.size() > kNoteBytesMax) return bad("the note is longer than 1,000,000 bytes");
  if (!is_note_text(note)) return bad("the note is not UTF-8 text without control characters");
  const size_t split = note.rfind("\n\n");
  if (split == std::string_view::npos || !note.ends_with('\n')) return bad("the note has no signatures");
  const std::string_view text = note.substr(0, split + 1);
  std::string_view lines = note.substr(split + 2);
  if (lines.empty()) return bad("the note has no signatures");
  bool good = false;
  for (size_t count = 0; !lines.empty(); ++count) {
    if (count == kNoteSignaturesMax) return bad("the note has more than 100 signatures");
    const size_t end = lines.find('\n');
    SignatureLine line;
    if (!read_signature(lines.substr(0, end), line)) return bad("the note has a malformed signature line");
    lines.remove_prefix(end + 1);
    const auto key = std::ranges::find_if(known, [&](const Verifier& k) { return k.name == line.name && k.id == line.id; });
    if (key == known.end()) continue;
    if (!verifies(*key, text, line.signature)) return bad(fmt::format("the signature of {} does not verify", line.name));
    good = true;
  }
  if (!good) return bad("the note carries no signature of a known key");
  return text;
}

}  // namespace portbook

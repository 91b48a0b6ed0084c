// Signed notes (C2SP signed-note v1): text with signature lines that independent tools check.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "merkle/signer.h"

namespace portbook {

inline constexpr size_t kNoteBytesMax = 1'000'000;  // as golang.org/x/mod/sumdb/note
inline constexpr size_t kNoteSignaturesMax = 100;

// A public key with its name, as `NAME+HEX8(id)+BASE64(type ‖ key)`.
struct Verifier {
  std::string name;
  uint32_t id = 0;
  Ed25519Public key{};
  bool operator==(const Verifier&) const = default;
};

// SHA256(name ‖ 0x0A ‖ 0x01 ‖ key), its first four bytes read as big-endian.
uint32_t note_key_id(std::string_view name, const Ed25519Public& key);
Verifier make_verifier(const Signer& signer);
std::string to_vkey(const Verifier& verifier);
// Errors: kBadInput: not of that form, an id that does not recompute, an algorithm other than Ed25519.
Result<Verifier> parse_vkey(std::string_view text);
// Whether `name` may name a key: not empty, UTF-8, neither blanks nor "+".
bool is_key_name(std::string_view name);

// The text with an empty line and one signature line. `text` ends in a newline, or it aborts. Errors: the signer's.
Result<std::string> sign_note(std::string_view text, Signer& signer);

// The note's text, with its final newline, when a key of `known` signed it; valid as long as `note`.
// Errors: kBadInput: not a note; a known key's signature that does not verify; no signature of a known key.
Result<std::string_view> open_note(std::string_view note, std::span<const Verifier> known);

}  // namespace portbook

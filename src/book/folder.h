// The book's folder: what names it and who signs for it. Files: `book` (format and origin), `key` (private, mode 0600), `vkey`,
// `head`, `lock`, `reserve`, `log-…`, `spare-…`, `segment-…`.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "merkle/note.h"
#include "store/disk.h"

namespace portbook {

inline constexpr uint32_t kBookFormat = 1;
inline constexpr std::string_view kBookFileName = "book";
inline constexpr std::string_view kKeyFileName = "key";
inline constexpr std::string_view kVkeyFileName = "vkey";
inline constexpr std::string_view kLockFileName = "lock";
inline constexpr std::string_view kReserveFileName = "reserve";

// Fills 32 bytes with randomness from outside.
using Entropy = std::function<Ed25519Seed()>;
// The operating system's.
Ed25519Seed machine_entropy();

// The private key's file: "PRIVATE+KEY+NAME+ID+BASE64(0x01 ‖ seed)\n", as golang.org/x/mod/sumdb/note writes it.
std::string private_key_text(const std::string& name, const Ed25519Seed& seed);
// Errors: kCorrupt: not of that form, or an id that does not recompute.
Result<std::unique_ptr<Signer>> parse_private_key(std::string_view text);

// "portbook book, format 1\norigin NAME\n"
std::string book_file_text(std::string_view origin);
// The origin. Errors: kCorrupt; kNewer.
Result<std::string> parse_book_file(std::string_view text);

// The key and the origin of the book in that folder. Errors: kNotFound (no book here), kCorrupt, kNewer, kDenied, kIo.
Result<std::string> read_origin(Disk& disk);
Result<Verifier> read_verifier(Disk& disk);
Result<std::unique_ptr<Signer>> read_signer(Disk& disk);

// Makes `key` and `vkey`, or takes those that an interrupted first start left.
Result<std::unique_ptr<Signer>> make_signer(Disk& disk, const std::string& origin, const Entropy& entropy);

}  // namespace portbook

// Checks a whole book offline, trusting nothing but the key: bytes → leaves → tree → root → signature, and that the columns,
// indexes and index runs which questions read say the same as the bytes that are hashed. Reads only; needs neither server nor
// network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/hash.h"
#include "base/result.h"
#include "store/disk.h"

namespace portbook {

struct VerifyOptions {
  std::optional<std::string> vkey;              // the key that must have signed; else the folder's own `vkey` is believed
  std::optional<std::string> older_checkpoint;  // a signed note from earlier: today's records must still lead to its root
  // Called now and then with records checked and records in all.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

// The first thing found wrong.
struct VerifyProblem {
  std::string sentence;            // for a person; names all of the below
  std::string file;                // a name in the book's folder
  std::optional<uint64_t> offset;  // in bytes
  std::optional<uint64_t> record;  // index of the first record that may be bad
  bool only_unsettled = false;     // everything signed holds; whole frames behind it are what a crash leaves
};

struct VerifyReport {
  std::string origin;
  std::string vkey;
  std::string checkpoint;  // the newest signed note
  uint64_t size = 0;       // that it speaks of
  Hash root{};
  uint64_t first_kept = 0;  // records below were removed by retention, as the book recorded; their hashes still lead to the root
  TimeNs kept_after = 0;    // greatest `time` of the removed ones
  uint64_t records_checked = 0;
  uint64_t segments = 0;
  uint64_t findings = 0;      // of the book's looks at itself, that it recorded; what they were about may have been put back since
  std::string first_finding;  // in words
  std::optional<VerifyProblem> problem;  // none: everything holds
};

// Verifies the book in `folder`, at rest or while a process has it open. What a crash left unsettled is a problem: opening the book
// settles it. Errors: kNotFound (no book there), kDenied, kIo, kNewer; kBadInput (vkey or older checkpoint malformed).
Result<VerifyReport> verify_book(const std::filesystem::path& folder, const VerifyOptions& options);

// The same for any disk. `running`: a process has it open and writes.
Result<VerifyReport> verify_disk(Disk& disk, bool running, const VerifyOptions& options);

// Whether a process has the book in that folder open. Errors: kDenied, kIo.
Result<bool> is_running(const std::filesystem::path& folder);

}  // namespace portbook

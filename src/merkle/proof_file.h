// The file that proves one record to somebody offline (C2SP tlog-proof).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "merkle/checkpoint.h"

namespace portbook {

struct ProofFile {
  uint64_t index = 0;
  std::vector<Hash> hashes;    // lowest level first
  std::string checkpoint;      // the signed note, verbatim
  std::optional<Bytes> extra;  // opaque to the proof
};

std::string to_text(const ProofFile& proof);
// Errors: kBadInput, naming the line.
Result<ProofFile> parse_proof_file(std::string_view text);

// Whether these record bytes are in the tree that the proof's checkpoint names and `verifier` signed. Errors: kBadInput.
Result<Checkpoint> verify_proof_file(const ProofFile& proof, ByteView record_bytes, const Verifier& verifier);

}  // namespace portbook

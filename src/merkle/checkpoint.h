// Checkpoints (C2SP tlog-checkpoint): origin, size and root of the tree in a signed note.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "merkle/note.h"
#include "merkle/proof.h"

namespace portbook {

struct Checkpoint {
  std::string origin;
  TreeHead head;
  std::string extension;  // whole lines after the root, each with its newline; we write none
};

// "origin\nsize\nbase64(root)\n" and the extension lines.
std::string checkpoint_text(const Checkpoint& checkpoint);
// Errors: kBadInput: an empty origin, a size that is not plain decimal below 2^63, a root that is not 32 bytes, an empty line.
Result<Checkpoint> parse_checkpoint_text(std::string_view text);

// The signed note; origin is the signer's name. Errors: the signer's.
Result<std::string> sign_checkpoint(const TreeHead& head, Signer& signer);
// Opens the note and reads it; its origin must be the verifier's name. Errors: kBadInput.
Result<Checkpoint> open_checkpoint(std::string_view note, const Verifier& verifier);

}  // namespace portbook

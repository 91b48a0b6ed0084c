// Secrets that only the program tells: what follows -p is a password for one and a port for another.
#pragma once

#include <span>
#include <string_view>

#include "capture/redact_text.h"

namespace portbook {

// One word of a command, and where it stands in its argument.
struct CommandWord {
  std::string_view text;
  size_t argument = 0;
  size_t offset = 0;
};

// Adds, to the ranges of each word's argument, the secrets that a command's options give. The first word is the program, and so may
// be any later word that names a known one: sudo, env and ssh run another program with the words that follow. `in_script`: a shell
// reads the words first, so they may be quoted and $NAME stands for something else.
void find_secrets_of_command(std::span<const CommandWord> words, bool in_script, std::span<SecretRanges> found);

}  // namespace portbook

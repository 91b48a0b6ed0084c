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

// Whether a command takes a secret from its standard input: chpasswd, docker login --password-stdin, sudo -S.
bool reads_secret_from_stdin(std::span<const CommandWord> words);

// Adds what `echo` and `printf` print, for one whose output such a command reads.
void find_printed_secret(std::span<const CommandWord> words, std::span<SecretRanges> found);

}  // namespace portbook

// Takes secrets out of command lines before they are hashed: the log cannot be unwritten.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace portbook {

struct Redacted {
  std::string text;
  uint32_t count = 0;  // arguments changed
};

inline constexpr std::string_view kRedactedMark = "[redacted]";

// Joins arguments (each ended by NUL, the last perhaps not) with blanks and replaces secrets by kRedactedMark:
// - the value of an option, variable, header or JSON member whose name speaks of a secret (redact_text.h);
// - passwords and lone tokens in URLs, credentials of Authorization and cookie headers, private key blocks, JSON Web Tokens and
//   tokens that begin as those of a known issuer do;
// - what known programs take as a secret in options of other names: mysql -p, curl -u, sshpass -p, redis-cli -a
// (redact_programs.h). An argument that holds a command line itself (sh -c, ssh) is treated as one. Time is linear in the length.
// A missed secret is possible: docs/capture.md says so and names the switch that leaves command lines out.
Redacted redact_arguments(std::string_view nul_separated);

}  // namespace portbook

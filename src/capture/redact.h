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

// Joins arguments (each ended by NUL, the last perhaps not) with blanks and replaces, by kRedactedMark:
// - the value of an option or assignment whose name speaks of a secret: --password=x, --password x, PGPASSWORD=x, api_key:x;
// - the password, or the lone token, in a URL's userinfo: https://user:x@host, https://x@host;
// - what follows -u, --user and the like of curl and its kin as user:x; what stands directly after -p of the mysql programs and
// sshpass;
// - the credentials of an Authorization or cookie header, the words after Bearer and Basic, and JSON Web Tokens anywhere.
// A missed secret is possible: docs/capture.md says so and names the switch that leaves command lines out.
Redacted redact_arguments(std::string_view nul_separated);

}  // namespace portbook

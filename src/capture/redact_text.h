// Secrets that show in a text by themselves: by the name in front of them or by their own shape.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace portbook {

// Bytes [begin, end) of one argument.
struct SecretRange {
  size_t begin = 0;
  size_t end = 0;
};
using SecretRanges = std::vector<SecretRange>;

// Whether an option's, variable's or header's name speaks of a secret: "--db-password", "PGPASSWORD", "X-Api-Key", "storepass".
// Not "--password-file", "PWD", "--max-tokens".
bool names_a_secret(std::string_view name);

// Adds where in `text` there are secrets, in any order, perhaps overlapping:
// values after name=, name: and "name": of names that speak of one; userinfo of URLs; Authorization and cookie headers; words after
// Bearer and Basic; private key blocks; JSON Web Tokens; tokens with the prefix of a known issuer; paths of webhooks; passwords in
// SQL statements.
void find_secrets_in_text(std::string_view text, SecretRanges& found);

}  // namespace portbook

// Evidence on the command line: written from a running book's answer, checked without one.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/command.h"

namespace portbook {

struct EvidenceOptions {
  BookPlace place;
  std::string file;
  std::vector<std::string> question;  // the command and its question
  std::string at;
  std::string peer;
  std::string host;
  std::string window;
  uint64_t limit = 0;  // rows of a search; 0: as the book does
};

// Asks the book for the file, which has every record that the answer names with its proof, checks it and writes FILE and FILE.html.
// The exit code.
int export_evidence(const EvidenceOptions& options);
// Checks the file offline and says what it proves. The exit code: 1 when something does not hold.
int verify_evidence(const std::filesystem::path& file, const std::string& vkey, bool json);

}  // namespace portbook

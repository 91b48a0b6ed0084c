// Evidence: an answer with everything that checks it offline, in one file. docs/formats/evidence.md describes the format.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace portbook {

inline constexpr size_t kEvidenceRecordsMax = 10'000;
inline constexpr size_t kEvidenceBytesMax = 256 * 1024 * 1024;

struct Evidence {
  std::string asked;   // JSON object: command, question, parameters, moment, version
  std::string answer;  // as the book gave it: JSON, or lines of JSON
  std::string vkey;    // of the book that gave the proofs
  struct Proven {
    Bytes bytes;        // of the record, canonical CBOR
    std::string proof;  // C2SP tlog-proof
  };
  std::map<uint64_t, Proven> records;  // by index
};

// Every record that the answer names, ascending: members "record" and "records", and "id" of rows. Errors: kBadInput (not JSON).
Result<std::vector<uint64_t>> records_named_in(std::string_view answer);

// The file. The report in it is made from the rest.
std::string write_evidence(const Evidence& evidence);
// The report: a page that a person reads without portbook. Needs records that decode, or it says so in their place.
std::string evidence_report(const Evidence& evidence);

struct EvidenceCheck {
  std::string origin;
  std::string vkey;
  std::string asked;
  std::string sentence;      // of the answer, not signed; empty where it has none
  std::string completeness;  // as well
  size_t records = 0;
  uint64_t size_max = 0;  // of the newest checkpoint among the proofs
  std::string report;
};

// Checks the whole file, which proves something only when there are records in it, trusting nothing but `vkey`; without it, the
// file's own key. Needs neither book nor network. Errors: kCorrupt, one sentence that names the section, its place and what does
// not hold; kBadInput (not such a file, or `vkey` malformed); kNewer; kLimit.
Result<EvidenceCheck> check_evidence(std::string_view file, const std::string& vkey);

}  // namespace portbook

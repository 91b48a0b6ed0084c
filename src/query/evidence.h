// Evidence: an answer with everything that checks it offline, in one file. docs/formats/evidence.md describes the format.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace portbook {

inline constexpr size_t kEvidenceRecordsMax = 10'000;
inline constexpr size_t kEvidenceBytesMax = 256 * 1024 * 1024;
inline constexpr uint64_t kEvidenceRowsUsual = 1000;               // of a search, unless it asks for another number
inline constexpr uint64_t kEvidenceRowsMax = kEvidenceRecordsMax;  // each row names a record of its own at least

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

// How it was asked, so that it can be asked again: `params` are names and values, of which empty ones are left out.
std::string evidence_asked(std::string_view command, const std::vector<std::pair<std::string, std::string>>& params, TimeNs asked);
// Every record that the answer names, ascending: members "record" and "records", and "id" of rows. Errors: kBadInput (not JSON).
Result<std::vector<uint64_t>> records_named_in(std::string_view answer);
// The same, held against what one file may have. Errors: kNotFound (none: there is nothing to prove), kLimit, kBadInput.
Result<std::vector<uint64_t>> records_to_prove(std::string_view answer);
// That the answer of a search ends before all that matches; empty when it does not. It is said in the report.
std::string evidence_cut(std::string_view answer);

// The file. The report in it is made from the rest.
std::string write_evidence(const Evidence& evidence);
// The file in its parts, in order: all before the records; each record; all after them, for which no proof is needed any more.
std::string evidence_head(const Evidence& evidence);
std::string evidence_section(uint64_t index, const Evidence::Proven& proven);
std::string evidence_end(const Evidence& evidence);
// The report: a page that a person reads without portbook. Needs records that decode, or it says so in their place.
std::string evidence_report(const Evidence& evidence);

struct EvidenceCheck {
  std::string origin;
  std::string vkey;
  std::string asked;
  std::string sentence;               // of the answer, not signed; empty where it has none
  std::string completeness;           // as well
  std::string cut;                    // evidence_cut() of the answer
  std::set<std::string> checkpoints;  // of the proofs: signed notes, each held
  size_t records = 0;
  uint64_t size_max = 0;  // of the newest checkpoint among the proofs
  std::string report;
};

// Checks the whole file, which proves something only when there are records in it, trusting nothing but `vkey`; without it, the
// file's own key. Needs neither book nor network. Errors: kCorrupt, one sentence that names the section, its place and what does
// not hold; kBadInput (not such a file, or `vkey` malformed); kNewer; kLimit.
Result<EvidenceCheck> check_evidence(std::string_view file, const std::string& vkey);

}  // namespace portbook

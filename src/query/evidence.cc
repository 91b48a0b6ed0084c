#include "query/evidence.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/hash.h"
#include "merkle/proof_file.h"
#include "query/json_writer.h"
#include "record/cbor.h"
#include "record/version.h"

namespace portbook {

namespace {

using simdjson::dom::element;

constexpr std::string_view kFirstLine = "portbook-evidence 1\n";
constexpr std::string_view kFirstWord = "portbook-evidence ";

struct Section {
  std::string name;
  std::string_view bytes;
  size_t offset = 0;  // of its header line
};

std::string digest(std::string_view name, std::string_view bytes) {
  return hex(sha256(as_bytes(fmt::format("{}\n", name)), as_bytes(bytes)));
}

void append_section(std::string_view name, std::string_view bytes, std::string& out) {
  out += fmt::format("{}: {} {}\n", name, bytes.size(), digest(name, bytes));
  out += bytes;
  out += '\n';
}

std::unexpected<Error> wrong(size_t offset, std::string_view what) {
  return fail(ErrorCode::kCorrupt, fmt::format("at byte {}: {}", offset, what));
}

std::unexpected<Error> wrong(const Section& section, std::string_view what) {
  return fail(ErrorCode::kCorrupt, fmt::format("section \"{}\" at byte {}: {}", section.name, section.offset, what));
}

bool read_number(std::string_view text, uint64_t& number) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

// Reads one section and moves `at` behind it.
Result<Section> read_section(std::string_view file, size_t& at) {
  const size_t start = at;
  const size_t line_end = file.find('\n', at);
  if (line_end == std::string_view::npos) return wrong(start, "the file ends within a section’s first line");
  const std::string_view line = file.substr(start, line_end - start);
  const size_t colon = line.find(": ");
  const size_t blank = colon == std::string_view::npos ? colon : line.find(' ', colon + 2);
  uint64_t length = 0;
  if (blank == std::string_view::npos || !read_number(line.substr(colon + 2, blank - colon - 2), length))
    return wrong(start, "this is not a section’s first line: its name, length and SHA-256");
  Section section{std::string(line.substr(0, colon)), {}, start};
  if (length >= file.size() - line_end - 1) return wrong(section, "it is longer than the file");
  section.bytes = file.substr(line_end + 1, length);
  at = line_end + 1 + length;
  if (file[at] != '\n') return wrong(section, fmt::format("it does not end where its first line says, at byte {}", at));
  ++at;
  if (line.substr(blank + 1) != digest(section.name, section.bytes))
    return wrong(section, "its bytes are not those of its SHA-256");
  return section;
}

Result<std::vector<Section>> read_sections(std::string_view file) {
  std::vector<Section> sections;
  size_t at = kFirstLine.size();
  while (!file.substr(at).starts_with("end ")) {
    if (at >= file.size()) return wrong(at, "the file ends without its last line");
    auto section = read_section(file, at);
    if (!section) return std::unexpected(section.error());
    sections.push_back(std::move(*section));
  }
  const std::string last = fmt::format("end {}\n", sections.size());
  if (file.substr(at) != last)
    return wrong(at, fmt::format("the last line is not \"end {}\": sections are missing, or something follows", sections.size()));
  return sections;
}

void collect(element value, std::set<uint64_t>& found, bool number_counts) {
  uint64_t number = 0;
  if (number_counts && value.get(number) == simdjson::SUCCESS) found.insert(number);
  simdjson::dom::array array;
  if (value.get(array) == simdjson::SUCCESS) {
    for (const element one : array) collect(one, found, number_counts);
  }
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) return;
  const bool row = !object["row"].error();
  if (row) collect(object["row"]["id"], found, true);
  for (const auto member : object) collect(member.value, found, member.key == "record" || member.key == "records");
}

// The order in which sections stand: nothing may be added, left out or moved.
Result<Evidence> evidence_of(const std::vector<Section>& sections, std::string_view& report) {
  Evidence evidence;
  constexpr auto kFirst = std::to_array<std::string_view>({"asked", "answer", "vkey"});
  if (sections.size() < kFirst.size() + 1) return fail(ErrorCode::kCorrupt, "sections are missing");
  const std::array<std::string*, 3> targets = {&evidence.asked, &evidence.answer, &evidence.vkey};
  for (size_t i = 0; i < kFirst.size(); ++i) {
    if (sections[i].name != kFirst[i]) return wrong(sections[i], fmt::format("\"{}\" must stand here", kFirst[i]));
    *targets[i] = sections[i].bytes;
  }
  if (sections.back().name != "report") return wrong(sections.back(), "\"report\" must stand here");
  report = sections.back().bytes;
  for (size_t i = kFirst.size(); i + 1 < sections.size(); i += 2) {
    uint64_t index = 0;
    const std::string& name = sections[i].name;
    if (!name.starts_with("record ") || !read_number(std::string_view(name).substr(7), index))
      return wrong(sections[i], "a record must stand here");
    if (i + 2 >= sections.size() || sections[i + 1].name != fmt::format("proof {}", index))
      return wrong(sections[i], "its proof does not follow it");
    if (!evidence.records.empty() && evidence.records.rbegin()->first >= index)
      return wrong(sections[i], "records must stand in ascending order");
    Evidence::Proven& proven = evidence.records[index];
    const std::string text(sections[i].bytes);
    if (!parse_hex(text, proven.bytes) || hex(proven.bytes) != text) return wrong(sections[i], "it is not hexadecimal");
    proven.proof = sections[i + 1].bytes;
  }
  return evidence;
}

Status check_record(uint64_t index, const Evidence::Proven& proven, const Verifier& verifier, EvidenceCheck& check) {
  Record record;
  if (const auto decoded = decode(proven.bytes, record); !decoded)
    return fail(ErrorCode::kCorrupt, fmt::format("record {}: {}", index, decoded.error().message));
  const auto proof = parse_proof_file(proven.proof);
  if (!proof) return fail(ErrorCode::kCorrupt, fmt::format("the proof of record {}: {}", index, proof.error().message));
  if (proof->index != index)
    return fail(ErrorCode::kCorrupt, fmt::format("the proof of record {} is that of record {}", index, proof->index));
  if (to_text(*proof) != proven.proof)
    return fail(ErrorCode::kCorrupt, fmt::format("the proof of record {} has bytes that prove nothing", index));
  const auto checkpoint = verify_proof_file(*proof, proven.bytes, verifier);
  if (!checkpoint) return fail(ErrorCode::kCorrupt, fmt::format("record {} is not proven: {}", index, checkpoint.error().message));
  check.size_max = std::max(check.size_max, checkpoint->head.size);
  check.checkpoints.insert(proof->checkpoint);
  return {};
}

std::string text_at(element answer, std::string_view pointer) {
  std::string_view text;
  return answer.at_pointer(pointer).get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

simdjson::padded_string last_line(std::string_view answer) {
  while (answer.ends_with('\n')) answer.remove_suffix(1);
  const size_t line = answer.rfind('\n');
  return simdjson::padded_string(line == std::string_view::npos ? answer : answer.substr(line + 1));
}

// A one-line answer's sentence and completeness; of lines of JSON, the last one's.
void read_words(std::string_view answer, EvidenceCheck& check) {
  const simdjson::padded_string padded = last_line(answer);
  simdjson::dom::parser parser;
  element parsed;
  if (parser.parse(padded).get(parsed) != simdjson::SUCCESS) return;
  check.sentence = text_at(parsed, "/sentence");
  check.completeness = text_at(parsed, "/completeness/sentence");
  if (check.completeness.empty()) check.completeness = text_at(parsed, "/end/completeness/sentence");
}

}  // namespace

Result<std::vector<uint64_t>> records_named_in(std::string_view answer) {
  std::set<uint64_t> found;
  while (!answer.empty()) {
    const std::string_view line = answer.substr(0, answer.find('\n'));
    answer.remove_prefix(std::min(line.size() + 1, answer.size()));
    if (line.empty()) continue;
    simdjson::dom::parser parser;
    const simdjson::padded_string padded(line);
    element parsed;
    if (parser.parse(padded).get(parsed) != simdjson::SUCCESS) return fail(ErrorCode::kBadInput, "the answer is not JSON");
    collect(parsed, found, false);
  }
  return std::vector<uint64_t>(found.begin(), found.end());
}

Result<std::vector<uint64_t>> records_to_prove(std::string_view answer) {
  auto named = records_named_in(answer);
  if (!named) return named;
  if (named->empty()) {
    return fail(ErrorCode::kNotFound,
                "the answer rests on no record, so there is nothing to prove: nothing matches, or no source of this book had that "
                "address then");
  }
  if (named->size() > kEvidenceRecordsMax) {
    return fail(ErrorCode::kLimit,
                fmt::format("the answer names {} records, more than {}; a narrower question, or a lower limit of rows, names fewer",
                            named->size(), kEvidenceRecordsMax));
  }
  return named;
}

std::string evidence_cut(std::string_view answer) {
  const simdjson::padded_string padded = last_line(answer);
  simdjson::dom::parser parser;
  element parsed;
  uint64_t rows = 0;
  if (parser.parse(padded).get(parsed) != simdjson::SUCCESS || text_at(parsed, "/end/cursor").empty() ||
      parsed.at_pointer("/end/rows").get(rows) != simdjson::SUCCESS)
    return {};
  return fmt::format("The answer ends after {} rows: older rows that match, if there are any, are not in this file.", rows);
}

std::string evidence_asked(std::string_view command, const std::vector<std::pair<std::string, std::string>>& params, TimeNs asked) {
  std::string out;
  Json json(out);
  json.open('{');
  json.text("command", command);
  for (const auto& [name, value] : params) {
    if (!value.empty()) json.text(name, value);
  }
  json.text("asked", format_time(asked));
  json.text("version", kVersion);
  json.close('}');
  return out;
}

std::string evidence_head(const Evidence& evidence) {
  std::string out(kFirstLine);
  append_section("asked", evidence.asked, out);
  append_section("answer", evidence.answer, out);
  append_section("vkey", evidence.vkey, out);
  return out;
}

std::string evidence_section(uint64_t index, const Evidence::Proven& proven) {
  std::string out;
  append_section(fmt::format("record {}", index), hex(proven.bytes), out);
  append_section(fmt::format("proof {}", index), proven.proof, out);
  return out;
}

std::string evidence_end(const Evidence& evidence) {
  std::string out;
  append_section("report", evidence_report(evidence), out);
  return out + fmt::format("end {}\n", 4 + 2 * evidence.records.size());
}

std::string write_evidence(const Evidence& evidence) {
  std::string out = evidence_head(evidence);
  for (const auto& [index, proven] : evidence.records) out += evidence_section(index, proven);
  return out + evidence_end(evidence);
}

Result<EvidenceCheck> check_evidence(std::string_view file, const std::string& vkey) {
  if (file.size() > kEvidenceBytesMax)
    return fail(ErrorCode::kLimit, fmt::format("the file is longer than {} bytes", kEvidenceBytesMax));
  if (!file.starts_with(kFirstLine)) {
    if (!file.starts_with(kFirstWord)) return fail(ErrorCode::kBadInput, "this is neither a book’s folder nor an evidence file");
    return fail(ErrorCode::kNewer, "the first line names a format that this portbook does not know");
  }
  const auto sections = read_sections(file);
  if (!sections) return std::unexpected(sections.error());
  std::string_view report;
  const auto evidence = evidence_of(*sections, report);
  if (!evidence) return std::unexpected(evidence.error());
  const auto own = parse_vkey(evidence->vkey);
  if (!own) return wrong((*sections)[2], own.error().message);
  if (!vkey.empty()) {
    const auto known = parse_vkey(vkey);
    if (!known) return std::unexpected(known.error());
    if (*known != *own) return wrong((*sections)[2], fmt::format("the file was made with another key than {}", vkey));
  }
  if (evidence->records.empty())
    return fail(ErrorCode::kCorrupt, "there is no record in the file, so nothing in it is proven; anybody could have written it");
  EvidenceCheck check;
  check.origin = own->name;
  check.vkey = evidence->vkey;
  check.asked = evidence->asked;
  for (const auto& [index, proven] : evidence->records) {
    if (const auto held = check_record(index, proven, *own, check); !held) return std::unexpected(held.error());
  }
  check.records = evidence->records.size();
  const auto named = records_named_in(evidence->answer);
  if (!named) return wrong((*sections)[1], named.error().message);
  for (const uint64_t index : *named) {
    if (!evidence->records.contains(index))
      return wrong((*sections)[1], fmt::format("it names record {}, which is not in the file", index));
  }
  if (report != evidence_report(*evidence)) return wrong(sections->back(), "it does not say what the rest of the file says");
  read_words(evidence->answer, check);
  check.cut = evidence_cut(evidence->answer);
  check.report = report;
  return check;
}

}  // namespace portbook

#include "cli/evidence.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <set>

#include "base/clock.h"
#include "cli/output.h"
#include "cli/remembered.h"
#include "cli/table.h"
#include "merkle/proof_file.h"
#include "query/evidence.h"
#include "query/json_writer.h"
#include "record/version.h"

namespace portbook {

namespace {

constexpr uint64_t kRowsMax = 1000;

Status write_file(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file) return fail(ErrorCode::kIo, fmt::format("cannot write {}", path));
  return {};
}

// How it was asked, so that it can be asked again.
std::string asked_json(std::string_view command, const Client::Params& params) {
  std::string out;
  Json json(out);
  json.open('{');
  json.text("command", command);
  for (const auto& [name, value] : params) {
    if (!value.empty()) json.text(name, value);
  }
  json.text("asked", format_time(system_clock().now()));
  json.text("version", kVersion);
  json.close('}');
  return out;
}

Result<Evidence::Proven> proven(Client& client, uint64_t index) {
  const auto record = client.get(fmt::format("/api/v1/records/{}", index));
  if (!record) return std::unexpected(record.error());
  const auto proof = client.get(fmt::format("/api/v1/records/{}/proof", index));
  if (!proof) return std::unexpected(proof.error());
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(*record);
  simdjson::dom::element parsed;
  Evidence::Proven out;
  if (parser.parse(padded).get(parsed) != simdjson::SUCCESS || !parse_hex(member(parsed, "bytes"), out.bytes))
    return fail(ErrorCode::kIo, "the book's answer is not JSON");
  out.proof = *proof;
  return out;
}

Result<Evidence> gather(Client& client, std::string_view command, const Client::Params& params) {
  Evidence evidence;
  evidence.asked = asked_json(command, params);
  const auto answer = client.get(fmt::format("/api/v1/{}", command), params);
  if (!answer) return std::unexpected(answer.error());
  evidence.answer = *answer;
  const auto vkey = client.get("/api/v1/vkey");
  if (!vkey) return std::unexpected(vkey.error());
  evidence.vkey = vkey->substr(0, vkey->find('\n'));
  const auto named = records_named_in(*answer);
  if (!named) return std::unexpected(named.error());
  if (named->size() > kEvidenceRecordsMax) {
    return fail(ErrorCode::kLimit, fmt::format("the answer names {} records, more than {}; a narrower question names fewer",
                                               named->size(), kEvidenceRecordsMax));
  }
  for (const uint64_t index : *named) {
    auto one = proven(client, index);
    if (!one) return std::unexpected(one.error());
    evidence.records[index] = std::move(*one);
    show_progress(fmt::format("{} of {} records", evidence.records.size(), named->size()));
  }
  show_progress("");
  return evidence;
}

// Whether every checkpoint of the proofs belongs to the log that this user's command line remembers: a book may have shown itself
// as it was when it was asked for that, and prove records from another one. Errors: kCorrupt, with the exit code of a rewritten
// book.
std::expected<void, CommandError> hold_against_memory(Client& client, const Evidence& evidence) {
  const auto folder = remembered_folder();
  const auto key = parse_vkey(evidence.vkey);
  if (!folder || !key) return {};
  std::set<std::string> checkpoints;
  for (const auto& [index, proven] : evidence.records) {
    if (auto proof = parse_proof_file(proven.proof)) checkpoints.insert(std::move(proof->checkpoint));
  }
  for (const std::string& checkpoint : checkpoints) {
    const auto held =
        RememberedBooks(*folder).extends(*key, checkpoint, [&](const std::string& target) { return client.get(target); });
    if (!held) return std::unexpected(CommandError(held.error(), exit_code(held.error().code)));
    if (held->verdict == Held::kRewritten) return std::unexpected(CommandError({ErrorCode::kCorrupt, held->why}, kExitRewritten));
  }
  return {};
}

}  // namespace

int export_evidence(const EvidenceOptions& options) {
  const std::string command = options.question.empty() ? "" : options.question.front();
  if (command != "who" && command != "trace" && command != "search") {
    return report({ErrorCode::kBadInput,
                   "evidence is of an answer of who, trace or search: portbook export --evidence FILE who ENDPOINT@TIME"});
  }
  auto client = options.place.connect();
  if (!client) return report(client.error());
  Client::Params params = {{"q", fmt::format("{}", fmt::join(options.question.begin() + 1, options.question.end(), " "))}};
  if (command == "search") {
    params.emplace_back("limit", std::to_string(kRowsMax));
  } else {
    params.insert(params.end(), {{"at", options.at}, {"peer", options.peer}, {"host", options.host}, {"window", options.window}});
  }
  const auto evidence = gather(*client, command, params);
  if (!evidence) return report(evidence.error());
  if (evidence->records.empty()) {
    return report({ErrorCode::kNotFound,
                   "the answer rests on no record, so there is nothing to prove: no source of this book had that address then"});
  }
  const std::string file = write_evidence(*evidence);
  // A book that lies is told before anybody relies on the file.
  const auto check = check_evidence(file, evidence->vkey);
  if (!check) return report(check.error().in("what the book gave does not hold"));
  if (const auto held = hold_against_memory(*client, *evidence); !held) return report(held.error());
  if (const auto written = write_file(options.file, file); !written) return report(written.error());
  if (const auto written = write_file(options.file + ".html", check->report); !written) return report(written.error());
  tell("{} records with their proofs are in {}, the report in {}.html. Whoever checks it needs the key: {}\n", check->records,
       options.file, options.file, check->vkey);
  return 0;
}

int verify_evidence(const std::filesystem::path& path, const std::string& vkey, bool json_wanted) {
  std::error_code unreadable;
  const auto length = std::filesystem::file_size(path, unreadable);
  if (!unreadable && length > kEvidenceBytesMax)
    return report({ErrorCode::kLimit, fmt::format("{} is longer than {} bytes", path.string(), kEvidenceBytesMax)});
  std::ifstream in(path, std::ios::binary);
  if (!in) return report({ErrorCode::kNotFound, fmt::format("cannot read {}", path.string())});
  const std::string file(std::istreambuf_iterator<char>(in), {});
  const auto check = check_evidence(file, vkey);
  const bool wrong = !check && check.error().code == ErrorCode::kCorrupt;
  if (!check && !wrong) return report(check.error().in(path.string()));
  if (json_wanted) {
    std::string out;
    Json json(out);
    json.open('{');
    json.boolean("ok", !wrong);
    json.text_or_null("problem", wrong ? check.error().message : "");
    if (!wrong) {
      json.text("origin", check->origin);
      json.text("vkey", check->vkey);
      json.text("key", vkey.empty() ? "own" : "given");
      json.number("records", check->records);
      json.number("size", check->size_max);
      json.boolean("words_signed", false);
      json.raw("asked", check->asked);
      json.text("sentence", check->sentence);
      json.text("completeness", check->completeness);
    }
    json.close('}');
    write_json(out + "\n");
  } else if (wrong) {
    say("{}\n{}: {}.\n", inked(Ink::kBad, "This evidence is not as it was written."), path.string(), check.error().message);
  } else {
    say("{}\n", inked(Ink::kGood,
                      fmt::format("{} records hold: each is proven to be in a signed log of {}.", check->records, check->origin)));
    say("key     {}\n\nNot signed themselves, drawn from the records:\nasked   {}\n", check->vkey, check->asked);
    if (!check->sentence.empty()) say("answer  {}\n", check->sentence);
    if (!check->completeness.empty()) say("        {}\n", check->completeness);
  }
  if (vkey.empty()) {
    tell("The key is the file's own. Pass the one that you kept with --vkey: whoever can change the file can change its key.\n");
  }
  return wrong ? kExitNoMatch : 0;
}

}  // namespace portbook

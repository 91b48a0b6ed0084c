#include "cli/evidence.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <vector>

#include "cli/filter_text.h"
#include "cli/output.h"
#include "cli/remembered.h"
#include "cli/table.h"
#include "query/evidence.h"
#include "query/json_writer.h"

namespace portbook {

namespace {

Status write_file(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file) return fail(ErrorCode::kIo, fmt::format("cannot write {}", path));
  return {};
}

// The file as the book makes it. Errors: also what it says in the last line of a file that it could not finish.
Result<std::string> fetch_evidence(Client& client, const Client::Params& params) {
  auto file = client.get("/api/v1/evidence", params, kEvidenceBytesMax,
                         [](size_t bytes) { show_progress(fmt::format("{} KiB", bytes / 1024)); });
  show_progress("");
  if (!file) return file;
  const size_t last = file->size() < 2 ? 0 : file->rfind('\n', file->size() - 2) + 1;
  if (file->substr(last).starts_with("{\"error\":")) return std::unexpected(book_error(std::string_view(*file).substr(last)));
  return file;
}

// Whether every checkpoint of the proofs belongs to the log that this user's command line remembers: a book may have shown itself
// as it was when it was asked for that, and prove records from another one. Errors: kCorrupt, with the exit code of a rewritten
// book.
std::expected<void, CommandError> hold_against_memory(Client& client, const EvidenceCheck& check) {
  const auto folder = remembered_folder();
  const auto key = parse_vkey(check.vkey);
  if (!folder || !key) return {};
  for (const std::string& checkpoint : check.checkpoints) {
    const auto held =
        RememberedBooks(*folder).extends(*key, checkpoint, [&](const std::string& target) { return client.get(target); });
    if (!held) return std::unexpected(CommandError(held.error(), exit_code(held.error().code)));
    if (held->verdict == Held::kRewritten) return std::unexpected(CommandError({ErrorCode::kCorrupt, held->why}, kExitRewritten));
  }
  return {};
}

}  // namespace

int export_evidence(const EvidenceOptions& options) {
  const std::string of = options.question.empty() ? "" : options.question.front();
  if (of.empty()) {
    return report({ErrorCode::kBadInput,
                   "evidence is of an answer of who, trace or search: portbook export --evidence FILE who ENDPOINT@TIME"});
  }
  const std::vector<std::string> words(options.question.begin() + 1, options.question.end());
  const auto filter = of == "search" ? filter_text(words) : Result<std::string>(fmt::format("{}", fmt::join(words, " ")));
  if (!filter) return report(filter.error());
  auto client = options.place.connect();
  if (!client) return report(client.error());
  const auto file = fetch_evidence(*client, {{"of", of},
                                             {"q", *filter},
                                             {"at", options.at},
                                             {"peer", options.peer},
                                             {"host", options.host},
                                             {"window", options.window},
                                             {"limit", options.limit == 0 ? "" : std::to_string(options.limit)}});
  if (!file) return report(file.error());
  // A book that lies is told before anybody relies on the file.
  const auto check = check_evidence(*file, "");
  if (!check) return report(check.error().in("what the book gave does not hold"));
  if (const auto held = hold_against_memory(*client, *check); !held) return report(held.error());
  if (const auto written = write_file(options.file, *file); !written) return report(written.error());
  if (const auto written = write_file(options.file + ".html", check->report); !written) return report(written.error());
  tell("{} records with their proofs are in {}, the report in {}.html. Whoever checks it needs the key: {}\n", check->records,
       options.file, options.file, check->vkey);
  if (!check->cut.empty())
    tell("{} --limit takes more, as far as they name at most {} records.\n", check->cut, kEvidenceRecordsMax);
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
      json.text_or_null("cut", check->cut);
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
    if (!check->cut.empty()) say("        {}\n", check->cut);
  }
  if (vkey.empty()) {
    tell("The key is the file's own. Pass the one that you kept with --vkey: whoever can change the file can change its key.\n");
  }
  return wrong ? kExitNoMatch : 0;
}

}  // namespace portbook

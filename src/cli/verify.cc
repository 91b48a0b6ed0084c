// portbook verify: checks a whole book, or an evidence file, offline.
#include "book/verify.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <memory>

#include "book/own_records.h"
#include "cli/command.h"
#include "cli/evidence.h"
#include "cli/output.h"
#include "cli/table.h"
#include "query/json_writer.h"

namespace portbook {

namespace {

struct Options {
  BookPlace place;
  std::string folder;
  std::string vkey;
  std::string checkpoint_file;
  bool json = false;
};

// `key_given`: whoever asked named the key; else it is the folder's own, which whoever can change the book can change too.
void print_json(const VerifyReport& found, bool key_given) {
  std::string out;
  Json json(out);
  json.open('{');
  json.boolean("ok", !found.problem);
  json.text("origin", found.origin);
  json.text("vkey", found.vkey);
  json.text("key", key_given ? "given" : "own");
  json.number("size", found.size);
  json.text("root", base64(found.root));
  json.number("records_checked", found.records_checked);
  json.number("first_kept", found.first_kept);
  json.number("segments", found.segments);
  json.number("findings", found.findings);
  if (found.problem) {
    json.open("problem", '{');
    json.text("sentence", found.problem->sentence);
    json.boolean("only_unsettled", found.problem->only_unsettled);
    json.text("file", found.problem->file);
    json.number("offset", found.problem->offset);
    json.number("record", found.problem->record);
    json.close('}');
  } else {
    json.null("problem");
  }
  json.close('}');
  write_json(out + "\n");
}

void print_text(const VerifyReport& found, double seconds) {
  if (found.problem) {
    if (found.problem->only_unsettled) {
      say("{}\n", inked(Ink::kWarn, fmt::format("All {} signed records hold. Behind them lies what a crash or a kill leaves; "
                                                "`portbook up` settles it.",
                                                found.records_checked)));
    } else {
      say("{}\n", inked(Ink::kBad, "This book is not as it was written."));
    }
    say("{}\n", found.problem->sentence);
    return;
  }
  say("{}\n",
      inked(Ink::kGood, fmt::format("Everything holds: {} records, from their bytes to the signature.", found.records_checked)));
  if (found.first_kept > 0)
    say("Records 0 to {}, up to {}, are no longer kept, as the book recorded; their hashes lead to the same root.\n",
        found.first_kept - 1, format_time(found.kept_after));
  say("origin  {}\nsize    {}\nroot    {}\nkey     {}\n", found.origin, found.size, base64(found.root), found.vkey);
  if (found.findings > 0) {
    say("{}\n{}\nIt was put back since, or everything would not hold. All of them: portbook search 'action:\"{}\"'\n",
        inked(Ink::kWarn,
              fmt::format("The book recorded {} findings of damage when it looked at itself, the first one:", found.findings)),
        found.first_finding, kSelfCheckFound);
  }
  say("{:.2f} s\n", seconds);
}

int verify(const Options& options) {
  const std::filesystem::path folder = options.folder.empty() ? options.place.folder() : std::filesystem::path(options.folder);
  std::error_code unknown;
  if (std::filesystem::is_regular_file(folder, unknown)) {
    if (!options.checkpoint_file.empty())
      return report({ErrorCode::kBadInput, "--checkpoint is for a book; an evidence file has the checkpoints of its proofs"});
    return verify_evidence(folder, options.vkey, options.json);
  }
  VerifyOptions how;
  if (!options.vkey.empty()) how.vkey = options.vkey;
  if (!options.checkpoint_file.empty()) {
    std::ifstream file(options.checkpoint_file);
    if (!file) return report({ErrorCode::kNotFound, fmt::format("cannot read {}", options.checkpoint_file)});
    how.older_checkpoint = std::string(std::istreambuf_iterator<char>(file), {});
  }
  if (shows_progress())
    how.progress = [](uint64_t done, uint64_t total) { show_progress(fmt::format("{} of {} records", done, total)); };
  const auto began = std::chrono::steady_clock::now();
  const auto found = verify_book(folder, how);
  show_progress("");
  if (!found) return report(found.error());
  if (options.json) {
    print_json(*found, !options.vkey.empty());
  } else {
    print_text(*found, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
    if (options.vkey.empty())
      tell(
          "The key is the folder's own. Pass the one that you kept with --vkey: whoever can change the book can change its key.\n");
  }
  if (!found->problem) return found->findings > 0 ? kExitFindings : 0;
  return found->problem->only_unsettled ? kExitUnsettled : kExitNoMatch;
}

}  // namespace

void add_verify(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("verify", "Check a whole book, or an evidence file, offline");
  command->add_option("folder", options->folder, "Folder of the book (default: --data), or an evidence file");
  command->add_option("--vkey", options->vkey, "The public key that must have signed");
  command->add_option("--checkpoint", options->checkpoint_file,
                      "A file with a checkpoint kept from earlier: today's book must extend it");
  command->add_flag("--json", options->json, "The report as JSON");
  add_folder_option(*command, options->place);
  command->footer(
      "Examples:\n"
      "  portbook verify /var/lib/portbook --vkey \"$(cat portbook.vkey)\"\n"
      "  portbook verify --checkpoint last-month.checkpoint --json\n"
      "  portbook verify answer.evidence --vkey \"$(cat portbook.vkey)\"\n"
      "Exit codes: 0 everything holds, 1 something is wrong (the first bad record, its file and offset are named), 10 all that is\n"
      "signed holds and what a crash left behind it is not settled yet, 11 everything holds, but the book has recorded damage that "
      "its\n"
      "self-check found earlier");
  command->callback([options, &run] { run = [options] { return verify(*options); }; });
}

}  // namespace portbook

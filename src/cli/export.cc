// portbook export: evidence of an answer, or the book in the form that independent tools read.
#include "book/export.h"

#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/evidence.h"
#include "cli/output.h"
#include "query/evidence.h"

namespace portbook {

namespace {

struct Options {
  EvidenceOptions evidence;
  std::string target;
};

int export_book(const Options& options) {
  const auto snapshot = open_snapshot(options.evidence.place.folder());
  if (!snapshot) return report(snapshot.error());
  std::function<void(uint64_t, uint64_t)> progress;
  if (shows_progress())
    progress = [](uint64_t done, uint64_t total) { show_progress(fmt::format("{} of {} records", done, total)); };
  const auto written = export_tlog(*snapshot, options.target, progress);
  show_progress("");
  if (!written) return report(written.error());
  tell("{} records are in {}.\n", snapshot->head.size, options.target);
  return 0;
}

}  // namespace

void add_export(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("export", "Evidence of an answer, or the whole book as C2SP tlog-tiles");
  EvidenceOptions& evidence = options->evidence;
  auto* tlog = command->add_option("--tlog", options->target,
                                   "Folder to write the book into, as checkpoint, vkey, tile/…, tile/entries/…; made when missing");
  auto* file =
      command->add_option("--evidence", evidence.file, "File to write an answer into, with its records and proofs")->excludes(tlog);
  command->add_option("question", evidence.question, "With --evidence: who, trace or search, and the question")->needs(file);
  command->add_option("--at", evidence.at, "With --evidence, as for who: the moment")->needs(file);
  command->add_option("--peer", evidence.peer, "the other end")->needs(file);
  command->add_option("--host", evidence.host, "only owners on that host")->needs(file);
  command->add_option("--window", evidence.window, "widen the moment on both sides")->needs(file);
  command
      ->add_option("--limit,-n", evidence.limit,
                   fmt::format("rows of a search at most, from 1 to {} (default: {})", kEvidenceRowsMax, kEvidenceRowsUsual))
      ->check(CLI::Range(uint64_t{1}, kEvidenceRowsMax))
      ->needs(file);
  add_place_options(*command, evidence.place);
  command->footer(
      "Examples:\n"
      "  portbook export --evidence case-17.evidence who 203.0.113.5:41234@2026-11-22T12:03:04Z\n"
      "  portbook export --data /var/lib/portbook --tlog /srv/www/log\n"
      "Evidence is checked before it is written, and anywhere with: portbook verify FILE --vkey KEY");
  command->callback([options, &run] {
    run = [options] {
      if (!options->evidence.file.empty()) return export_evidence(options->evidence);
      if (options->target.empty())
        return report({ErrorCode::kBadInput, "name what to write: --evidence FILE and a question, or --tlog FOLDER"});
      if (!options->evidence.place.server.empty())
        return report({ErrorCode::kBadInput, "--tlog reads the book's folder: name it with --data, not --server"});
      return export_book(*options);
    };
  });
}

}  // namespace portbook

// portbook export: the book in the form that independent tools read.
#include "book/export.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "cli/command.h"

namespace portbook {

namespace {

struct Options {
  BookPlace place;
  std::string target;
};

int export_book(const Options& options) {
  const auto snapshot = open_snapshot(options.place.folder());
  if (!snapshot) return report(snapshot.error());
  std::function<void(uint64_t, uint64_t)> progress;
  if (isatty(STDERR_FILENO) != 0)
    progress = [](uint64_t done, uint64_t total) { fmt::print(stderr, "\r{} of {} records", done, total); };
  const auto written = export_tlog(*snapshot, options.target, progress);
  if (progress) fmt::print(stderr, "\r\033[K");
  if (!written) return report(written.error());
  fmt::print(stderr, "{} records are in {}.\n", snapshot->head.size, options.target);
  return 0;
}

}  // namespace

void add_export(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("export", "Write the book as C2SP tlog-tiles: checkpoint, vkey, tile/…, tile/entries/…");
  command->add_option("--tlog", options->target, "Folder to write into; made when missing")->required();
  add_folder_option(*command, options->place);
  command->footer(
      "Examples:\n"
      "  portbook export --tlog ./web-7-log\n"
      "  portbook export --data /var/lib/portbook --tlog /srv/www/log");
  command->callback([options, &run] { run = [options] { return export_book(*options); }; });
}

}  // namespace portbook

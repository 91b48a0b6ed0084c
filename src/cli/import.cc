// portbook import: records from a file of JSON lines into a book, running or not.
#include "book/import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>

#include "base/file_descriptor.h"
#include "cli/boundaries.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/roles.h"
#include "privilege/confine.h"
#include "record/version.h"
#include "server/credentials.h"
#include "ship/book_link.h"
#include "ship/stream_socket.h"
#include "sources/decode.h"

namespace portbook {

namespace {

constexpr size_t kReadBytes = 1024 * 1024;
constexpr size_t kNameBytesMax = 60;  // of the file's name in the source's
constexpr unsigned kThreads = 2;
constexpr std::string_view kJson = "json";
constexpr std::string_view kStop = "stop";
constexpr std::string_view kNote = "note";

struct Options {
  BookPlace place;
  std::string file;
  std::string source;
  std::string vouch;
  std::string host;
  std::string format = std::string(kJson);
  std::string zone;
  std::string clock_error;
  std::string bad_lines = std::string(kStop);
};

// A book that runs in another process.
class LinkTarget final : public ImportTarget {
 public:
  explicit LinkTarget(std::unique_ptr<BookLink> link) : link_(std::move(link)) {}
  Result<uint64_t> last_seq(const std::string& source) override { return link_->open(source); }
  Result<Submit> prepare(Batch batch) override {
    return [this, batch = std::move(batch)](Answered answered) mutable { link_->submit(std::move(batch), std::move(answered)); };
  }

 private:
  const std::unique_ptr<BookLink> link_;
};

// What is imported into: the book, or the way to it.
struct Opened {
  std::unique_ptr<Book> book;
  std::unique_ptr<ImportTarget> target;
};

Result<FileDescriptor> open_input(const std::string& path) {
  FileDescriptor file(path == "-" ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.valid()) return file;
  const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : errno == EACCES ? ErrorCode::kDenied : ErrorCode::kIo;
  return fail(code, fmt::format("{}: {}", path, std::strerror(errno)));
}

// The file's name with a checksum of all that it holds: the same file is known again wherever it lies, another one is another
// source.
Result<std::string> name_of(const FileDescriptor& file, const std::string& path) {
  struct stat about{};
  if (fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode)) {
    return fail(ErrorCode::kBadInput, "what is no file is not known again when it is imported twice: name it with --source NAME");
  }
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  Bytes bytes(kReadBytes);
  off_t at = 0;
  while (true) {
    const ssize_t got = pread(file.get(), bytes.data(), bytes.size(), at);
    if (got < 0) return fail(ErrorCode::kIo, fmt::format("{}: {}", path, std::strerror(errno)));
    if (got == 0) break;
    XXH3_64bits_update(&state, bytes.data(), static_cast<size_t>(got));
    at += got;
  }
  return fmt::format("{}-{:016x}", std::filesystem::path(path).filename().string().substr(0, kNameBytesMax),
                     XXH3_64bits_digest(&state));
}

// As the book's own process: its folder's owner, and nothing that this work does not need.
Status become_book(const std::filesystem::path& data) {
  const auto user = prepare_book(data);
  if (!user) return fail_in("the book's folder", user);
  std::error_code error;
  std::filesystem::create_directories(data, error);
  ConfineOptions confining;
  confining.part = Part::kBook;
  confining.user = *user;
  confining.writable = {data};
  if (const auto confined = confine(confining); !confined)
    return fail_in("import cannot give up its privileges, and does not run", confined);
  return {};
}

Result<std::unique_ptr<Book>> open_book(const std::filesystem::path& data, const std::string& host) {
  BookOptions options;
  options.folder = data;
  options.host = host;
  options.origin = "portbook/" + host;
  options.self_check_rate = 0;  // whoever keeps the book does that
  return Book::open(options, system_clock());
}

// Connects as who it was started by, whom the book knows, before privileges are given up.
Result<Opened> open_target(const std::filesystem::path& data, const std::string& host) {
  Opened opened;
  const std::filesystem::path socket = default_ingest_socket(data);
  if (somebody_listens(socket)) {
    auto link = BookLink::connect({socket, host, std::string(kVersion)});
    if (!link) return fail_in("the running book", link);
    opened.target = std::make_unique<LinkTarget>(std::move(*link));
    if (Status became = become_book(data); !became) return std::unexpected(became.error());
    return opened;
  }
  if (Status became = become_book(data); !became) return std::unexpected(became.error());
  auto book = open_book(data, host);
  if (!book) return std::unexpected(book.error());
  opened.book = std::move(*book);
  opened.target = make_import_target(*opened.book);
  return opened;
}

struct Understood {
  std::atomic<uint64_t> lines = 0;  // without those that the book had already
  std::atomic<uint64_t> not_understood = 0;
};

// Makes `importing` read lines of another program's log. `counts` outlives the import.
Status read_as(const Options& options, ImportOptions& importing, Understood& counts) {
  if (options.format == kJson) {
    if (!options.zone.empty()) return fail(ErrorCode::kBadInput, "--zone is for --format: times in JSON say their zone themselves");
    if (!options.clock_error.empty())
      return fail(ErrorCode::kBadInput, "--clock-error is for --format: records in JSON have clock_error themselves");
    return {};
  }
  const auto format = line_format_named(options.format);
  if (!format) {
    std::string known(kJson);
    for (const LineFormatName& one : line_formats()) known += fmt::format(", {}", one.name);
    return fail(ErrorCode::kBadInput, fmt::format("--format: there is no \"{}\"; there are {}", options.format, known));
  }
  const auto zone = choose_zone(options.zone.empty() ? "UTC" : options.zone);
  if (!zone) return std::unexpected(zone.error());
  const auto clock_error = choose_clock_error(options.clock_error);
  if (!clock_error) return std::unexpected(clock_error.error());
  const LineOrigin origin{system_clock().now(), *zone, *clock_error};
  importing.reader = [format = *format, origin, &counts] {
    return [format, origin, &counts](std::string_view line, Record& record) -> Status {
      if (!decode_line(format, line, origin, record)) ++counts.not_understood;
      ++counts.lines;
      return {};
    };
  };
  return {};
}

void show(const ImportProgress& progress, double seconds) {
  const auto records = static_cast<double>(progress.records);
  show_progress(fmt::format("{} records, {} MiB, {:.0f} records/s", progress.records, progress.bytes >> 20,
                            seconds > 0 ? records / seconds : 0));
}

int import(const Options& options) {
  ImportOptions importing;
  importing.threads = kThreads;
  if (!options.vouch.empty()) {
    const auto vantages = parse_vantages(options.vouch);
    if (!vantages) return report(vantages.error().in("--vouch"));
    if ((*vantages >> static_cast<unsigned>(Vantage::kBook) & 1) != 0)
      return report({ErrorCode::kBadInput, "--vouch: what is of vantage book only a book says; there are socket,nat"});
    importing.vantages |= *vantages;
  }
  if (options.bad_lines != kStop && options.bad_lines != kNote)
    return report({ErrorCode::kBadInput, fmt::format("--bad-lines: there is no \"{}\"; there are stop, note", options.bad_lines)});
  if (options.bad_lines == kNote) importing.note_bad_lines = system_clock().now();
  Understood understood;
  if (Status known = read_as(options, importing, understood); !known) return report(known.error());
  const auto file = open_input(options.file);
  if (!file) return report(file.error());
  const std::string host = options.host.empty() ? host_name() : options.host;
  const auto name = options.source.empty() ? name_of(*file, options.file) : Result<std::string>(options.source);
  if (!name) return report(name.error());
  importing.source = fmt::format("{}/import/{}", host, *name);
  const std::filesystem::path data = options.place.folder();
  const auto opened = open_target(data, host);
  if (!opened) return report(opened.error());
  const auto began = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  if (shows_progress()) importing.progress = [&](const ImportProgress& progress) { show(progress, seconds()); };
  ImportReport found;
  const Status done = import_lines(file->get(), *opened->target, importing, found);
  show_progress("");
  const double took = seconds();
  tell("{} records are in the book as {}{}, in {:.1f} s ({:.0f} records/s).\n", found.records, importing.source,
       found.already == 0 ? "" : fmt::format(", {} were there already", found.already), took,
       static_cast<double>(found.records) / std::max(took, 1e-3));
  if (found.bad > 0)
    tell("{} lines are no records: they are notes; find them with: cause~\"{}\" records:all\n", found.bad, kNotARecord);
  if (understood.not_understood > 0)
    tell("{} of {} lines were not understood: they are notes; find them with: cause:\"{}\"\n", understood.not_understood.load(),
         understood.lines.load(), kNotUnderstood);
  if (done) return 0;
  report(done.error().in(options.file == "-" ? "standard input" : options.file));
  tell(
      "portbook: what stands before it is in the book; to go on with the corrected lines: --source {0}; or past them: --source {0} "
      "--bad-lines note\n",
      *name);
  return exit_code(done.error().code);
}

}  // namespace

void add_import(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("import", "Records from a file of JSON lines, into a book, running or not");
  command->add_option("file", options->file, "A record a line, with the names of `portbook fields`; - is standard input")
      ->required();
  add_folder_option(*command, options->place);
  command->add_option("--source", options->source, "Name under which the file is known again (default: its name and a checksum)");
  command->add_option("--vouch", options->vouch,
                      "Also take records of these vantages, socket or nat: you vouch that a kernel saw what they say");
  command->add_option("--format", options->format,
                      "What the lines are: json, or a program whose log it is: haproxy, postgresql, pgbouncer, sshd, nginx; or "
                      "syslog (default: json)");
  command->add_option("--zone", options->zone, "Zone of times that name none: +01:00, Europe/Berlin, local, or UTC (default)");
  command->add_option("--clock-error", options->clock_error, std::string(kClockErrorHelp));
  command->add_option(
      "--bad-lines", options->bad_lines,
      "A wrong line: stop at it, or go on with a note in the book that has the line and what is wrong (default: stop)");
  command->add_option("--host", options->host, "Name of this host in the source's name (default: its host name)");
  command->footer(
      "Examples:\n"
      "  portbook import proxy-2026-10.ndjson --data /srv/portbook\n"
      "  zcat conns.ndjson.gz | portbook import - --source conns-2026-10 --vouch socket,nat\n"
      "  portbook import /var/log/haproxy.log --format haproxy --zone +01:00\n"
      "The same file again takes in what is missing and doubles nothing. docs/import.md has the form of a line, docs/sources.md "
      "the programs.");
  command->callback([options, &run] { run = [options] { return import(*options); }; });
}

}  // namespace portbook

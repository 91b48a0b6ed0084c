// portbook serve: the book alone; agents ship to it.
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/roles.h"

namespace portbook {

void add_serve(CLI::App& program, Run& run) {
  struct Options {
    std::string data;
    std::string ingest;
    std::string cache_max;
    uint32_t keep_days = 0;
    std::string keep_size;
    std::string self_check;
    std::string certificate;
    std::string key;
    BookRole role;
  };
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("serve", "Keep a book and answer questions; agents ship to it");
  command->add_option("--data", options->data,
                      fmt::format("Folder of the book; made when missing (default {})", default_folder().string()));
  command->add_option("--listen", options->role.listen, "Address and port of the page and API (default 127.0.0.1:7171)");
  auto* certificate = command->add_option("--tls-cert", options->certificate,
                                          "PEM file of the certificate, for --listen elsewhere than on loopback");
  auto* key = command->add_option("--tls-key", options->key, "PEM file of its key; SIGHUP reads both anew");
  certificate->needs(key);
  key->needs(certificate);
  command->add_option("--ingest", options->ingest,
                      "Unix socket for other agents, each of which needs a token: see enroll (default: none; this host's agent "
                      "has one beside the folder)");
  command->add_option("--host", options->role.host, "Name of this host in its records (default: its host name)");
  command->add_option("--origin", options->role.origin, "Name of a new book in its checkpoints (default portbook/HOST)");
  command->add_option("--cache-max", options->cache_max, "Most memory for blocks that were read back (default 256MiB)");
  command->add_option("--keep-days", options->keep_days, "Remove records that are older, in whole blocks (default: keep all)")
      ->check(CLI::Range(1U, kKeepDaysMax));
  command->add_option("--keep-size", options->keep_size,
                      "Remove the oldest blocks when all take more, such as 50GiB (default: keep all)");
  command->add_option("--self-check", options->self_check,
                      "Bytes a second of sealed data that the book reads again and checks, or off (default 256KiB)");
  command->add_option("--supervisor-fd", options->role.supervisor)->group("");
  command->add_flag("--again", options->role.again)->group("");
  command->footer(
      "Examples:\n"
      "  sudo portbook serve --listen 0.0.0.0:7171 --tls-cert book.pem --tls-key book.key\n"
      "  sudo portbook serve --data /srv/portbook --ingest /run/portbook/ingest.sock --cache-max 64MiB");
  command->callback([options, &run] {
    run = [options] {
      BookRole role = options->role;
      role.data = options->data.empty() ? default_folder() : std::filesystem::path(options->data);
      role.ingest = options->ingest;
      role.tls_certificate = options->certificate;
      role.tls_key = options->key;
      if (role.host.empty()) role.host = host_name();
      if (!options->cache_max.empty()) {
        const auto bytes = parse_bytes(options->cache_max);
        if (!bytes) return report(bytes.error());
        role.cache_bytes_max = *bytes;
      }
      if (!options->self_check.empty()) {
        const auto bytes = parse_rate(options->self_check);
        if (!bytes) return report(bytes.error());
        role.self_check_rate = *bytes;
      }
      role.keep.age_ns = days_ns(options->keep_days);
      if (!options->keep_size.empty()) {
        const auto bytes = parse_bytes(options->keep_size);
        if (!bytes) return report(bytes.error());
        role.keep.bytes = *bytes;
      }
      return run_book(role);
    };
  });
}

}  // namespace portbook

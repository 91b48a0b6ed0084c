// portbook enroll: which agents of other hosts may write to this book.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "cli/boundaries.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/roles.h"
#include "server/credentials.h"
#include "ship/stream_socket.h"
#include "ship/wire.h"

namespace portbook {

namespace {

struct Options {
  BookPlace place;
  std::string host;
  std::string vantages;
  std::string token_file;
  bool list = false;
  bool revoke = false;
};

constexpr int kAnswerPatienceMs = 10'000;
constexpr size_t kAnswerBytes = 64 * 1024;

// Errors of kIo: nobody knows whether it was done.
Result<std::string> ask(const std::filesystem::path& socket, const EnrolmentRequest& request) {
  const auto fd = connect_unix(socket);
  if (!fd && fd.error().code == ErrorCode::kUnavailable)
    return fail(ErrorCode::kUnavailable,
                fmt::format("no book takes agents at {}; start it with: portbook up, or portbook serve", socket.string()));
  if (!fd) return fail(fd.error().code == ErrorCode::kDenied ? ErrorCode::kDenied : ErrorCode::kUnavailable, fd.error().message);
  Bytes out;
  size_t at = 0;
  append_message(out, request);
  if (write_some(*fd, out, at) != Moved::kSome) return fail(ErrorCode::kUnavailable, "the book does not listen");
  Bytes in;
  while (true) {
    const DecodedMessage decoded = decode_message(in);
    if (const auto* whole = std::get_if<WholeMessage>(&decoded)) {
      const auto* answer = std::get_if<EnrolmentAnswer>(&whole->message);
      const auto* bye = std::get_if<ByeMessage>(&whole->message);
      if (answer != nullptr && answer->code == ShipCode::kTaken) return std::string(answer->text);
      if (answer != nullptr) {
        return fail(answer->code == ShipCode::kDenied ? ErrorCode::kDenied : ErrorCode::kBadInput, std::string(answer->text));
      }
      return fail(ErrorCode::kUnavailable, bye != nullptr ? std::string(bye->reason) : "the book answered something else");
    }
    pollfd readable{fd->get(), POLLIN, 0};
    if (poll(&readable, 1, kAnswerPatienceMs) <= 0) return fail(ErrorCode::kIo, "the book does not answer");
    if (std::holds_alternative<Malformed>(decoded) || read_some(*fd, in, kAnswerBytes) == Moved::kClosed)
      return fail(ErrorCode::kIo, "the book's answer broke off");
  }
}

// A file that nobody else can read, and that was not there.
Status write_token(const std::string& path, const std::string& token) {
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  const std::string line = token + "\n";
  const bool written =
      file.valid() && write(file.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size()) && fsync(file.get()) == 0;
  if (written) return {};
  const int error = errno;
  if (file.valid()) unlink(path.c_str());  // the next try would find it there
  return fail(error == EACCES ? ErrorCode::kDenied : ErrorCode::kIo, fmt::format("cannot make {}: {}", path, std::strerror(error)));
}

int list(const std::filesystem::path& socket) {
  const auto text = ask(socket, {});
  if (!text) return report(text.error());
  const auto credentials = parse_credentials(*text);
  if (!credentials) return report(credentials.error());
  for (const Credential& one : *credentials)
    say("{}  {}  enrolled {}\n", one.host, vantages_text(one.vantages), format_time(one.enrolled).substr(0, 19));
  return 0;
}

int enroll(const Options& options) {
  const std::filesystem::path socket = default_ingest_socket(options.place.folder());
  if (options.list) return list(socket);
  EnrolmentRequest request;
  request.host = options.host;
  if (options.host.empty()) return report({ErrorCode::kBadInput, "enroll needs the name of a host; see `portbook enroll --help`"});
  if (options.revoke) {
    request.action = EnrolmentAction::kRevoke;
    const auto done = ask(socket, request);
    if (!done) return report(done.error());
    say("{}\n", *done);
    return 0;
  }
  const auto vantages = options.vantages.empty() ? Result<uint32_t>(kAgentVantages) : parse_vantages(options.vantages);
  if (!vantages) return report(vantages.error());
  const std::string token = make_token();
  const std::string path = options.token_file.empty() ? options.host + ".token" : options.token_file;
  // The file first: a token that is known to the book alone would be of no use.
  if (Status written = write_token(path, token); !written) return report(written.error());
  request.action = EnrolmentAction::kEnrol;
  request.vantages = *vantages;
  request.token_hash = token_hash(token);
  const auto done = ask(socket, request);
  if (!done && done.error().code == ErrorCode::kIo) {
    return report(
        {ErrorCode::kIo, fmt::format("{}: whether {} is enrolled is not known, portbook enroll --list shows it; the token is "
                                     "kept in {}",
                                     done.error().message, options.host, path)});
  }
  if (!done) {
    unlink(path.c_str());
    return report(done.error());
  }
  say("{}\nIts token is in {}; give it to: portbook agent --host {} --book SOCKET --token-file {}\n"
      "SOCKET is the one that the book makes with: portbook serve --ingest SOCKET\n",
      *done, path, options.host, path);
  return 0;
}

}  // namespace

void add_enroll(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("enroll", "Let another host's agent write to this book, or take that back");
  command->add_option("host", options->host, "Name of the host that the agent will speak for");
  command->add_option("--vantage", options->vantages, fmt::format("What it may write (default {})", vantages_text(kAgentVantages)));
  command->add_option("--token-file", options->token_file, "File to make for the agent's token (default HOST.token)");
  command->add_flag("--list", options->list, "Show who is enrolled");
  command->add_flag("--revoke", options->revoke, "Take a host's credential back; its connection ends");
  add_folder_option(*command, options->place);
  command->footer(
      "Examples:\n"
      "  sudo portbook enroll web-8 --token-file /etc/portbook/web-8.token\n"
      "  sudo portbook enroll --revoke web-8\n"
      "The book keeps the token's hash alone. Both are recorded in the book.");
  command->callback([options, &run] { run = [options] { return enroll(*options); }; });
}

}  // namespace portbook

#include "logs/pool_console.h"

#include <fmt/format.h>
#include <poll.h>

#include <array>
#include <utility>
#include <vector>

#include "logs/postgresql_login.h"
#include "ship/stream_socket.h"

namespace portbook {

namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr std::string_view kConsoleDatabase = "pgbouncer";

// Tags of messages.
constexpr char kAuthentication = 'R';
constexpr char kError = 'E';
constexpr char kReady = 'Z';
constexpr char kColumns = 'T';
constexpr char kRow = 'D';

}  // namespace

Status PoolConsole::wait(short events) {
  while (true) {
    const uint64_t now = clock_.boot_ns();
    if (now >= answer_by_)
      return fail(ErrorCode::kUnavailable, fmt::format("it did not answer within {} s", kConsolePatienceNs / kNsPerSecond));
    std::array<pollfd, 2> fds{pollfd{fd_.get(), events, 0}, pollfd{wake_.get(), POLLIN, 0}};
    poll(fds.data(), fds.size(), static_cast<int>((answer_by_ - now) / kNsPerMs + 1));
    if (fds[0].revents != 0) return {};
    if (fds[1].revents != 0) return fail(ErrorCode::kUnavailable, "it was not waited for");
  }
}

Status PoolConsole::flush() {
  answer_by_ = clock_.boot_ns() + kConsolePatienceNs;
  answer_bytes_ = 0;
  while (!out_.empty()) {
    const Moved moved = write_some(fd_, out_, out_at_);
    if (moved == Moved::kClosed) return fail(ErrorCode::kUnavailable, "it has closed the connection");
    if (moved == Moved::kSome) continue;
    if (Status ready = wait(POLLOUT); !ready) return ready;
  }
  return {};
}

Result<BackendMessage> PoolConsole::next() {
  while (true) {
    const DecodedBackend decoded = decode_backend(ByteView(in_).subspan(in_at_));
    if (const auto* bad = std::get_if<Malformed>(&decoded))
      return fail(ErrorCode::kBadInput, fmt::format("it sent {}", bad->reason));
    if (const auto* message = std::get_if<BackendMessage>(&decoded)) {
      in_at_ += message->length;
      answer_bytes_ += message->length;
      if (answer_bytes_ > kConsoleAnswerBytesMax)
        return fail(ErrorCode::kLimit, fmt::format("it answers more than {} MiB", kConsoleAnswerBytesMax >> 20));
      return *message;
    }
    in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(std::exchange(in_at_, 0)));
    const Moved moved = read_some(fd_, in_, kReadBytes);
    if (moved == Moved::kClosed) return fail(ErrorCode::kUnavailable, "it has closed the connection");
    if (moved == Moved::kSome) continue;
    if (Status ready = wait(POLLIN); !ready) return std::unexpected(ready.error());
  }
}

Status PoolConsole::log_in(const std::string& user, const std::string& password, const std::string& nonce) {
  PostgresqlLogin login(user, password, nonce);
  append_startup(out_, user, kConsoleDatabase);
  if (Status sent = flush(); !sent) return sent;
  while (true) {
    const auto message = next();
    if (!message) return std::unexpected(message.error());
    if (message->tag == kError) return fail(ErrorCode::kDenied, error_sentence(message->body));
    if (message->tag == kReady && login.done()) return {};
    if (message->tag != kAuthentication) continue;
    const auto answer = login.answer(message->body);
    if (!answer) return std::unexpected(answer.error());
    append(out_, *answer);
    if (Status sent = flush(); !sent) return sent;
  }
}

template <typename Table>
Status PoolConsole::ask(std::string_view query, Table& table) {
  append_query(out_, query);
  if (Status sent = flush(); !sent) return sent;
  std::vector<std::string_view> texts;
  bool has_columns = false;
  while (true) {
    const auto message = next();
    if (!message) return std::unexpected(message.error());
    if (message->tag == kError) return fail(ErrorCode::kDenied, error_sentence(message->body));
    if (message->tag == kReady && has_columns) return {};
    if (message->tag == kReady) return fail(ErrorCode::kBadInput, fmt::format("it has no answer to {}", query));
    if (message->tag != kColumns && message->tag != kRow) continue;
    const bool names = message->tag == kColumns;
    if (!(names ? read_column_names(message->body, texts) : read_column_values(message->body, texts)))
      return fail(ErrorCode::kBadInput, fmt::format("its answer to {} cannot be read", query));
    has_columns = has_columns || names;
    if (Status taken = names ? table.take_columns(query, texts) : table.take_row(texts); !taken) return taken;
  }
}

Result<PoolSample> PoolConsole::sample(std::optional<uint64_t> error_ns) {
  PoolSample sample;
  if (Status asked = ask("SHOW POOLS", sample.modes); !asked) return std::unexpected(asked.error());
  if (Status asked = ask("SHOW SERVERS", sample.servers_before); !asked) return std::unexpected(asked.error());
  const TimeNs time = clock_.now();
  const uint64_t begun = clock_.boot_ns();
  if (Status asked = ask("SHOW CLIENTS", sample.clients); !asked) return std::unexpected(asked.error());
  const uint64_t half = (clock_.boot_ns() - begun + 1) / 2;
  if (Status asked = ask("SHOW SERVERS", sample.servers_after); !asked) return std::unexpected(asked.error());
  sample.time = time + half;
  if (error_ns) sample.clock_error_ns = *error_ns + half;
  return sample;
}

}  // namespace portbook

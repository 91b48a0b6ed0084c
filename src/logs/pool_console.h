// A connection to PgBouncer's console.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file_descriptor.h"
#include "base/result.h"
#include "logs/pool_links.h"
#include "logs/postgresql_wire.h"

namespace portbook {

inline constexpr size_t kConsoleAnswerBytesMax = 64 << 20;        // of one question
inline constexpr uint64_t kConsolePatienceNs = 5 * kNsPerSecond;  // for one answer

// Owned by one thread. After any error the connection is of no use. Errors of all: kUnavailable (it is closed, does not answer
// within kConsolePatienceNs, or `wake` was ready), kDenied (refused; what PgBouncer says), kBadInput (it does not speak the
// protocol), kLimit (an answer of more than kConsoleAnswerBytesMax, kConsoleRowsMax or kConsoleColumnsMax).
class PoolConsole {
 public:
  // Needs a non-blocking socket. `wake` outlives it.
  PoolConsole(FileDescriptor fd, Clock& clock, const FileDescriptor& wake) : fd_(std::move(fd)), clock_(clock), wake_(wake) {}

  // Logs in to the database `pgbouncer`. `password` may be empty; `nonce` as PostgresqlLogin has it.
  Status log_in(const std::string& user, const std::string& password, const std::string& nonce);
  // Asks for all of a sample. `error_ns`: how wrong this machine's clock may be; nothing: it is not synchronised.
  Result<PoolSample> sample(std::optional<uint64_t> error_ns);

 private:
  // The next message; its body is valid until the next call.
  Result<BackendMessage> next();
  Status flush();
  Status wait(short events);
  // Up to the end of the answer; then `table` has its rows.
  template <typename Table>
  Status ask(std::string_view query, Table& table);

  FileDescriptor fd_;
  Clock& clock_;
  const FileDescriptor& wake_;
  Bytes in_;
  size_t in_at_ = 0;  // where the next message begins
  Bytes out_;
  size_t out_at_ = 0;
  uint64_t answer_bytes_ = 0;
  uint64_t answer_by_ = 0;  // boot time
};

}  // namespace portbook

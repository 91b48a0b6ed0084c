// How a client of PostgreSQL's protocol shows who it is: trust and peer (nothing is asked), md5, SCRAM-SHA-256. A password is never
// sent in clear text: whoever listens there could be anybody. Pure; randomness is passed in.
// Sources: PostgreSQL 15, chapters 55.2.1 and 55.3; RFC 5802, RFC 7677.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/result.h"

namespace portbook {

inline constexpr size_t kPasswordBytesMax = 1024;
inline constexpr uint32_t kScramRoundsMax = 100'000;  // of whoever asks; more would only keep this program busy

// One login. One thread.
class PostgresqlLogin {
 public:
  // `nonce`: printable ASCII without a comma, never used before. An empty password: none is known.
  PostgresqlLogin(std::string user, std::string password, std::string nonce)
      : user_(std::move(user)), password_(std::move(password)), nonce_(std::move(nonce)) {}

  // Takes the body of one Authentication message and gives the message to send; empty: none. Errors: kDenied (a password is
  // asked for and none is known, or the other side does not know it either), kUnavailable (another method), kBadInput (malformed).
  Result<Bytes> answer(ByteView body);
  [[nodiscard]] bool done() const { return done_; }

 private:
  [[nodiscard]] Bytes answer_md5(ByteView salt) const;
  Result<Bytes> begin_scram(ByteView mechanisms);
  Result<Bytes> continue_scram(std::string_view challenge);
  Result<Bytes> end_scram(std::string_view verdict);

  const std::string user_;
  const std::string password_;
  const std::string nonce_;
  std::optional<std::string> expected_verdict_;  // of the server, which has to know the password too
  bool scram_ = false;                           // was begun
  bool proven_ = false;                          // the server has shown that
  bool done_ = false;
};

}  // namespace portbook

#include "logs/postgresql_login.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/check.h"
#include "logs/postgresql_wire.h"

namespace portbook {

namespace {

enum class Method : uint32_t { kOk = 0, kClearText = 3, kMd5 = 5, kSasl = 10, kSaslContinue = 11, kSaslFinal = 12 };

constexpr std::string_view kScram = "SCRAM-SHA-256";
constexpr size_t kMethodBytes = 4;
constexpr size_t kMd5SaltBytes = 4;
constexpr size_t kSaltBytesMax = 1024;

std::string md5_hex(ByteView a, ByteView b) {
  Bytes all(a.begin(), a.end());
  append(all, b);
  std::array<Byte, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  // Where the machine's rules forbid MD5, the answer is wrong and the server refuses it.
  if (EVP_Digest(all.data(), all.size(), digest.data(), &length, EVP_md5(), nullptr) != 1) return {};
  return hex(ByteView(digest).first(length));
}

Hash hmac(ByteView key, std::string_view text) {
  Hash out{};
  unsigned length = 0;
  PB_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), as_bytes(text).data(), text.size(), out.data(), &length) !=
           nullptr);
  return out;
}

// "r" of "r=…,s=…,i=4096"; nothing where the next part has another name.
std::optional<std::string_view> take_part(std::string_view& rest, char name) {
  if (rest.size() < 2 || rest[0] != name || rest[1] != '=') return std::nullopt;
  const size_t end = std::min(rest.find(','), rest.size());
  const std::string_view value = rest.substr(2, end - 2);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return value;
}

Error malformed() {
  return {ErrorCode::kBadInput, "it asks for a password in a way that PostgreSQL's protocol does not have"};
}

Bytes password_message(ByteView body) {
  Bytes out;
  append_frontend(out, 'p', body);
  return out;
}

}  // namespace

Result<Bytes> PostgresqlLogin::answer(ByteView body) {
  if (body.size() < kMethodBytes) return std::unexpected(malformed());
  const auto method = static_cast<Method>(load_big<uint32_t>(body.data()));
  const ByteView rest = body.subspan(kMethodBytes);
  if (method == Method::kOk) {
    // Who could not show that it knows the password is not the one that was meant.
    if (scram_ && !proven_) return fail(ErrorCode::kDenied, "it lets this program in without showing that it knows the password");
    done_ = true;
    return Bytes();
  }
  if (method == Method::kClearText)
    return fail(ErrorCode::kUnavailable, "it asks for the password in clear text, which portbook does not send");
  const bool known =
      method == Method::kMd5 || method == Method::kSasl || method == Method::kSaslContinue || method == Method::kSaslFinal;
  if (!known) return fail(ErrorCode::kUnavailable, "it asks for a way to log in other than peer, md5 and scram-sha-256");
  if (password_.empty()) return fail(ErrorCode::kDenied, fmt::format("it asks for a password of {}, and none is given", user_));
  if (method == Method::kMd5) {
    if (rest.size() != kMd5SaltBytes || scram_) return std::unexpected(malformed());
    return answer_md5(rest);
  }
  if (method == Method::kSasl) return begin_scram(rest);
  return method == Method::kSaslContinue ? continue_scram(as_text(rest)) : end_scram(as_text(rest));
}

Bytes PostgresqlLogin::answer_md5(ByteView salt) const {
  std::string text = "md5" + md5_hex(as_bytes(md5_hex(as_bytes(password_), as_bytes(user_))), salt);
  text.push_back('\0');
  return password_message(as_bytes(text));
}

Result<Bytes> PostgresqlLogin::begin_scram(ByteView mechanisms) {
  bool offered = false;
  for (std::string_view rest = as_text(mechanisms); !rest.empty() && rest.front() != '\0';) {
    const size_t end = std::min(rest.find('\0'), rest.size());
    offered = offered || rest.substr(0, end) == kScram;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (!offered || scram_) return std::unexpected(malformed());
  scram_ = true;
  // PostgreSQL takes the user's name from the start of the connection.
  const std::string first = "n,,n=,r=" + nonce_;
  Bytes body;
  append(body, as_bytes(kScram));
  body.push_back(0);
  append_big(body, static_cast<uint32_t>(first.size()));
  append(body, as_bytes(first));
  return password_message(body);
}

Result<Bytes> PostgresqlLogin::continue_scram(std::string_view challenge) {
  std::string_view rest = challenge;
  const auto nonce = take_part(rest, 'r');
  const auto salt_text = nonce ? take_part(rest, 's') : std::nullopt;
  const auto rounds_text = salt_text ? take_part(rest, 'i') : std::nullopt;
  Bytes salt;
  uint32_t rounds = 0;
  if (!scram_ || expected_verdict_ || !rounds_text || !nonce->starts_with(nonce_) || nonce->size() == nonce_.size() ||
      !parse_base64(*salt_text, salt) || salt.empty() || salt.size() > kSaltBytesMax ||
      std::from_chars(rounds_text->data(), rounds_text->data() + rounds_text->size(), rounds).ec != std::errc{} || rounds == 0)
    return std::unexpected(malformed());
  if (rounds > kScramRoundsMax)
    return fail(ErrorCode::kLimit, fmt::format("it asks for {} rounds of SCRAM; at most {} are done", rounds, kScramRoundsMax));
  Hash salted{};
  PB_CHECK(PKCS5_PBKDF2_HMAC(password_.data(), static_cast<int>(password_.size()), salt.data(), static_cast<int>(salt.size()),
                             static_cast<int>(rounds), EVP_sha256(), salted.size(), salted.data()) == 1);
  const std::string bare = fmt::format("c=biws,r={}", *nonce);
  const std::string all = fmt::format("n=,r={},{},{}", nonce_, challenge, bare);
  Hash proof = hmac(salted, "Client Key");
  const Hash signature = hmac(sha256(proof), all);
  for (size_t i = 0; i < proof.size(); ++i) proof[i] ^= signature[i];
  expected_verdict_ = "v=" + base64(hmac(hmac(salted, "Server Key"), all));
  return password_message(as_bytes(bare + ",p=" + base64(proof)));
}

Result<Bytes> PostgresqlLogin::end_scram(std::string_view verdict) {
  if (!expected_verdict_ || proven_) return std::unexpected(malformed());
  proven_ =
      verdict.size() == expected_verdict_->size() && CRYPTO_memcmp(verdict.data(), expected_verdict_->data(), verdict.size()) == 0;
  if (!proven_) return fail(ErrorCode::kDenied, "it does not know the password that it asks for");
  return Bytes();
}

}  // namespace portbook

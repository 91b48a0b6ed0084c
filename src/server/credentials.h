// Which agents a book knows: a token's hash, the host that it speaks for, and what it may write. docs/formats/agents.md.
#pragma once

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "base/result.h"
#include "book/checked_batch.h"

namespace portbook {

inline constexpr std::string_view kCredentialsFile = "agents";
inline constexpr size_t kCredentialsMax = 1000;
inline constexpr size_t kTokenBytes = 32;  // random; written as 64 hexadecimal digits

// What an agent may write at most: the facts of its own host, and what capture says about itself.
inline constexpr uint32_t kAgentVantages = 1U << static_cast<unsigned>(Vantage::kSocket) |
                                           1U << static_cast<unsigned>(Vantage::kNat) | 1U << static_cast<unsigned>(Vantage::kBook);
uint32_t agent_kinds();
// "socket,nat,book".
std::string vantages_text(uint32_t vantages);
// Errors: kBadInput, naming the word that is no vantage, or one that agents never write.
Result<uint32_t> parse_vantages(std::string_view text);

// What the follower of a host's logs says for its host: "web-8/log". Its sources begin so.
inline constexpr std::string_view kLogsSuffix = "/log";
// The same of the receiver of syslog: "web-8/syslog".
inline constexpr std::string_view kSyslogSuffix = "/syslog";
// The same of what asks PgBouncer's console: "web-8/pgbouncer".
inline constexpr std::string_view kPoolsSuffix = "/pgbouncer";
// The suffix that the name has of one of these; empty: it is a host's.
std::string_view logs_suffix(std::string_view name);
// What they may write: what other programs' logs say, and their own gaps.
Allowance logs_allowance(std::string_view host, std::string_view suffix = kLogsSuffix);

struct Credential {
  std::string host;
  Hash token_hash{};
  uint32_t vantages = 0;
  TimeNs enrolled = 0;

  // What capture says about itself, such as its gaps, belongs to every agent.
  [[nodiscard]] Allowance allowance() const {
    return {host, vantages | 1U << static_cast<unsigned>(Vantage::kBook), agent_kinds()};
  }
};

// Names that cannot be mistaken in a line of a file or in a source's name: letters, digits, dots, dashes, underscores; at most 200.
bool is_credential_name(std::string_view name);

// A new token, and the hash under which the book knows it.
std::string make_token();
Hash token_hash(std::string_view token);

// The file's bytes, and back. Errors: kCorrupt, naming the line; kNewer.
std::string credentials_text(const std::vector<Credential>& credentials);
Result<std::vector<Credential>> parse_credentials(std::string_view text);

// The file `agents` in a book's folder. Thread-safe; one object per folder at a time (the book's lock sees to that).
class Credentials {
 public:
  // Errors: kIo, kDenied, kCorrupt, kNewer.
  static Result<std::unique_ptr<Credentials>> load(std::filesystem::path folder);

  // Compares in constant time.
  [[nodiscard]] std::optional<Credential> find(std::string_view token) const;
  // Whether enrol() would take it, as far as the disk lets it. Errors: kBadInput (not a host's name), kLimit.
  [[nodiscard]] Status check(std::string_view host) const;
  // Durable on return; replaces the host's earlier credential. Errors: kBadInput (not a host's name), kLimit, kIo.
  Status enrol(Credential credential);
  // Errors: kNotFound, kIo.
  Status revoke(std::string_view host);
  [[nodiscard]] std::vector<Credential> list() const;

 private:
  explicit Credentials(std::filesystem::path folder) : folder_(std::move(folder)) {}
  Status store(std::vector<Credential> credentials);

  const std::filesystem::path folder_;
  mutable std::mutex mutex_;
  std::vector<Credential> credentials_;  // guarded by mutex_
};

}  // namespace portbook

#include "server/credentials.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "store/disk.h"

namespace portbook {

namespace {

constexpr std::string_view kHead = "portbook agents 1\n";
constexpr size_t kFileBytesMax = 1024 * 1024;
constexpr size_t kNameBytesMax = 200;  // so that HOST/source fits a source's name

constexpr auto kKinds = std::to_array<Kind>({Kind::kOpen, Kind::kClose, Kind::kFailed, Kind::kListen, Kind::kUsedBy,
                                             Kind::kExisting, Kind::kProcess, Kind::kNatOpen, Kind::kNatClose, Kind::kAddress,
                                             Kind::kGap, Kind::kSourceStart, Kind::kSourceStop, Kind::kClock});

// Takes the word up to the next blank from the front.
std::string_view next_word(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

std::optional<Credential> parse_line(std::string_view line) {
  Credential credential;
  credential.host = next_word(line);
  Bytes hash;
  if (!is_credential_name(credential.host) || !parse_hex(next_word(line), hash) || hash.size() != credential.token_hash.size())
    return std::nullopt;
  std::ranges::copy(hash, credential.token_hash.begin());
  const auto vantages = parse_vantages(next_word(line));
  const auto time = parse_time(line, 0);
  if (!vantages || !time) return std::nullopt;
  credential.vantages = *vantages;
  credential.enrolled = time->time;
  return credential;
}

}  // namespace

bool is_credential_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  });
}

uint32_t agent_kinds() {
  uint32_t kinds = 0;
  for (const Kind kind : kKinds) kinds |= 1U << static_cast<unsigned>(kind);
  return kinds;
}

std::string_view logs_suffix(std::string_view name) {
  for (const std::string_view suffix : {kLogsSuffix, kSyslogSuffix, kPoolsSuffix}) {
    if (name.ends_with(suffix)) return suffix;
  }
  return {};
}

Allowance logs_allowance(std::string_view host, std::string_view suffix) {
  const auto bit = [](auto value) { return 1U << static_cast<unsigned>(value); };
  return {std::string(host) + std::string(suffix), bit(Vantage::kProxy) | bit(Vantage::kApp) | bit(Vantage::kBook),
          bit(Kind::kProxy) | bit(Kind::kNote) | bit(Kind::kGap), true};
}

std::string vantages_text(uint32_t vantages) {
  std::string out;
  for (const EnumName& name : enum_names(Field::kVantage)) {
    if ((vantages >> name.value & 1) != 0) out += (out.empty() ? "" : ",") + std::string(name.name);
  }
  return out;
}

Result<uint32_t> parse_vantages(std::string_view text) {
  uint32_t vantages = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto value = enum_value(Field::kVantage, word);
    if (!value || (kAgentVantages >> *value & 1) == 0) {
      return fail(ErrorCode::kBadInput,
                  fmt::format("\"{}\" is no vantage that an agent writes; there are {}", word, vantages_text(kAgentVantages)));
    }
    vantages |= 1U << *value;
  }
  if (vantages == 0) return fail(ErrorCode::kBadInput, "an agent that may write nothing is of no use");
  return vantages;
}

std::string make_token() {
  std::array<Byte, kTokenBytes> random{};
  PB_CHECK(RAND_bytes(random.data(), random.size()) == 1);
  return hex(random);
}

Hash token_hash(std::string_view token) {
  return sha256(as_bytes(token));
}

std::string credentials_text(const std::vector<Credential>& credentials) {
  std::string out(kHead);
  for (const Credential& one : credentials) {
    out += fmt::format("{} {} {} {}\n", one.host, hex(one.token_hash), vantages_text(one.vantages), format_time(one.enrolled));
  }
  return out;
}

Result<std::vector<Credential>> parse_credentials(std::string_view text) {
  if (!text.starts_with(kHead)) {
    if (text.starts_with("portbook agents ")) return fail(ErrorCode::kNewer, "the list of agents was written by a newer portbook");
    return fail(ErrorCode::kCorrupt, "line 1: this is not a list of agents");
  }
  text.remove_prefix(kHead.size());
  std::vector<Credential> credentials;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const auto credential = end == std::string_view::npos ? std::nullopt : parse_line(text.substr(0, end));
    if (!credential || credentials.size() == kCredentialsMax)
      return fail(ErrorCode::kCorrupt, fmt::format("line {}: this is not an agent", credentials.size() + 2));
    credentials.push_back(*credential);
    text.remove_prefix(end + 1);
  }
  return credentials;
}

Result<std::unique_ptr<Credentials>> Credentials::load(std::filesystem::path folder) {
  auto made = std::unique_ptr<Credentials>(new Credentials(std::move(folder)));
  const auto disk = make_machine_disk(made->folder_);
  const auto bytes = read_file(*disk, kCredentialsFile, kFileBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return made;
  if (!bytes) return std::unexpected(bytes.error());
  auto credentials = parse_credentials(as_text(*bytes));
  if (!credentials) return fail_in((made->folder_ / kCredentialsFile).string(), credentials);
  made->credentials_ = std::move(*credentials);
  return made;
}

std::optional<Credential> Credentials::find(std::string_view token) const {
  const Hash hash = token_hash(token);
  const std::lock_guard lock(mutex_);
  std::optional<Credential> found;
  for (const Credential& one : credentials_) {
    if (CRYPTO_memcmp(one.token_hash.data(), hash.data(), hash.size()) == 0) found = one;
  }
  return found;
}

Status Credentials::store(std::vector<Credential> credentials) {
  const auto disk = make_machine_disk(folder_);
  if (Status written = write_file(*disk, kCredentialsFile, as_bytes(credentials_text(credentials))); !written)
    return fail_in("the list of agents", written);
  credentials_ = std::move(credentials);
  return {};
}

Status Credentials::check(std::string_view host) const {
  if (!is_credential_name(host)) {
    return fail(
        ErrorCode::kBadInput,
        fmt::format("\"{}\" is no host's name: up to {} letters, digits, dots, dashes and underscores", host, kNameBytesMax));
  }
  const std::lock_guard lock(mutex_);
  if (credentials_.size() >= kCredentialsMax && std::ranges::find(credentials_, host, &Credential::host) == credentials_.end())
    return fail(ErrorCode::kLimit, fmt::format("a book knows at most {} agents", kCredentialsMax));
  return {};
}

Status Credentials::enrol(Credential credential) {
  if (Status good = check(credential.host); !good) return good;
  const std::lock_guard lock(mutex_);
  std::vector<Credential> changed = credentials_;
  std::erase_if(changed, [&](const Credential& one) { return one.host == credential.host; });
  changed.push_back(std::move(credential));
  return store(std::move(changed));
}

Status Credentials::revoke(std::string_view host) {
  const std::lock_guard lock(mutex_);
  std::vector<Credential> changed = credentials_;
  if (std::erase_if(changed, [&](const Credential& one) { return one.host == host; }) == 0)
    return fail(ErrorCode::kNotFound, fmt::format("no agent of a host \"{}\" is enrolled", host));
  return store(std::move(changed));
}

std::vector<Credential> Credentials::list() const {
  const std::lock_guard lock(mutex_);
  return credentials_;
}

}  // namespace portbook

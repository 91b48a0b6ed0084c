#include "capture/redact_programs.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace portbook {

namespace {

// How an option gives its secret.
enum class Shape : uint8_t {
  kNext,         // the word after it; also behind = in the same word
  kAttached,     // directly behind it, in the same word only
  kBoth,         // either
  kUserColon,    // user:secret, after it or attached
  kUserPercent,  // user%secret
  kUserComma,    // user,secret
  kColon,        // in the same word, behind a colon: "/p:x", "pass:x"
  kFirstAfter,   // a bare word that makes the next word a secret
  kSecondAfter,  // … the one after the next
  kAssignments,  // a bare word after which every NAME=value is a secret
  kFromLiteral,  // --from-literal=NAME=value
};
struct Rule {
  std::string_view programs;  // names, joined with blanks; one that ends in * stands for all that begin so
  std::string_view within;    // only after this word; empty: always
  std::string_view option;
  Shape shape;
};

constexpr auto kRules = std::to_array<Rule>({
    {"mysql* mariadb* mycli", "", "-p", Shape::kAttached},
    {"sshpass", "", "-p", Shape::kBoth},
    {"docker podman nerdctl buildah skopeo helm oras crane az", "login", "-p", Shape::kBoth},
    {"docker podman nerdctl buildah skopeo", "", "--creds", Shape::kUserColon},
    {"skopeo", "", "--src-creds", Shape::kUserColon},
    {"skopeo", "", "--dest-creds", Shape::kUserColon},
    {"curl wget", "", "-u", Shape::kUserColon},
    {"curl", "", "--user", Shape::kUserColon},
    {"curl", "", "-U", Shape::kUserColon},
    {"curl", "", "--proxy-user", Shape::kUserColon},
    {"curl", "", "-E", Shape::kUserColon},
    {"curl", "", "--cert", Shape::kUserColon},
    {"curl", "", "-b", Shape::kBoth},
    {"curl", "", "--cookie", Shape::kNext},
    {"curl", "", "--oauth2-bearer", Shape::kNext},
    {"http https xh xhs", "", "-a", Shape::kUserColon},
    {"http https xh xhs", "", "--auth", Shape::kUserColon},
    {"ab", "", "-A", Shape::kUserColon},
    {"ab", "", "-P", Shape::kUserColon},
    {"ab", "", "-C", Shape::kNext},
    {"hey", "", "-a", Shape::kUserColon},
    {"etcdctl", "", "--user", Shape::kUserColon},
    {"smbclient rpcclient net winexe smbget smbcacls pth-* wmic", "", "-U", Shape::kUserPercent},
    {"smbclient rpcclient net winexe smbget", "", "--user", Shape::kUserPercent},
    {"lftp", "", "-u", Shape::kUserComma},
    {"ldap*", "", "-w", Shape::kBoth},
    {"ldappasswd", "", "-s", Shape::kBoth},
    {"ldappasswd", "", "-a", Shape::kBoth},
    {"openssl", "", "pass:", Shape::kColon},
    {"openssl", "enc", "-k", Shape::kNext},
    {"openssl", "enc", "-K", Shape::kNext},
    {"redis-cli valkey-cli keydb-cli", "", "-a", Shape::kNext},
    {"redis-cli valkey-cli keydb-cli", "", "AUTH", Shape::kFirstAfter},
    {"redis-cli valkey-cli keydb-cli", "", "auth", Shape::kFirstAfter},
    {"mongo*", "", "-p", Shape::kBoth},
    {"cqlsh rabbitmqadmin beeline influx arangosh clickhouse-client rdesktop ncftp* crackmapexec nxc evil-winrm", "", "-p",
     Shape::kNext},
    {"mosquitto_* ipmitool sqlcmd bcp tsql isql zip unzip", "", "-P", Shape::kBoth},
    {"vsql", "", "-w", Shape::kNext},
    {"xfreerdp* wlfreerdp", "", "/p:", Shape::kColon},
    {"ssh-keygen", "", "-N", Shape::kNext},
    {"ssh-keygen", "", "-P", Shape::kNext},
    {"7z 7za 7zr rar unrar", "", "-p", Shape::kAttached},
    {"rar", "", "-hp", Shape::kAttached},
    {"snmp*", "", "-A", Shape::kNext},
    {"snmp*", "", "-X", Shape::kNext},
    {"snmp*", "", "-c", Shape::kNext},
    {"useradd usermod", "", "-p", Shape::kNext},
    {"swaks", "", "-ap", Shape::kNext},
    {"sendemail sendEmail", "", "-xp", Shape::kNext},
    {"rabbitmqctl", "", "add_user", Shape::kSecondAfter},
    {"rabbitmqctl", "", "change_password", Shape::kSecondAfter},
    {"wpa_passphrase", "", "wpa_passphrase", Shape::kSecondAfter},
    {"aws", "", "aws_access_key_id", Shape::kFirstAfter},
    {"aws", "", "aws_secret_access_key", Shape::kFirstAfter},
    {"aws", "", "aws_session_token", Shape::kFirstAfter},
    {"vault", "", "login", Shape::kFirstAfter},
    {"nmcli", "", "password", Shape::kFirstAfter},
    {"nmcli", "", "wifi-sec.psk", Shape::kFirstAfter},
    {"doctl", "auth", "-t", Shape::kNext},
    {"gh", "secret", "-b", Shape::kBoth},
    {"gh", "secret", "--body", Shape::kNext},
    {"fly flyctl", "secrets", "set", Shape::kAssignments},
    {"heroku", "", "config:set", Shape::kAssignments},
    {"kubectl oc", "secret", "--from-literal", Shape::kFromLiteral},
});

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

bool lists(std::string_view programs, std::string_view name) {
  while (!programs.empty()) {
    const size_t end = std::min(programs.find(' '), programs.size());
    const std::string_view one = programs.substr(0, end);
    if (one.ends_with('*') ? name.starts_with(one.substr(0, one.size() - 1)) : name == one) return true;
    programs.remove_prefix(std::min(end + 1, programs.size()));
  }
  return false;
}

// "-sSu" of programs whose short options may stand together.
bool is_option(std::string_view word, std::string_view option, std::string_view program) {
  if (word == option) return true;
  return program == "curl" && option.size() == 2 && word.size() > 2 && word.size() < 8 && word[0] == '-' &&
         word.ends_with(option[1]) &&
         std::ranges::all_of(word.substr(1), [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; });
}

class Command {
 public:
  Command(std::span<const CommandWord> words, bool in_script, std::span<SecretRanges> found)
      : words_(words), in_script_(in_script), found_(found) {}

  void run() {
    for (at_ = 0; at_ < words_.size(); ++at_) {
      const std::string_view word = words_[at_].text;
      if (!word.starts_with('-') && (at_ == 0 || words_[at_ - 1].text != "--name")) choose(word);
      // What sshpass runs has options of its own.
      if (program_ == "sshpass" && at_ > program_at_ + 1 && !word.starts_with('-') && !words_[at_ - 1].text.starts_with('-'))
        rules_.fill(nullptr);
      generic(word);
      for (const Rule* rule : rules_) {
        if (rule != nullptr && (rule->within.empty() || seen(rule->within))) apply(*rule, word);
      }
    }
  }

 private:
  // The rules of the program that this word names, if it names one.
  void choose(std::string_view word) {
    const std::string_view name = base_name(word);
    if (name.empty()) return;
    size_t count = 0;
    for (const Rule& rule : kRules) {
      if (!lists(rule.programs, name)) continue;
      if (count == 0) rules_.fill(nullptr);
      if (count < rules_.size()) rules_[count++] = &rule;
    }
    if (count == 0) return;
    program_ = name;
    program_at_ = at_;
  }

  [[nodiscard]] bool seen(std::string_view word) const {
    constexpr size_t kLookBackMax = 8;
    const size_t from = std::max(program_at_ + 1, at_ - std::min(at_, kLookBackMax));
    for (size_t i = from; i < at_; ++i) {
      if (words_[i].text == word) return true;
    }
    // Subcommands stand directly behind the program, however far that is.
    for (size_t i = program_at_ + 1; i < std::min(at_, program_at_ + 5); ++i) {
      if (words_[i].text == word) return true;
    }
    return false;
  }

  // --password X
  void generic(std::string_view word) {
    if (!word.starts_with('-') || word.size() < 3 || word.find_first_of("=:") != std::string_view::npos || !names_a_secret(word))
      return;
    if (at_ + 1 < words_.size() && !words_[at_ + 1].text.starts_with('-')) mark(at_ + 1, 0);
  }

  void apply(const Rule& rule, std::string_view word) {
    const bool here = is_option(word, rule.option, program_);
    const bool attached = !here && word.starts_with(rule.option) && word.size() > rule.option.size();
    const bool assigned = attached && word[rule.option.size()] == '=';
    switch (rule.shape) {
      case Shape::kNext:
        if (here) mark(at_ + 1, 0);
        if (assigned) mark(at_, rule.option.size() + 1);
        break;
      case Shape::kAttached:
      case Shape::kBoth:
        if (here && rule.shape == Shape::kBoth) mark(at_ + 1, 0);
        if (attached && !word.starts_with("--")) mark(at_, rule.option.size() + (assigned ? 1 : 0));
        break;
      case Shape::kUserColon: user(rule, here, attached, assigned, ':'); break;
      case Shape::kUserPercent: user(rule, here, attached, assigned, '%'); break;
      case Shape::kUserComma: user(rule, here, attached, assigned, ','); break;
      case Shape::kColon:
        if (attached) mark(at_, rule.option.size());
        break;
      case Shape::kFirstAfter:
        if (here && at_ + 1 < words_.size() && !words_[at_ + 1].text.starts_with('-')) mark(at_ + 1, 0);
        break;
      case Shape::kSecondAfter:
        if (here) mark(at_ + 2, 0);
        break;
      case Shape::kAssignments:
        if (here) assignments();
        break;
      case Shape::kFromLiteral:
        if (here) mark_behind(at_ + 1, 0, '=');
        if (assigned) mark_behind(at_, rule.option.size() + 1, '=');
        break;
    }
  }

  void user(const Rule& rule, bool here, bool attached, bool assigned, char separator) {
    const bool long_option = rule.option.starts_with("--");
    if (here) mark_behind(at_ + 1, 0, separator);
    if (attached && (assigned || !long_option)) mark_behind(at_, rule.option.size() + (assigned ? 1 : 0), separator);
  }

  void assignments() {
    for (size_t i = at_ + 1; i < words_.size(); ++i) mark_behind(i, 0, '=');
  }

  void mark_behind(size_t word, size_t from, char separator) {
    if (word >= words_.size()) return;
    const size_t at = words_[word].text.find(separator, from);
    if (at != std::string_view::npos) mark(word, at + 1);
  }

  // The word from `from` on, without the quotes that a shell would take off.
  void mark(size_t word, size_t from) {
    if (word >= words_.size()) return;
    const CommandWord& one = words_[word];
    size_t begin = from;
    size_t end = one.text.size();
    if (end - begin >= 2 && (one.text[begin] == '"' || one.text[begin] == '\'') && one.text[end - 1] == one.text[begin]) {
      ++begin;
      --end;
    }
    if (begin >= end || (in_script_ && one.text[begin] == '$')) return;  // a script's variable is not the value
    found_[one.argument].push_back({one.offset + begin, one.offset + end});
  }

  const std::span<const CommandWord> words_;
  const bool in_script_;
  const std::span<SecretRanges> found_;
  std::array<const Rule*, 16> rules_{};
  std::string_view program_;
  size_t program_at_ = 0;
  size_t at_ = 0;
};

}  // namespace

void find_secrets_of_command(std::span<const CommandWord> words, bool in_script, std::span<SecretRanges> found) {
  Command(words, in_script, found).run();
}

}  // namespace portbook

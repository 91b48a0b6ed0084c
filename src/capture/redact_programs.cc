#include "capture/redact_programs.h"

#include <algorithm>
#include <array>
#include <optional>

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
  kLast,         // the last word of the command, once the option was seen; short options may stand together
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
    {"openssl", "", "passwd", Shape::kLast},
    {"openssl", "enc", "-k", Shape::kNext},
    {"openssl", "enc", "-K", Shape::kNext},
    {"redis-cli valkey-cli keydb-cli", "", "-a", Shape::kNext},
    {"redis-cli valkey-cli keydb-cli", "", "AUTH", Shape::kFirstAfter},
    {"redis-cli valkey-cli keydb-cli", "", "auth", Shape::kFirstAfter},
    {"redis-* valkey-* keydb-*", "", "requirepass", Shape::kFirstAfter},
    {"redis-* valkey-* keydb-*", "", "masterauth", Shape::kFirstAfter},
    {"mongo*", "", "-p", Shape::kBoth},
    {"influx", "", "-t", Shape::kBoth},
    {"p4", "", "-P", Shape::kBoth},
    {"htpasswd", "", "-b", Shape::kLast},
    {"mkpasswd", "", "mkpasswd", Shape::kLast},
    {"mysqladmin mariadb-admin", "", "password", Shape::kFirstAfter},
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
    {"vault bao", "", "login", Shape::kFirstAfter},
    {"vault bao", "", "unseal", Shape::kFirstAfter},
    {"vault bao", "", "put", Shape::kAssignments},
    {"vault bao", "", "patch", Shape::kAssignments},
    {"vault bao", "", "write", Shape::kAssignments},
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

// Bytes of `word` up to and with the option: 2 for "-u", 4 for "-sSu" and "-sSualice:x" of curl, whose short options may stand
// together. 0: it is not this option.
size_t option_bytes(std::string_view word, std::string_view option, bool curl) {
  if (word.starts_with(option)) return option.size();
  if (!curl || option.size() != 2 || !word.starts_with('-') || word.starts_with("--")) return 0;
  constexpr std::string_view kCurlFlags = "0123456789aBfgGiIjkJlLMnNOpqRsSvVZ#:";  // its short options that take no value
  const size_t at = word.find_first_not_of(kCurlFlags, 1);
  return at != std::string_view::npos && word[at] == option[1] ? at + 1 : 0;
}

class Command {
 public:
  Command(std::span<const CommandWord> words, bool in_script, std::span<SecretRanges> found)
      : words_(words), in_script_(in_script), found_(found) {}

  void run() {
    for (at_ = 0; at_ < words_.size(); ++at_) {
      const std::string_view word = words_[at_].text;
      // What sshpass runs has options of its own.
      if (sshpass_at_ && at_ > *sshpass_at_ + 1 && !word.starts_with('-') && !words_[at_ - 1].text.starts_with('-')) {
        active_.fill(std::nullopt);
        sshpass_at_.reset();
      }
      if (!word.starts_with('-') && (at_ == 0 || words_[at_ - 1].text != "--name")) choose(word);
      generic(word);
      for (size_t i = 0; i < kRules.size(); ++i) {
        if (active_[i] && (kRules[i].within.empty() || seen(kRules[i].within, *active_[i]))) apply(kRules[i], word);
      }
    }
  }

 private:
  // Adds the rules of the program that this word names, if it names one. Those of earlier words stay: the word may be a host or a
  // file of the same name.
  void choose(std::string_view word) {
    if (word.find("://") != std::string_view::npos) return;
    const std::string_view name = base_name(word);
    for (size_t i = 0; i < kRules.size(); ++i) {
      if (!active_[i] && lists(kRules[i].programs, name)) active_[i] = at_;
    }
    if (name == "sshpass") sshpass_at_ = at_;
  }

  [[nodiscard]] bool seen(std::string_view word, size_t program_at) const {
    constexpr size_t kLookBackMax = 8;
    const size_t from = std::max(program_at + 1, at_ - std::min(at_, kLookBackMax));
    for (size_t i = from; i < at_; ++i) {
      if (words_[i].text == word) return true;
    }
    // Subcommands stand directly behind the program, however far that is.
    for (size_t i = program_at + 1; i < std::min(at_, program_at + 5); ++i) {
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
    const size_t option = option_bytes(word, rule.option, lists(rule.programs, "curl"));
    if (option == 0 && rule.shape != Shape::kLast) return;
    const bool here = option == word.size();
    const bool attached = !here;
    const bool assigned = attached && word[option] == '=';
    switch (rule.shape) {
      case Shape::kNext:
        if (here) mark(at_ + 1, 0);
        if (assigned) mark(at_, option + 1);
        break;
      case Shape::kAttached:
      case Shape::kBoth:
        if (here && rule.shape == Shape::kBoth) mark(at_ + 1, 0);
        if (attached && !word.starts_with("--")) mark(at_, option + (assigned ? 1 : 0));
        break;
      case Shape::kUserColon: user(rule, option, here, assigned, ':'); break;
      case Shape::kUserPercent: user(rule, option, here, assigned, '%'); break;
      case Shape::kUserComma: user(rule, option, here, assigned, ','); break;
      case Shape::kColon:
        if (attached) mark(at_, option);
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
        if (assigned) mark_behind(at_, option + 1, '=');
        break;
      case Shape::kLast:
        if (word == rule.option || (rule.option.starts_with('-') && together(word, rule.option[1]))) last();
        break;
    }
  }

  void user(const Rule& rule, size_t option, bool here, bool assigned, char separator) {
    if (here) mark_behind(at_ + 1, 0, separator);
    if (!here && (assigned || !rule.option.starts_with("--"))) mark_behind(at_, option + (assigned ? 1 : 0), separator);
  }

  static bool together(std::string_view word, char option) {
    return word.starts_with('-') && !word.starts_with("--") && word.find(option) != std::string_view::npos;
  }

  void last() {
    if (words_.size() > at_ + 1 && !words_.back().text.starts_with('-')) mark(words_.size() - 1, 0);
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
  std::array<std::optional<size_t>, kRules.size()> active_{};  // by the word that names the program
  std::optional<size_t> sshpass_at_;
  size_t at_ = 0;
};

}  // namespace

bool reads_secret_from_stdin(std::span<const CommandWord> words) {
  constexpr auto kReaders = std::to_array<std::string_view>({"chpasswd", "cryptsetup", "kinit", "smbpasswd", "passwd", "mkpasswd"});
  bool sudo = false;
  for (const CommandWord& word : words) {
    const std::string_view name = base_name(word.text);
    sudo = sudo || name == "sudo";
    if (std::ranges::find(kReaders, name) != kReaders.end()) return true;
    if (word.text.starts_with("--") && word.text.ends_with("-stdin") && names_a_secret(word.text.substr(0, word.text.size() - 6)))
      return true;
    if (word.text == "--with-token" || word.text == "--passphrase-fd" || (sudo && word.text == "-S")) return true;
  }
  return false;
}

void find_printed_secret(std::span<const CommandWord> words, std::span<SecretRanges> found) {
  if (words.empty() || (base_name(words[0].text) != "echo" && base_name(words[0].text) != "printf")) return;
  for (const CommandWord& word : words.subspan(1)) {
    if (!word.text.starts_with('-') && !word.text.starts_with('$'))
      found[word.argument].push_back({word.offset, word.offset + word.text.size()});
  }
}

void find_secrets_of_command(std::span<const CommandWord> words, bool in_script, std::span<SecretRanges> found) {
  Command(words, in_script, found).run();
}

}  // namespace portbook

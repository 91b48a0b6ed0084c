#include "capture/redact.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

namespace portbook {

namespace {

// Words that make an option's or variable's name speak of a secret, looked for in its name in lower case without - and _.
constexpr std::array<std::string_view, 17> kSecretWords = {
    "password", "passwd",    "passphrase", "secret", "token",    "apikey", "accesskey", "privatekey", "credential",
    "authkey",  "authtoken", "sessionkey", "pgpass", "mysqlpwd", "pwd",    "signature", "bearer"};
// Names that hold such a word and speak of a file or of none.
constexpr std::array<std::string_view, 8> kHarmlessEndings = {"file",   "path",     "url",  "length",
                                                              "policy", "endpoint", "type", "stdin"};
constexpr std::array<std::string_view, 5> kHeaders = {"authorization:", "proxyauthorization:", "cookie:", "setcookie:", "xapikey:"};

std::string plain_name(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c != '-' && c != '_' && c != '.') plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return plain;
}

bool names_a_secret(std::string_view name) {
  const std::string plain = plain_name(name);
  if (plain == "pwd") return false;  // the shell's working directory
  if (std::ranges::any_of(kHarmlessEndings, [&](std::string_view ending) { return plain.ends_with(ending); })) return false;
  return std::ranges::any_of(kSecretWords, [&](std::string_view word) { return plain.find(word) != std::string::npos; });
}

bool is_name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
}

bool replace(std::string& text, size_t at, size_t length) {
  if (length == 0 || text.compare(at, length, kRedactedMark) == 0) return false;
  text.replace(at, length, kRedactedMark);
  return true;
}

// name=value, --name=value and name:value, several in one argument too ("a=1;password=2&token=3").
bool redact_assignments(std::string& text) {
  bool changed = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '=' && text[at] != ':') continue;
    if (text[at] == ':' && at + 1 < text.size() && text[at + 1] == '/') continue;  // a URL's scheme
    size_t begin = at;
    while (begin > 0 && is_name_character(text[begin - 1])) --begin;
    const std::string_view name(&text[begin], at - begin);
    if (name.empty() || !names_a_secret(name)) continue;
    size_t value = at + 1;
    while (value < text.size() && (text[value] == ' ' || text[value] == '"' || text[value] == '\'')) ++value;
    size_t end = text.find_first_of("&;\"'", value);
    if (end == std::string::npos) end = text.size();
    changed = replace(text, value, end - value) || changed;
  }
  return changed;
}

// "password": "x" in a JSON text.
bool redact_json(std::string& text) {
  bool changed = false;
  for (size_t quote = text.find('"'); quote != std::string::npos; quote = text.find('"', quote + 1)) {
    const size_t end = text.find('"', quote + 1);
    if (end == std::string::npos) return changed;
    size_t value = text.find_first_not_of(" ", end + 1);
    if (value == std::string::npos || text[value] != ':') continue;
    value = text.find_first_not_of(" \"", value + 1);
    if (value == std::string::npos || !names_a_secret(std::string_view(text).substr(quote + 1, end - quote - 1))) continue;
    size_t stop = text.find_first_of("\",}", value);
    if (stop == std::string::npos) stop = text.size();
    changed = replace(text, value, stop - value) || changed;
    quote = end;
  }
  return changed;
}

// scheme://user:password@host and scheme://token@host.
bool redact_userinfo(std::string& text) {
  bool changed = false;
  for (size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
    const size_t begin = at + 3;
    size_t end = text.find_first_of("/?# ", begin);
    if (end == std::string::npos) end = text.size();
    const size_t sign = text.substr(begin, end - begin).rfind('@');
    if (sign == std::string::npos || sign == 0) continue;
    const size_t colon = text.substr(begin, sign).find(':');
    const size_t scheme =
        text.find_last_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-", at - (at > 0 ? 1 : 0));
    const std::string_view name = std::string_view(text).substr(scheme == std::string::npos ? 0 : scheme + 1);
    if (colon != std::string::npos) {
      changed = replace(text, begin + colon + 1, sign - colon - 1) || changed;
    } else if (name.starts_with("http") || name.starts_with("git")) {
      changed = replace(text, begin, sign) || changed;  // a lone name before the host is a token there
    }
  }
  return changed;
}

bool redact_headers(std::string& text) {
  const std::string start = plain_name(text.substr(0, 24));
  for (const std::string_view header : kHeaders) {
    if (!start.starts_with(header)) continue;
    const size_t colon = text.find(':');
    const size_t value = text.find_first_not_of(' ', colon + 1);
    return value != std::string::npos && replace(text, value, text.size() - value);
  }
  return false;
}

// Words after Bearer and Basic, and JSON Web Tokens: three base64url parts of which the first begins with {"
bool redact_tokens(std::string& text) {
  bool changed = false;
  for (const std::string_view word : {"Bearer ", "bearer ", "Basic "}) {
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
      const size_t begin = at + word.size();
      size_t end = text.find_first_of(" \"'", begin);
      if (end == std::string::npos) end = text.size();
      if (word != "Basic " || end - begin >= 8) changed = replace(text, begin, end - begin) || changed;
    }
  }
  for (size_t at = text.find("eyJ"); at != std::string::npos; at = text.find("eyJ", at + 1)) {
    size_t end = at;
    while (end < text.size() && is_name_character(text[end])) ++end;
    const std::string_view token(&text[at], end - at);
    if (token.size() >= 24 && std::ranges::count(token, '.') == 2) changed = replace(text, at, token.size()) || changed;
  }
  return changed;
}

bool redact_one(std::string& text) {
  if (redact_headers(text)) return true;
  bool changed = redact_userinfo(text);
  changed = redact_json(text) || changed;
  changed = redact_assignments(text) || changed;
  return redact_tokens(text) || changed;
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

bool takes_password_in_p(std::string_view program) {
  return program.starts_with("mysql") || program.starts_with("mariadb") || program == "sshpass";
}

// "user:password" after an option; elsewhere -u a:b is a user and group, or two hosts.
bool takes_user(std::string_view program, std::string_view option) {
  const bool known = program == "curl" || program == "http" || program == "https" || program == "xh" || program == "ab";
  return known && (option == "-u" || option == "--user" || option == "-U" || option == "--proxy-user" || option == "-a" ||
                   option == "-A" || option == "-P");
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> arguments;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\0'), text.size());
    arguments.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return arguments;
}

}  // namespace

Redacted redact_arguments(std::string_view nul_separated) {
  std::vector<std::string> arguments = split(nul_separated);
  Redacted result;
  const std::string program(arguments.empty() ? std::string_view() : base_name(arguments[0]));
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string& argument = arguments[i];
    const std::string before = i > 0 ? arguments[i - 1] : std::string();
    bool changed = false;
    if (i > 1 && before.starts_with("-") && before.find('=') == std::string::npos && names_a_secret(before) &&
        !argument.starts_with("-")) {
      changed = replace(argument, 0, argument.size());
    } else if (i > 1 && takes_user(program, before) && argument.find(':') != std::string::npos) {
      const size_t colon = argument.find(':');
      changed = replace(argument, colon + 1, argument.size() - colon - 1);
    } else if (i > 0 && takes_password_in_p(program) && argument.starts_with("-p") && argument.size() > 2) {
      changed = replace(argument, 2, argument.size() - 2);
    } else if (i > 1 && program == "sshpass" && before == "-p") {
      changed = replace(argument, 0, argument.size());
    } else if (i > 0) {
      changed = redact_one(argument);
    }
    result.count += changed ? 1 : 0;
    if (i > 0) result.text += ' ';
    result.text += argument;
  }
  return result;
}

}  // namespace portbook

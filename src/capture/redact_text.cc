#include "capture/redact_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace portbook {

namespace {

// Looked for in a name in lower case without - _ and dots.
constexpr auto kSecretWords = std::to_array<std::string_view>(
    {"password",   "passwd",     "passphrase",      "passcode",  "secret",        "token",      "apikey",
     "accesskey",  "privatekey", "secretkey",       "masterkey", "encryptionkey", "credential", "authkey",
     "sessionkey", "signingkey", "accountkey",      "pgpass",    "signature",     "bearer",     "sharedkey",
     "appkey",     "storagekey", "subscriptionkey", "jwtkey",    "licensekey",    "hmackey",    "masterauth"});
// Of a whole name, or of its last part.
constexpr auto kSecretEndings = std::to_array<std::string_view>({"pass", "pwd", "pw", "psk"});
// Names that hold such a word and speak of where it is, of what kind, or of none.
constexpr auto kHarmlessEndings = std::to_array<std::string_view>(
    {"file",    "path",     "url",   "uri",     "length",   "policy",   "endpoint", "type",    "stdin",   "fd",
     "helper",  "name",     "dir",   "ttl",     "expiry",   "age",      "command",  "prompt",  "tokens",  "tokenizer",
     "bypass",  "userpass", "count", "store",   "lifetime", "hint",     "method",   "program", "compass", "limit",
     "version", "format",   "mode",  "timeout", "enabled",  "required", "manager"});
constexpr auto kHarmlessBeginnings = std::to_array<std::string_view>({"no", "ask", "prompt", "skip", "disable", "without"});
constexpr auto kHeaders =
    std::to_array<std::string_view>({"authorization:", "proxy-authorization:", "cookie:", "set-cookie:", "x-amz-security-token:"});
// How tokens of well-known issuers begin, and how much must follow.
struct Prefix {
  std::string_view text;
  size_t rest_min;
};
constexpr auto kTokenPrefixes =
    std::to_array<Prefix>({{"ghp_", 6},     {"gho_", 6},        {"ghu_", 6},     {"ghs_", 6},
                           {"ghr_", 6},     {"github_pat_", 6}, {"glpat-", 6},   {"gldt-", 6},
                           {"xoxb-", 6},    {"xoxp-", 6},       {"xoxa-", 6},    {"xoxr-", 6},
                           {"xoxs-", 6},    {"xapp-", 6},       {"sk_live_", 6}, {"sk_test_", 6},
                           {"rk_live_", 6}, {"sk-", 20},        {"AKIA", 16},    {"ASIA", 16},
                           {"AIza", 30},    {"ya29.", 10},      {"hvs.", 10},    {"hvb.", 10},
                           {"npm_", 20},    {"pypi-", 20},      {"dop_v1_", 20}, {"SG.", 20},
                           {"shpat_", 10},  {"dckr_pat_", 10},  {"tskey-", 10},  {"AGE-SECRET-KEY-", 10},
                           {"hf_", 20},     {"whsec_", 20},     {"ATATT", 20}});
// Addresses whose path is the secret, and what ends it there.
struct Webhook {
  std::string_view address;
  char end;
};
constexpr auto kWebhooks = std::to_array<Webhook>({{"hooks.slack.com/services/", '?'},
                                                   {"hooks.slack.com/workflows/", '?'},
                                                   {"discord.com/api/webhooks/", '?'},
                                                   {"discordapp.com/api/webhooks/", '?'},
                                                   {"webhook.office.com/webhookb2/", '?'},
                                                   {"api.telegram.org/bot", '/'}});

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

bool is_name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void add(SecretRanges& found, size_t begin, size_t end) {
  if (begin < end) found.push_back({begin, end});
}

// Where a value ends that begins at `value`. One in quotes ends with them. A value of an option or variable that is the whole
// argument reaches to its end; else it ends where the next thing of a connection string, query or sentence begins.
size_t end_of_value(std::string_view text, size_t value, bool whole, char quote) {
  if (quote != 0) {
    const size_t end = text.find(quote, value);
    if (end != std::string_view::npos) return end;
  }
  if (whole) return text.size();
  size_t end = value;
  for (; end < text.size(); ++end) {
    const char c = text[end];
    if (is_blank(c) || c == '&' || c == ';' || c == '"' || c == '\'' || c == '`') break;
    // The comma of "username=a,password=b,uid=0".
    if (c != ',') continue;
    size_t next = end + 1;
    while (next < text.size() && is_name_character(text[next])) ++next;
    if (next > end + 1 && next < text.size() && text[next] == '=') break;
  }
  return end;
}

// name=value and name:value, several in one argument too ("a=1;password=2&token=3").
void find_assignments(std::string_view text, SecretRanges& found) {
  size_t name_begin = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '=' && text[at] != ':') {
      if (!is_name_character(text[at])) name_begin = at + 1;
      continue;
    }
    const std::string_view name = text.substr(name_begin, at - name_begin);
    const bool whole = name_begin == 0 && text[at] == '=' && (name.starts_with('-') || std::ranges::none_of(name, [](char c) {
                                                                return std::islower(static_cast<unsigned char>(c)) != 0;
                                                              }));
    name_begin = at + 1;
    if (text[at] == ':' && at + 1 < text.size() && (text[at + 1] == '/' || text[at + 1] == ':')) continue;  // a scheme, a C++ name
    if (name.empty() || !names_a_secret(name)) continue;
    size_t value = at + 1;
    while (value < text.size() && is_blank(text[value])) ++value;
    char quote = 0;
    if (value < text.size() && (text[value] == '"' || text[value] == '\'')) quote = text[value++];
    // A script's variable is not the value.
    if (!whole && value < text.size() && text[value] == '$') continue;
    const size_t end = end_of_value(text, value, whole, quote);
    add(found, value, end);
    if (end > at) {
      at = end - 1;
      name_begin = end;
    }
  }
}

// "password": "x" in a JSON text, also with the quotes escaped.
void find_json(std::string_view text, SecretRanges& found) {
  size_t quote = text.find('"');
  while (quote != std::string_view::npos) {
    const size_t end = text.find('"', quote + 1);
    if (end == std::string_view::npos) return;
    std::string_view name = text.substr(quote + 1, end - quote - 1);
    if (name.ends_with('\\')) name.remove_suffix(1);
    size_t value = end + 1;
    while (value < text.size() && is_blank(text[value])) ++value;
    quote = end;
    if (value >= text.size() || text[value] != ':' || !names_a_secret(name)) continue;
    ++value;
    while (value < text.size() && (is_blank(text[value]) || text[value] == '\\')) ++value;
    const bool quoted = value < text.size() && text[value] == '"';
    if (quoted) ++value;
    size_t stop = value;
    while (stop < text.size() && (quoted ? text[stop] != '"' : text[stop] != ',' && text[stop] != '}')) {
      stop += quoted && text[stop] == '\\' && stop + 1 < text.size() && text[stop + 1] != '"' ? 2 : 1;
    }
    stop = std::min(stop, text.size());
    if (quoted && stop > value && text[stop - 1] == '\\') --stop;
    add(found, value, stop);
    quote = text.find('"', quoted ? stop + 1 : stop);
  }
}

bool is_port(std::string_view text) {
  return text.size() <= 5 && std::ranges::all_of(text, [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; });
}

// scheme://user:password@host and scheme://token@host.
void find_userinfo(std::string_view text, SecretRanges& found) {
  for (size_t at = text.find("://"); at != std::string_view::npos; at = text.find("://", at + 3)) {
    const size_t begin = at + 3;
    const std::string_view rest = text.substr(begin, std::min(text.find("://", begin), text.size()) - begin);
    std::string_view authority = rest.substr(0, rest.find_first_of("/?#, \t\n\"'`<>"));
    const size_t colon = authority.find(':');
    // A password with / ? # or a comma in it: there is no port behind the colon, and an @ further on.
    if (authority.find('@') == std::string_view::npos && colon != std::string_view::npos && !is_port(authority.substr(colon + 1))) {
      authority = rest.substr(0, rest.find_first_of(" \t\n\"'`<>"));
    }
    const size_t sign = authority.rfind('@');
    if (sign == std::string_view::npos || sign == 0) continue;
    size_t scheme = at;
    while (scheme > 0 && (is_name_character(text[scheme - 1]) || text[scheme - 1] == '+')) --scheme;
    const std::string_view name = text.substr(scheme, at - scheme);
    if (colon != std::string_view::npos && colon < sign) {
      add(found, begin + colon + 1, begin + sign);
    } else if (name.starts_with("http") || name.starts_with("git")) {
      add(found, begin, begin + sign);  // a lone name before the host is a token there
    }
  }
}

// Case does not matter in header names.
void find_headers(std::string_view text, SecretRanges& found) {
  std::string plain(text);
  std::ranges::transform(plain, plain.begin(), lower);
  for (const std::string_view header : kHeaders) {
    size_t next = 0;
    for (size_t at = plain.find(header); at != std::string::npos; at = plain.find(header, next)) {
      next = at + header.size();
      if (at > 0 && is_name_character(text[at - 1])) continue;
      size_t value = at + header.size();
      while (value < text.size() && is_blank(text[value])) ++value;
      const char before = at > 0 ? text[at - 1] : '\0';
      const size_t end = before == '"' || before == '\'' ? text.find(before, value) : text.find('\n', value);
      add(found, value, std::min(end, text.size()));
      next = std::min(end, text.size());
    }
  }
}

void find_after_scheme(std::string_view text, SecretRanges& found) {
  for (const std::string_view word : {"Bearer ", "bearer ", "Basic ", "basic ", "Token "}) {
    for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + word.size())) {
      if (at > 0 && is_name_character(text[at - 1])) continue;
      const size_t begin = at + word.size();
      const size_t end = std::min(text.find_first_of(" \t\n\"'", begin), text.size());
      const std::string_view value = text.substr(begin, end - begin);
      const bool bearer = word == "Bearer " || word == "bearer ";
      // "Token authentication failed" is a sentence.
      const bool sentence = word == "Token " && std::ranges::none_of(value, [](char c) { return c >= '0' && c <= '9'; });
      if (bearer || (value.size() >= 8 && !sentence)) add(found, begin, end);
    }
  }
}

// JSON Web Tokens (three base64url parts of which the first begins with {") and tokens with a known prefix.
void find_tokens(std::string_view text, SecretRanges& found) {
  size_t at = 0;
  while (at < text.size()) {
    if (!is_name_character(text[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < text.size() && is_name_character(text[end])) ++end;
    const std::string_view word = text.substr(at, end - at);
    const bool web_token = word.starts_with("eyJ") && word.size() >= 24 && std::ranges::count(word, '.') >= 1;
    const bool known = std::ranges::any_of(kTokenPrefixes, [&](const Prefix& prefix) {
      return word.starts_with(prefix.text) && word.size() >= prefix.text.size() + prefix.rest_min &&
             (prefix.rest_min < 16 ||
              std::ranges::any_of(word, [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }));
    });
    if (web_token || known) {
      // Base64 may go on with characters that no name has.
      size_t rest = end;
      while (rest < text.size() && (is_name_character(text[rest]) || text[rest] == '/' || text[rest] == '+' || text[rest] == '='))
        ++rest;
      add(found, at, rest);
      end = rest;
    }
    at = end;
  }
}

void find_key_blocks(std::string_view text, SecretRanges& found) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  size_t at = text.find(kBegin);
  while (at != std::string_view::npos) {
    const size_t title = at + kBegin.size();
    const size_t title_end = text.find("-----", title);
    if (title_end == std::string_view::npos) return;
    const size_t begin = title_end + 5;
    const bool secret = text.substr(title, title_end - title).find("PRIVATE KEY") != std::string_view::npos;
    const size_t end = secret ? std::min(text.find("-----END", begin), text.size()) : begin;
    add(found, begin, end);
    at = text.find(kBegin, end);
  }
}

void find_webhooks(std::string_view text, SecretRanges& found) {
  for (const Webhook& webhook : kWebhooks) {
    size_t at = text.find(webhook.address);
    while (at != std::string_view::npos) {
      const size_t begin = at + webhook.address.size();
      size_t end = begin;
      while (end < text.size() && !is_blank(text[end]) && text[end] != webhook.end && text[end] != '"' && text[end] != '\'') ++end;
      add(found, begin, end);
      at = text.find(webhook.address, end);
    }
  }
}

// PASSWORD 'x', PASSWORD = 'x' and PASSWORD('x') of SQL; IDENTIFIED BY 'x', and IDENTIFIED WITH plugin BY 'x'. Only what is quoted,
// behind IDENTIFIED BY also a bare word. Case does not matter.
void find_sql(std::string_view text, SecretRanges& found) {
  std::string plain(text);
  std::ranges::transform(plain, plain.begin(), lower);
  const auto value_at = [&](size_t at, bool bare) {
    const size_t from = at;
    while (at < text.size() && (is_blank(text[at]) || text[at] == '=' || text[at] == '(' || text[at] == '\\')) ++at;
    if (at >= text.size() || (at == from && !bare)) return at;
    const bool quoted = text[at] == '\'' || text[at] == '"';
    if (!quoted && !bare) return at;
    const size_t begin = at + (quoted ? 1 : 0);
    size_t end = quoted ? text.find(text[at], begin) : text.find_first_of(" \t\n;,", begin);
    end = std::min(end, text.size());
    if (quoted && end > begin && text[end - 1] == '\\') --end;
    add(found, begin, end);
    return end;
  };
  constexpr std::string_view kPassword = "password";
  constexpr std::string_view kIdentified = "identified ";
  constexpr std::string_view kBy = " by ";
  for (size_t at = plain.find(kPassword); at != std::string::npos; at = plain.find(kPassword, at)) {
    const bool whole = at == 0 || !is_name_character(text[at - 1]);
    at += kPassword.size();
    if (whole && at < text.size() && !is_name_character(text[at]) && text[at] != ':') at = std::max(at, value_at(at, false));
  }
  for (size_t at = plain.find(kIdentified); at != std::string::npos; at = plain.find(kIdentified, at)) {
    at += kIdentified.size() - 1;
    constexpr std::string_view kWith = " with ";
    size_t by = at;
    if (plain.compare(at, kWith.size(), kWith) == 0) {
      by = at + kWith.size();
      while (by < text.size() && is_name_character(text[by])) ++by;
    }
    if (plain.compare(by, kBy.size(), kBy) != 0) continue;
    at = by + kBy.size();
    if (plain.compare(at, kPassword.size(), kPassword) != 0) at = value_at(at, true);
  }
}

}  // namespace

bool names_a_secret(std::string_view name) {
  constexpr size_t kNameBytesMax = 128;
  if (name.empty() || name.size() > kNameBytesMax) return false;
  std::string plain;
  for (const char c : name) {
    if (c != '-' && c != '_' && c != '.' && c != ' ') plain += lower(c);
  }
  const auto has_ending = [&](const auto& endings) {
    return std::ranges::any_of(endings, [&](std::string_view ending) { return plain.ends_with(ending); });
  };
  if (plain == "pwd" || plain == "oldpwd" || has_ending(kHarmlessEndings)) return false;  // the shell's working directories
  if (name.starts_with('-') &&
      std::ranges::any_of(kHarmlessBeginnings, [&](std::string_view beginning) { return plain.starts_with(beginning); })) {
    return false;
  }
  return plain == "sig" || has_ending(kSecretEndings) ||
         std::ranges::any_of(kSecretWords, [&](std::string_view word) { return plain.find(word) != std::string::npos; });
}

void find_secrets_in_text(std::string_view text, SecretRanges& found) {
  find_key_blocks(text, found);
  find_headers(text, found);
  find_userinfo(text, found);
  find_json(text, found);
  find_assignments(text, found);
  find_after_scheme(text, found);
  find_tokens(text, found);
  find_webhooks(text, found);
  find_sql(text, found);
}

}  // namespace portbook

#include "capture/redact.h"

#include <algorithm>
#include <vector>

#include "capture/redact_programs.h"
#include "capture/redact_text.h"

namespace portbook {

namespace {

// A command line within a command line within a command line: sh -c "ssh host 'mysql -px'".
constexpr int kDepthMax = 3;

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> arguments;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\0'), text.size());
    arguments.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return arguments;
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool ends_command(char c) {
  return c == ';' || c == '|' || c == '&' || c == '(' || c == ')' || c == '`' || c == '\n';
}

// Finds the secrets of the commands in a text that a shell would run: words between blanks, quotes kept together.
void find_in_script(std::string_view text, size_t argument, size_t offset, std::span<SecretRanges> found, int depth) {
  std::vector<CommandWord> words;
  std::vector<CommandWord> piped;  // the command whose output `words` reads
  const auto run = [&](bool into_next) {
    if (!words.empty()) find_secrets_of_command(words, true, found);
    if (!piped.empty() && reads_secret_from_stdin(words)) find_printed_secret(piped, found);
    piped.clear();
    if (into_next) piped.swap(words);
    words.clear();
  };
  size_t at = 0;
  while (at < text.size()) {
    if (ends_command(text[at])) run(text[at] == '|');
    if (is_blank(text[at]) || ends_command(text[at])) {
      ++at;
      continue;
    }
    const size_t begin = at;
    size_t inner = 0;  // where a quoted part begins that holds several words
    while (at < text.size() && !is_blank(text[at]) && !ends_command(text[at])) {
      const char c = text[at++];
      if (c != '"' && c != '\'') continue;
      const size_t close = text.find(c, at);
      if (close == std::string_view::npos) continue;
      const std::string_view quoted = text.substr(at, close - at);
      if (inner == 0 && depth < kDepthMax && std::ranges::any_of(quoted, is_blank)) {
        inner = at;
        find_in_script(quoted, argument, offset + at, found, depth + 1);
      }
      at = close + 1;
    }
    words.push_back({text.substr(begin, at - begin), argument, offset + begin});
  }
  run(false);
}

// The text with the ranges, which may overlap, replaced.
bool append_redacted(std::string_view text, SecretRanges& ranges, std::string& out) {
  std::ranges::sort(ranges, {}, &SecretRange::begin);
  size_t done = 0;
  bool changed = false;
  for (const SecretRange& range : ranges) {
    if (range.end <= done) continue;
    if (range.begin >= done) {
      const std::string_view secret = text.substr(range.begin, range.end - range.begin);
      if (secret == kRedactedMark) continue;
      // Two that touch or overlap are one secret.
      if (range.begin > done || !changed) {
        out += text.substr(done, range.begin - done);
        out += kRedactedMark;
      }
      changed = true;
    }
    done = range.end;
  }
  out += text.substr(done);
  return changed;
}

}  // namespace

Redacted redact_arguments(std::string_view nul_separated) {
  const std::vector<std::string_view> arguments = split(nul_separated);
  std::vector<SecretRanges> found(arguments.size());
  std::vector<CommandWord> words;
  for (size_t i = 0; i < arguments.size(); ++i) words.push_back({arguments[i], i, 0});
  find_secrets_of_command(words, false, found);
  Redacted result;
  for (size_t i = 0; i < arguments.size(); ++i) {
    find_secrets_in_text(arguments[i], found[i]);
    if (std::ranges::any_of(arguments[i], is_blank)) find_in_script(arguments[i], i, 0, found, 0);
    if (i > 0) result.text += ' ';
    result.count += append_redacted(arguments[i], found[i], result.text) ? 1 : 0;
  }
  return result;
}

}  // namespace portbook

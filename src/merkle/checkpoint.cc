#include "merkle/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace portbook {

namespace {

// Takes the next line without its newline; false when there is none.
bool take_line(std::string_view& text, std::string_view& line) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return false;
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

bool read_size(std::string_view line, uint64_t& size) {
  if (line.empty() || (line.size() > 1 && line[0] == '0')) return false;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size);
  return error == std::errc{} && end == line.data() + line.size() && size < uint64_t{1} << 63;
}

}  // namespace

std::string checkpoint_text(const Checkpoint& checkpoint) {
  return fmt::format("{}\n{}\n{}\n{}", checkpoint.origin, checkpoint.head.size, base64(checkpoint.head.root), checkpoint.extension);
}

Result<Checkpoint> parse_checkpoint_text(std::string_view text) {
  Checkpoint checkpoint;
  std::string_view line;
  if (!take_line(text, line) || line.empty()) return fail(ErrorCode::kBadInput, "the checkpoint has no origin line");
  checkpoint.origin = line;
  if (!take_line(text, line) || !read_size(line, checkpoint.head.size)) {
    return fail(ErrorCode::kBadInput, "the checkpoint's second line is not a tree size in decimal");
  }
  Bytes root;
  if (!take_line(text, line) || !parse_base64(line, root) || root.size() != 32) {
    return fail(ErrorCode::kBadInput, "the checkpoint's third line is not a root hash of 32 bytes in base64");
  }
  std::ranges::copy(root, checkpoint.head.root.begin());
  checkpoint.extension = text;
  while (!text.empty()) {
    if (!take_line(text, line) || line.empty()) return fail(ErrorCode::kBadInput, "the checkpoint has an empty or unended line");
  }
  return checkpoint;
}

Result<std::string> sign_checkpoint(const TreeHead& head, Signer& signer) {
  return sign_note(checkpoint_text({signer.name(), head, ""}), signer);
}

Result<Checkpoint> open_checkpoint(std::string_view note, const Verifier& verifier) {
  const auto text = open_note(note, {&verifier, 1});
  if (!text) return std::unexpected(text.error());
  auto checkpoint = parse_checkpoint_text(*text);
  if (checkpoint && checkpoint->origin != verifier.name) {
    return fail(ErrorCode::kBadInput, fmt::format("the checkpoint is of \"{}\", not of \"{}\"", checkpoint->origin, verifier.name));
  }
  return checkpoint;
}

}  // namespace portbook

#include "merkle/proof_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace portbook {

namespace {

constexpr std::string_view kFirstLine = "c2sp.org/tlog-proof@v1";
constexpr size_t kProofHashesMax = 64;

std::unexpected<Error> bad_line(size_t line, std::string_view expected) {
  return fail(ErrorCode::kBadInput, fmt::format("the proof's line {} is not {}", line, expected));
}

// Hands out lines without their newlines and counts them.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}
  // False at the end, or at a last line without a newline.
  bool next(std::string_view& line) {
    const size_t end = rest_.find('\n');
    if (end == std::string_view::npos) return false;
    line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    ++number_;
    return true;
  }
  [[nodiscard]] size_t number() const { return number_; }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  size_t number_ = 0;
};

bool read_index(std::string_view text, uint64_t& index) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::string to_text(const ProofFile& proof) {
  std::string text = fmt::format("{}\n", kFirstLine);
  if (proof.extra) text += fmt::format("extra {}\n", base64(*proof.extra));
  text += fmt::format("index {}\n", proof.index);
  for (const Hash& hash : proof.hashes) text += base64(hash) + "\n";
  return text + "\n" + proof.checkpoint;
}

Result<ProofFile> parse_proof_file(std::string_view text) {
  ProofFile proof;
  Lines lines(text);
  std::string_view line;
  if (!lines.next(line) || line != kFirstLine) return bad_line(1, kFirstLine);
  if (!lines.next(line)) return bad_line(2, "an index");
  if (line.starts_with("extra ")) {
    proof.extra.emplace();
    if (!parse_base64(line.substr(6), *proof.extra)) return bad_line(2, "extra data in base64");
    if (!lines.next(line)) return bad_line(3, "an index");
  }
  if (!line.starts_with("index ") || !read_index(line.substr(6), proof.index))
    return bad_line(lines.number(), "an index in decimal");
  Bytes raw;
  while (true) {
    if (!lines.next(line)) return bad_line(lines.number() + 1, "a hash or an empty line");
    if (line.empty()) break;
    if (!parse_base64(line, raw) || raw.size() != 32) return bad_line(lines.number(), "a hash of 32 bytes in base64");
    if (proof.hashes.size() == kProofHashesMax) return bad_line(lines.number(), "the empty line that ends at most 64 hashes");
    std::ranges::copy(raw, proof.hashes.emplace_back().begin());
  }
  if (lines.rest().empty()) return bad_line(lines.number() + 1, "a checkpoint");
  proof.checkpoint = lines.rest();
  return proof;
}

Result<Checkpoint> verify_proof_file(const ProofFile& proof, ByteView record_bytes, const Verifier& verifier) {
  auto checkpoint = open_checkpoint(proof.checkpoint, verifier);
  if (!checkpoint) return checkpoint;
  if (Status included = verify_inclusion(leaf_hash(record_bytes), proof.index, checkpoint->head, proof.hashes); !included) {
    return std::unexpected(included.error());
  }
  return checkpoint;
}

}  // namespace portbook

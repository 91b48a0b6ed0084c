// Notes, checkpoints, proof files, keys and tile paths are read from strangers: whatever is accepted must be written the same
// again.
#include "base/check.h"
#include "merkle/checkpoint.h"
#include "merkle/note.h"
#include "merkle/proof_file.h"
#include "merkle/tile.h"

using namespace portbook;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text({data, size});
  if (const auto checkpoint = parse_checkpoint_text(text)) PB_CHECK(checkpoint_text(*checkpoint) == text);
  if (const auto proof = parse_proof_file(text)) PB_CHECK(to_text(*proof) == text);
  if (const auto verifier = parse_vkey(text)) PB_CHECK(parse_vkey(to_vkey(*verifier)) == *verifier);
  if (const auto tile = parse_tile_path(text)) PB_CHECK(std::visit([](const auto& t) { return tile_path(t); }, *tile) == text);
  static const auto signer = make_ed25519_signer("fuzz.example.org", Ed25519Seed{1});
  static const Verifier verifier = make_verifier(*signer);
  // A signature over what is fuzzed cannot be guessed.
  PB_CHECK(!open_note(text, {&verifier, 1}).has_value());
  return 0;
}

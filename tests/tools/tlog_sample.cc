// tlog_sample DIR: makes a book of one sealed block and a bit, exports it to DIR/tlog, and writes proofs of ours beside it:
// DIR/proofs/INDEX.tlog-proof and DIR/consistency/OLDSIZE (the older root, then the hashes, in base64, one a line).
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>

#include "book/export.h"
#include "book/local_book.h"
#include "book/test_batches.h"
#include "merkle/checkpoint.h"
#include "merkle/proof_file.h"

namespace {

using namespace portbook;

int failed(const std::string& why) {
  fmt::print(stderr, "tlog_sample: {}\n", why);
  return 1;
}

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

int make(const std::filesystem::path& folder) {
  const auto target = folder / "book";
  for (const char* name : {"proofs", "consistency"}) std::filesystem::create_directories(folder / name);
  const auto book = Book::open(
      {.folder = target, .origin = "portbook.example.org/web-7", .host = "web-7", .reserve_bytes = 1 << 20}, system_clock());
  if (!book) return failed(book.error().message);
  const auto verifier = parse_vkey((*book)->vkey());
  std::map<uint64_t, Hash> older;
  TestSource source("web-7/socket");
  for (int i = 0; i < 67; ++i) {
    if (const auto receipt = (*book)->append(source.batch(1000)); !receipt) return failed(receipt.error().message);
    const auto head = open_checkpoint((*book)->checkpoint(), *verifier);
    older.emplace(head->head.size, head->head.root);
  }
  for (uint64_t index = 0; index < (*book)->view().size(); index += 97) {
    const auto proof = (*book)->prove(index);
    if (!proof) return failed(proof.error().message);
    write(folder / "proofs" / fmt::format("{}.tlog-proof", index),
          to_text(ProofFile{index, proof->hashes, proof->checkpoint, std::nullopt}));
  }
  for (const auto& [size, root] : older) {
    const auto proof = (*book)->prove_consistency(size);
    if (!proof) return failed(proof.error().message);
    std::string text = base64(root) + "\n";
    for (const Hash& hash : proof->hashes) text += base64(hash) + "\n";
    write(folder / "consistency" / std::to_string(size), text);
  }
  const auto snapshot = open_snapshot(target);
  if (!snapshot) return failed(snapshot.error().message);
  if (const Status done = export_tlog(*snapshot, folder / "tlog"); !done) return failed(done.error().message);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return argc == 2 ? make(argv[1]) : failed("usage: tlog_sample DIR");
}

// How a ledger begins: the first start, and the verdict on what an earlier run left (crash or tamper).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "book/ledger.h"
#include "store/sealed_block.h"

namespace portbook {

namespace {

// Replaces what a crash tore by zeros, durably. Returns the SHA-256 of what was there.
Result<Hash> cut(Disk& disk, const TornTail& torn) {
  const auto file = disk.open_to_write(log_file_name(torn.serial));
  if (!file) return std::unexpected(file.error());
  Bytes bytes(torn.bytes);
  const auto got = (*file)->read_at(torn.offset, bytes);
  if (!got) return std::unexpected(got.error());
  const Hash hash = sha256(bytes);
  std::ranges::fill(bytes, 0);
  if (Status done = (*file)->write_at(torn.offset, bytes); !done) return std::unexpected(done.error());
  if (Status done = (*file)->sync(); !done) return std::unexpected(done.error());
  return hash;
}

// A folder without the file `book` may only hold what an interrupted first start left.
Status check_unmade(Disk& disk) {
  const auto names = disk.list();
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (name.starts_with("log-") || name.starts_with("segment-")) {
      return fail(ErrorCode::kCorrupt,
                  fmt::format("{} holds {} but not the file \"book\" that every book has", disk.where(), name));
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Ledger>> Ledger::open(Disk& disk, Clock& clock, LedgerOptions options) {
  std::unique_ptr<Ledger> ledger(new Ledger(disk, clock, std::move(options)));
  const auto origin = read_origin(disk);
  if (!origin && origin.error().code != ErrorCode::kNotFound) return std::unexpected(origin.error());
  if (!origin) {
    if (Status made = ledger->make_book(); !made) return std::unexpected(made.error());
  }
  auto loaded = load_book(disk, Beyond::kTakeIn, ledger->options_.block_rows);
  if (!loaded) return std::unexpected(loaded.error());
  if (Status taken = ledger->take_over(std::move(*loaded)); !taken) return std::unexpected(taken.error());
  return ledger;
}

Status Ledger::make_book() {
  if (Status unmade = check_unmade(disk_); !unmade) return unmade;
  if (!is_key_name(options_.origin)) {
    return fail(ErrorCode::kBadInput, fmt::format("\"{}\" cannot name a book: no blanks, no \"+\", not empty", options_.origin));
  }
  if (Status held = reserve_.hold(); !held) {
    if (held.error().code != ErrorCode::kLimit) return held;
    return fail(ErrorCode::kLimit,
                fmt::format("the disk is full: a new book needs {} MiB at once, part of them kept back for when a disk "
                            "fills ({})",
                            (options_.reserve_bytes + options_.log_file_bytes) >> 20, held.error().message));
  }
  auto signer = make_signer(disk_, options_.origin, options_.entropy);
  if (!signer) return std::unexpected(signer.error());
  auto note = sign_checkpoint({0, empty_root()}, **signer);
  if (!note) return std::unexpected(note.error());
  if (Status made = HeadFile::create(disk_, std::move(*note)); !made) return made;
  // Last, because it says that the rest is there.
  return write_file(disk_, kBookFileName, as_bytes(book_file_text(options_.origin)));
}

Status Ledger::take_over(LoadedBook loaded) {
  verifier_ = loaded.verifier;
  auto signer = read_signer(disk_);
  if (signer && !loaded.damage && make_verifier(**signer) != verifier_) loaded.damage = "key: it is not the key that vkey names";
  if (!signer && !loaded.damage) loaded.damage = signer.error().message;
  if (signer) signer_ = std::move(*signer);
  size_ = loaded.tree.size();
  tree_ = std::move(loaded.tree);
  last_seq_ = std::move(loaded.last_seq);
  if (!loaded.sealed.empty()) sealed_seqs_ = loaded.sealed.back().seqs;
  std::vector<std::shared_ptr<SealedBlock>> sealed;
  if (loaded.kept.kept.below > 0) {
    dropped_ = std::make_shared<const Dropped>(dropped_of(loaded.kept.kept));
    sealed_seqs_ = loaded.sealed.empty() ? loaded.kept.kept.seqs : sealed_seqs_;
    kept_ = std::make_shared<const Kept>(std::move(loaded.kept.kept));
  }
  for (SegmentFooter& footer : loaded.sealed) sealed.push_back(std::make_shared<SealedBlock>(disk_, cache_, std::move(footer)));
  blocks_.assign(sealed.begin(), sealed.end());
  sealed_.assign(sealed.begin(), sealed.end());
  if (Status opened = runs_.open(std::move(sealed)); !opened) return opened;
  for (const auto& block : loaded.unsealed) {
    blocks_.push_back(block);
    unsealed_.push_back(block);
  }
  if (!loaded.unsealed.empty()) open_ = loaded.unsealed.back();
  published_size_ = std::min(size_, loaded.signed_head.size);
  checkpoint_ = loaded.head.note;
  if (loaded.damage) {
    read_only_ = *loaded.damage;
    recovery_report_ =
        fmt::format("This book was changed from outside or its disk failed, so nothing is written to it: {}.", *loaded.damage);
    return {};
  }
  leftovers_.assign(loaded.leftovers.begin(), loaded.leftovers.end());
  if (Status opened = handed_out_.open(); !opened) return opened;
  handed_out_.note(loaded.signed_head.size);  // whoever read the folder at rest may hold it
  return recover(loaded);
}

Status Ledger::recover(const LoadedBook& loaded) {
  if (size_ > loaded.signed_head.size) {
    recovery_report_ += fmt::format(" {} durable records behind the signed size {} were taken in.", size_ - loaded.signed_head.size,
                                    loaded.signed_head.size);
  }
  if (loaded.torn) {
    const auto hash = cut(disk_, *loaded.torn);
    if (!hash) return std::unexpected(hash.error());
    recovery_report_ += fmt::format(" {} bytes of an unfinished write were cut at {} offset {} (SHA-256 {}).", loaded.torn->bytes,
                                    log_file_name(loaded.torn->serial), loaded.torn->offset, hex(*hash));
  }
  if (loaded.bad_head_slot) recovery_report_ += fmt::format(" An unfinished head was left aside ({}).", *loaded.bad_head_slot);
  if (!recovery_report_.empty()) {
    recovery_report_ = "Recovered after a crash:" + recovery_report_;
    say("recovered", recovery_report_);
  }
  while (!leftovers_.empty()) {
    if (!remove_leftover()) break;  // then keep_next() goes on with them
  }
  if (Status resumed = log_.resume(loaded.logs); !resumed) return resumed;
  auto head_file = HeadFile::open(disk_, loaded.head);
  if (!head_file) return std::unexpected(head_file.error());
  head_file_.emplace(std::move(*head_file));
  if (size_ == 0) say("key made", fmt::format("The book's key was made: {}", to_vkey(verifier_)));
  if (Status held = reserve_.hold(); !held) {
    if (held.error().code != ErrorCode::kLimit) return held;
    enter_disk_full(held.error());
  }
  commit({});
  return {};
}

}  // namespace portbook

#include "sim/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "book/prover.h"
#include "book/verify.h"
#include "merkle/checkpoint.h"
#include "merkle/tree.h"
#include "record/cbor.h"

namespace portbook {

namespace {

constexpr uint64_t kLives = 5;
constexpr uint64_t kActsMax = 18;
constexpr uint64_t kSimLogBytes = 96 * 1024;
constexpr uint64_t kSimReserve = 64 * 1024;

// A quarter of the books keeps everything; the others what the simulated clock makes of some hundred to a few thousand records.
Keep keep_of(uint64_t seed) {
  Keep keep;
  if (seed % 4 <= 1) keep.age_ns = 200'000 + seed % 7 * 200'000;
  if (seed % 8 >= 6) keep.bytes = 10'000 + seed % 5 * 15'000;
  return keep;
}

LedgerOptions options(uint64_t seed) {
  LedgerOptions options;
  options.origin = "sim.example.org";
  options.host = "sim";
  options.log_file_bytes = kSimLogBytes;
  options.reserve_bytes = kSimReserve;
  options.block_rows = 512;
  options.entropy = [seed] {
    Ed25519Seed bytes{};
    store_little(bytes.data(), seed);
    return bytes;
  };
  options.clock_state = [] { return ClockState::kSynchronised; };
  return options;
}

}  // namespace

Simulation::Simulation(uint64_t seed)
    : random_(seed), disk_(seed * 31 + 7), keep_(keep_of(seed)), short_after_ns_(seed % 3 == 0 ? kShortAfterNs : 400'000) {
  for (const char* name : {"sim/socket", "sim/nat", "far/agent"}) sources_.push_back({name, {}, 0});
}

std::string Simulation::run(SimulationCounts& counts) {
  for (uint64_t life = 0; life < kLives && !ended_; ++life) {
    if (std::string wrong = live(counts); !wrong.empty()) return fmt::format("life {}: {}", life, wrong);
    ++counts.lives;
    if (disk_.power_is_off()) ++counts.power_cuts;
    if (disk_.sync_failed()) ++counts.sync_errors;
    if (disk_.bit_flipped()) ++counts.flips;
    damaged_ = damaged_ || disk_.bit_flipped();
    disk_.restart();
    disk_.set_capacity(UINT64_MAX);
  }
  if (ended_) return "";
  // Once more without a fault: everything must be there, and an independent look agrees.
  auto ledger = open();
  if (!ledger) return "it does not open after the last restart: " + ledger.error().message;
  if ((*ledger)->read_only_reason()) return check_refusal(**ledger);
  if (std::string wrong = check_records(**ledger); !wrong.empty()) return wrong;
  counts.connected += connected_;
  ledger->reset();
  return check_at_rest();
}

Result<std::unique_ptr<Ledger>> Simulation::open() {
  LedgerOptions with = options(1);
  with.keep = keep_;
  with.short_after_ns = short_after_ns_;
  return Ledger::open(disk_, clock_, std::move(with));
}

void Simulation::plan_fault() {
  switch (below(8)) {
    case 0: disk_.fail_sync_in(1 + below(40)); break;
    case 1: disk_.flip_write_in(1 + below(60)); break;
    case 2: disk_.set_capacity(kSimReserve + (2 + below(6)) * kSimLogBytes); break;
    case 3: break;  // killed
    default: disk_.cut_power_in(1 + below(60)); break;
  }
}

std::string Simulation::live(SimulationCounts& counts) {
  plan_fault();
  auto ledger = open();
  if (!ledger) {
    const bool excused =
        disk_.power_is_off() || disk_.sync_failed() || disk_.bit_flipped() || ledger.error().code == ErrorCode::kLimit;
    return excused ? "" : "it does not open: " + ledger.error().message;
  }
  if ((*ledger)->read_only_reason() && !disk_.power_is_off() && !disk_.sync_failed() && !disk_.bit_flipped())
    return check_refusal(**ledger);
  if (!(*ledger)->recovery_report().empty()) ++counts.recovered;
  if (!disk_.power_is_off()) {
    if (std::string wrong = check_records(**ledger); !wrong.empty()) return wrong;
  }
  for (uint64_t acts = 1 + below(kActsMax); acts > 0 && !disk_.power_is_off(); --acts) {
    if (std::string wrong = act(**ledger, counts); !wrong.empty()) return wrong;
  }
  if (!disk_.power_is_off()) ++counts.kills;
  return "";
}

std::string Simulation::act(Ledger& ledger, SimulationCounts& counts) {
  if (below(3) != 0) return commit_some(ledger, counts);
  const uint64_t what = below(4);
  if (what == 0) return keep_some(ledger, counts);
  if (what == 1) {
    static_cast<void>(ledger.index_next());  // what it could not do costs no answer
    return "";
  }
  const auto sealed = ledger.seal_next();
  if (sealed && *sealed) ++counts.sealed;
  if (!sealed && sealed.error().code == ErrorCode::kCorrupt && !disk_.bit_flipped()) return "sealing: " + sealed.error().message;
  return "";
}

// As the sealing thread does while there is nothing to seal, some steps of it.
std::string Simulation::keep_some(Ledger& ledger, SimulationCounts& counts) {
  const std::map<uint64_t, Hash> noted = signed_roots_;
  for (const auto& [size, root] : noted) ledger.note_handed_out(size);
  bool written = false;
  for (uint64_t steps = 1 + below(12); steps > 0; --steps) {
    const auto kept = ledger.keep_next();
    if (!kept && kept.error().code == ErrorCode::kCorrupt && !disk_.bit_flipped() && !damaged_)
      return "removing: " + kept.error().message;
    written = written || kept.has_value();
    if (kept && !*kept) ledger.commit({});
  }
  const uint64_t below = ledger.kept()->below;
  counts.removed += below - removed_;
  removed_ = below;
  // From now on they must stay connected for ever.
  if (written && !ledger.read_only_reason() && !disk_.power_is_off()) handed_out_.insert(noted.begin(), noted.end());
  return "";
}

CheckedBatch Simulation::make_batch(Source& source, uint64_t first_seq, uint32_t count) {
  Batch batch{source.name, first_seq, count, {}};
  Record record;
  for (uint64_t seq = first_seq; seq < first_seq + count; ++seq) {
    if (seq > source.made.size()) {  // else it sends again what was not acknowledged
      record.clear();
      record.set(Field::kKind, below(9) == 0 ? Kind::kNote : Kind::kOpen);
      record.set(Field::kTime, clock_.now());
      record.set(Field::kSource, std::string_view(source.name));
      record.set(Field::kSourceSeq, seq);
      record.set(Field::kSrcIp, Field::kSrcPort,
                 {Ip::v4(static_cast<uint32_t>(random_())), static_cast<uint16_t>(1 + below(65535))});
      record.set(Field::kMessage, std::string_view(std::string(below(80), static_cast<char>('a' + below(26)))));
      encode(record, source.made.emplace_back());
    }
    append(batch.bytes, source.made[seq - 1]);
  }
  auto checked = check_batch(std::move(batch));
  PB_CHECK(checked.has_value());
  return std::move(*checked);
}

std::string Simulation::commit_some(Ledger& ledger, SimulationCounts& counts) {
  std::vector<CheckedBatch> batches;
  std::vector<size_t> of;
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (below(2) == 0) continue;
    batches.push_back(make_batch(sources_[i], ledger.last_seq(sources_[i].name) + 1, static_cast<uint32_t>(1 + below(200))));
    of.push_back(i);
  }
  const bool was_read_only = ledger.read_only_reason().has_value();
  const auto outcomes = ledger.commit(batches);
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (!outcomes[i]) {
      if (outcomes[i].error().message.find("disk is full") != std::string::npos) {
        ++counts.refused_disk_full;
        if (below(3) == 0) disk_.set_capacity(UINT64_MAX);  // somebody makes room
      }
      continue;
    }
    if (was_read_only || disk_.power_is_off()) return "a batch was acknowledged that cannot have been made durable";
    Source& source = sources_[of[i]];
    source.acknowledged = ledger.last_seq(source.name);
    for (uint32_t k = 0; k < outcomes[i]->count; ++k) acknowledged_[outcomes[i]->first_index + k] = batches[i].leaves[k];
    acknowledged_size_ = std::max(acknowledged_size_, outcomes[i]->first_index + outcomes[i]->count);
    counts.records += outcomes[i]->count;
    const auto checkpoint = open_checkpoint(ledger.published().checkpoint, ledger.verifier());
    if (!checkpoint) return "a batch was acknowledged under a checkpoint that does not open: " + checkpoint.error().message;
    signed_roots_.emplace(checkpoint->head.size, checkpoint->head.root);
  }
  return "";
}

// Only a disk that wrote something wrong may lead to this, and then verify must see it too.
std::string Simulation::check_refusal(const Ledger& ledger) {
  if (!damaged_) return "a crash was taken for something else: " + *ledger.read_only_reason();
  ended_ = true;
  const auto report = verify_disk(disk_, false, {});
  if (report && !report->problem) return "verify does not see: " + *ledger.read_only_reason();
  return "";
}

// No acknowledged record lost or changed, none invented, no sequence broken; every checkpoint ever handed out still fits.
std::string Simulation::check_records(const Ledger& ledger) {
  const View view = ledger.published().view;
  if (view.size() < acknowledged_size_)
    return fmt::format("{} records were acknowledged, {} are there", acknowledged_size_, view.size());
  const auto kept = ledger.kept();
  if (view.first_index() != kept->below) return fmt::format("{} records are gone, not {}", view.first_index(), kept->below);
  std::map<std::string, uint64_t> seqs(kept->seqs.begin(), kept->seqs.end());
  CompactRange range;
  for (const Hash& group : kept->groups) range.append(group, kGroupHeight);
  Record record;
  Bytes bytes;
  for (uint64_t index = view.first_index(); index < view.size(); ++index) {
    if (Status read = view.read(index, record); !read) {
      if (disk_.power_is_off()) return "";
      return read.error().message;
    }
    bytes.clear();
    encode(record, bytes);
    if (std::string wrong = check_record(index, record, bytes, seqs); !wrong.empty()) return wrong;
    range.append(leaf_hash(bytes));
    const auto signed_root = signed_roots_.find(range.size());
    if (signed_root != signed_roots_.end() && signed_root->second != range.root())
      return fmt::format("the checkpoint of {} records no longer fits", range.size());
  }
  for (const Source& source : sources_) {
    if (seqs[source.name] < source.acknowledged) return fmt::format("{} lost acknowledged records", source.name);
    // What was durable but could not be signed yet is known, and not shown.
    const bool settled = !ledger.read_only_reason() && !ledger.has_own_waiting();
    if (settled && ledger.last_seq(source.name) != seqs[source.name]) return fmt::format("last_seq of {} is wrong", source.name);
  }
  return check_handed_out(ledger, view);
}

// Every checkpoint that somebody was known to hold is connected to the newest one, whatever was removed.
std::string Simulation::check_handed_out(const Ledger& ledger, const View& view) {
  const auto checkpoint = open_checkpoint(ledger.published().checkpoint, ledger.verifier());
  if (!checkpoint || checkpoint->head.size != view.size()) return "the newest checkpoint is not of the newest size";
  LedgerNodes nodes(ledger, view);
  for (const auto& [size, root] : handed_out_) {
    const auto proof = consistency_proof(nodes, size, view.size());
    if (!proof && disk_.power_is_off()) return "";
    if (!proof) return fmt::format("the checkpoint of {} records is no longer connected: {}", size, proof.error().message);
    if (Status connects = verify_consistency({size, root}, checkpoint->head, *proof); !connects)
      return fmt::format("the checkpoint of {} records no longer leads to the newest: {}", size, connects.error().message);
    if (size < view.first_index()) ++connected_;
  }
  return "";
}

std::string Simulation::check_record(uint64_t index, const Record& record, ByteView bytes, std::map<std::string, uint64_t>& seqs) {
  const auto acknowledged = acknowledged_.find(index);
  if (acknowledged != acknowledged_.end() && acknowledged->second != leaf_hash(bytes))
    return fmt::format("record {} changed", index);
  const std::string name(record.text(Field::kSource));
  const uint64_t seq = record.uint(Field::kSourceSeq);
  if (seq != ++seqs[name]) return fmt::format("record {}: source_seq {} of {} where {} follows", index, seq, name, seqs[name]);
  const auto source = std::ranges::find(sources_, name, &Source::name);
  if (source == sources_.end()) return name == "sim/book" ? "" : fmt::format("record {} of nobody", index);
  if (seq > source->made.size() || !std::ranges::equal(source->made[seq - 1], bytes))
    return fmt::format("record {} was invented", index);
  return "";
}

std::string Simulation::check_at_rest() {
  const auto report = verify_disk(disk_, false, {});
  if (!report) return "verify: " + report.error().message;
  return report->problem ? "verify: " + report->problem->sentence : "";
}

}  // namespace portbook

// One seed of the simulator: a book lives through several lives on a disk that fails, and must keep its promises through all of
// them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "book/ledger.h"
#include "sim/sim_disk.h"

namespace portbook {

// A clock that moves when it is told.
class SimClock final : public Clock {
 public:
  TimeNs now() override { return now_ += 1000; }
  uint64_t boot_ns() override { return now_; }

 private:
  TimeNs now_ = 1'795'000'000'000'000'000;
};

// What a run met, so that somebody can see that the faults really happen.
struct SimulationCounts {
  uint64_t lives = 0;
  uint64_t power_cuts = 0;
  uint64_t kills = 0;
  uint64_t sync_errors = 0;
  uint64_t flips = 0;
  uint64_t refused_disk_full = 0;
  uint64_t records = 0;
  uint64_t sealed = 0;
  uint64_t recovered = 0;
  uint64_t removed = 0;    // records, by retention
  uint64_t connected = 0;  // checkpoints of removed records, to the newest one
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed);

  // Nothing, or what was wrong.
  std::string run(SimulationCounts& counts);

 private:
  // A source that keeps every record it ever made.
  struct Source {
    std::string name;
    std::vector<Bytes> made;    // [source_seq - 1]
    uint64_t acknowledged = 0;  // of them
  };

  std::string live(SimulationCounts& counts);
  Result<std::unique_ptr<Ledger>> open();
  void plan_fault();
  std::string act(Ledger& ledger, SimulationCounts& counts);
  std::string commit_some(Ledger& ledger, SimulationCounts& counts);
  CheckedBatch make_batch(Source& source, uint64_t first_seq, uint32_t count);
  std::string keep_some(Ledger& ledger, SimulationCounts& counts);
  std::string check_records(const Ledger& ledger);
  std::string check_handed_out(const Ledger& ledger, const View& view);
  std::string check_record(uint64_t index, const Record& record, ByteView bytes, std::map<std::string, uint64_t>& seqs);
  std::string check_at_rest();
  std::string check_refusal(const Ledger& ledger);
  uint64_t below(uint64_t end) { return random_() % end; }

  std::mt19937_64 random_;
  SimDisk disk_;
  SimClock clock_;
  const Keep keep_;
  const uint64_t short_after_ns_;
  std::vector<Source> sources_;
  std::map<uint64_t, Hash> acknowledged_;  // index → leaf hash
  uint64_t acknowledged_size_ = 0;
  std::map<uint64_t, Hash> signed_roots_;  // of every checkpoint that acknowledged something, by size
  std::map<uint64_t, Hash> handed_out_;    // of those, the ones that the book durably knows to be held by somebody
  uint64_t connected_ = 0;
  uint64_t removed_ = 0;
  bool damaged_ = false;  // the disk wrote a wrong bit at some time
  bool ended_ = false;    // and the book rightly refuses to go on
};

}  // namespace portbook

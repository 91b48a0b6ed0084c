// portbook_sim [SEED] [--seeds N]: the real ledger, log and store on a simulated disk and clock. N seeds from SEED on, so that a
// long run can be done in portions; without SEED from 1 on, without --seeds one. Prints the seed, so that a failure can be run
// again.
#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <random>
#include <span>
#include <string_view>

#include "sim/simulation.h"

namespace {

bool read_number(std::string_view text, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

// True if the seed holds.
bool run(uint64_t seed, portbook::SimulationCounts& counts) {
  portbook::Simulation simulation(seed);
  const std::string wrong = simulation.run(counts);
  if (!wrong.empty()) fmt::print("seed {}: {}\nrun it again: ./dev sim {}\n", seed, wrong, seed);
  return wrong.empty();
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> arguments(argv + 1, static_cast<size_t>(argc - 1));
  const bool many = arguments.size() >= 2 && std::strcmp(arguments[arguments.size() - 2], "--seeds") == 0;
  const std::span<char*> before = arguments.first(arguments.size() - (many ? 2 : 0));
  uint64_t first = many ? 1 : std::random_device{}();
  uint64_t seeds = 1;
  if (before.size() > 1 || (before.size() == 1 && !read_number(before[0], first)) ||
      (many && !read_number(arguments.back(), seeds))) {
    fmt::print(stderr, "usage: portbook_sim [SEED] [--seeds N]\n");
    return 2;
  }
  portbook::SimulationCounts counts;
  uint64_t failed = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) failed += run(seed, counts) ? 0 : 1;
  fmt::print(
      "seeds {} to {}: {} lives, {} power cuts, {} kills, {} sync errors, {} flipped writes, {} commits refused on a full disk, {} "
      "records, "
      "{} blocks sealed, {} recoveries, {} records removed, {} times a checkpoint of removed ones connected; {} failed\n",
      first, first + seeds - 1, counts.lives, counts.power_cuts, counts.kills, counts.sync_errors, counts.flips,
      counts.refused_disk_full, counts.records, counts.sealed, counts.recovered, counts.removed, counts.connected, failed);
  return failed == 0 ? 0 : 1;
}

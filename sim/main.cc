// portbook_sim SEED | --seeds N: the real ledger, log and store on a simulated disk and clock. Prints the seed, so that a failure
// can be run again.
#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <random>
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
  uint64_t first = std::random_device{}();
  uint64_t seeds = 1;
  const bool many = argc == 3 && std::strcmp(argv[1], "--seeds") == 0;
  if ((many && !read_number(argv[2], seeds)) || (argc == 2 && !read_number(argv[1], first)) || argc > 3 || (argc == 3 && !many)) {
    fmt::print(stderr, "usage: portbook_sim [SEED | --seeds N]\n");
    return 2;
  }
  if (many) first = 1;
  portbook::SimulationCounts counts;
  uint64_t failed = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) failed += run(seed, counts) ? 0 : 1;
  fmt::print(
      "seeds {} to {}: {} lives, {} power cuts, {} kills, {} sync errors, {} flipped writes, {} commits refused on a full disk, {} "
      "records, "
      "{} blocks sealed, {} recoveries; {} failed\n",
      first, first + seeds - 1, counts.lives, counts.power_cuts, counts.kills, counts.sync_errors, counts.flips,
      counts.refused_disk_full, counts.records, counts.sealed, counts.recovered, failed);
  return failed == 0 ? 0 : 1;
}

// An index run's bytes may be anything: what it says then is an error, or a key's blocks among those that it names. Checksums keep
// a fuzzer out, so it also gets the bytes with all of them made right.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "store/index_run.h"
#include "store/memory_file.h"

using namespace portbook;

namespace {

uint64_t checksum_of(ByteView bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

void read_all(const Bytes& bytes) {
  const auto run = IndexRun::open(std::make_unique<MemoryFile>(bytes));
  if (!run) return;
  std::vector<KeyPlace> places;
  for (uint64_t key = 0; key < 8; ++key) {
    if (!(*run)->find(key << 61, places)) break;
  }
  for (const KeyPlace& place : places) PB_CHECK(place.block < (*run)->blocks().size());
  if (!merge_runs({*run})) places.clear();
}

// Header of 64 bytes, 36 for each block, 8 for each bucket.
void make_right(Bytes& bytes) {
  const auto blocks = load_little<uint32_t>(bytes.data() + 12) % 8;
  const auto bits = load_little<uint32_t>(bytes.data() + 24) % 4;
  const size_t head = blocks * size_t{36} + (size_t{8} << bits);
  if (64 + head > bytes.size()) return;
  store_little(bytes.data() + 12, uint32_t{blocks});
  store_little(bytes.data() + 24, uint32_t{bits});
  const size_t buckets = 64 + head;
  for (size_t bucket = 0, begin = 0; bucket < size_t{1} << bits; ++bucket) {
    Byte* const entry = bytes.data() + 64 + blocks * size_t{36} + bucket * 8;
    const uint32_t end = load_little<uint32_t>(entry);
    if (end < begin || end > bytes.size() - buckets) return;
    store_little(entry + 4, static_cast<uint32_t>(checksum_of(ByteView(bytes).subspan(buckets + begin, end - begin))));
    begin = end;
  }
  store_little(bytes.data() + 48, checksum_of(ByteView(bytes).subspan(64, head)));
  store_little(bytes.data() + 56, checksum_of(ByteView(bytes).first(56)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes bytes(data, data + size);
  read_all(bytes);
  if (size < 64) return 0;
  make_right(bytes);
  read_all(bytes);
  return 0;
}

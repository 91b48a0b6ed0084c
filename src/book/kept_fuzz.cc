// The file of what is kept, as somebody may have left it: what is accepted is written the same again, and every size in it leads to
// a root.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

#include "base/check.h"
#include "book/handed_out.h"
#include "book/kept.h"

using namespace portbook;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // With the right checksum, which no fuzzer guesses.
  Bytes bytes(data, data + size);
  append_little(bytes, static_cast<uint64_t>(XXH3_64bits(bytes.data(), bytes.size())));
  if (const auto kept = parse_kept(bytes)) {
    PB_CHECK(encode_kept(*kept) == bytes);
    for (const KeptGroup& cut : kept->cut_groups) {
      for (const uint8_t rest : cut.sizes) PB_CHECK(kept->root_at(cut.group * kGroupLeaves + rest).has_value());
    }
  }
  TreeSizes sizes;
  sizes.take(as_text({data, size}));
  TreeSizes again;
  again.take(sizes.text());
  PB_CHECK(again == sizes);
  return 0;
}

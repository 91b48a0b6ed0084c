// A batch that was found to be what it claims, with what the commit needs of it. Checked by the thread that submits, so that many
// sources are checked at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "record/batch.h"

namespace portbook {

// What a credential lets an agent write (design: "who may say what").
struct Allowance {
  std::string host;       // every record carries it; sources, and what records speak about, begin with "HOST/"
  uint32_t vantages = 0;  // bit v: Vantage v
  uint32_t kinds = 0;     // bit k: Kind k
  bool any_host = false;  // records may carry the name of any host, as a log's lines do

  // Errors: kDenied, naming what is not allowed.
  [[nodiscard]] Status check_source(std::string_view source) const;
  [[nodiscard]] Status check_record(const Record& record) const;
};

struct CheckedBatch {
  Batch batch;
  std::vector<uint32_t> lengths;  // of each record in bytes
  std::vector<Hash> leaves;       // leaf hash of each record
};

// Besides its records: what is allocated for a batch that waits, and for its answer.
inline constexpr size_t kBatchHeldBytes = 512;
// Memory that a checked batch takes while it waits: many small ones take more than their records.
constexpr size_t held_bytes(size_t record_bytes, uint32_t count) {
  return record_bytes + count * (sizeof(uint32_t) + sizeof(Hash)) + kBatchHeldBytes;
}

// Decodes every record: canonical bytes, the batch's source, its sequence without a gap, nothing behind the last one.
// With an allowance also that each record is within it.
// Errors: kBadInput, naming the record; kNewer (a field that this portbook does not know); kLimit (batch too large); kDenied.
Result<CheckedBatch> check_batch(Batch batch, const Allowance* allowance = nullptr);

}  // namespace portbook

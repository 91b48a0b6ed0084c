// A batch that was found to be what it claims, with what the commit needs of it. Checked by the thread that submits, so that many
// sources are checked at once.
#pragma once

#include <cstdint>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "record/batch.h"

namespace portbook {

struct CheckedBatch {
  Batch batch;
  std::vector<uint32_t> lengths;  // of each record in bytes
  std::vector<Hash> leaves;       // leaf hash of each record
};

// Decodes every record: canonical bytes, the batch's source, its sequence without a gap, nothing behind the last one.
// Errors: kBadInput, naming the record; kNewer (a field that this portbook does not know); kLimit (batch too large).
Result<CheckedBatch> check_batch(Batch batch);

}  // namespace portbook

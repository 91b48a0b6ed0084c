#include "book/checked_batch.h"

#include <fmt/format.h>

#include <utility>

#include "merkle/tree.h"
#include "record/cbor.h"

namespace portbook {

namespace {

Status check_record(const Record& record, const Batch& batch, uint64_t seq) {
  if (record.text_or(Field::kSource, "") != batch.source) return fail(ErrorCode::kBadInput, "its source is not the batch's");
  if (record.uint_or(Field::kSourceSeq, 0) != seq) {
    return fail(ErrorCode::kBadInput,
                fmt::format("its source_seq is {} where {} follows", record.uint_or(Field::kSourceSeq, 0), seq));
  }
  return {};
}

}  // namespace

Result<CheckedBatch> check_batch(Batch batch) {
  if (batch.source.empty() || batch.seq_first == 0 || batch.count == 0) {
    return fail(ErrorCode::kBadInput, "a batch needs a source, a first sequence number and records");
  }
  if (batch.count > kBatchRecordsMax || batch.bytes.size() > kBatchBytesMax) {
    return fail(ErrorCode::kLimit, fmt::format("a batch has at most {} records and {} bytes", kBatchRecordsMax, kBatchBytesMax));
  }
  CheckedBatch checked{std::move(batch), {}, {}};
  const Batch& of = checked.batch;
  checked.lengths.reserve(of.count);
  checked.leaves.reserve(of.count);
  const std::string where = fmt::format("batch of {}", of.source);
  ByteView rest = of.bytes;
  Record record;
  for (uint32_t i = 0; i < of.count; ++i) {
    const auto length = encoded_length(rest);
    if (!length) return fail_in(fmt::format("{}, record {}", where, i), length);
    const ByteView bytes = rest.first(*length);
    if (Status decoded = decode(bytes, record); !decoded) return fail_in(fmt::format("{}, record {}", where, i), decoded);
    if (Status good = check_record(record, of, of.seq_first + i); !good)
      return fail_in(fmt::format("{}, record {}", where, i), good);
    checked.lengths.push_back(static_cast<uint32_t>(*length));
    checked.leaves.push_back(leaf_hash(bytes));
    rest = rest.subspan(*length);
  }
  if (!rest.empty()) return fail(ErrorCode::kBadInput, fmt::format("{}: {} bytes follow its last record", where, rest.size()));
  return checked;
}

}  // namespace portbook

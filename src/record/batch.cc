#include "record/batch.h"

#include <utility>

#include "record/cbor.h"

namespace portbook {

BatchBuilder::BatchBuilder(std::string source, uint64_t next_seq) : source_(std::move(source)), next_seq_(next_seq) {
  batch_.source = source_;
  batch_.seq_first = next_seq_;
}

void BatchBuilder::add(Record& record) {
  record.set(Field::kSource, std::string_view(source_));
  record.set(Field::kSourceSeq, next_seq_++);
  encode(record, batch_.bytes);
  ++batch_.count;
}

Batch BatchBuilder::take(Batch recycled) {
  Batch full = std::move(batch_);
  batch_ = std::move(recycled);
  batch_.bytes.clear();
  batch_.count = 0;
  batch_.source = source_;
  batch_.seq_first = next_seq_;
  return full;
}

}  // namespace portbook

#include "store/sealed_block.h"

#include <utility>

#include "base/check.h"

namespace portbook {

Result<std::shared_ptr<const Columns>> SealedBlock::columns(const FieldSet& wanted) {
  const std::shared_ptr<DecodedBlock> decoded = cache_.decoded(footer_.first_index);
  const std::lock_guard lock(decoded->mutex);
  if (decoded->columns && wanted.without(decoded->columns->held()).empty()) return decoded->columns;
  if (Status added = decode(wanted, decoded->columns); !added) return std::unexpected(added.error());
  cache_.grown(footer_.first_index, decoded, decoded->columns->bytes_used());
  return decoded->columns;
}

Status SealedBlock::decode(const FieldSet& wanted, std::shared_ptr<Columns>& columns) const {
  const std::string& name = source_->name();
  const auto file = source_->open();
  if (!file) return std::unexpected(file.error());
  if (columns) {
    if (Status added = read_more_segment_columns(**file, footer_, wanted, *columns); !added) return fail_in(name, added);
    return {};
  }
  auto first = read_segment_columns(**file, footer_, wanted);
  if (!first) return fail_in(name, first);
  columns = std::move(*first);
  return {};
}

Result<std::shared_ptr<const NarrowColumns>> SealedBlock::narrow(const FieldSet& fields) {
  const std::shared_ptr<NarrowBlock> kept = cache_.narrow(footer_.first_index);
  const std::lock_guard lock(kept->mutex);
  FieldSet lacking = kept->columns ? kept->columns->lacking(fields) : fields;
  if (kept->columns && lacking.empty()) return kept->columns;
  const FieldSet added = lacking;
  if (!kept->columns) lacking.add(kNarrowBaseFields);
  std::shared_ptr<Columns> columns;
  if (Status decoded = decode(lacking, columns); !decoded) return std::unexpected(decoded.error());
  kept->columns = with_columns(kept->columns, *columns, footer_.rows, added);
  cache_.narrow_grown(footer_.first_index, kept, kept->columns->bytes_used());
  return kept->columns;
}

template <typename Ask>
Status SealedBlock::ask_packed(Ask ask) {
  auto packed = cache_.find_packed(footer_.first_index);
  if (!packed) packed = cache_.put_packed(footer_.first_index, std::make_shared<PackedSegment>(source_, footer_));
  const size_t before = packed->bytes_used();
  Status asked = ask(*packed);
  if (packed->bytes_used() != before) cache_.packed_grown(footer_.first_index, packed);
  return asked;
}

Status SealedBlock::read_row(uint32_t row, Record& record) {
  PB_CHECK(row < footer_.rows);
  return ask_packed([&](PackedSegment& packed) { return packed.read(row, record); });
}

Status SealedBlock::rows_with(RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) {
  return ask_packed([&](PackedSegment& packed) { return packed.rows_with(footer_, key, row_end, rows); });
}

}  // namespace portbook

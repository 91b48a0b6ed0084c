#include "store/column_codec.h"

#include <utility>

#include "store/block_decoder.h"
#include "store/block_encoder.h"

namespace portbook {

std::vector<ColumnSection> encode_columns(const Columns& columns, uint32_t rows) {
  BlockEncoder encoder(columns, rows);
  std::vector<ColumnSection> sections;
  sections.push_back({std::nullopt, encoder.encode_shapes()});
  encoder.fields().for_each([&](Field field) { sections.push_back({field, encoder.encode_field(field)}); });
  return sections;
}

namespace {

// The columns `wanted` of the block and those that their values need; in `packed` they stand ready to be decoded.
Result<std::unique_ptr<PackedBlock>> open_columns(std::span<const ColumnSectionView> sections, uint32_t rows,
                                                  const FieldSet& wanted) {
  if (sections.empty() || sections[0].field) return bad_column(std::nullopt);
  auto block = PackedBlock::open(sections[0].bytes, rows);
  if (!block) return block;
  const FieldSet all = (*block)->shapes().all();
  const FieldSet needed = with_near_fields(wanted).common(all);
  for (const ColumnSectionView& section : sections.subspan(1)) {
    if (!section.field || (*block)->holds(*section.field) || !all.has(*section.field)) return bad_column(section.field);
    if (!needed.has(*section.field)) continue;
    if (Status added = (*block)->add(*section.field, section.bytes); !added) return std::unexpected(added.error());
  }
  std::optional<Field> bad;
  needed.for_each([&](Field field) {
    if (!bad && !(*block)->holds(field)) bad = field;
  });
  if (bad) return bad_column(bad);
  return block;
}

Status decode_into(PackedBlock& block, const FieldSet& wanted, Columns& columns) {
  BlockDecoder decoder(block);
  std::optional<Field> bad;
  wanted.without(columns.held()).for_each([&](Field field) {
    if (bad) return;
    if (decoder.decode(field, columns.storage_to_fill())) {
      columns.add_held(field);
    } else {
      bad = field;
    }
  });
  if (bad) return bad_column(bad);
  return {};
}

}  // namespace

Result<std::unique_ptr<Columns>> decode_columns(std::span<const ColumnSectionView> sections, uint32_t rows) {
  return decode_columns(sections, rows, kEveryField);
}

Result<std::unique_ptr<Columns>> decode_columns(std::span<const ColumnSectionView> sections, uint32_t rows,
                                                const FieldSet& wanted) {
  const auto block = open_columns(sections, rows, wanted);
  if (!block) return std::unexpected(block.error());
  auto storage = std::make_unique<ColumnStorage>();
  if (!BlockDecoder(**block).decode_shapes(*storage)) return bad_column(std::nullopt);
  // What no row has needs no decoding.
  auto columns = std::make_unique<Columns>(std::move(storage), rows, kEveryField.without((*block)->shapes().all()));
  if (Status decoded = decode_into(**block, wanted, *columns); !decoded) return std::unexpected(decoded.error());
  return columns;
}

Status decode_more_columns(std::span<const ColumnSectionView> sections, const FieldSet& wanted, Columns& columns) {
  const auto block = open_columns(sections, columns.rows(), wanted);
  if (!block) return std::unexpected(block.error());
  return decode_into(**block, wanted, columns);
}

}  // namespace portbook

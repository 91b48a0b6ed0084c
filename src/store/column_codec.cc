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

Result<std::unique_ptr<Columns>> decode_columns(std::span<const ColumnSectionView> sections, uint32_t rows) {
  if (sections.empty() || sections[0].field) return bad_column(std::nullopt);
  const auto block = PackedBlock::open(sections[0].bytes, rows);
  if (!block) return std::unexpected(block.error());
  for (const ColumnSectionView& section : sections.subspan(1)) {
    if (!section.field || (*block)->holds(*section.field) || !(*block)->shapes().all().has(*section.field)) {
      return bad_column(section.field);
    }
    if (Status added = (*block)->add(*section.field, section.bytes); !added) return std::unexpected(added.error());
  }
  std::optional<Field> bad;
  (*block)->shapes().all().for_each([&](Field field) {
    if (!bad && !(*block)->holds(field)) bad = field;
  });
  if (bad) return bad_column(bad);
  auto storage = std::make_unique<ColumnStorage>();
  BlockDecoder decoder(**block);
  if (!decoder.decode_shapes(*storage)) return bad_column(std::nullopt);
  (*block)->shapes().all().for_each([&](Field field) {
    if (!bad && !decoder.decode(field, *storage)) bad = field;
  });
  if (bad) return bad_column(bad);
  return std::make_unique<Columns>(std::move(storage), rows);
}

}  // namespace portbook

#include "store/columns.h"

#include <utility>

namespace portbook {

Columns::Columns() : Columns(std::make_unique<ColumnStorage>(), 0, kEveryField) {}

Columns::Columns(std::unique_ptr<ColumnStorage> storage, uint32_t rows, const FieldSet& held)
    : storage_(std::move(storage)), held_{held.words()[0], held.words()[1]}, appended_(rows) {
  PB_CHECK(rows <= kBlockRowsMax);
  publish();
}

void Columns::append(const Record& record) {
  PB_CHECK(appended_ < kBlockRowsMax);
  const uint32_t row = appended_;
  ColumnStorage& storage = *storage_;
  storage.shape_ids()[row] = storage.shape_id(record.fields());
  record.fields().for_each([&](Field field) {
    switch (type_of(field)) {
      case FieldType::kEnum:
      case FieldType::kPort: storage.array<uint16_t>(field)[row] = static_cast<uint16_t>(record.uint(field)); break;
      case FieldType::kUint:
      case FieldType::kTime:
      case FieldType::kDuration: storage.array<uint64_t>(field)[row] = record.uint(field); break;
      case FieldType::kSigned: storage.array<int64_t>(field)[row] = record.signed_value(field); break;
      case FieldType::kIp: storage.array<Wide>(field)[row] = record.ip(field).bytes; break;
      case FieldType::kId128: storage.array<Wide>(field)[row] = record.id128(field); break;
      case FieldType::kText:
      case FieldType::kCbor: storage.array<TextRef>(field)[row] = storage.add_text(record.text(field)); break;
    }
  });
  ++appended_;
}

void Columns::read(uint32_t row, const FieldSet& wanted, Record& record) const {
  record.clear();
  fields(row).common(wanted).for_each([&](Field field) {
    switch (type_of(field)) {
      case FieldType::kSigned: record.set_signed(field, signed_value(row, field)); break;
      case FieldType::kIp: record.set(field, ip(row, field)); break;
      case FieldType::kId128: record.set(field, id128(row, field)); break;
      case FieldType::kText:
      case FieldType::kCbor: record.set(field, text(row, field)); break;
      default: record.set(field, uint(row, field)); break;
    }
  });
}

}  // namespace portbook

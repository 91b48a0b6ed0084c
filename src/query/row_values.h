// The values of some fields of many rows, as numbers: what counts of groups and facets are made over.
#pragma once

#include <algorithm>
#include <optional>
#include <ranges>
#include <span>
#include <vector>

#include "query/count.h"
#include "query/keep_rows.h"
#include "query/row.h"
#include "query/value_ids.h"

namespace portbook {

// What merged_record() says of some fields of a row, as numbers: nothing is copied, and other records are looked up only for fields
// that they may know.
class RowValues {
 public:
  // `prefix` must outlive it.
  RowValues(Joins& joins, std::span<const Field> fields, bool short_paths, bool with_leases, std::string_view prefix = {})
      : joins_(joins), with_leases_(with_leases), ids_(fields.size()), known_processes_(fields.size()) {
    for (const Field field : fields) {
      values_.emplace_back(field, short_paths && field == Field::kExe, prefix);
      const bool owned = std::ranges::find(kOwnerFields, field) != kOwnerFields.end();
      from_.push_back(owned ? From::kOwner : is_joined_field(field) ? From::kProcess : From::kRow);
    }
  }
  [[nodiscard]] const ValueIds& values(size_t i) const { return values_[i]; }
  // The fields of a row that it may look at.
  [[nodiscard]] FieldSet wanted() const {
    if (with_leases_) return kEveryField;
    FieldSet wanted = fields_of(kRowFields);
    for (const ValueIds& one : values_) wanted.add(one.field());
    if (std::ranges::any_of(from_, [](From from) { return from != From::kRow; })) wanted.add(fields_of(kProcessKeyFields));
    return wanted;
  }

  // Goes to a row. The other calls speak of it.
  void set(const Columns& columns, uint32_t row, uint64_t index) {
    columns_ = &columns;
    row_ = row;
    index_ = index;
    owner_known_ = process_known_ = false;
    if (!with_leases_) return;
    columns.read(row, own_);
    merged_ = merged_record(joins_, index, own_, true);
  }
  // Goes through rows of one block, from the last to the first: their numbers of the i-th field's value, kAbsent where a row lacks
  // it, until another call. New values are added while the limits allow.
  static constexpr uint32_t kAbsent = UINT32_MAX - 2;
  std::span<const uint32_t> ids(size_t i, const Columns& columns, uint64_t first, std::span<const uint32_t> rows,
                                const CountLimits& limits) {
    std::vector<uint32_t>& ids = ids_[i];
    ids.resize(rows.size());
    const Field field = values_[i].field();
    const HasField has(columns, field, rows);
    const HasField has_direction(columns, Field::kDirection, rows);
    for (size_t k = rows.size(); k-- > 0;) {
      const bool may_add = may_take(i, limits);
      const uint32_t row = rows[k];
      const bool own = !with_leases_ && (from_[i] == From::kRow || (from_[i] == From::kProcess && has(row)) ||
                                         (from_[i] == From::kOwner && !may_be_owned_by_another(columns, row, has_direction)));
      if (own) {
        ids[k] = has(row) ? values_[i].of(columns, first, row, may_add) : kAbsent;
      } else if (!with_leases_ && from_[i] == From::kProcess && !may_be_owned_by_another(columns, row, has_direction)) {
        ids[k] = process_id(i, columns, first, row, may_add);
      } else {
        set(columns, row, first + row);
        ids[k] = id(i, may_add).value_or(kAbsent);
      }
    }
    return ids;
  }
  // Whether the i-th field may have one more value.
  [[nodiscard]] bool may_take(size_t i, const CountLimits& limits) const {
    return values_[i].size() <= limits.distinct && values_[i].bytes() < limits.value_bytes;
  }
  // The number of a value of the i-th field that stands in narrow columns.
  uint32_t id_of(size_t i, const NarrowColumn& column, size_t place, bool may_add) {
    column.set_value(values_[i].field(), place, one_);
    return values_[i].of(one_, may_add);
  }
  // The number of the i-th field's value; nothing when the row lacks it.
  std::optional<uint32_t> id(size_t i, bool may_add) {
    const Field field = values_[i].field();
    const Record* record = with_leases_ ? &merged_ : record_of(i);
    if (record == nullptr) {
      if (!columns_->has(row_, field)) return std::nullopt;
      return values_[i].of(*columns_, index_ - row_, row_, may_add);
    }
    if (!record->has(field)) return std::nullopt;
    return values_[i].of(*record, may_add);
  }

 private:
  enum class From : uint8_t { kRow, kOwner, kProcess };
  static constexpr size_t kProcessesKnown = 4096;
  struct KnownProcess {
    ProcessId process;
    bool known = false;
    uint32_t id = 0;
  };

  static bool may_be_owned_by_another(const Columns& columns, uint32_t row, const HasField& has_direction) {
    return has_direction(row) && columns.uint(row, Field::kDirection) == static_cast<uint64_t>(Direction::kIn) &&
           may_have_acceptor(columns, row);
  }
  // Of a field that the row's process knows. Where all of its records agree, that holds for all of its rows.
  uint32_t process_id(size_t i, const Columns& columns, uint64_t first, uint32_t row, bool may_add) {
    if (!columns.has(row, Field::kPid) || !columns.has(row, Field::kProcessStart)) return kAbsent;
    const ProcessId process{columns.uint(row, Field::kPid), columns.uint(row, Field::kProcessStart)};
    std::vector<KnownProcess>& known = known_processes_[i];
    if (known.empty()) known.resize(kProcessesKnown);
    KnownProcess& one = known[((process.pid ^ process.start) * 0x9e3779b97f4a7c15U >> 32) % kProcessesKnown];
    if (one.known && one.process == process) return one.id;
    if (const auto all = id_in_all(i, process, may_add)) {
      if (*all != ValueIds::kRefused) one = {process, true, *all};
      return *all;
    }
    set(columns, row, first + row);
    return id(i, may_add).value_or(kAbsent);
  }
  // Nothing where the process's records do not agree, or are too many.
  std::optional<uint32_t> id_in_all(size_t i, const ProcessId& process, bool may_add) {
    const std::vector<Indexed>* const records = joins_.all_of_process(process);
    if (records == nullptr) return std::nullopt;
    if (records->empty()) return kAbsent;
    const auto id_in = [&](const Indexed& one) {
      return one.record.has(values_[i].field()) ? values_[i].of(one.record, may_add) : kAbsent;
    };
    const uint32_t first = id_in(records->front());
    const bool agree = std::ranges::all_of(*records, [&](const Indexed& one) { return id_in(one) == first; });
    return agree ? std::optional(first) : std::nullopt;
  }
  // The other record that has the say; null when it is the row itself.
  const Record* record_of(size_t i) {
    if (from_[i] == From::kRow) return nullptr;
    if (from_[i] == From::kOwner) return owner();
    return columns_->has(row_, values_[i].field()) ? nullptr : process();
  }
  const Record* owner() {
    if (owner_known_) return owner_;
    const Indexed* const acceptor = acceptor_of(joins_, *columns_, row_);
    owner_ = acceptor != nullptr && acceptor->record.has(Field::kPid) ? &acceptor->record : nullptr;
    owner_known_ = true;
    return owner_;
  }
  const Record* process() {
    if (process_known_) return process_;
    process_known_ = true;
    process_ = nullptr;
    const Record* const owner = this->owner();
    const auto has = [&](Field field) { return owner != nullptr ? owner->has(field) : columns_->has(row_, field); };
    const auto uint = [&](Field field) { return owner != nullptr ? owner->uint(field) : columns_->uint(row_, field); };
    if (!has(Field::kPid) || !has(Field::kProcessStart)) return nullptr;
    const Indexed* const found = joins_.process({uint(Field::kPid), uint(Field::kProcessStart)}, index_);
    return process_ = found == nullptr ? nullptr : &found->record;
  }

  Joins& joins_;
  const bool with_leases_;
  std::vector<ValueIds> values_;
  std::vector<From> from_;
  std::vector<std::vector<uint32_t>> ids_;                  // of ids(), by field
  std::vector<std::vector<KnownProcess>> known_processes_;  // by field
  const Columns* columns_ = nullptr;
  uint32_t row_ = 0;
  uint64_t index_ = 0;
  bool owner_known_ = false;
  bool process_known_ = false;
  const Record* owner_ = nullptr;
  const Record* process_ = nullptr;
  Record own_;
  Record merged_;
  Record one_;
};

}  // namespace portbook

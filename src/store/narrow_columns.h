// A sealed block's columns in few bytes a row, to be counted over: most fields have few different values in one block, so a row
// needs only the number of its value. Where Columns give any row's value at once, these are made to be walked from end to end.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "store/columns.h"

namespace portbook {

// One field of a block's rows. Either each row has the number of its value, or numbers stand by themselves.
struct NarrowColumn {
  enum class Form : uint8_t {
    kIds8,       // ids8[row]; 0: the row lacks the field, i: the value at place i - 1
    kIds16,      // ids16[row], likewise
    kNumbers32,  // numbers32[row]; 0: the row lacks the field, n: the value least + n - 1
    kNumbers64,  // numbers64[row], likewise
    kNone,       // more different values than there are ids, or too far apart to leave 0 for rows that lack them
  };
  Form form = Form::kNone;
  std::vector<uint8_t> ids8;
  std::vector<uint16_t> ids16;
  uint64_t least = 0;  // of numbers by themselves, as Columns::uint() gives them
  std::vector<uint32_t> numbers32;
  std::vector<uint64_t> numbers64;
  // The different values by their number, in the one that the field's type calls for.
  std::vector<uint64_t> values;  // as Columns::uint() gives them, signed ones as their bits
  std::vector<Wide> wides;
  std::vector<std::string> texts;

  [[nodiscard]] bool has_ids() const { return form == Form::kIds8 || form == Form::kIds16; }
  // Needs has_ids().
  [[nodiscard]] uint32_t id(size_t row) const { return form == Form::kIds8 ? ids8[row] : ids16[row]; }
  // The number of a value that stands by itself. Needs kNumbers32 or kNumbers64 and a row that has the field: `number` above 0.
  [[nodiscard]] uint64_t value_of(uint64_t number) const { return least + number - 1; }
  [[nodiscard]] uint64_t number(size_t row) const { return form == Form::kNumbers32 ? numbers32[row] : numbers64[row]; }
  [[nodiscard]] size_t value_count() const { return values.size() + wides.size() + texts.size(); }
  // Puts the value at that place into the record.
  void set_value(Field field, size_t place, Record& record) const;
  [[nodiscard]] size_t bytes_used() const;
};

// Needs the columns to hold the field.
NarrowColumn narrow_column(const Columns& columns, Field field, uint32_t rows);

// When the row began: `start`, else its `time` (the end of a failed one that says only that). Needs has(row, kTime).
TimeNs row_began(const Columns& columns, uint32_t row);

// True iff it is an inbound connection's and does not yet say who accepted it: a close with a role names the one it has been.
template <typename Source>  // a Record, or what has its names
bool has_unnamed_acceptor(const Source& source) {
  if (!source.has(Field::kDirection) || !source.has(Field::kConn) ||
      source.uint(Field::kDirection) != static_cast<uint64_t>(Direction::kIn)) {
    return false;
  }
  if (!source.has(Field::kRole)) return true;
  return source.uint(Field::kKind) != static_cast<uint64_t>(Kind::kClose) &&
         source.uint(Field::kRole) != static_cast<uint64_t>(Role::kAcceptor);
}

// When rows began (see row_began): what filters and histograms of time ask, of every row.
struct NarrowBeginnings {
  uint64_t least = UINT64_MAX;
  uint64_t greatest = 0;
  bool all_have_time = true;
  std::vector<uint64_t> began;  // of rows that have a time
};

// A process as records name it. Start times in nanoseconds make the pair unique on a host.
struct ProcessId {
  uint64_t pid = 0;
  TimeNs start = 0;
  bool operator==(const ProcessId&) const = default;
};
struct ProcessIdHash {
  size_t operator()(const ProcessId& id) const { return (id.pid ^ id.start) * 0x9e3779b97f4a7c15U >> 16; }
};

// Which process each row names by its pid and its start: those are two columns, and what is asked is the pair.
struct NarrowProcesses {
  bool numbered = false;      // false: there are more processes than ids, and the rest means nothing
  std::vector<uint16_t> ids;  // by row; 0: the row names none, i: the one at place i - 1
  std::vector<ProcessId> named;
};

// Columns of one block as far as somebody asked for them. What is there never changes.
struct NarrowColumns {
  uint32_t rows = 0;
  std::array<std::shared_ptr<const NarrowColumn>, kFieldCount> columns;
  std::shared_ptr<const NarrowBeginnings> beginnings;
  std::shared_ptr<const NarrowProcesses> processes;                // there once kNarrowProcessFields were asked for together
  std::shared_ptr<const std::vector<uint16_t>> unnamed_acceptors;  // rows, see has_unnamed_acceptor(); ascending
  // Which rows have which fields: needed of numbers alone.
  std::vector<FieldSet> shapes;
  std::vector<uint16_t> shape_ids;

  [[nodiscard]] const NarrowColumn& column(Field field) const { return *columns[index_of(field)]; }
  // Those of `wanted` that have to be decoded, so that all of it is here.
  [[nodiscard]] FieldSet lacking(const FieldSet& wanted) const;
  [[nodiscard]] size_t bytes_used() const;
};

// What is always known of a block is made of these.
inline constexpr FieldSet kNarrowBaseFields =
    fields_of(std::array{Field::kKind, Field::kTime, Field::kStart, Field::kEnd, Field::kDirection, Field::kRole});

// Of kNarrowProcessFields one is never asked for without the other by whoever needs `processes`.
inline constexpr FieldSet kNarrowProcessFields = fields_of(std::array{Field::kPid, Field::kProcessStart});

// Adds to `known` (null: nothing) the fields that it lacks, in a new object. Needs columns that hold those, and kNarrowBaseFields
// if nothing is known.
std::shared_ptr<const NarrowColumns> with_columns(const std::shared_ptr<const NarrowColumns>& known, const Columns& columns,
                                                  uint32_t rows, const FieldSet& fields);

}  // namespace portbook

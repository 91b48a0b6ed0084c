// What a question sees: every record that was acknowledged when the view was taken, and nothing later.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "record/record.h"
#include "store/columns.h"
#include "store/key_marks.h"

namespace portbook {

// Keys of the row index. Two different things may share a key: whoever looks one up compares the fields.
using RowKey = uint64_t;
RowKey endpoint_key(const Endpoint& endpoint);   // any of the endpoint pairs src, dst, src.nat, dst.nat, up.src, up.dst, claimed
RowKey address_key(const Ip& ip);                // `address` records only
RowKey conn_key(const Id128& conn);              // every record with conn
RowKey process_key(uint64_t pid, TimeNs start);  // `process` records only
RowKey kind_key(Kind kind);  // kinds other than open, close, failed, used_by, process, nat_open, nat_close, batch

class IndexRun;
// Ascending, each about other blocks.
using RunList = std::vector<std::shared_ptr<const IndexRun>>;

// Which of the records with a key somebody wants; as it stands, all. Others may be given too: what is not wanted is only passed
// over where a whole block has nothing else.
struct Wanted {
  // Of kinds open, close, failed, existing, nat_open and nat_close those whose connection or lease, as the records of that kind
  // that have the key say, was there at some moment from `from` to `to`. For endpoints' keys.
  TimeNs from = 0;
  TimeNs to = UINT64_MAX;
  KeyMarks marks = 0;       // those that have one of these marks (key_marks.h), if not 0
  uint64_t index_from = 0;  // none below
};

struct NarrowColumns;  // narrow_columns.h

// One block as a question sees it: sealed or still open.
class Block {
 public:
  virtual ~Block() = default;
  [[nodiscard]] virtual uint64_t first_index() const = 0;
  [[nodiscard]] virtual TimeNs time_min() const = 0;  // least and greatest `time` of the rows; may be wider, never narrower
  [[nodiscard]] virtual TimeNs time_max() const = 0;
  // How many rows it has for ever; nothing while more may come.
  [[nodiscard]] virtual std::optional<uint32_t> sealed_rows() const = 0;
  // It is none of the book's any more: retention removes, or has removed, its file.
  [[nodiscard]] virtual bool is_dropped() const { return false; }
  // The block's columns, of which at least those of `wanted` are held; a sealed block reads and decodes what it was not asked for
  // before, then keeps it while a bounded cache has room. Errors: kIo; kCorrupt.
  virtual Result<std::shared_ptr<const Columns>> columns(const FieldSet& wanted) = 0;
  // The columns to count over, of which at least `fields` are there; null where the block may still grow or has none such.
  // Otherwise as above.
  virtual Result<std::shared_ptr<const NarrowColumns>> narrow(const FieldSet& fields);
  // Reads one visible row without decoding the block where that can be avoided. Needs row < the rows that the view shows, or it
  // aborts. Errors as above.
  virtual Status read_row(uint32_t row, Record& record) = 0;
  // Appends to `rows` the rows below `row_end` that carry `key` (others may be among them), ascending. Errors as above.
  virtual Status rows_with(RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) = 0;
};

// Shared: a view outlives the sealing and dropping of the blocks that it names, so their ownership is shared.
struct BlockRef {
  std::shared_ptr<Block> block;
  uint32_t rows = 0;  // visible rows
};

class ConnectionRows;

// What retention took away.
struct Dropped {
  uint64_t below = 0;                // records below that index
  TimeNs until = 0;                  // greatest `time` among them
  std::vector<std::string> sources;  // all that wrote some of them, or before them
};

// Cheap to copy. Valid as long as the book that gave it.
class View {
 public:
  View() = default;
  // Without a run a block is asked itself. `connections`: what the views of one book share of which rows are connections; null
  // where a view is by itself.
  View(uint64_t size, std::vector<BlockRef> blocks, std::shared_ptr<const RunList> runs = nullptr,
       std::shared_ptr<ConnectionRows> connections = nullptr, std::shared_ptr<const Dropped> dropped = nullptr);

  // Number of records: indices 0 to size - 1 (those below first_index() were dropped by retention).
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] uint64_t first_index() const;
  // What was dropped; null while everything is kept.
  [[nodiscard]] const std::shared_ptr<const Dropped>& dropped() const { return dropped_; }
  // Ascending by first_index, without holes.
  [[nodiscard]] std::span<const BlockRef> blocks() const;

  [[nodiscard]] const std::shared_ptr<ConnectionRows>& connections() const { return connections_; }

  // Errors: kNotFound (index not below size(), or dropped by retention); kIo; kCorrupt.
  Status read(uint64_t index, Record& record) const;

  // Calls visit(index, record) for each record with `key` that is wanted, newest first, until visit returns false. Others may be
  // among them. The record is valid during the call. Errors: kIo; kCorrupt.
  using Visit = std::function<bool(uint64_t index, const Record& record)>;
  Status for_each_with(RowKey key, const Visit& visit, const Wanted& wanted = {}) const;

  // A block that may have records with a key.
  struct KeyBlock {
    size_t block = 0;  // of blocks()
    KeySpan span;      // of the key's connections and leases in it
  };
  // The blocks to look into for what is wanted, newest first. Costs no more than a microsecond for some sixteen blocks that have no
  // such key, if they have an index run.
  [[nodiscard]] std::vector<KeyBlock> blocks_with(RowKey key, const Wanted& wanted = {}) const;
  // As for_each_with(), in that block only; `more` becomes false when visit wants no more.
  Status for_each_in(const KeyBlock& block, RowKey key, const Visit& visit, bool& more, uint64_t index_from = 0) const;
  // Calls visit(index, record) for those of a block's `rows`, ascending, the last one first. Of the records at least the fields of
  // `wanted` are there. Errors as above.
  Status for_rows_of(size_t block, std::span<const uint32_t> rows, const FieldSet& wanted, const Visit& visit, bool& more) const;

  // The same blocks' first `size` records, if there are more.
  [[nodiscard]] View first_records(uint64_t size) const;

 private:
  using VisitBlock = std::function<bool(const KeyBlock& block)>;
  void walk(RowKey key, const Wanted& wanted, const VisitBlock& visit) const;
  size_t walk_run(const IndexRun& run, size_t block, RowKey key, const Wanted& wanted, const VisitBlock& visit, bool& more) const;

  uint64_t size_ = 0;
  std::shared_ptr<const std::vector<BlockRef>> blocks_;  // shared by the copies of one view
  std::shared_ptr<const RunList> runs_;                  // shared with the book, which makes a new list when they change
  std::shared_ptr<ConnectionRows> connections_;          // shared by the views of one book, which may outlive its ledger
  std::shared_ptr<const Dropped> dropped_;               // likewise
};

}  // namespace portbook

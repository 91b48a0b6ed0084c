// Which entry of a joint dictionary each row has, or each entry of another one. Entries are numbered in order of first appearance,
// so that an id is one bit where it is new, and else how many entries back it is.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "store/numbers.h"

namespace portbook {

// Appends u32 entries ‖ where each appears first (nothing if all are new; else a bitmap, or the places if they are few) ‖ the
// others. Needs ids (at least one) that appear in ascending order for the first time, all below `entries`.
void encode_entry_ids(std::span<const uint32_t> ids, uint32_t entries, Bytes& out);

// The counterpart. Borrows the bytes. Thread-safe once opened.
class EntryIds {
 public:
  // `count`: how many ids there are, at least one. False: the bytes are not what encode_entry_ids() writes.
  [[nodiscard]] bool open(ByteReader& in, uint32_t count);
  [[nodiscard]] uint32_t count() const { return count_; }
  [[nodiscard]] uint32_t entries() const { return entries_; }
  // The id at place i < count(); it is below entries(). False: as above.
  [[nodiscard]] bool get(uint32_t i, uint32_t& id) const;
  // All of them. What this accepts is what get() gives.
  [[nodiscard]] bool decode(std::vector<uint32_t>& ids) const;
  // The place where that id < entries() appears first.
  [[nodiscard]] uint32_t first_place(uint32_t id) const;

 private:
  bool open_places(ByteReader& in);

  uint32_t count_ = 0;
  uint32_t entries_ = 0;
  std::vector<uint64_t> is_new_;               // a bit for each place; empty: all are
  std::vector<uint32_t> new_before_;           // how many bits are set before each word of those
  std::unique_ptr<NumberArray> entries_back_;  // of the places that are not new: 0 is the newest entry so far
};

}  // namespace portbook

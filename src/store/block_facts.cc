#include "store/block_facts.h"

#include <algorithm>

#include "merkle/tree.h"
#include "record/cbor.h"
#include "store/row_keys.h"

namespace portbook {

namespace {

// Follows the sequences of sources that mostly repeat from record to record.
class SeqFollower {
 public:
  SeqFollower(SourceSeqs& seqs, std::vector<SeqBreak>& breaks) : seqs_(seqs), breaks_(breaks) {}

  void follow(const Record& record, uint32_t row) {
    const std::string_view source = record.text_or(Field::kSource, "");
    if (current_ == seqs_.end() || current_->first != source) current_ = seqs_.try_emplace(std::string(source), 0).first;
    const uint64_t found = record.uint_or(Field::kSourceSeq, 0);
    if (found != current_->second + 1) breaks_.push_back({row, current_->first, current_->second + 1, found});
    current_->second = found;
  }

 private:
  SourceSeqs& seqs_;
  std::vector<SeqBreak>& breaks_;
  SourceSeqs::iterator current_ = seqs_.end();
};

}  // namespace

BlockFacts facts_of(const Columns& columns, uint32_t rows, SourceSeqs& seqs, std::vector<SeqBreak>& breaks) {
  BlockFacts facts;
  BlockKeysBuilder block_keys;
  SeqFollower follower(seqs, breaks);
  RowKeys keys;
  Record record;
  Bytes bytes;
  CompactRange group;
  for (uint32_t row = 0; row < rows; ++row) {
    columns.read(row, record);
    bytes.clear();
    encode(record, bytes);
    group.append(leaf_hash(bytes));
    if (group.size() == kGroupLeaves || row + 1 == rows) {
      facts.groups.push_back(group.root());
      group = {};
    }
    keys.of(record);
    block_keys.add(record, keys.all());
    follower.follow(record, row);
    if (!record.has(Field::kTime)) continue;
    facts.time_min = std::min(facts.time_min, record.time());
    facts.time_max = std::max(facts.time_max, record.time());
  }
  facts.keys = block_keys.finish();
  append_index_pages(block_keys.mentions(), facts.index, facts.index_ends);
  return facts;
}

}  // namespace portbook

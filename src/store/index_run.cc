#include "store/index_run.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "store/byte_reader.h"
#include "store/memory_file.h"

namespace portbook {

namespace {

constexpr std::array<Byte, 8> kMagic = {'P', 'B', 'I', 'D', 'X', '\r', '\n', 0x1a};
constexpr size_t kHeaderBytes = 64;
constexpr size_t kBlockBytes = 36;
constexpr size_t kBucketBytes = 8;
constexpr uint64_t kEntriesPerBucket = 64;
constexpr uint64_t kEntriesMax = uint64_t{1} << 32;
constexpr uint64_t kRunBytesMax = uint64_t{4} << 30;
constexpr size_t kPlacesMax = kRunBlocksMax;  // of one key

uint64_t checksum_of(ByteView bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::unexpected<Error> corrupt(uint64_t offset, std::string_view what) {
  return fail(ErrorCode::kCorrupt, fmt::format("offset {}: {}", offset, what));
}

Status read_exactly(File& file, uint64_t offset, std::span<Byte> into) {
  const auto got = file.read_at(offset, into);
  if (!got) return std::unexpected(got.error());
  if (*got != into.size()) return corrupt(offset, "the file is cut short");
  return {};
}

unsigned bucket_bits_for(uint64_t entries) {
  const uint64_t buckets = std::max<uint64_t>(1, entries / kEntriesPerBucket);
  return std::min<unsigned>(static_cast<unsigned>(std::bit_width(buckets)) - 1, kRunBucketBitsMax);
}

size_t bucket_of(uint32_t key, unsigned bits) {
  return static_cast<size_t>(uint64_t{key} << bits >> 32);
}

uint32_t first_key_of(size_t bucket, unsigned bits) {
  return static_cast<uint32_t>(uint64_t{bucket} << 32 >> bits);
}

void append_varint64(Bytes& out, uint64_t value) {
  for (; value >= 128; value >>= 7) out.push_back(static_cast<Byte>(value | 128));
  out.push_back(static_cast<Byte>(value));
}

// LEB128 of at most 35 bits: a key's distance and two flags.
bool take_varint64(ByteReader& in, uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    Byte byte = 0;
    if (!in.take(byte)) return false;
    value |= uint64_t{byte & 127U} << shift;
    if (byte < 128) return true;
  }
  return false;
}

// One key of a bucket at a time. After next() has returned false, `whole` says whether the bytes were what a writer writes.
class BucketReader {
 public:
  BucketReader(ByteView bytes, size_t bucket, unsigned bits, size_t blocks)
      : in_(bytes), key_(first_key_of(bucket, bits)), bucket_(bucket), bits_(bits), blocks_(blocks) {}

  bool next() {
    if (in_.done()) {
      whole = true;
      return false;
    }
    uint64_t head = 0;
    if (!take_varint64(in_, head)) return false;
    key_ += head >> 2;
    uint32_t count = 1;
    if ((head & 2) != 0 && !in_.take_varint(count)) return false;
    const bool marked = (head & 1) != 0;
    const bool ascends = first_ || head >> 2 > 0;
    first_ = false;
    if (!ascends || key_ > UINT32_MAX || bucket_of(key(), bits_) != bucket_ || count == 0 || count > kPlacesMax) return false;
    return in_.take_bytes(count, at_) && (!marked || in_.take_bytes(count, marks_)) && settle(marked);
  }
  [[nodiscard]] uint32_t key() const { return static_cast<uint32_t>(key_); }
  [[nodiscard]] size_t count() const { return at_.size(); }
  [[nodiscard]] KeyPlace place(size_t i) const { return {at_[i], marks_.empty() ? KeyMarks{0} : marks_[i]}; }

  bool whole = false;

 private:
  bool settle(bool marked) {
    if (!marked) marks_ = {};
    for (size_t i = 0; i < at_.size(); ++i) {
      if (at_[i] >= blocks_ || (i > 0 && at_[i] <= at_[i - 1])) return false;
    }
    return true;
  }

  ByteReader in_;
  uint64_t key_;
  size_t bucket_;
  unsigned bits_;
  size_t blocks_;
  bool first_ = true;
  ByteView at_;
  ByteView marks_;
};

}  // namespace

std::string run_file_name(uint64_t first, uint64_t end) {
  return fmt::format("index-{:015}-{:015}", first, end);
}

bool is_run_file_name(std::string_view name) {
  constexpr std::string_view kPrefix = "index-";
  if (!name.starts_with(kPrefix)) return false;
  uint64_t first = 0;
  uint64_t end = 0;
  const char* const last = name.data() + name.size();
  const auto read = std::from_chars(name.data() + kPrefix.size(), last, first);
  if (read.ptr == last || *read.ptr != '-') return false;
  std::from_chars(read.ptr + 1, last, end);
  return run_file_name(first, end) == name;
}

Result<std::shared_ptr<const IndexRun>> IndexRun::open(std::unique_ptr<File> file) {
  std::shared_ptr<IndexRun> run(new IndexRun());
  run->file_ = std::move(file);
  if (Status read = run->read_head(); !read) return std::unexpected(read.error());
  return run;
}

std::shared_ptr<const IndexRun> IndexRun::of_block(const RunBlock& block, const BlockKeys& keys) {
  IndexRunWriter writer({block}, keys.entries.size());
  for (const BlockKeys::Entry& entry : keys.entries) writer.add({entry.key, {0, entry.marks}});
  std::shared_ptr<IndexRun> run(new IndexRun());
  run->bytes_ = writer.finish();
  run->file_ = std::make_unique<MemoryFile>(run->bytes_);
  PB_CHECK(run->read_head().has_value());
  run->filter_ = KeyFilter(keys.entries.size());
  for (const BlockKeys::Entry& entry : keys.entries) run->filter_.add(entry.key);
  run->filtered_.store(true, std::memory_order_release);
  return run;
}

Status IndexRun::read_head() {
  const auto size = file_->size();
  if (!size) return std::unexpected(size.error());
  std::array<Byte, kHeaderBytes> header;
  if (*size < kHeaderBytes || *size > kRunBytesMax) return corrupt(0, "this is not an index run");
  if (Status read = read_exactly(*file_, 0, header); !read) return read;
  if (!std::equal(kMagic.begin(), kMagic.end(), header.begin())) return corrupt(0, "this is not an index run");
  if (load_little<uint64_t>(header.data() + 56) != checksum_of(ByteView(header).first(56)))
    return corrupt(0, "the file header's checksum is wrong");
  const auto version = load_little<uint32_t>(header.data() + 8);
  if (version > kIndexRunVersion)
    return fail(ErrorCode::kNewer, fmt::format("index run format {}: written by a newer portbook", version));
  const auto blocks = load_little<uint32_t>(header.data() + 12);
  entries_ = load_little<uint64_t>(header.data() + 16);
  bucket_bits_ = load_little<uint32_t>(header.data() + 24);
  if (blocks == 0 || blocks > kRunBlocksMax || bucket_bits_ > kRunBucketBitsMax || entries_ > kEntriesMax)
    return corrupt(0, "the file header has values that mean nothing");
  Bytes head(blocks * kBlockBytes + (size_t{1} << bucket_bits_) * kBucketBytes);
  buckets_offset_ = kHeaderBytes + head.size();
  if (buckets_offset_ > *size) return corrupt(kHeaderBytes, "the file is cut short");
  if (Status read = read_exactly(*file_, kHeaderBytes, head); !read) return read;
  if (load_little<uint64_t>(header.data() + 48) != checksum_of(head))
    return corrupt(kHeaderBytes, "the checksum of blocks and directory is wrong");
  ByteReader in(head);
  blocks_.resize(blocks);
  for (RunBlock& block : blocks_) {
    PB_CHECK(in.take(block.first_index) && in.take(block.rows) && in.take(block.begins) && in.take(block.ends) &&
             in.take(block.index_checksum));
    if (&block != blocks_.data() && block.first_index != (&block)[-1].first_index + (&block)[-1].rows)
      return corrupt(kHeaderBytes, "its blocks do not follow each other");
    if (block.rows == 0 || block.rows > kBlockRowsMax) return corrupt(kHeaderBytes, "a block without records");
  }
  directory_.resize(size_t{1} << bucket_bits_);
  uint32_t end = 0;
  for (Bucket& bucket : directory_) {
    PB_CHECK(in.take(bucket.end) && in.take(bucket.checksum));
    if (bucket.end < end) return corrupt(kHeaderBytes, "the directory does not ascend");
    end = bucket.end;
  }
  if (buckets_offset_ + end != *size) return corrupt(buckets_offset_, "the directory leaves out bytes of the file");
  return {};
}

Status IndexRun::read_bucket(size_t bucket, Bytes& bytes) const {
  const uint32_t begin = bucket == 0 ? 0 : directory_[bucket - 1].end;
  bytes.resize(directory_[bucket].end - begin);
  if (Status read = read_exactly(*file_, buckets_offset_ + begin, bytes); !read) return read;
  if (static_cast<uint32_t>(checksum_of(bytes)) != directory_[bucket].checksum)
    return corrupt(buckets_offset_ + begin, "the checksum of keys is wrong");
  return {};
}

bool IndexRun::find(RowKey key, std::vector<KeyPlace>& places) const {
  if (spoiled()) return false;
  if (has_filter() && !filter_.may_have(static_cast<uint32_t>(key >> 32))) return true;
  const size_t before = places.size();
  if (find_or_fail(key, places)) return true;
  places.resize(before);
  spoiled_.store(true, std::memory_order_relaxed);
  return false;
}

Status IndexRun::find_or_fail(RowKey key, std::vector<KeyPlace>& places) const {
  const auto wanted = static_cast<uint32_t>(key >> 32);
  const size_t bucket = bucket_of(wanted, bucket_bits_);
  thread_local Bytes bytes;  // of one bucket: what is looked up often must not allocate each time
  if (Status read = read_bucket(bucket, bytes); !read) return read;
  BucketReader reader(bytes, bucket, bucket_bits_, blocks_.size());
  while (reader.next()) {
    if (reader.key() > wanted) return {};
    if (reader.key() < wanted) continue;
    for (size_t i = 0; i < reader.count(); ++i) places.push_back(reader.place(i));
    return {};
  }
  if (!reader.whole) return corrupt(buckets_offset_, "keys do not decode");
  return {};
}

Status IndexRun::make_filter() const {
  KeyFilter filter(entries_);
  std::vector<RunEntry> entries;
  for (unsigned byte = 0; byte < 256; ++byte) {
    entries.clear();
    if (Status read = read_part(static_cast<uint8_t>(byte), entries); !read) {
      spoiled_.store(true, std::memory_order_relaxed);
      return read;
    }
    for (const RunEntry& entry : entries) filter.add(entry.key);
  }
  filter_ = std::move(filter);
  filtered_.store(true, std::memory_order_release);
  return {};
}

Status IndexRun::read_part(uint8_t byte, std::vector<RunEntry>& entries) const {
  const uint32_t first = uint32_t{byte} << 24;
  const uint32_t last = first | 0xffffff;
  Bytes bytes;
  for (size_t bucket = bucket_of(first, bucket_bits_); bucket <= bucket_of(last, bucket_bits_); ++bucket) {
    if (Status read = read_bucket(bucket, bytes); !read) return read;
    BucketReader reader(bytes, bucket, bucket_bits_, blocks_.size());
    while (reader.next()) {
      if (reader.key() < first || reader.key() > last) continue;
      for (size_t i = 0; i < reader.count(); ++i) entries.push_back({reader.key(), reader.place(i)});
    }
    if (!reader.whole) return corrupt(buckets_offset_, "keys do not decode");
  }
  return {};
}

IndexRunWriter::IndexRunWriter(std::vector<RunBlock> blocks, uint64_t entries)
    : blocks_(std::move(blocks)), entries_(entries), bucket_bits_(bucket_bits_for(entries)) {
  PB_CHECK(!blocks_.empty() && blocks_.size() <= kRunBlocksMax);
}

void IndexRunWriter::add(const RunEntry& entry) {
  PB_CHECK(places_.empty() || entry.key > key_ || (entry.key == key_ && entry.place.block > places_.back().block));
  if (!places_.empty() && entry.key != key_) write_key();
  key_ = entry.key;
  places_.push_back(entry.place);
}

void IndexRunWriter::write_key() {
  for (const size_t bucket = bucket_of(key_, bucket_bits_); bucket_ < bucket;) {
    ends_.push_back(static_cast<uint32_t>(buckets_.size()));
    last_key_ = first_key_of(++bucket_, bucket_bits_);
  }
  const bool several = places_.size() > 1;
  const bool marked = std::ranges::any_of(places_, [](const KeyPlace& place) { return place.marks != 0; });
  append_varint64(buckets_, uint64_t{key_ - last_key_} << 2 | (several ? 2U : 0U) | (marked ? 1U : 0U));
  if (several) append_varint(buckets_, static_cast<uint32_t>(places_.size()));
  for (const KeyPlace& place : places_) buckets_.push_back(static_cast<Byte>(place.block));
  if (marked) {
    for (const KeyPlace& place : places_) buckets_.push_back(place.marks);
  }
  last_key_ = key_;
  places_.clear();
}

Bytes IndexRunWriter::finish() {
  if (!places_.empty()) write_key();
  const size_t buckets = size_t{1} << bucket_bits_;
  ends_.resize(buckets, static_cast<uint32_t>(buckets_.size()));
  PB_CHECK(buckets_.size() <= UINT32_MAX);
  Bytes head;
  for (const RunBlock& block : blocks_) {
    append_little(head, block.first_index);
    append_little(head, block.rows);
    append_little(head, block.begins);
    append_little(head, block.ends);
    append_little(head, block.index_checksum);
  }
  for (size_t bucket = 0, begin = 0; bucket < buckets; begin = ends_[bucket++]) {
    append_little(head, ends_[bucket]);
    append_little(head, static_cast<uint32_t>(checksum_of(ByteView(buckets_).subspan(begin, ends_[bucket] - begin))));
  }
  std::array<Byte, kHeaderBytes> header{};
  std::ranges::copy(kMagic, header.begin());
  store_little(header.data() + 8, kIndexRunVersion);
  store_little(header.data() + 12, static_cast<uint32_t>(blocks_.size()));
  store_little(header.data() + 16, entries_);
  store_little(header.data() + 24, uint32_t{bucket_bits_});
  store_little(header.data() + 48, checksum_of(head));
  store_little(header.data() + 56, checksum_of(ByteView(header).first(56)));
  Bytes file;
  file.reserve(header.size() + head.size() + buckets_.size());
  append(file, header);
  append(file, head);
  append(file, buckets_);
  return file;
}

Result<Bytes> merge_runs(const std::vector<std::shared_ptr<const IndexRun>>& runs) {
  std::vector<RunBlock> blocks;
  uint64_t count = 0;
  for (const auto& run : runs) {
    blocks.insert(blocks.end(), run->blocks().begin(), run->blocks().end());
    count += run->entries();
  }
  IndexRunWriter writer(std::move(blocks), count);
  std::vector<RunEntry> entries;
  for (unsigned byte = 0; byte < 256; ++byte) {
    entries.clear();
    uint32_t before = 0;  // blocks of the runs before
    for (const auto& run : runs) {
      const size_t begin = entries.size();
      if (Status read = run->read_part(static_cast<uint8_t>(byte), entries); !read) return std::unexpected(read.error());
      for (size_t i = begin; i < entries.size(); ++i) entries[i].place.block += before;
      before += static_cast<uint32_t>(run->blocks().size());
    }
    std::ranges::sort(entries, {}, [](const RunEntry& entry) { return uint64_t{entry.key} << 32 | entry.place.block; });
    for (const RunEntry& entry : entries) writer.add(entry);
  }
  return writer.finish();
}

}  // namespace portbook

#include "store/row_keys.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

// Keys stand in sealed files: the tags and the bytes below them are part of the segment format.
enum class Tag : Byte { kEndpoint = 1, kAddress, kConn, kProcess, kKind };

template <size_t N>
RowKey key_of(Tag tag, const std::array<Byte, N>& payload) {
  std::array<Byte, N + 1> bytes;
  bytes[0] = static_cast<Byte>(tag);
  std::memcpy(bytes.data() + 1, payload.data(), N);
  const RowKey key = XXH3_64bits(bytes.data(), bytes.size());
  return key == 0 ? 1 : key;  // 0 marks a free slot
}

constexpr std::pair<Field, Field> kEndpoints[] = {{Field::kSrcIp, Field::kSrcPort},        {Field::kDstIp, Field::kDstPort},
                                                  {Field::kSrcNatIp, Field::kSrcNatPort},  {Field::kDstNatIp, Field::kDstNatPort},
                                                  {Field::kUpSrcIp, Field::kUpSrcPort},    {Field::kUpDstIp, Field::kUpDstPort},
                                                  {Field::kClaimedIp, Field::kClaimedPort}};

bool kind_is_indexed(Kind kind) {
  switch (kind) {
    case Kind::kOpen:
    case Kind::kClose:
    case Kind::kFailed:
    case Kind::kUsedBy:
    case Kind::kProcess:
    case Kind::kNatOpen:
    case Kind::kNatClose:
    case Kind::kBatch: return false;
    default: return true;
  }
}

}  // namespace

RowKey endpoint_key(const Endpoint& endpoint) {
  std::array<Byte, 18> bytes;
  std::memcpy(bytes.data(), endpoint.ip.bytes.data(), 16);
  store_big(bytes.data() + 16, endpoint.port);
  return key_of(Tag::kEndpoint, bytes);
}

RowKey address_key(const Ip& ip) {
  return key_of(Tag::kAddress, ip.bytes);
}

RowKey conn_key(const Id128& conn) {
  return key_of(Tag::kConn, conn);
}

RowKey process_key(uint64_t pid, TimeNs start) {
  std::array<Byte, 16> bytes;
  store_big(bytes.data(), pid);
  store_big(bytes.data() + 8, start);
  return key_of(Tag::kProcess, bytes);
}

RowKey kind_key(Kind kind) {
  return key_of(Tag::kKind, std::array<Byte, 1>{static_cast<Byte>(kind)});
}

void RowKeys::add(RowKey key) {
  for (size_t i = 0; i < count_; ++i) {
    if (keys_[i] == key) return;
  }
  PB_CHECK(count_ < kRowKeysMax);
  keys_[count_++] = key;
}

void RowKeys::of(const Record& record) {
  count_ = 0;
  for (const auto& [ip, port] : kEndpoints) {
    if (record.has(ip) && record.has(port)) add(endpoint_key({record.ip(ip), static_cast<uint16_t>(record.uint(port))}));
  }
  if (record.has(Field::kConn)) add(conn_key(record.id128(Field::kConn)));
  const Kind kind = record.kind();
  if (kind == Kind::kAddress && record.has(Field::kAddress)) add(address_key(record.ip(Field::kAddress)));
  if (kind == Kind::kProcess && record.has(Field::kPid) && record.has(Field::kProcessStart)) {
    add(process_key(record.uint(Field::kPid), record.uint(Field::kProcessStart)));
  }
  if (kind_is_indexed(kind)) add(kind_key(kind));
}

}  // namespace portbook

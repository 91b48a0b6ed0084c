// The bytes that are hashed: deterministic CBOR (RFC 8949 section 4.2.1), one map with the field table's keys.
// docs/formats/record.md shows the grammar and a worked example.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "record/record.h"

namespace portbook {

// A record's encoded bytes never exceed this (an entry bundle has u16 lengths, C2SP tlog-tiles).
inline constexpr size_t kRecordBytesMax = 65'535;

// Appends the record's bytes to `out` and returns how many. A pure function of the fields.
// Needs at most kRecordBytesMax bytes in all, which the fields' maxima assure.
size_t encode(const Record& record, Bytes& out);

// Reads one record that fills `bytes` exactly; encode(decode(b)) == b for every b that is accepted.
// Errors: kBadInput (not deterministic CBOR, wrong type, over a maximum, no kind, a port of 0), naming field and byte offset;
// kNewer for a key that this table lacks ("the source is newer than this book").
Status decode(ByteView bytes, Record& record);

// The same of the record that `bytes` begin with, a CBOR sequence (RFC 8742); says its length in bytes.
Result<size_t> decode_first(ByteView bytes, Record& record);

// The length in bytes of the CBOR map at the front of `bytes`, so that a CBOR sequence can be cut into records.
// Errors: kBadInput when it is no definite-length map of record shape or is cut short.
Result<size_t> encoded_length(ByteView bytes);

}  // namespace portbook

// Messages of PostgreSQL's protocol, version 3, as far as a client of PgBouncer's console needs them. Pure.
// Source: PostgreSQL 15, chapter 55.7, "Message Formats".
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ship/wire.h"

namespace portbook {

inline constexpr size_t kBackendHeaderBytes = 5;  // tag and length
inline constexpr size_t kBackendMessageBytesMax = 1 << 20;
inline constexpr size_t kConsoleColumnsMax = 100;

// What a server sends; the body is valid until the bytes change.
struct BackendMessage {
  char tag = 0;
  ByteView body;
  size_t length = 0;  // with its header
};
using DecodedBackend = std::variant<BackendMessage, NeedMore, Malformed>;

// The message at the front of `bytes`; longer than kBackendMessageBytesMax is malformed. Allocates nothing.
DecodedBackend decode_backend(ByteView bytes);

// The names of a RowDescription, and the values of a DataRow (NULL reads as empty); views into the body. False: malformed, or more
// than kConsoleColumnsMax.
bool read_column_names(ByteView body, std::vector<std::string_view>& names);
bool read_column_values(ByteView body, std::vector<std::string_view>& values);

// "FATAL: not allowed" of an ErrorResponse, at most 256 bytes; control characters read as blanks.
std::string error_sentence(ByteView body);

// What a client sends. Needs texts without a zero byte.
void append_startup(Bytes& out, std::string_view user, std::string_view database);
void append_query(Bytes& out, std::string_view query);
void append_frontend(Bytes& out, char tag, ByteView body);

}  // namespace portbook

// Any bytes as what PgBouncer's console sends: messages, tables, and what asks for a password.
#include "base/check.h"
#include "logs/pool_answer.h"
#include "logs/postgresql_login.h"
#include "logs/postgresql_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  ByteView rest(data, size);
  PostgresqlLogin login("stats", "secret", "nonce");
  PoolLegs legs;
  PoolModes modes;
  std::vector<std::string_view> texts;
  while (true) {
    const DecodedBackend decoded = decode_backend(rest);
    if (const auto* more = std::get_if<NeedMore>(&decoded)) {
      PB_CHECK(more->bytes_min > rest.size() && more->bytes_min <= kBackendMessageBytesMax + 1);
      return 0;
    }
    const auto* message = std::get_if<BackendMessage>(&decoded);
    if (message == nullptr) return 0;
    PB_CHECK(message->length <= rest.size() && message->length == message->body.size() + kBackendHeaderBytes);
    // A SCRAM of many rounds is slow, not wrong.
    if (message->tag == 'R' && message->body.size() < 64) (void)login.answer(message->body);
    if (message->tag == 'E') PB_CHECK(!error_sentence(message->body).empty());
    if (message->tag == 'T' && read_column_names(message->body, texts)) {
      (void)legs.take_columns("SHOW", texts);
      (void)modes.take_columns("SHOW", texts);
    }
    if (message->tag == 'D' && read_column_values(message->body, texts)) {
      (void)legs.take_row(texts);
      (void)modes.take_row(texts);
    }
    rest = rest.subspan(message->length);
  }
}

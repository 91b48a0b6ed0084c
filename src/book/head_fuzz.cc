// The small files of a book's folder, as somebody may have left them: what is accepted is written the same again.
#include "base/check.h"
#include "book/folder.h"
#include "book/head.h"

using namespace portbook;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text({data, size});
  if (const auto origin = parse_book_file(text)) PB_CHECK(book_file_text(*origin) == text);
  if (const auto signer = parse_private_key(text)) PB_CHECK(is_key_name((*signer)->name()));
  Bytes slot(data, data + size);
  slot.resize(kHeadSlotBytes);
  if (const auto head = parse_head_slot(slot); head && *head) PB_CHECK(encode_head_slot(**head).size() == slot.size());
  return 0;
}

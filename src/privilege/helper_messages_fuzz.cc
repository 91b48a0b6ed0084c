#include <cstdlib>
#include <cstring>
#include <string>

#include "privilege/helper_messages.h"

// What the helper accepts is within what it promises to carry out; what the client accepts is encoded to the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  const ByteView bytes(data, size);
  if (const auto request = decode_request(bytes)) {
    const HelperRequestHead& head = request->head;
    const bool is_path = head.operation == static_cast<uint8_t>(HelperOperation::kOpenRuntimeFile);
    if (is_path && request->text.find("..") != std::string::npos) std::abort();
    const Bytes again = encode_request(*request);
    if (again.size() != size || std::memcmp(again.data(), data, size) != 0) std::abort();
  }
  const auto answer = decode_answer(bytes);
  if (answer && (!answer->error || answer->error->message.size() <= kAnswerTextMax)) {
    const Bytes again = encode_answer(*answer);
    if (again.size() != size || std::memcmp(again.data(), data, size) != 0) std::abort();
  }
  return 0;
}

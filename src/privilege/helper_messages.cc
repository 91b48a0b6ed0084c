#include "privilege/helper_messages.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "privilege/runtime_files.h"

namespace portbook {

namespace {

constexpr size_t kStringsMax = 4096;
constexpr size_t kProgramNameMax = 64;

bool are_ring_sizes(std::string_view bytes) {
  RingSizes sizes;
  if (bytes.size() != sizeof sizes) return false;
  std::memcpy(&sizes, bytes.data(), sizeof sizes);
  return std::ranges::all_of(
      sizes, [](uint64_t size) { return std::has_single_bit(size) && size >= kRingBytesMin && size <= kRingBytesMax; });
}

bool is_program_name(std::string_view name) {
  return !name.empty() && name.size() <= kProgramNameMax &&
         std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

// Which of its values an operation uses; the others have to be zero.
struct Uses {
  bool kind = false;
  bool text = false;
  bool number = false;
  bool value = false;
};

bool leaves_unused_zero(const HelperRequestHead& head, const Uses& uses) {
  return (uses.kind || head.kind == 0) && (uses.text || head.text_bytes == 0) && (uses.number || head.number == 0) &&
         (uses.value || head.value == 0) && head.reserved == 0;
}

// Empty when the request may be carried out.
std::string_view what_is_wrong(const HelperRequestHead& head, std::string_view text) {
  Uses uses;
  std::string_view wrong;
  switch (static_cast<HelperOperation>(head.operation)) {
    case HelperOperation::kLoadPrograms:
      uses.text = true;
      if (!are_ring_sizes(text)) wrong = "no sizes of rings";
      break;
    case HelperOperation::kUnloadPrograms:
    case HelperOperation::kFindDetached:
    case HelperOperation::kFindNamespaces:
    case HelperOperation::kDescribe: break;
    case HelperOperation::kAttachAgain:
      uses.text = true;
      if (!is_program_name(text)) wrong = "no name of a program";
      break;
    case HelperOperation::kOpenIterator:
      uses.text = uses.number = true;
      if (!is_program_name(text)) wrong = "no name of a program";
      break;
    case HelperOperation::kOpenNetlink:
      uses.kind = uses.number = uses.value = true;
      if (head.kind > static_cast<uint8_t>(NetlinkKind::kSocketDiagnostics)) wrong = "no kind of netlink socket";
      if (head.value > static_cast<uint32_t>(kReceiveBytesMax)) wrong = "too large a receive buffer";
      break;
    case HelperOperation::kRequestDump:
      uses.kind = uses.number = uses.value = true;
      if (head.kind > static_cast<uint8_t>(DumpKind::kAddresses)) wrong = "no kind of dump";
      break;
    case HelperOperation::kLeaveNamespace:
    case HelperOperation::kSetConntrack: uses.number = true; break;
    case HelperOperation::kReadProcess:
      uses.number = uses.value = true;
      if (head.number == 0 || head.number > INT32_MAX) wrong = "no number of a process";
      if ((head.value & ~kProcessFilesAll) != 0) wrong = "no file of a process";
      break;
    case HelperOperation::kFindSocketHolders:
      uses.text = true;
      if (text.size() % sizeof(uint32_t) != 0) wrong = "no numbers of sockets";
      break;
    case HelperOperation::kOpenRuntimeFile:
      uses.text = true;
      if (text.size() > kRequestPathMax || !is_runtime_file(text)) wrong = "no file of a container runtime";
      break;
    default: return "no such operation";
  }
  if (!leaves_unused_zero(head, uses)) return "a value that this operation does not have";
  return wrong;
}

void put_string(Bytes& out, std::string_view text) {
  append_little(out, static_cast<uint32_t>(text.size()));
  append(out, as_bytes(text));
}

// False when the bytes hold no whole string.
bool take_string(ByteView& bytes, std::string& out) {
  if (bytes.size() < sizeof(uint32_t)) return false;
  const size_t size = load_little<uint32_t>(bytes.data());
  bytes = bytes.subspan(sizeof(uint32_t));
  if (size > bytes.size()) return false;
  out = as_text(bytes.first(size));
  bytes = bytes.subspan(size);
  return true;
}

}  // namespace

Bytes encode_request(const HelperRequest& request) {
  PB_CHECK(request.text.size() <= kRequestTextMax && request.head.text_bytes == request.text.size());
  Bytes out(sizeof request.head);
  std::memcpy(out.data(), &request.head, sizeof request.head);
  append(out, as_bytes(request.text));
  return out;
}

Result<HelperRequest> decode_request(ByteView bytes) {
  HelperRequest request;
  if (bytes.size() < sizeof request.head || bytes.size() > kRequestBytesMax)
    return fail(ErrorCode::kBadInput, "a request of the wrong size");
  std::memcpy(&request.head, bytes.data(), sizeof request.head);
  const std::string_view text = as_text(bytes.subspan(sizeof request.head));
  if (text.size() != request.head.text_bytes) return fail(ErrorCode::kBadInput, "a request of the wrong size");
  if (const std::string_view wrong = what_is_wrong(request.head, text); !wrong.empty())
    return fail(ErrorCode::kBadInput, std::string(wrong));
  request.text = text;
  return request;
}

Bytes encode_answer(const HelperAnswer& answer) {
  Bytes out;
  out.push_back(answer.error ? static_cast<Byte>(1 + static_cast<int>(answer.error->code)) : 0);
  if (answer.error) put_string(out, std::string_view(answer.error->message).substr(0, kAnswerTextMax));
  for (const std::string& text : answer.strings) put_string(out, text);
  PB_CHECK(out.size() <= kAnswerBytesMax);
  return out;
}

Result<HelperAnswer> decode_answer(ByteView bytes) {
  HelperAnswer answer;
  if (bytes.empty() || bytes.size() > kAnswerBytesMax || bytes[0] > 1 + static_cast<int>(ErrorCode::kNewer))
    return fail(ErrorCode::kBadInput, "an answer that cannot be read");
  const Byte code = bytes[0];
  bytes = bytes.subspan(1);
  if (code != 0) {
    answer.error.emplace();
    answer.error->code = static_cast<ErrorCode>(code - 1);
    if (!take_string(bytes, answer.error->message)) return fail(ErrorCode::kBadInput, "an answer that cannot be read");
  }
  while (!bytes.empty()) {
    if (answer.strings.size() == kStringsMax || !take_string(bytes, answer.strings.emplace_back()))
      return fail(ErrorCode::kBadInput, "an answer that cannot be read");
  }
  return answer;
}

}  // namespace portbook

// What the helper is asked and what it answers: a head of fixed size with a bounded text behind it, and an answer of bounded size
// with descriptors beside it. Both are one message of a SOCK_SEQPACKET socket pair; host byte order, since both ends are the same
// program on the same machine.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "privilege/operations.h"

namespace portbook {

enum class HelperOperation : uint8_t {
  kLoadPrograms = 1,
  kUnloadPrograms,
  kFindDetached,
  kAttachAgain,
  kOpenIterator,
  kFindNamespaces,
  kOpenNetlink,
  kRequestDump,
  kLeaveNamespace,
  kSetConntrack,
  kReadProcess,
  kFindSocketHolders,
  kOpenRuntimeFile,
  kDescribe,
};

inline constexpr size_t kRequestPathMax = 512;
inline constexpr size_t kRequestTextMax = Operations::kSocketsAskedMax * sizeof(uint32_t);
inline constexpr size_t kRingBytesMin = 4096;
inline constexpr size_t kRingBytesMax = size_t{1} << 28;
inline constexpr int kReceiveBytesMax = 64 << 20;
inline constexpr size_t kAnswerBytesMax = 64 * 1024;
inline constexpr size_t kAnswerDescriptorsMax = 16;
inline constexpr size_t kAnswerTextMax = 1024;  // of one reason or message

// The first bytes of a request. What an operation does not use is zero.
struct HelperRequestHead {
  uint8_t operation = 0;  // HelperOperation
  uint8_t kind = 0;       // NetlinkKind or DumpKind
  uint16_t text_bytes = 0;
  uint32_t number = 0;  // network namespace or process
  uint32_t value = 0;   // sequence of a dump, bits of ProcessFile, bytes of a receive buffer
  uint32_t reserved = 0;
};
static_assert(sizeof(HelperRequestHead) == 16);

struct HelperRequest {
  HelperRequestHead head;  // text_bytes is that of `text`
  std::string text;        // name of a program, a path, inode numbers, or sizes of rings
};
inline constexpr size_t kRequestBytesMax = sizeof(HelperRequestHead) + kRequestTextMax;

// The bytes of ProgramOptions, which has nothing but sizes, and back.
using RingSizes = std::array<uint64_t, sizeof(ProgramOptions) / sizeof(uint64_t)>;
static_assert(sizeof(RingSizes) == sizeof(ProgramOptions));

Bytes encode_request(const HelperRequest& request);
// A request from its bytes, with every value checked against what its operation allows. Errors: kBadInput with what is wrong.
Result<HelperRequest> decode_request(ByteView bytes);

// An answer's bytes without its descriptors: a code, and strings.
struct HelperAnswer {
  // nullopt when the operation succeeded.
  std::optional<Error> error;
  std::vector<std::string> strings;
};
// Shape: at most kAnswerBytesMax bytes, or it aborts.
Bytes encode_answer(const HelperAnswer& answer);
// Errors: kBadInput.
Result<HelperAnswer> decode_answer(ByteView bytes);

}  // namespace portbook

#include "privilege/helper_messages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace portbook {
namespace {

HelperRequest make_request(HelperOperation operation, std::string_view text = {}, uint32_t number = 0, uint32_t value = 0) {
  HelperRequest request;
  request.head.operation = static_cast<uint8_t>(operation);
  request.head.number = number;
  request.head.value = value;
  request.head.text_bytes = static_cast<uint16_t>(text.size());
  request.text = text;
  return request;
}

HelperRequest make_load(const RingSizes& sizes) {
  return make_request(HelperOperation::kLoadPrograms, {reinterpret_cast<const char*>(sizes.data()), sizeof sizes});
}

RingSizes filled(uint64_t bytes) {
  RingSizes sizes;
  sizes.fill(bytes);
  return sizes;
}

bool is_refused(const HelperRequest& request) {
  const auto decoded = decode_request(encode_request(request));
  return !decoded.has_value() && decoded.error().code == ErrorCode::kBadInput;
}

TEST(HelperRequest, takes_what_an_agent_asks) {
  for (const HelperRequest& request :
       {make_load(filled(4096)), make_request(HelperOperation::kUnloadPrograms), make_request(HelperOperation::kFindDetached),
        make_request(HelperOperation::kAttachAgain, "on_socket"), make_request(HelperOperation::kOpenIterator, "list_sockets", 7),
        make_request(HelperOperation::kFindNamespaces), make_request(HelperOperation::kOpenNetlink, "", 4026531840, 1 << 20),
        make_request(HelperOperation::kRequestDump, "", 4026531840, 9), make_request(HelperOperation::kLeaveNamespace, "", 1),
        make_request(HelperOperation::kSetConntrack, "", 1), make_request(HelperOperation::kReadProcess, "", 1, kProcessFilesAll),
        make_request(HelperOperation::kFindSocketHolders, std::string(kRequestTextMax, 1)),
        make_request(HelperOperation::kOpenRuntimeFile, "/var/lib/containers/storage/overlay-containers/containers.json"),
        make_request(HelperOperation::kDescribe)}) {
    const auto decoded = decode_request(encode_request(request));
    ASSERT_TRUE(decoded.has_value()) << int{request.head.operation} << ": " << decoded.error().message;
    EXPECT_EQ(encode_request(*decoded), encode_request(request));
  }
}

TEST(HelperRequest, refuses_any_other_size) {
  const Bytes request = encode_request(make_request(HelperOperation::kAttachAgain, "on_socket"));
  Bytes longer = request;
  longer.resize(kRequestBytesMax + 1);
  for (size_t size = 0; size <= longer.size(); ++size) {
    EXPECT_EQ(decode_request(ByteView(longer).first(size)).has_value(), size == request.size()) << size;
  }
}

TEST(HelperRequest, refuses_operations_that_there_are_not) {
  for (int operation = 0; operation < 256; ++operation) {
    if (operation < 1 || operation > static_cast<int>(HelperOperation::kDescribe))
      EXPECT_TRUE(is_refused(make_request(static_cast<HelperOperation>(operation)))) << operation;
  }
}

TEST(HelperRequest, refuses_files_that_are_not_on_the_list) {
  for (const char* path : {"/etc/shadow", "", "/proc/1/mem", "/var/lib/docker/containers/../../../../etc/shadow"})
    EXPECT_TRUE(is_refused(make_request(HelperOperation::kOpenRuntimeFile, path))) << path;
}

TEST(HelperRequest, refuses_values_out_of_bounds) {
  EXPECT_TRUE(is_refused(make_request(HelperOperation::kReadProcess, "", 0, kProcessStat)));
  EXPECT_TRUE(is_refused(make_request(HelperOperation::kReadProcess, "", 0x80000000, kProcessStat)));
  EXPECT_TRUE(is_refused(make_request(HelperOperation::kReadProcess, "", 1, kProcessFilesAll + 1)));
  EXPECT_TRUE(is_refused(make_request(HelperOperation::kOpenNetlink, "", 1, static_cast<uint32_t>(kReceiveBytesMax) + 1)));
  for (const char* name : {"", "../x", "a b", "Name", "a\n"}) {
    EXPECT_TRUE(is_refused(make_request(HelperOperation::kOpenIterator, name))) << name;
    EXPECT_TRUE(is_refused(make_request(HelperOperation::kAttachAgain, name))) << name;
  }
  EXPECT_TRUE(is_refused(make_request(HelperOperation::kFindSocketHolders, "12345")));
  HelperRequest dump = make_request(HelperOperation::kRequestDump, "", 1, 1);
  dump.head.kind = 3;
  EXPECT_TRUE(is_refused(dump));
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{2048}, uint64_t{4097}, uint64_t{kRingBytesMax} * 2, UINT64_MAX}) {
    RingSizes sizes = filled(4096);
    sizes.back() = bytes;
    EXPECT_TRUE(is_refused(make_load(sizes))) << bytes;
  }
  EXPECT_TRUE(is_refused(make_request(HelperOperation::kLoadPrograms, "too short")));
}

TEST(HelperRequest, refuses_bytes_that_mean_nothing) {
  HelperRequest reserved = make_request(HelperOperation::kDescribe);
  reserved.head.reserved = 1;
  EXPECT_TRUE(is_refused(reserved));
  EXPECT_TRUE(is_refused(make_request(HelperOperation::kFindNamespaces, "x")));
  EXPECT_TRUE(is_refused(make_request(HelperOperation::kFindNamespaces, "", 1)));
  EXPECT_TRUE(is_refused(make_request(HelperOperation::kDescribe, "", 0, 1)));
}

TEST(HelperAnswer, comes_back_as_it_went) {
  const HelperAnswer answer{Error{ErrorCode::kDenied, "no"}, {"", std::string(300, 'x'), std::string("\0\1", 2)}};
  const Bytes bytes = encode_answer(answer);
  const auto decoded = decode_answer(bytes);
  ASSERT_TRUE(decoded.has_value());
  ASSERT_TRUE(decoded->error.has_value());
  EXPECT_EQ(decoded->error->code, ErrorCode::kDenied);
  EXPECT_EQ(decoded->error->message, "no");
  EXPECT_EQ(decoded->strings, answer.strings);
}

TEST(HelperAnswer, is_refused_when_a_part_is_missing) {
  const Bytes bytes = encode_answer({std::nullopt, {"abc", "de"}});
  const std::vector<size_t> whole = {1, 1 + 4 + 3, bytes.size()};
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const bool expected = std::ranges::find(whole, size) != whole.end();
    EXPECT_EQ(decode_answer(ByteView(bytes).first(size)).has_value(), expected) << size;
  }
}

}  // namespace
}  // namespace portbook

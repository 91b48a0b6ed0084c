#include "record/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "record/random_record.h"

namespace portbook {
namespace {

TEST(Json, FromJsonInvertsToJson) {
  RandomRecords random(2);
  Record record;
  Record back;
  for (int i = 0; i < 5'000; ++i) {
    random.next(record, static_cast<unsigned>(i % 11));
    // Times beyond what four-digit years write are no times anybody has.
    for (const FieldInfo& about : kFields) {
      if (about.type == FieldType::kTime && record.has(about.field))
        record.set(about.field, record.uint(about.field) % 16'000'000'000'000'000'000U);
    }
    const std::string json = to_json(record);
    const auto status = from_json(json, back);
    ASSERT_TRUE(status.has_value()) << status.error().message << "\n" << json;
    ASSERT_TRUE(back == record) << json << "\n" << to_json(back);
  }
}

TEST(Json, WritesNamesTimesAndBytes) {
  Record record;
  record.set(Field::kKind, Kind::kUsedBy);
  record.set(Field::kTime, uint64_t{1'795'348'984'123'000'000});
  record.set(Field::kExe, "/bin/\xff");
  record.set(Field::kComm, "a\"b\n");
  EXPECT_EQ(to_json(record),
            R"({"kind":"used_by","time":"2026-11-22T12:03:04.123000000Z","exe":{"hex":"2f62696e2fff"},"comm":"a\"b\n"})");
  EXPECT_EQ(to_display(record, Field::kExe), "/bin/\\xff");
  EXPECT_EQ(to_display(record, Field::kComm), "a\"b\\x0a");
}

TEST(Json, NamesTheWrongMember) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "not JSON"},
      {"[]", "a JSON object was expected"},
      {"{}", "member \"kind\": it is missing"},
      {R"({"kind":"opened"})", "member \"kind\": \"opened\" is none of its names"},
      {R"({"kind":7})", "member \"kind\": a name was expected"},
      {R"({"kind":"open","port":1})", "member \"port\": there is no field of that name"},
      {R"({"kind":"open","src.port":0})", "member \"src.port\": port 0"},
      {R"({"kind":"open","src.port":65536})", "member \"src.port\": 65536 is above the maximum"},
      {R"({"kind":"open","src.port":-1})", "member \"src.port\": a number was expected"},
      {R"({"kind":"open","src.ip":"10.0.0"})", "member \"src.ip\": an address was expected"},
      {R"({"kind":"open","time":"noon"})", "member \"time\": \"noon\" is not a time"},
      {R"({"kind":"open","conn":"00"})", "member \"conn\": 32 hex digits"},
      {R"({"kind":"open","kind":"open"})", "member \"kind\": it stands twice"},
      {R"({"kind":"open","attrs":{"a":1.5}})", "member \"attrs\": values are"},
  };
  Record record;
  for (const auto& [json, why] : cases) {
    const auto status = from_json(json, record);
    ASSERT_FALSE(status.has_value()) << json;
    EXPECT_THAT(status.error().message, testing::HasSubstr(why)) << json;
  }
}

TEST(Json, AttrsBothWays) {
  Record record;
  ASSERT_TRUE(from_json(R"({"kind":"note","attrs":{"zz":true,"b":"text","a":-5}})", record).has_value());
  EXPECT_EQ(to_json(record), R"({"kind":"note","attrs":{"a":-5,"b":"text","zz":true}})");
}

}  // namespace
}  // namespace portbook

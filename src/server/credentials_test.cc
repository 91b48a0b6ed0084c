#include "server/credentials.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "book/test_batches.h"
#include "ship/wire.h"

namespace portbook {
namespace {

Credential web8() {
  Credential credential;
  credential.host = "web-8";
  credential.token_hash = token_hash(std::string(64, '0'));
  credential.vantages = kAgentVantages;
  credential.enrolled = parse_time("2026-11-22T12:03:04Z", 0)->time;
  return credential;
}

TEST(Credentials, AFollowerOfLogsMayWriteWhatLogsSayAndNothingElse) {
  const Allowance allowance = logs_allowance("web-8");
  EXPECT_TRUE(allowance.check_source("web-8/log/haproxy.log").has_value());
  for (const char* source : {"web-8/socket", "web-8/logs", "web-8/log", "web-9/log/a"})
    EXPECT_FALSE(allowance.check_source(source).has_value()) << source;
  EXPECT_EQ(logs_suffix("web-8/pgbouncer"), kPoolsSuffix);
  const Allowance received = logs_allowance("web-8", logs_suffix("web-8/syslog"));
  EXPECT_TRUE(received.check_source("web-8/syslog/udp").has_value());
  EXPECT_FALSE(received.check_source("web-8/log/haproxy.log").has_value());
  Record record;
  record.set(Field::kKind, Kind::kProxy);
  record.set(Field::kVantage, Vantage::kProxy);
  record.set(Field::kHost, "another, as its line says");
  EXPECT_TRUE(allowance.check_record(record).has_value());
  record.set(Field::kVantage, Vantage::kSocket);
  EXPECT_FALSE(allowance.check_record(record).has_value());
  record.set(Field::kVantage, Vantage::kApp);
  for (const Kind kind : {Kind::kOpen, Kind::kSourceStart, Kind::kAdmin, Kind::kAddress}) {
    record.set(Field::kKind, kind);
    EXPECT_FALSE(allowance.check_record(record).has_value());
  }
}

TEST(Credentials, a_token_is_found_until_it_is_revoked_also_after_a_restart) {
  const TemporaryFolder folder;
  const std::string token = make_token();
  {
    const auto credentials = Credentials::load(folder.path());
    ASSERT_TRUE(credentials.has_value());
    EXPECT_FALSE((*credentials)->find(token));
    Credential credential = web8();
    credential.token_hash = token_hash(token);
    ASSERT_TRUE((*credentials)->enrol(credential).has_value());
  }
  const auto credentials = Credentials::load(folder.path());
  ASSERT_TRUE(credentials.has_value());
  ASSERT_TRUE((*credentials)->find(token));
  EXPECT_EQ((*credentials)->find(token)->host, "web-8");
  EXPECT_FALSE((*credentials)->find(token.substr(1)));
  EXPECT_EQ(std::filesystem::status(folder.path() / kCredentialsFile).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  ASSERT_TRUE((*credentials)->revoke("web-8").has_value());
  EXPECT_FALSE((*credentials)->find(token));
  EXPECT_EQ((*credentials)->revoke("web-8").error().code, ErrorCode::kNotFound);
}

TEST(Credentials, a_host_has_one_token_at_a_time) {
  const TemporaryFolder folder;
  const auto credentials = Credentials::load(folder.path());
  for (int i = 0; i < 2; ++i) {
    Credential credential = web8();
    credential.token_hash = token_hash(std::to_string(i));
    ASSERT_TRUE((*credentials)->enrol(credential).has_value());
  }
  EXPECT_EQ((*credentials)->list().size(), 1u);
  EXPECT_FALSE((*credentials)->find("0"));
  EXPECT_TRUE((*credentials)->find("1"));
}

TEST(Credentials, names_that_would_confuse_a_file_or_a_source_are_refused) {
  const TemporaryFolder folder;
  const auto credentials = Credentials::load(folder.path());
  for (const std::string host : {"", "a b", "a/b", "a\nb", "a\"b"}) {
    Credential credential = web8();
    credential.host = host;
    EXPECT_EQ((*credentials)->enrol(credential).error().code, ErrorCode::kBadInput) << host;
  }
}

TEST(Credentials, the_list_of_as_many_as_there_may_be_fits_into_one_answer) {
  Credential longest = web8();
  longest.host = std::string(200, 'h');
  const std::string text = credentials_text(std::vector(kCredentialsMax, longest));
  EXPECT_GT(text.size(), kShipControlBytesMax) << "it would fit anyhow";
  Bytes out;
  append_message(out, EnrolmentAnswer{ShipCode::kTaken, text});
  const DecodedMessage decoded = decode_message(out);
  const auto* whole = std::get_if<WholeMessage>(&decoded);
  ASSERT_NE(whole, nullptr);
  EXPECT_EQ(std::get<EnrolmentAnswer>(whole->message).text, text);
}

TEST(Credentials, a_damaged_file_is_named_by_its_line) {
  const std::string good = credentials_text({web8()});
  EXPECT_TRUE(parse_credentials(good).has_value());
  for (size_t length = 1; length < good.size(); ++length) {
    const auto cut = parse_credentials(std::string_view(good).substr(0, length));
    EXPECT_TRUE(!cut.has_value() || cut->empty()) << length;
  }
  EXPECT_EQ(parse_credentials("portbook agents 2\n").error().code, ErrorCode::kNewer);
  std::string bad = good;
  bad[bad.find("web-8") + 8] = 'z';
  EXPECT_NE(parse_credentials(bad).error().message.find("line 2"), std::string::npos);
}

TEST(Credentials, what_an_agent_may_write_is_named) {
  EXPECT_EQ(vantages_text(kAgentVantages), "socket,nat,book");
  EXPECT_EQ(*parse_vantages("socket"), 1U << static_cast<unsigned>(Vantage::kSocket));
  EXPECT_NE(parse_vantages("socket,proxy").error().message.find("proxy"), std::string::npos);
  EXPECT_FALSE(parse_vantages("").has_value());
}

TEST(Credentials, the_page_s_example_is_what_the_code_writes) {
  std::ifstream file(PORTBOOK_SOURCE_DIR "/docs/formats/agents.md");
  std::stringstream text;
  text << file.rdbuf();
  std::string example = "    " + credentials_text({web8()});
  example.pop_back();
  example.replace(example.find('\n'), 1, "\n    ");
  EXPECT_NE(text.str().find(example), std::string::npos) << example;
}

Record open_of(std::string_view host) {
  Record record;
  record.set(Field::kKind, Kind::kOpen);
  record.set(Field::kVantage, Vantage::kSocket);
  record.set(Field::kHost, host);
  record.set(Field::kTime, uint64_t{1});
  return record;
}

TEST(Allowance, lets_a_host_s_own_facts_through_and_nothing_else) {
  const Allowance allowance = web8().allowance();
  EXPECT_TRUE(allowance.check_source("web-8/socket").has_value());
  for (const std::string_view other : {"web-8", "web-8/", "web-80/socket", "web-9/socket", "/socket"})
    EXPECT_EQ(allowance.check_source(other).error().code, ErrorCode::kDenied) << other;
  EXPECT_TRUE(allowance.check_record(open_of("web-8")).has_value());
  EXPECT_NE(allowance.check_record(open_of("web-9")).error().message.find("web-9"), std::string::npos);
  Record admin = open_of("web-8");
  admin.set(Field::kKind, Kind::kAdmin);
  EXPECT_NE(allowance.check_record(admin).error().message.find("admin"), std::string::npos);
  admin.set(Field::kAction, "key changed");
  admin.set(Field::kAbout, "web-8/socket");
  EXPECT_FALSE(allowance.check_record(admin).has_value());
  admin.set(Field::kAction, kComparedWithKernel);
  EXPECT_TRUE(allowance.check_record(admin).has_value()) << "without it capture stops after a minute";
  admin.set(Field::kAbout, "web-9/socket");
  EXPECT_FALSE(allowance.check_record(admin).has_value());
  Record proxy = open_of("web-8");
  proxy.set(Field::kVantage, Vantage::kProxy);
  EXPECT_NE(allowance.check_record(proxy).error().message.find("proxy"), std::string::npos);
  Record about = open_of("web-8");
  about.set(Field::kAbout, "web-9/socket");
  EXPECT_EQ(allowance.check_record(about).error().code, ErrorCode::kDenied);
}

}  // namespace
}  // namespace portbook

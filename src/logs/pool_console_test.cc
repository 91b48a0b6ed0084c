// What PgBouncer 1.18 answers, captured: read whole, cut at every byte and mangled; and what becomes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>

#include "base/check.h"
#include "logs/find_pools.h"
#include "logs/pool_links.h"
#include "logs/pool_sampler.h"
#include "logs/postgresql_login.h"
#include "logs/postgresql_wire.h"

namespace portbook {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Bytes captured(const std::string& name) {
  std::ifstream file(PORTBOOK_SOURCE_DIR "/tests/data/console/pgbouncer-1.18-" + name + ".bin", std::ios::binary);
  Bytes bytes{std::istreambuf_iterator<char>(file), {}};
  PB_CHECK(!bytes.empty());
  return bytes;
}

// As PoolConsole reads an answer, without a socket. False: malformed, or it goes on.
template <typename Table>
bool read_answer(ByteView rest, Table& table) {
  std::vector<std::string_view> texts;
  while (true) {
    const DecodedBackend decoded = decode_backend(rest);
    if (const auto* more = std::get_if<NeedMore>(&decoded)) {
      EXPECT_GT(more->bytes_min, rest.size());
      return false;
    }
    const auto* message = std::get_if<BackendMessage>(&decoded);
    if (message == nullptr || message->tag == 'E') return false;
    if (message->tag == 'Z') return true;
    if (message->tag == 'T' && (!read_column_names(message->body, texts) || !table.take_columns("SHOW", texts))) return false;
    if (message->tag == 'D' && (!read_column_values(message->body, texts) || !table.take_row(texts))) return false;
    rest = rest.subspan(message->length);
  }
}

PoolLegs legs(const std::string& name) {
  PoolLegs table;
  EXPECT_TRUE(read_answer(captured(name), table));
  return table;
}

PoolSample sample_at(TimeNs time) {
  PoolSample sample{legs("show-servers"), legs("show-clients"), legs("show-servers"), {}, time, 5000};
  EXPECT_TRUE(read_answer(captured("show-pools"), sample.modes));
  return sample;
}

std::vector<Record> taken(PoolLinks& links, const PoolSample& sample) {
  std::vector<Record> records;
  links.take(sample, [&](Record& record) { records.push_back(record); });
  return records;
}

TEST(PoolConsole, the_clients_of_a_real_answer_are_read) {
  const PoolLegs clients = legs("show-clients");
  ASSERT_EQ(clients.legs().size(), 5u);
  const PoolLeg& tcp = clients.legs().at("0x560219a3ee40");
  EXPECT_EQ(to_text(*tcp.peer), "127.0.0.1:36502");
  EXPECT_EQ(to_text(*tcp.own), "127.0.0.1:26432");
  EXPECT_EQ(tcp.link, "0x560219a46780");
  EXPECT_EQ(tcp.application, "psql");
  const PoolLeg& local = clients.legs().at("0x560219a3ebe0");
  EXPECT_FALSE(local.peer || local.own) << "a unix socket has no port";
  EXPECT_EQ(local.peer_pid, 18601u);
  EXPECT_EQ(to_text(*clients.legs().at("0x560219a3e980").peer), "[::1]:59888");
}

TEST(PoolConsole, every_prefix_of_an_answer_waits_for_more) {
  const Bytes whole = captured("show-clients");
  for (size_t length = 0; length < whole.size(); ++length) {
    PoolLegs table;
    EXPECT_FALSE(read_answer(ByteView(whole).first(length), table)) << length;
  }
}

TEST(PoolConsole, mangled_answers_end_in_no_crash) {
  std::mt19937_64 random(7);
  for (const char* name : {"show-clients", "show-servers", "show-pools"}) {
    const Bytes whole = captured(name);
    for (int i = 0; i < 3000; ++i) {
      Bytes bytes = whole;
      for (uint64_t changes = random() % 4 + 1; changes > 0; --changes)
        bytes[random() % bytes.size()] = static_cast<Byte>(random());
      PoolLegs table;
      PoolModes modes;
      (void)read_answer(bytes, table);
      (void)read_answer(bytes, modes);
    }
  }
}

TEST(PoolConsole, a_column_that_is_missing_is_named) {
  PoolLegs table;
  const std::vector<std::string_view> names = {"addr", "port", "local_addr", "local_port", "ptr"};
  const Status taken = table.take_columns("SHOW CLIENTS", names);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message, HasSubstr("no column link"));
}

TEST(PoolConsole, a_connection_that_is_not_made_yet_has_no_endpoint_and_what_is_none_is_refused) {
  PoolLegs table;
  const std::vector<std::string_view> names = {"addr", "port",         "local_addr", "local_port", "ptr",
                                               "link", "connect_time", "user",       "database"};
  ASSERT_TRUE(table.take_columns("SHOW SERVERS", names));
  const std::vector<std::string_view> row = {"10.9.0.7", "5432", "(bad-af)", "0", "0x1a", "", "", "u", "d"};
  ASSERT_TRUE(table.take_row(row));
  EXPECT_FALSE(table.legs().at("0x1a").own);
  EXPECT_FALSE(table.take_row(row)) << "two of one name";
  const std::vector<std::pair<size_t, std::string_view>> wrongs = {{0, "10.9.0"}, {1, "65536"}, {2, "nobody"}, {4, "1a"}, {5, "x"}};
  for (const auto& [place, value] : wrongs) {
    std::vector<std::string_view> wrong = row;
    wrong[4] = "0x2b";
    wrong[place] = value;
    EXPECT_FALSE(table.take_row(wrong)) << value;
  }
}

TEST(PoolConsole, what_is_refused_reads_as_a_sentence) {
  const Bytes bytes = captured("refused");
  const DecodedBackend decoded = decode_backend(bytes);
  const auto& message = std::get<BackendMessage>(decoded);
  EXPECT_EQ(message.tag, 'E');
  EXPECT_EQ(error_sentence(message.body), "ERROR: invalid command 'SHOW NONSENSE', use SHOW HELP;");
  EXPECT_EQ(advice_for_console({ErrorCode::kDenied, "FATAL: not allowed"}, "web"),
            "Name web in stats_users of pgbouncer.ini, and RELOAD it");
}

TEST(PoolLinks, a_session_is_a_record_when_it_is_seen_and_one_when_it_has_ended) {
  PoolLinks links("web-8");
  std::vector<Record> first = taken(links, sample_at(1000));
  // The client and the server of "local": its server's leg has no port; of "six" (transaction pooling) the moment alone.
  ASSERT_EQ(first.size(), 4u);
  EXPECT_EQ(links.linked(), 4u);
  for (const Record& record : first) {
    EXPECT_EQ(record.kind(), Kind::kProxy);
    EXPECT_EQ(record.text(Field::kApp), kPoolConsole);
    EXPECT_EQ(record.uint(Field::kStart), 1000u);
    EXPECT_EQ(record.uint(Field::kClockError), 5000u);
    const bool transaction = record.has(Field::kSrcPort) && record.uint(Field::kSrcPort) == 59888;
    EXPECT_EQ(record.has(Field::kEnd), transaction) << "a session goes on";
  }
  const std::vector<Record> second = taken(links, sample_at(2000));
  ASSERT_EQ(second.size(), 1u) << "the session was told, the next moment of the other was not";
  EXPECT_EQ(second[0].uint(Field::kStart), 2000u);
  PoolSample gone = sample_at(3000);
  gone.clients = PoolLegs();
  const std::vector<Record> ends = taken(links, gone);
  ASSERT_EQ(ends.size(), 3u);
  for (const Record& record : ends) {
    EXPECT_EQ(record.uint(Field::kStart), 1000u);
    EXPECT_EQ(record.uint(Field::kEnd), 2000u) << "seen last; when it ended nobody saw";
    EXPECT_EQ(record.text(Field::kCause), "the client was gone");
  }
  EXPECT_TRUE(taken(links, gone).empty());
}

TEST(PoolLinks, a_record_has_both_legs) {
  PoolLinks links("web-8");
  for (const Record& record : taken(links, sample_at(1000))) {
    if (!record.has(Field::kSrcPort) || record.uint(Field::kSrcPort) != 36502) continue;
    EXPECT_EQ(to_text(*record.endpoint(Field::kDstIp, Field::kDstPort)), "127.0.0.1:26432");
    EXPECT_EQ(to_text(*record.endpoint(Field::kUpSrcIp, Field::kUpSrcPort)), "127.0.0.1:53868");
    EXPECT_EQ(to_text(*record.endpoint(Field::kUpDstIp, Field::kUpDstPort)), "127.0.0.1:25432");
    EXPECT_THAT(std::string(record.text(Field::kAttrs)), HasSubstr("C-0x560219a3ee40"));
    return;
  }
  FAIL() << "the client over TCP has no record";
}

TEST(PoolLinks, a_server_that_changed_meanwhile_is_no_link) {
  PoolLinks links("web-8");
  PoolSample sample = sample_at(1000);
  sample.servers_before = PoolLegs();
  EXPECT_TRUE(taken(links, sample).empty());
}

TEST(PoolLinks, nobody_looks_any_more) {
  PoolLinks links("web-8");
  taken(links, sample_at(1000));
  std::vector<std::string> causes;
  links.end("why", [&](Record& record) { causes.emplace_back(record.text(Field::kCause)); });
  EXPECT_THAT(causes, ElementsAre("why", "why", "why"));
}

Bytes authentication(uint32_t method, std::string_view rest) {
  Bytes body;
  append_big(body, method);
  append(body, as_bytes(rest));
  return body;
}

// What PgBouncer let in.
TEST(PostgresqlLogin, scram_as_it_went_with_pgbouncer) {
  PostgresqlLogin login("stats", "secret", "fixedClientNonce");
  const auto first = login.answer(authentication(10, std::string_view("SCRAM-SHA-256\0\0", 15)));
  ASSERT_TRUE(first);
  EXPECT_THAT(std::string(as_text(*first)), HasSubstr("n,,n=,r=fixedClientNonce"));
  const auto proof =
      login.answer(authentication(11, "r=fixedClientNonce09na8g/ueK4MeWLZ8nwA6y0p,s=MJyuNzZrm4uyLxNUW58h+Q==,i=4096"));
  ASSERT_TRUE(proof);
  EXPECT_EQ(as_text(ByteView(*proof).subspan(5)),
            "c=biws,r=fixedClientNonce09na8g/ueK4MeWLZ8nwA6y0p,p=3O3/tbDIkY0dWwo8uh6D/xzevGwHj3QPmy0qVQtBELM=");
  PostgresqlLogin impostor = login;
  ASSERT_TRUE(login.answer(authentication(12, "v=90Ii/PDwPsO91YVt+QpWvOkZmrZz1CLhO4DLXQadMcg=")));
  ASSERT_TRUE(login.answer(authentication(0, "")));
  EXPECT_TRUE(login.done());
  EXPECT_EQ(impostor.answer(authentication(0, "")).error().code, ErrorCode::kDenied) << "it showed nothing";
  EXPECT_EQ(impostor.answer(authentication(12, "v=AAAA")).error().code, ErrorCode::kDenied);
}

TEST(PostgresqlLogin, md5_as_it_went_with_pgbouncer) {
  PostgresqlLogin login("stats", "secret", "n");
  const auto answer = login.answer(authentication(5, std::string_view("\x08\x8e\t\x87", 4)));
  ASSERT_TRUE(answer);
  EXPECT_EQ(as_text(ByteView(*answer).subspan(5)), std::string_view("md50eb9c90e625673ef02f0c4e95809efc2\0", 36));
}

TEST(PostgresqlLogin, no_password_in_clear_text_and_none_where_none_is_known) {
  EXPECT_EQ(PostgresqlLogin("a", "b", "n").answer(authentication(3, "")).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(PostgresqlLogin("a", "", "n").answer(authentication(5, "1234")).error().code, ErrorCode::kDenied);
  EXPECT_EQ(PostgresqlLogin("a", "b", "n").answer(authentication(5, "123")).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(PostgresqlLogin("a", "b", "n").answer(authentication(11, "r=n1,s=AAAA,i=4096")).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(PostgresqlLogin("a", "b", "n").answer({}).error().code, ErrorCode::kBadInput);
}

TEST(FindPools, places_as_somebody_names_them) {
  const auto socket = parse_pool_place("/run/postgresql/.s.PGSQL.6432", {});
  ASSERT_TRUE(socket);
  EXPECT_EQ(socket->name, "6432");
  const auto port = parse_pool_place("127.0.0.1:6432", {*socket});
  ASSERT_TRUE(port);
  EXPECT_EQ(port->name, "tcp-6432");
  EXPECT_EQ(parse_pool_place("[::1]:6433", {*socket})->to_text(), "[::1]:6433");
  EXPECT_FALSE(parse_pool_place("127.0.0.1:6432", {*port}));
  for (const char* wrong : {"", "10.0.0.1:6432", "127.0.0.1", "/etc/passwd", "pool", "/run/.s.PGSQL.x"})
    EXPECT_FALSE(parse_pool_place(wrong, {})) << wrong;
}

}  // namespace
}  // namespace portbook

#include "logs/log_position.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "logs/find_logs.h"
#include "logs/rotated_files.h"

namespace portbook {

namespace {

LogPositions example() {
  LogPositions positions;
  positions["web-8/log/haproxy.log"] = {2, 4711, 26, 26, tail_digest(as_bytes("the first line\nthe second\n")), LogGap::kNone, 0};
  positions["web-8/log/pgbouncer.log"] = {7, 4712, 0, 0, tail_digest({}), LogGap::kRefused, 3};
  return positions;
}

TEST(LogPosition, TheDocumentShowsWhatIsWritten) {
  std::ifstream file(std::string(PORTBOOK_SOURCE_DIR) + "/docs/formats/positions.md");
  std::string shown;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("    portbook positions") || (!shown.empty() && line.starts_with("    "))) shown += line.substr(4) + "\n";
  }
  EXPECT_EQ(shown, positions_text(example()));
}

TEST(LogPosition, ComesBackAsItWas) {
  const auto read = parse_positions(positions_text(example()));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(*read, example());
}

TEST(LogPosition, EveryPrefixAndEveryChangedByteIsRefused) {
  const std::string text = positions_text(example());
  for (size_t length = 0; length < text.size(); ++length)
    EXPECT_FALSE(parse_positions(text.substr(0, length)).has_value()) << length;
  for (size_t at = 0; at < text.size(); ++at) {
    std::string changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(parse_positions(changed).has_value()) << at;
  }
  EXPECT_EQ(parse_positions("portbook positions 2\n").error().code, ErrorCode::kNewer);
}

TEST(RotatedFiles, KnowsTheNamesThatRotationGives) {
  for (const char* name : {"app.log.1", "app.log.12", "app.log-20261123", "app-20261123.log", "app.log.2026-11-23_12"})
    EXPECT_TRUE(is_rotated_name("app.log", name)) << name;
  for (const char* name :
       {"app.log", "app.log.1.gz", "app.log.bak", "app.log~", "other.log.1", "app.log.", "app-error.log", "app.logs"})
    EXPECT_FALSE(is_rotated_name("app.log", name)) << name;
}

TEST(FindLogs, GivesEachLogANameOfItsOwn) {
  std::vector<FollowedLog> logs;
  for (const char* text : {"/srv/a/proxy.log:haproxy", "/srv/b/proxy.log:haproxy", "/srv/odd name:sshd"}) {
    auto log = parse_followed_log(text, {}, logs);
    ASSERT_TRUE(log.has_value()) << text;
    logs.push_back(*log);
  }
  EXPECT_EQ(logs[0].name, "proxy.log");
  EXPECT_EQ(logs[1].name, "b-proxy.log");
  EXPECT_EQ(logs[2].name, "odd_name");
  EXPECT_EQ(logs[2].path, "/srv/odd name");
  EXPECT_FALSE(parse_followed_log("/srv/a/proxy.log:haproxy", {}, logs).has_value()) << "named twice";
  EXPECT_FALSE(parse_followed_log("/srv/x", {}, logs).has_value());
  EXPECT_FALSE(parse_followed_log("/srv/x", "nothing", logs).has_value());
  EXPECT_EQ(parse_followed_log("/srv/x:1", "sshd", logs)->path, "/srv/x:1");
}

TEST(FindLogs, LooksWherePackagesPutThem) {
  std::string root = (std::filesystem::temp_directory_path() / "portbook-find-XXXXXX").string();
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  const std::filesystem::path logs = std::filesystem::path(root) / "var/log";
  std::filesystem::create_directories(logs / "postgresql");
  std::filesystem::create_directories(logs / "nginx");
  for (const char* name :
       {"haproxy.log", "haproxy.log.1", "auth.log", "postgresql/postgresql-15-main.log", "postgresql/postgresql-15-main.log.1",
        "postgresql/postgresql-15-main.json", "postgresql/postgresql-15-main.json.1", "postgresql/postgresql-15-main.csv",
        "postgresql/pgbouncer.log", "nginx/access.log", "nginx/error.log", "dpkg.log"})
    std::ofstream(logs / name) << "";
  std::vector<std::string> names;
  for (const FollowedLog& log : find_logs(root)) names.push_back(fmt::format("{} {}", log.name, name_of(log.format)));
  std::filesystem::remove_all(root);
  EXPECT_EQ(names, std::vector<std::string>({"haproxy.log haproxy", "access.log nginx", "postgresql-15-main.json postgresql",
                                             "postgresql-15-main.csv postgresql", "postgresql-15-main.log postgresql",
                                             "pgbouncer.log pgbouncer", "auth.log sshd"}));
}

TEST(LineRecord, PassesOverOtherProgramsInALogThatIsShared) {
  EXPECT_TRUE(is_line_of(LineFormat::kSshd, "Nov 23 12:31:46 lb-1 sshd[316]: Accepted"));
  EXPECT_TRUE(is_line_of(LineFormat::kSshd, "Nov 23 12:31:46 lb-1 sshd-session[316]: Accepted"));
  EXPECT_FALSE(is_line_of(LineFormat::kSshd, "Nov 23 12:31:46 lb-1 CRON[316]: session opened"));
  EXPECT_TRUE(is_line_of(LineFormat::kSshd, "no header"));
  EXPECT_FALSE(is_line_of(LineFormat::kHaproxy, " \t\r"));
}

TEST(LineRecord, ALineThatIsTooLongSaysSo) {
  Record record;
  const LineOrigin origin{1'795'000'000'000'000'000, {}};
  EXPECT_FALSE(read_log_line(LineFormat::kHaproxy, {"begin", true}, origin, "web-8", record));
  EXPECT_EQ(record.text(Field::kCause), kLineTooLong);
  EXPECT_EQ(record.text(Field::kHost), "web-8");
  EXPECT_EQ(record.time(), origin.read);
}

TEST(LineRecord, AGapSaysWhatItStandsFor) {
  Record record;
  LogPosition position;
  position.gap = LogGap::kRefused;
  position.gap_count = 3;
  read_log_gap(position, "web-8/log/a", "web-8", 5, "too large", record);
  EXPECT_EQ(record.kind(), Kind::kGap);
  EXPECT_EQ(record.uint(Field::kCount), 3u);
  EXPECT_EQ(record.text(Field::kCause), "the book refused a batch: too large");
  position.gap_count = 0;
  read_log_gap(position, "web-8/log/a", "web-8", 5, "", record);
  EXPECT_FALSE(record.has(Field::kCount)) << "unknown is not 0";
}

}  // namespace

}  // namespace portbook

#include "capture/redact.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

// "curl|-s|x" as the kernel holds it.
std::string redacted(std::string bars) {
  for (char& c : bars) c = c == '|' ? '\0' : c;
  bars += '\0';
  return redact_arguments(bars).text;
}
uint32_t count(std::string bars) {
  for (char& c : bars) c = c == '|' ? '\0' : c;
  return redact_arguments(bars).count;
}

TEST(Redact, leaves_ordinary_arguments_alone) {
  for (const char* line :
       {"python3|-m|http.server|8080", "sleep|5", "bash|-c|cd /tmp; PWD=/x ls", "curl|-s|https://example.org/a:b@c?x=1",
        "ssh|alice@host", "psql|postgres://alice@db/x", "x|--password-file=/run/secrets/a", "x|--token-url|https://a.example/b",
        "nginx: worker process", "rsync|-u|host:dir", "docker|run|--user|1000:1000|x", "tar|-p|x"}) {
    std::string expected = line;
    for (char& c : expected) c = c == '|' ? ' ' : c;
    EXPECT_EQ(redacted(line), expected);
    EXPECT_EQ(count(line), 0u) << line;
  }
}

TEST(Redact, options_and_variables_named_after_secrets) {
  EXPECT_EQ(redacted("x|--password=hunter2|y"), "x --password=[redacted] y");
  EXPECT_EQ(redacted("x|--password|hunter2|y"), "x --password [redacted] y");
  EXPECT_EQ(redacted("x|-token|abc"), "x -token [redacted]");
  EXPECT_EQ(redacted("env|PGPASSWORD=hunter2|psql"), "env PGPASSWORD=[redacted] psql");
  EXPECT_EQ(redacted("env|AWS_SECRET_ACCESS_KEY=abc/def+g"), "env AWS_SECRET_ACCESS_KEY=[redacted]");
  EXPECT_EQ(redacted("x|--api-key=abc"), "x --api-key=[redacted]");
  EXPECT_EQ(redacted("x|a=1&password=b&c=2"), "x a=1&password=[redacted]&c=2");
  EXPECT_EQ(redacted("x|{\"user\": \"a\", \"password\": \"b c\"}"), "x {\"user\": \"a\", \"password\": \"[redacted]\"}");
}

TEST(Redact, userinfo_of_urls) {
  EXPECT_EQ(redacted("curl|https://alice:hunter2@example.org/x"), "curl https://alice:[redacted]@example.org/x");
  EXPECT_EQ(redacted("git|clone|https://ghp_abcdef@example.org/x"), "git clone https://[redacted]@example.org/x");
  EXPECT_EQ(redacted("psql|postgres://alice:p@ss@db:5432/x"), "psql postgres://alice:[redacted]@db:5432/x");
}

TEST(Redact, credentials_that_programs_take) {
  EXPECT_EQ(redacted("curl|-u|alice:hunter2|https://example.org"), "curl -u alice:[redacted] https://example.org");
  EXPECT_EQ(redacted("mysql|-ualice|-phunter2|db"), "mysql -ualice -p[redacted] db");
  EXPECT_EQ(redacted("sshpass|-p|hunter2|ssh|host"), "sshpass -p [redacted] ssh host");
  EXPECT_EQ(redacted("curl|-H|Authorization: Bearer abc.def"), "curl -H Authorization: [redacted]");
  EXPECT_EQ(redacted("curl|-H|Cookie: session=abc"), "curl -H Cookie: [redacted]");
}

TEST(Redact, tokens_inside_of_other_text) {
  EXPECT_EQ(redacted("x|run --with Bearer abcdef now"), "x run --with Bearer [redacted] now");
  EXPECT_EQ(redacted("x|eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_d|y"), "x [redacted] y");
}

TEST(Redact, counts_arguments_and_survives_odd_ones) {
  EXPECT_EQ(count("x|--password=a|--token=b|c"), 2u);
  EXPECT_EQ(redacted(""), "");
  EXPECT_EQ(redacted("|"), " ");
  EXPECT_EQ(redacted("x|--password="), "x --password=");
  EXPECT_EQ(redacted("x|://@|=|:|\"|\"a\":"), "x ://@ = : \" \"a\":");
  EXPECT_EQ(redacted("x|--password"), "x --password");
}

}  // namespace
}  // namespace portbook

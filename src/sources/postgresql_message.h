// A message of PostgreSQL's log, however it was written, as a record; and the two forms that say which field is which: jsonlog and
// csvlog. Source: PostgreSQL's documentation, "Error Reporting and Logging", 20.8.4 and 20.8.5.
#pragma once

#include <string_view>

#include "record/record.h"
#include "sources/line.h"

namespace portbook {

// Empty: the message names none.
struct PostgresqlMessage {
  TimeNs time = 0;
  std::string_view session;
  std::string_view pid;
  std::string_view user;
  std::string_view database;
  std::string_view application;
  std::string_view severity;
  std::string_view text;
  std::string_view detail;
  std::string_view statement;
};
// Makes the note, but for its client.
void set_postgresql_message(const PostgresqlMessage& said, Record& record);
// False, and nothing set, where they are no address or no port: with log_hostname a name stands there.
bool set_postgresql_client(std::string_view address, std::string_view port, Record& record);

// By how it begins.
bool is_postgresql_json(std::string_view line);
bool is_postgresql_csv(std::string_view line);
// True when the line was understood; else the record is as it may be.
bool decode_postgresql_json(std::string_view line, const LineOrigin& origin, Record& record);
bool decode_postgresql_csv(std::string_view line, const LineOrigin& origin, Record& record);

}  // namespace portbook

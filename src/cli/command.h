// The command line: one file per command, each thin over the HTTP API of a running book.
//
// Exit codes: 0 done; 1 the question has no answer (who: nobody, not covered; verify: wrong); 2 wrong arguments or filter; 3 not
// found; 4 not allowed; 5 disk or network; 6 corrupt; 7 over a limit; 8 no running book, or port in use; 9 data of a newer version;
// 11 the book contradicts what it signed before.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"
#include "cli/client.h"

namespace portbook {

// An error, and the exit code where it has one of its own.
struct CommandError {
  CommandError(Error what, int code) : error(std::move(what)), exit_code(code) {}
  Error error;
  int exit_code;
};

// Where the book is that a command asks; filled by the options --data and --server.
struct BookPlace {
  std::string data;
  std::string server;
  std::string token_file;  // for --server; empty: the token is in PORTBOOK_TOKEN, or none is needed
  std::string authority;   // PEM, for --server https://

  // Holds the book against what this user's command line remembers of it (cli/remembered.h) before anything else is asked.
  // Errors: kUnavailable when no book runs there, kDenied, kBadInput (not a URL, no token in its file), and those of the check.
  [[nodiscard]] std::expected<Client, CommandError> connect() const;
  // The same, for who does not rely on what the book says. Errors as above, as far as they are seen without asking.
  [[nodiscard]] Result<Client> reach() const;
  [[nodiscard]] std::filesystem::path folder() const;
};
// --data alone: for a command that reads the folder itself, whether or not the book runs.
CLI::Option* add_folder_option(CLI::App& command, BookPlace& place);
// --data, or --server with what it needs: for a command that asks a running book.
void add_place_options(CLI::App& command, BookPlace& place);

// --color, for a command that prints for people.
void add_colour_option(CLI::App& command);

// /var/lib/portbook for root, else the user's state folder.
std::filesystem::path default_folder();

inline constexpr int kExitUnsettled = 10;  // verify: a crash's unsigned remainder waits for the next start
inline constexpr int kExitFindings = 11;   // verify: everything holds, but the book's self-check found damage at some time
inline constexpr int kExitRewritten = 12;  // the book contradicts what it signed before
inline constexpr int kExitNoMatch = 1;     // who: nobody held the endpoint then; doctor: something is not captured

// Prints the error as one sentence on stderr; the process's exit code.
int report(const Error& error);
int report(const CommandError& error);

// Adds the command to the program. `run` is set to what is to be done when it was chosen; its result is the exit code.
using Run = std::function<int()>;
void add_up(CLI::App& program, Run& run);
void add_serve(CLI::App& program, Run& run);
void add_agent(CLI::App& program, Run& run);
void add_follow(CLI::App& program, Run& run);
void add_receive(CLI::App& program, Run& run);
void add_enroll(CLI::App& program, Run& run);
void add_token(CLI::App& program, Run& run);
void add_who(CLI::App& program, Run& run);
void add_trace(CLI::App& program, Run& run);
void add_map(CLI::App& program, Run& run);
void add_coverage(CLI::App& program, Run& run);
void add_search(CLI::App& program, Run& run);
void add_tail(CLI::App& program, Run& run);
void add_stats(CLI::App& program, Run& run);
void add_fields(CLI::App& program, Run& run);
void add_prove(CLI::App& program, Run& run);
void add_verify(CLI::App& program, Run& run);
void add_export(CLI::App& program, Run& run);
void add_import(CLI::App& program, Run& run);
void add_completion(CLI::App& program, Run& run);
void add_doctor(CLI::App& program, Run& run);

}  // namespace portbook

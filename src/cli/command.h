// The command line: one file per command, each thin over the HTTP API of a running book.
//
// Exit codes: 0 done; 1 the question has no answer (who: nobody, not covered; verify: wrong); 2 wrong arguments or filter; 3 not
// found; 4 not allowed; 5 disk or network; 6 corrupt; 7 over a limit; 8 no running book, or port in use; 9 data of a newer version.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"
#include "cli/client.h"

namespace portbook {

// Where the book is that a command asks; filled by the options --data and --server.
struct BookPlace {
  std::string data;
  std::string server;
  std::string token_file;  // for --server; empty: the token is in PORTBOOK_TOKEN, or none is needed
  std::string authority;   // PEM, for --server https://

  // Errors: kUnavailable when no book runs there, kDenied, kBadInput (not a URL, no
  // token in its file).
  [[nodiscard]] Result<Client> connect() const;
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
inline constexpr int kExitNoMatch = 1;     // who: nobody held the endpoint then; doctor: something is not captured

// Prints the error as one sentence on stderr; the process's exit code.
int report(const Error& error);

// Adds the command to the program. `run` is set to what is to be done when it was chosen; its result is the exit code.
using Run = std::function<int()>;
void add_up(CLI::App& program, Run& run);
void add_serve(CLI::App& program, Run& run);
void add_agent(CLI::App& program, Run& run);
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

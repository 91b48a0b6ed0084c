// What the commands share: where the book is, how answers are printed, and how errors end the program.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"

namespace portbook {

inline constexpr int kExitNoMatch = 1;  // who: nobody held the endpoint then; doctor: something is not captured

// Which book a command talks to.
struct BookChoice {
  std::filesystem::path data;  // folder of a book on this machine
  std::string server;          // or the URL of a running one
};

// /var/lib/portbook for root, else portbook in the user's state folder.
std::filesystem::path default_data();
void add_data_option(CLI::App& command, BookChoice& choice);
void add_book_options(CLI::App& command, BookChoice& choice);  // --data and --server

enum class Format { kTable, kJson, kCsv };
void add_json_option(CLI::App& command, Format& format);
void add_format_options(CLI::App& command, Format& format);  // --json and --csv

// Prints "portbook: …" to standard error and returns the exit code.
int report(const Error& error);

// Each adds its command; when it was chosen, `run` becomes what does it and gives the exit code.
using Run = std::function<int()>;
void add_up(CLI::App& app, Run& run);
void add_who(CLI::App& app, Run& run);
void add_search(CLI::App& app, Run& run);
void add_tail(CLI::App& app, Run& run);
void add_fields(CLI::App& app, Run& run);
void add_prove(CLI::App& app, Run& run);
void add_verify(CLI::App& app, Run& run);
void add_export(CLI::App& app, Run& run);
void add_doctor(CLI::App& app, Run& run);

}  // namespace portbook

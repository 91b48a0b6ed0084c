// Runs book and agent as processes of their own, starts a dead one again, and ends them in order. Parses nothing from outside.
#pragma once

#include <string>
#include <vector>

namespace portbook {

// A process of this program: its command and options, without the ones that the supervisor adds.
struct Child {
  std::string name;  // "agent", for messages
  std::vector<std::string> args;
};

// Starts `book`, then `agent` once the book takes what it ships. Returns the exit code: that of a book that could not begin, or 0
// after SIGTERM, SIGINT or SIGHUP, when both have ended, the agent first. Must be called before any thread is made.
int supervise(Child book, Child agent);

}  // namespace portbook

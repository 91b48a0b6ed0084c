// Runs the book and what ships to it as processes of their own, starts a dead one again, and ends them in order. Parses nothing
// from outside.
#pragma once

#include <string>
#include <vector>

namespace portbook {

// A process of this program: its command and options, without the ones that the supervisor adds.
struct Child {
  std::string name;  // "agent", for messages
  std::vector<std::string> args;
};

// Starts `book`, then the others once the book takes what they ship. Returns the exit code: that of a book that could not begin, or
// 0 after SIGTERM, SIGINT or SIGHUP, when all have ended, the book last. Must be called before any thread is made.
int supervise(Child book, std::vector<Child> others);

}  // namespace portbook

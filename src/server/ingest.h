// The book's end of agents' connections: says who they are, what they may write, and what became of it. One thread per agent, so
// that a slow one holds up nobody else.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "book/book.h"
#include "query/coverage.h"
#include "server/credentials.h"
#include "ship/stream_socket.h"
#include "ship/wire.h"

namespace portbook {

inline constexpr size_t kAgentsMax = 64;            // connections at once; each holds at most 16 MiB of memory
inline constexpr size_t kAgentsOfStrangersMax = 8;  // of them without a credential yet, from users other than root and the book's
inline constexpr size_t kAgentsRemembered = 256;    // whose last word is shown after they have gone
inline constexpr uint64_t kHeldBackByAgentNs = kNsPerSecond;  // what an agent that went away may not have sent yet
inline constexpr std::chrono::seconds kHelloPatience{5};
inline constexpr std::chrono::seconds kAgentSilenceMax{30};  // agents report each second

// One host's agent, as the book knows it; the last connection counts.
struct AgentStatus {
  std::string host;
  bool connected = false;
  size_t connections = 0;  // that there are; more than one where another agent, or an earlier connection's end, is under way
  bool stopped = false;    // it said good-bye, having handed over everything
  bool awaited = false;    // enrolled, and not here since the book began
  bool capturing = false;
  uint32_t uid = 0;
  int32_t pid = 0;
  std::string program;                              // its version
  std::optional<TimeNs> behind_since;               // what it captured from then on may not be here yet
  std::map<std::string, TimeNs, std::less<>> told;  // by source: all that it will ever tell of what happened until then is here
  TimeNs since = 0;                  // of this connection; of its end when not connected; when it was enrolled when awaited
  std::optional<TimeNs> last_batch;  // when the last one was accepted
  uint64_t batches = 0;              // accepted, since the book started
  uint64_t records = 0;
  uint64_t refused = 0;  // batches that were not accepted and never will be
  uint64_t spool_bytes = 0;
  uint64_t spool_bytes_max = 0;
  std::string refusal;  // the last one's sentence
  struct Line {
    std::string what;
    std::string state;
    std::string means;
    std::string detail;
  };
  std::vector<Line> lines;
  std::vector<std::pair<std::string, uint64_t>> numbers;
};

struct IngestOptions {
  std::filesystem::path socket;  // where users alone say who somebody is: it must be out of reach for containers
  mode_t mode = 0600;
  std::string host;                   // of the book; root and the book's own user speak for it without a token
  std::optional<uint32_t> agent_uid;  // the user of this host's own agent, who does so too, and may do nothing else
  std::optional<uint32_t> logs_uid;   // the user of its follower of logs, who may write those alone
  std::string program;                // version
  std::string own_token;              // another word by which this host's own agent is known, such as a supervisor's; may be empty
};

// Totals since start.
struct IngestStatistics {
  uint64_t connections = 0;
  uint64_t refused_connections = 0;
  uint64_t batches = 0;  // accepted
  uint64_t records = 0;
  uint64_t bytes = 0;  // of records accepted
  uint64_t refused_batches = 0;
};

// What a peer may do without a token: nothing, but for root, the users of the book, the agent and the follower of logs at the
// socket that others cannot reach.
struct PeerRights {
  bool own_host = false;  // write as this book's own host
  bool own_logs = false;  // write what the logs of this book's own host say
  bool enrol = false;     // say who else may write
  [[nodiscard]] bool none() const { return !own_host && !own_logs; }
};

class Ingest {
 public:
  // Takes the socket's path; who connects waits until run(). `for_others` is another socket that listens, for agents that may be
  // anywhere on this machine: a number of a user means nothing there (root of a container has root's), and all need a token.
  // Book, credentials and clock must outlive it. Errors: kBadInput (the path), kDenied, kIo.
  static Result<std::unique_ptr<Ingest>> bind(Book& book, Credentials& credentials, IngestOptions options, Clock& clock,
                                              FileDescriptor for_others = {});
  // Ends every connection once the book has answered what it was handed; joins the threads.
  ~Ingest();

  // Begins to accept. Once.
  void run();

  // The agents that were there since the start, by host: all that are connected, and at most kAgentsRemembered; and those enrolled
  // that were not.
  [[nodiscard]] std::vector<AgentStatus> agents() const;
  [[nodiscard]] IngestStatistics statistics() const;
  [[nodiscard]] Absences absences() const;
  // Waits until the agent of this book's own host has said that it captures; false after the timeout.
  bool wait_for_own_agent(std::chrono::milliseconds timeout);

  // Makes, takes back or lists credentials, with an `admin` record of it. Also what a request over the socket gets.
  // Errors: those of Credentials; kUnavailable (the book refuses writes).
  Result<std::string> enrolment(const EnrolmentRequest& request, uint32_t uid);

 private:
  class Session;
  Ingest(Book& book, Credentials& credentials, IngestOptions options, Clock& clock, FileDescriptor listener,
         FileDescriptor for_others, FileDescriptor wake);
  [[nodiscard]] TimeNs newest_record() const;
  void accept_until_stopped();
  void accept_one(const FileDescriptor& listener);
  [[nodiscard]] PeerRights rights_of(uint32_t uid, const FileDescriptor& listener) const;
  void join_finished(bool all);
  // Nothing, or why the source cannot be had now.
  std::optional<std::string> claim(const std::string& source, const Session& session);
  void release_claims(const Session& session);
  Status write_admin(std::string_view action, const std::string& message, uint32_t uid);

  Book& book_;
  Credentials& credentials_;
  const IngestOptions options_;
  Clock& clock_;
  const FileDescriptor listener_;
  const FileDescriptor for_others_;
  FileDescriptor wake_;      // of the accepting thread
  const TimeNs begun_from_;  // what was captured before had reached the book
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> revocations_{0};  // and changes of tokens: each connection looks whether it is meant

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, AgentStatus, std::less<>> agents_;     // by host; guarded by mutex_, as all that follows
  std::map<std::string, const Session*, std::less<>> claims_;  // sources that a connection writes
  size_t strangers_ = 0;                                       // connections without a credential, of other users
  IngestStatistics statistics_;

  std::mutex admin_mutex_;  // one admin record at a time

  // Owner: the accepting thread.
  struct Running {
    std::unique_ptr<Session> session;
    std::thread thread;
  };
  std::vector<Running> running_;
  std::thread thread_;
};

}  // namespace portbook

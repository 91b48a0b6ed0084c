#include "privilege/helper.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "privilege/confine.h"
#include "privilege/helper_messages.h"
#include "privilege/message_socket.h"
#include "privilege/process_files.h"

namespace portbook {

namespace {

// So that the reasons of all programs fit into one answer.
constexpr size_t kReasonBytesMax = 512;
constexpr int kHelperSocket = 3;

// What one request brought: an answer and the descriptors that go with it.
struct Outcome {
  HelperAnswer answer;
  std::vector<FileDescriptor> descriptors;
};

Outcome failed(const Error& error) {
  return {{error, {}}, {}};
}

Outcome told(const Status& status) {
  return status.has_value() ? Outcome() : failed(status.error());
}

Outcome handed(Result<FileDescriptor> opened) {
  if (!opened.has_value()) return failed(opened.error());
  Outcome outcome;
  outcome.descriptors.push_back(std::move(*opened));
  return outcome;
}

Outcome listed(Result<std::vector<std::string>> names) {
  if (!names.has_value()) return failed(names.error());
  return {{std::nullopt, std::move(*names)}, {}};
}

// Three counts, then the names of the attached, name and reason of the missing, and the names of the maps.
Outcome loaded(Result<LoadedPrograms> programs) {
  if (!programs.has_value()) return failed(programs.error());
  Outcome outcome;
  std::vector<std::string>& out = outcome.answer.strings;
  for (const size_t count : {programs->attached.size(), programs->missing.size(), programs->maps.size()})
    out.push_back(std::to_string(count));
  for (const std::string& name : programs->attached) out.push_back(name);
  for (const MissingProgram& one : programs->missing) {
    out.push_back(one.name);
    out.push_back(one.reason.substr(0, kReasonBytesMax));
  }
  PB_CHECK(programs->maps.size() <= kAnswerDescriptorsMax);
  for (SharedMap& map : programs->maps) {
    out.push_back(map.name);
    outcome.descriptors.push_back(std::move(map.fd));
  }
  return outcome;
}

Outcome numbered(Result<std::vector<uint32_t>> numbers) {
  if (!numbers.has_value()) return failed(numbers.error());
  Outcome outcome;
  outcome.answer.strings.emplace_back(reinterpret_cast<const char*>(numbers->data()), numbers->size() * sizeof(uint32_t));
  return outcome;
}

Outcome read(Result<ProcessFiles> files) {
  if (!files.has_value()) return failed(files.error());
  Outcome outcome;
  for (const ProcessFileEntry& entry : kProcessFiles) outcome.answer.strings.push_back(std::move((*files).*entry.bytes));
  return outcome;
}

std::vector<uint32_t> numbers_of(std::string_view bytes) {
  std::vector<uint32_t> numbers(bytes.size() / sizeof(uint32_t));
  std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(uint32_t));
  return numbers;
}

// The pairs as bytes, and a second string that is empty unless something was hidden.
Outcome held(Result<SocketHolders> holders) {
  if (!holders.has_value()) return failed(holders.error());
  Outcome outcome;
  outcome.answer.strings.emplace_back(reinterpret_cast<const char*>(holders->found.data()),
                                      holders->found.size() * sizeof(SocketHolder));
  outcome.answer.strings.emplace_back(holders->hidden ? "hidden" : "");
  return outcome;
}

ProgramOptions options_of(std::string_view bytes) {
  ProgramOptions options;
  std::memcpy(&options, bytes.data(), sizeof options);
  return options;
}

Outcome carry_out(const HelperRequest& request, Operations& operations, const std::string& description) {
  const HelperRequestHead& head = request.head;
  switch (static_cast<HelperOperation>(head.operation)) {
    case HelperOperation::kLoadPrograms: return loaded(operations.load_programs(options_of(request.text)));
    case HelperOperation::kUnloadPrograms: operations.unload_programs(); return {};
    case HelperOperation::kFindDetached: return listed(operations.find_detached());
    case HelperOperation::kAttachAgain: return told(operations.attach_again(request.text));
    case HelperOperation::kOpenIterator: return handed(operations.open_iterator(request.text, head.number));
    case HelperOperation::kFindNamespaces: return numbered(operations.find_network_namespaces());
    case HelperOperation::kOpenNetlink:
      return handed(operations.open_netlink(head.number, static_cast<NetlinkKind>(head.kind), static_cast<int>(head.value)));
    case HelperOperation::kRequestDump:
      return told(operations.request_dump(head.number, static_cast<DumpKind>(head.kind), head.value));
    case HelperOperation::kLeaveNamespace: operations.leave_namespace(head.number); return {};
    case HelperOperation::kSetConntrack: return listed(operations.set_conntrack_settings(head.number));
    case HelperOperation::kReadProcess: return read(operations.read_process(head.number, head.value));
    case HelperOperation::kFindSocketHolders: return held(operations.find_socket_holders(numbers_of(request.text)));
    case HelperOperation::kOpenRuntimeFile: return handed(operations.open_runtime_file(request.text));
    case HelperOperation::kDescribe: return {{std::nullopt, {description}}, {}};
  }
  PB_CHECK(false);  // decode_request() lets no other through
}

// Everything that the helper has from its parent is closed but standard error.
void keep_only(int socket) {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  PB_CHECK(dup2(socket, kHelperSocket) == kHelperSocket);
  syscall(SYS_close_range, kHelperSocket + 1, ~0u, 0);
}

int run_helper(int socket) {
  keep_only(socket);
  prctl(PR_SET_NAME, "portbook-helper", 0, 0, 0);
  ConfineOptions options;
  options.part = Part::kHelper;
  auto user = helper_user();
  if (user.has_value()) options.user = *user;
  const auto confined = user.has_value() ? confine(options) : Result<Confinement>(std::unexpected(user.error()));
  if (!confined.has_value()) {
    fmt::print(stderr, "The privileged helper cannot give up what it does not need, and does not run: {}\n",
               confined.error().message);
    return exit_code(confined.error().code);
  }
  const auto operations = make_direct_operations();
  serve_operations(kHelperSocket, *operations, "a helper: " + confined->to_text());
  return 0;
}

}  // namespace

void serve_operations(int socket, Operations& operations, const std::string& description) {
  Bytes bytes;
  std::vector<FileDescriptor> descriptors;
  while (true) {
    const Status received = receive_message(socket, kRequestBytesMax, 0, bytes, descriptors);
    if (!received.has_value() && received.error().code != ErrorCode::kBadInput) return;
    Outcome outcome;
    if (!received.has_value()) {
      outcome = failed(received.error());
    } else if (const auto request = decode_request(bytes); !request.has_value()) {
      outcome = failed(request.error());
    } else {
      outcome = carry_out(*request, operations, description);
    }
    if (!send_message(socket, encode_answer(outcome.answer), outcome.descriptors).has_value()) return;
  }
}

Result<HelperProcess> start_helper() {
  auto ends = make_message_sockets();
  if (!ends.has_value()) return std::unexpected(ends.error());
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return fail(ErrorCode::kIo, std::string("the privileged helper cannot be started: ") + std::strerror(errno));
  if (pid == 0) _exit(run_helper(ends->second.get()));
  return HelperProcess{pid, std::move(ends->first)};
}

}  // namespace portbook

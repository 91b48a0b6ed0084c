// A real book, its ingest and real senders over a socket of the test's own; and peers that do not keep to the protocol.
#include "server/ingest.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <future>

#include "book/test_batches.h"
#include "ship/sender.h"

namespace portbook {
namespace {

constexpr std::chrono::seconds kPatience(20);
constexpr uint32_t kAgentUser = 61000;

struct World {
  World() {
    auto opened = Book::open({.folder = folder.path() / "book", .origin = "test.example.org", .host = "web-7"}, system_clock());
    EXPECT_TRUE(opened.has_value());
    book = std::move(*opened);
    credentials = std::move(*Credentials::load(folder.path()));
    start();
  }
  void start() {
    IngestOptions options;
    options.socket = folder.path() / "ingest.sock";
    options.host = "web-7";
    options.own_token = "supervisor";
    options.mode = 0666;
    options.agent_uid = kAgentUser;
    auto for_others = listen_unix(folder.path() / "others.sock", 0666);
    EXPECT_TRUE(for_others.has_value());
    auto bound = Ingest::bind(*book, *credentials, options, system_clock(), std::move(*for_others));
    EXPECT_TRUE(bound.has_value());
    ingest = std::move(*bound);
    ingest->run();
  }
  std::unique_ptr<Sender> sender(std::string host, std::string token, std::string* said = nullptr) {
    SenderOptions options;
    options.socket = folder.path() / "ingest.sock";
    options.host = host;
    options.token = std::move(token);
    options.spool = folder.path() / ("spool-" + host + std::to_string(++spools));
    if (said != nullptr) {
      options.say = [this, said](const std::string& sentence) {
        const std::lock_guard lock(mutex);
        *said += sentence;
        changed.notify_all();
      };
    }
    auto made = Sender::start(std::move(options), system_clock());
    EXPECT_TRUE(made.has_value());
    return std::move(*made);
  }
  std::string wait_for(const std::string& said) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, kPatience, [&] { return !said.empty(); });
    return said;
  }

  TemporaryFolder folder;
  std::unique_ptr<Book> book;
  std::unique_ptr<Credentials> credentials;
  std::unique_ptr<Ingest> ingest;
  std::mutex mutex;
  std::condition_variable changed;
  int spools = 0;
};

Status submit(Sender& sender, Batch batch) {
  std::promise<Status> answer;
  auto come = answer.get_future();
  sender.submit(std::move(batch), [&](const Status& status) { answer.set_value(status); });
  return come.wait_for(kPatience) == std::future_status::ready ? come.get() : fail(ErrorCode::kUnavailable, "no answer");
}

TEST(Ingest, what_an_agent_ships_is_in_the_book_when_it_is_answered) {
  World world;
  const auto sender = world.sender("web-7", "");
  EXPECT_EQ(sender->last_seq("web-7/socket"), 0u);
  TestSource source("web-7/socket");
  for (int i = 1; i <= 20; ++i) {
    ASSERT_TRUE(submit(*sender, source.batch(50)).has_value());
    EXPECT_EQ(world.book->last_seq("web-7/socket"), 50u * static_cast<uint64_t>(i));
  }
  EXPECT_EQ(sender->state().spool_bytes, 0u);
  const auto agents = world.ingest->agents();
  ASSERT_EQ(agents.size(), 1u);
  EXPECT_EQ(agents[0].records, 1000u);
  EXPECT_TRUE(agents[0].connected);
}

TEST(Ingest, an_ingest_that_goes_and_comes_back_gets_everything_once_and_in_order) {
  World world;
  const auto sender = world.sender("web-7", "");
  EXPECT_EQ(sender->last_seq("web-7/socket"), 0u);
  TestSource source("web-7/socket");
  ASSERT_TRUE(submit(*sender, source.batch(10)).has_value());
  world.ingest.reset();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(submit(*sender, source.batch(10)).has_value()) << "the spool takes it";
  EXPECT_EQ(world.book->last_seq("web-7/socket"), 10u);
  EXPECT_GT(sender->state().spool_bytes, 0u);
  world.start();
  ASSERT_TRUE(sender->drain(std::chrono::duration_cast<std::chrono::milliseconds>(kPatience)));
  EXPECT_EQ(world.book->last_seq("web-7/socket"), 60u);
  EXPECT_EQ(sender->state().spool_bytes, 0u);
}

TEST(Ingest, an_enrolled_agent_that_never_came_is_awaited_until_it_comes) {
  World world;
  ASSERT_TRUE(world.credentials->enrol({"web-8", token_hash("known"), kAgentVantages, 12}).has_value());
  auto agents = world.ingest->agents();
  ASSERT_EQ(agents.size(), 1u);
  EXPECT_TRUE(agents[0].awaited);
  EXPECT_FALSE(agents[0].connected);
  EXPECT_EQ(agents[0].since, 12u);
  const auto sender = world.sender("web-8", "known");
  EXPECT_EQ(sender->last_seq("web-8/socket"), 0u);
  agents = world.ingest->agents();
  ASSERT_EQ(agents.size(), 1u);
  EXPECT_FALSE(agents[0].awaited);
  EXPECT_TRUE(agents[0].connected);
}

TEST(Ingest, a_report_becomes_the_agent_s_status) {
  World world;
  const auto sender = world.sender("web-7", "supervisor");
  AgentReport report;
  report.capturing = true;
  report.lines = {{"TCP connections", "ok", "bpf", "Every namespace."}};
  report.numbers = {{"events", 12}};
  sender->report(report);
  ASSERT_TRUE(world.ingest->wait_for_own_agent(std::chrono::duration_cast<std::chrono::milliseconds>(kPatience)));
  const auto agents = world.ingest->agents();
  ASSERT_EQ(agents.size(), 1u);
  ASSERT_EQ(agents[0].lines.size(), 1u);
  EXPECT_EQ(agents[0].lines[0].detail, "Every namespace.");
  EXPECT_EQ(agents[0].numbers[0].second, 12u);
  EXPECT_FALSE(agents[0].behind_since);
}

TEST(Ingest, an_agent_that_leaves_with_everything_delivered_is_stopped_and_one_that_breaks_off_is_behind) {
  World world;
  {
    const auto sender = world.sender("web-7", "");
    EXPECT_EQ(sender->last_seq("web-7/socket"), 0u);
  }
  const auto left = [&] { return !world.ingest->agents()[0].connected; };
  while (!left()) std::this_thread::yield();
  EXPECT_TRUE(world.ingest->agents()[0].stopped);
  {
    Bytes out;
    size_t at = 0;
    append_message(out, AgentHello{kShipVersion, "web-7", "test", ""});
    const auto fd = connect_unix(world.folder.path() / "ingest.sock");
    ASSERT_EQ(write_some(*fd, out, at), Moved::kSome);
    while (left()) std::this_thread::yield();
  }
  while (!left()) std::this_thread::yield();
  EXPECT_FALSE(world.ingest->agents()[0].stopped);
  EXPECT_TRUE(world.ingest->agents()[0].behind_since);
  EXPECT_TRUE(world.ingest->absences().agents.at("web-7"));
}

// Of a source that was not opened nothing can be told.
TEST(Ingest, told_of_no_source_ends_the_connection) {
  World world;
  Bytes out;
  size_t at = 0;
  append_message(out, AgentHello{kShipVersion, "web-7", "test", ""});
  append_message(out, ToldMessage{3, 500});
  const auto fd = connect_unix(world.folder.path() / "ingest.sock");
  ASSERT_EQ(write_some(*fd, out, at), Moved::kSome);
  while (world.ingest->statistics().refused_connections == 0) std::this_thread::yield();
  EXPECT_TRUE(world.ingest->absences().told.empty());
}

TEST(Ingest, what_an_agent_told_is_where_it_is_missing_from_when_it_breaks_off) {
  World world;
  {
    Bytes out;
    size_t at = 0;
    append_message(out, AgentHello{kShipVersion, "web-7", "test", ""});
    append_message(out, SourceOpen{0, "web-7/socket"});
    append_message(out, SourceOpen{1, "web-7/nat"});
    append_message(out, ToldMessage{0, 500});
    append_message(out, ToldMessage{1, 700});
    append_message(out, ToldMessage{0, 600});
    const auto fd = connect_unix(world.folder.path() / "ingest.sock");
    ASSERT_EQ(write_some(*fd, out, at), Moved::kSome);
    while (world.ingest->absences().told["web-7/socket"] != 600) std::this_thread::yield();
    EXPECT_EQ(world.ingest->absences().told["web-7/nat"], 700u);
  }
  while (world.ingest->agents()[0].connected) std::this_thread::yield();
  EXPECT_EQ(world.ingest->agents()[0].behind_since, 600u);
}

TEST(Ingest, an_agent_is_behind_until_it_has_told_of_every_source) {
  World world;
  const auto sender = world.sender("web-7", "supervisor");
  EXPECT_EQ(sender->last_seq("web-7/socket"), 0u);
  EXPECT_EQ(sender->last_seq("web-7/nat"), 0u);
  AgentReport report;
  report.capturing = true;
  sender->report(report);
  sender->told("web-7/socket", system_clock().now());
  ASSERT_TRUE(world.ingest->wait_for_own_agent(std::chrono::duration_cast<std::chrono::milliseconds>(kPatience)));
  while (world.ingest->absences().told.size() != 1) std::this_thread::yield();
  EXPECT_TRUE(world.ingest->agents()[0].behind_since);
  sender->told("web-7/nat", 500);
  while (!world.ingest->absences().told.contains("web-7/nat")) std::this_thread::yield();
  EXPECT_TRUE(world.ingest->agents()[0].behind_since) << "of one source all up to long ago has come";
  sender->told("web-7/socket", system_clock().now());
  sender->told("web-7/nat", system_clock().now());
  while (world.ingest->agents()[0].behind_since) std::this_thread::yield();
}

TEST(Ingest, wrong_hosts_and_tokens_are_refused_with_what_was_wrong) {
  World world;
  Credential credential{"web-8", token_hash("known"), kAgentVantages, 1};
  ASSERT_TRUE(world.credentials->enrol(credential).has_value());
  struct Case {
    std::string host;
    std::string token;
    std::string word;
  };
  for (const Case& one : {Case{"web-9", "", "this book's own host is \"web-7\""}, Case{"web-8", "unknown", "portbook enroll web-8"},
                          Case{"web-9", "known", "its token is for \"web-8\""}}) {
    std::string said;
    const auto sender = world.sender(one.host, one.token, &said);
    EXPECT_NE(world.wait_for(said).find(one.word), std::string::npos) << said;
  }
}

Batch one_record(std::string source, uint64_t seq, Vantage vantage) {
  BatchBuilder builder(std::move(source), seq);
  Record record;
  record.set(Field::kKind, Kind::kGap);
  record.set(Field::kTime, kNsPerSecond);
  record.set(Field::kVantage, vantage);
  record.set(Field::kHost, "web-8");
  builder.add(record);
  return builder.take();
}

TEST(Ingest, a_record_that_the_credential_does_not_allow_is_refused_and_the_rest_goes_on) {
  World world;
  ASSERT_TRUE(
      world.credentials->enrol({"web-8", token_hash("known"), 1U << static_cast<unsigned>(Vantage::kSocket), 1}).has_value());
  const auto sender = world.sender("web-8", "known");
  EXPECT_EQ(sender->last_seq("web-8/nat"), 0u);
  const Status denied = submit(*sender, one_record("web-8/nat", 1, Vantage::kNat));
  ASSERT_FALSE(denied.has_value());
  EXPECT_EQ(denied.error().code, ErrorCode::kBadInput) << "it never will be taken";
  EXPECT_NE(denied.error().message.find("vantage nat"), std::string::npos) << denied.error().message;
  // What capture says about itself is every agent's to say.
  ASSERT_TRUE(submit(*sender, one_record("web-8/nat", 1, Vantage::kBook)).has_value());
  ASSERT_TRUE(submit(*sender, one_record("web-8/nat", 2, Vantage::kSocket)).has_value());
  EXPECT_EQ(world.book->last_seq("web-8/nat"), 2u);
  EXPECT_EQ(world.ingest->statistics().refused_batches, 1u);
}

TEST(Ingest, an_agent_that_breaks_off_is_missing_although_another_connection_of_its_host_said_good_bye) {
  World world;
  AgentReport report;
  report.capturing = true;
  const auto first = connect_unix(world.folder.path() / "ingest.sock");
  ASSERT_TRUE(first.has_value());
  Bytes hello;
  append_message(hello, AgentHello{kShipVersion, "web-7", "test", ""});
  size_t at = 0;
  ASSERT_EQ(write_some(*first, hello, at), Moved::kSome);
  const auto agents = [&] { return world.ingest->agents(); };
  while (agents().empty()) std::this_thread::yield();
  {
    const auto second = world.sender("web-7", "");
    EXPECT_EQ(second->last_seq("web-7/socket"), 0u);
    second->report(report);
    ASSERT_TRUE(world.ingest->wait_for_own_agent(std::chrono::duration_cast<std::chrono::milliseconds>(kPatience)));
    EXPECT_TRUE(agents()[0].behind_since) << "the first has not said what waits with it";
  }
  while (agents()[0].connections != 1) std::this_thread::yield();
  EXPECT_TRUE(agents()[0].connected);
  EXPECT_FALSE(agents()[0].stopped);
  shutdown(first->get(), SHUT_RDWR);
  while (agents()[0].connected) std::this_thread::yield();
  EXPECT_FALSE(agents()[0].stopped);
  EXPECT_TRUE(agents()[0].behind_since);
}

TEST(Ingest, a_revoked_agent_s_connection_ends) {
  World world;
  ASSERT_TRUE(world.credentials->enrol({"web-8", token_hash("known"), kAgentVantages, 1}).has_value());
  std::string said;
  const auto sender = world.sender("web-8", "known", &said);
  EXPECT_EQ(sender->last_seq("web-8/socket"), 0u);
  EnrolmentRequest request;
  request.action = EnrolmentAction::kRevoke;
  request.host = "web-8";
  ASSERT_TRUE(world.ingest->enrolment(request, 0).has_value());
  EXPECT_NE(world.wait_for(said).find("revoked"), std::string::npos) << said;
  EXPECT_EQ(world.book->last_seq("web-7/agents"), 1u) << "the admin record";
}

// What the book says to a peer that sends these bytes, until it closes.
Bytes answer_to(const World& world, const Bytes& bytes, const char* socket = "ingest.sock") {
  const auto fd = connect_unix(world.folder.path() / socket);
  EXPECT_TRUE(fd.has_value());
  Bytes out = bytes;
  size_t at = 0;
  Bytes in;
  while (true) {
    pollfd ready{fd->get(), static_cast<short>(POLLIN | (out.empty() ? 0 : POLLOUT)), 0};
    if (poll(&ready, 1, 20'000) <= 0) return {};
    if (!out.empty()) (void)write_some(*fd, out, at);
    if ((ready.revents & (POLLIN | POLLHUP)) != 0 && read_some(*fd, in, 4096) == Moved::kClosed) return in;
  }
}

std::string bye_in(const Bytes& said) {
  ByteView rest = said;
  while (true) {
    const DecodedMessage decoded = decode_message(rest);
    const auto* whole = std::get_if<WholeMessage>(&decoded);
    if (whole == nullptr) return "";
    if (const auto* bye = std::get_if<ByeMessage>(&whole->message)) return std::string(bye->reason);
    rest = rest.subspan(whole->length);
  }
}

TEST(Ingest, peers_that_do_not_keep_to_the_protocol_are_told_and_let_go_and_hurt_nobody) {
  World world;
  const auto good = world.sender("web-7", "");
  EXPECT_EQ(good->last_seq("web-7/socket"), 0u);
  const auto hello = [](auto... more) {
    Bytes out;
    append_message(out, AgentHello{kShipVersion, "web-7", "test", ""});
    (append_message(out, more), ...);
    return out;
  };
  EXPECT_NE(bye_in(answer_to(world, Bytes(64, 'x'))).find("unknown type"), std::string::npos);
  Bytes ping;
  append_message(ping, PingMessage{1});
  EXPECT_NE(bye_in(answer_to(world, ping)).find("did not begin with a hello"), std::string::npos);
  Bytes other;
  append_message(other, AgentHello{9, "web-7", "test", ""});
  EXPECT_NE(bye_in(answer_to(world, other)).find("version 9"), std::string::npos);
  const Bytes record(3, 0xa0);
  EXPECT_NE(bye_in(answer_to(world, hello(ShippedBatch{1, 1, 1, record}))).find("did not open"), std::string::npos);
  EXPECT_NE(bye_in(answer_to(world, hello(SourceOpen{1, "web-7/a"}, SourceOpen{1, "web-7/b"}))).find("twice"), std::string::npos);
  EXPECT_NE(bye_in(answer_to(world, hello(PongMessage{1}))).find("only a book says"), std::string::npos);
  TestSource source("web-7/socket");
  ASSERT_TRUE(submit(*good, source.batch(10)).has_value());
}

// The same as `user`, which only this thread becomes: a connection is known by the user who made it.
Bytes answer_to_user(const World& world, uint32_t user, const Bytes& bytes) {
  chmod(world.folder.path().c_str(), 0711);
  Bytes answer;
  std::thread([&] {
    ASSERT_EQ(syscall(SYS_setresuid, user, user, user), 0);
    answer = answer_to(world, bytes);
  }).join();
  return answer;
}

TEST(Ingest, the_agent_speaks_for_its_host_and_changes_nothing_about_who_else_may_write) {
  if (geteuid() != 0) GTEST_SKIP() << "becomes another user, which only root can";
  World world;
  ASSERT_TRUE(world.credentials->enrol({"web-8", token_hash("known"), kAgentVantages, 1}).has_value());
  Bytes hello;
  append_message(hello, AgentHello{kShipVersion, "web-7", "test", ""});
  append_message(hello, SourceOpen{1, "web-7/socket"});
  append_message(hello, ByeMessage{ByeCode::kStopping, ""});
  const auto is_welcome = [](const Bytes& said) {
    const DecodedMessage decoded = decode_message(said);
    const auto* whole = std::get_if<WholeMessage>(&decoded);
    return whole != nullptr && std::holds_alternative<BookWelcome>(whole->message);
  };
  EXPECT_TRUE(is_welcome(answer_to_user(world, kAgentUser, hello)));
  EXPECT_FALSE(is_welcome(answer_to_user(world, kAgentUser + 1, hello)));
  for (const EnrolmentAction action : {EnrolmentAction::kEnrol, EnrolmentAction::kRevoke, EnrolmentAction::kList}) {
    EnrolmentRequest request;
    request.action = action;
    request.host = "web-8";
    request.vantages = kAgentVantages;
    request.token_hash = token_hash("chosen by the agent");
    Bytes asked;
    append_message(asked, request);
    const Bytes said = answer_to_user(world, kAgentUser, asked);
    const DecodedMessage decoded = decode_message(said);
    const auto* whole = std::get_if<WholeMessage>(&decoded);
    ASSERT_NE(whole, nullptr);
    const auto* answer = std::get_if<EnrolmentAnswer>(&whole->message);
    ASSERT_NE(answer, nullptr);
    EXPECT_EQ(answer->code, ShipCode::kDenied) << answer->text;
  }
  EXPECT_TRUE(world.credentials->find("known"));
  EXPECT_FALSE(world.credentials->find("chosen by the agent"));
}

TEST(Ingest, a_hello_that_comes_byte_by_byte_ends_the_connection_in_the_same_time_as_none) {
  World world;
  const auto fd = connect_unix(world.folder.path() / "ingest.sock");
  ASSERT_TRUE(fd.has_value());
  Bytes hello;
  append_message(hello, AgentHello{kShipVersion, "web-7", "test", std::string(200, 'x')});
  const auto began = std::chrono::steady_clock::now();
  Bytes in;
  size_t sent = 0;
  while (sent + 1 < hello.size() && std::chrono::steady_clock::now() - began < 3 * kHelloPatience) {
    Bytes one(1, hello[sent]);
    size_t at = 0;
    if (write_some(*fd, one, at) != Moved::kSome) break;
    ++sent;
    pollfd ready{fd->get(), POLLIN, 0};
    if (poll(&ready, 1, 100) > 0 && read_some(*fd, in, 4096) == Moved::kClosed) break;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, 2 * kHelloPatience);
  EXPECT_NE(bye_in(in).find("no hello came"), std::string::npos);
}

TEST(Ingest, out_of_descriptors_it_waits_and_takes_the_connection_when_there_are_some_again) {
  World world;
  // Whole connections first: a sanitizer needs descriptors when it meets a type for the first time.
  Bytes hello;
  append_message(hello, AgentHello{kShipVersion, "web-7", "test", ""});
  for (int times = 0; times < 3; ++times) ASSERT_FALSE(bye_in(answer_to(world, hello, "others.sock")).empty());
  const uint64_t connections = world.ingest->statistics().connections;
  const FileDescriptor spare(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{static_cast<rlim_t>(spare.get()) + 1, before.rlim_max};  // all below are taken
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (world.folder.path() / "others.sock").string();
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  // A thread of the book may have a file open just now, and give its descriptor back: none of them stays free.
  std::vector<FileDescriptor> taken;
  for (const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
       std::chrono::steady_clock::now() < until;) {
    const int fd = dup(spare.get());
    if (fd >= 0) taken.emplace_back(fd);
    std::this_thread::yield();
  }
  EXPECT_EQ(connect(spare.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const auto worked = std::clock();
  pollfd nothing{spare.get(), POLLIN, 0};
  EXPECT_EQ(poll(&nothing, 1, 500), 0);
  const double seconds = static_cast<double>(std::clock() - worked) / CLOCKS_PER_SEC;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_LT(seconds, 0.1) << "of processor time, while nothing could be done";
  while (world.ingest->statistics().connections == connections) std::this_thread::yield();
}

// Who runs this test is root or the book's own user, as root of a container would be: at the socket for others that says nothing.
TEST(Ingest, at_the_socket_for_others_a_user_s_number_opens_nothing_and_a_token_does) {
  World world;
  ASSERT_TRUE(world.credentials->enrol({"web-8", token_hash("known"), kAgentVantages, 1}).has_value());
  Bytes hello;
  append_message(hello, AgentHello{kShipVersion, "web-7", "test", ""});
  EXPECT_NE(bye_in(answer_to(world, hello, "others.sock")).find("without a token"), std::string::npos);
  Bytes asked;
  EnrolmentRequest request;
  append_message(asked, request);
  const Bytes said = answer_to(world, asked, "others.sock");
  const DecodedMessage decoded = decode_message(said);
  const auto* whole = std::get_if<WholeMessage>(&decoded);
  ASSERT_NE(whole, nullptr);
  ASSERT_TRUE(std::holds_alternative<EnrolmentAnswer>(whole->message));
  EXPECT_EQ(std::get<EnrolmentAnswer>(whole->message).code, ShipCode::kDenied);
  Bytes with_token;
  append_message(with_token, AgentHello{kShipVersion, "web-8", "test", "known"});
  append_message(with_token, PongMessage{1});
  EXPECT_NE(bye_in(answer_to(world, with_token, "others.sock")).find("only a book says"), std::string::npos) << "it was let in";
}

TEST(Ingest, a_source_is_written_by_one_connection_at_a_time) {
  World world;
  const auto first = world.sender("web-7", "");
  EXPECT_EQ(first->last_seq("web-7/socket"), 0u);
  std::string said;
  const auto second = world.sender("web-7", "", &said);
  std::thread asks([&] { (void)second->last_seq("web-7/socket"); });
  EXPECT_NE(world.wait_for(said).find("still written by an earlier connection"), std::string::npos) << said;
  asks.join();
}

}  // namespace
}  // namespace portbook

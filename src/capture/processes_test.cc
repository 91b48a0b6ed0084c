#include "capture/processes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "capture/fake_world_test.h"

namespace portbook {
namespace {

using namespace std::string_view_literals;

const pb_owner kInit = make_owner(1, 10);
const pb_owner kShell = make_owner(50, 5'000);
const pb_owner kChild = make_owner(60, 6'000);

TEST(ProcessEvent, every_prefix_of_an_event_is_refused) {
  pb_process_event head{};
  head.exe_bytes = 3;
  head.cwd_bytes = 2;
  head.args_bytes = 4;
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  bytes += "exec\0arg"sv;
  bytes.resize(sizeof head + 9, 'x');
  ProcessEventData event;
  for (size_t length = 0; length < bytes.size(); ++length)
    EXPECT_FALSE(decode_process_event(std::string_view(bytes).substr(0, length), event));
  ASSERT_TRUE(decode_process_event(bytes, event));
  EXPECT_EQ(event.exe, "exe");
  EXPECT_EQ(event.cwd, "c\0"sv);
  EXPECT_EQ(event.args, "argx");
}

TEST(ProcessEvent, paths_come_deepest_name_first) {
  EXPECT_EQ(path_of_names("python3\0bin\0usr\0"sv), "/usr/bin/python3");
  EXPECT_EQ(path_of_names(""), "/");
  EXPECT_EQ(path_of_names("x"), "/x");
  EXPECT_EQ(path_of_names("\0\0"sv), "/");
}

TEST(Processes, writes_ancestors_first_and_each_once) {
  World world;
  apply_process(world.processes, PB_TASK, kInit, {}, 0);
  apply_process(world.processes, PB_FORK, kShell, kInit, 5'000);
  apply_process(world.processes, PB_EXEC, kShell, kInit, 5'100, "bash\0bin\0"sv, "bash\0-l\0"sv);
  apply_process(world.processes, PB_FORK, kChild, kShell, 6'000);
  apply_process(world.processes, PB_EXEC, kChild, kShell, 6'100, "curl\0bin\0"sv, "curl\0--password=x\0"sv);
  const Who who = world.processes.identify(kChild, 7'000, world.emit);
  EXPECT_EQ(who.pid, 60u);
  EXPECT_EQ(who.image->exe, "/bin/curl");
  ASSERT_EQ(world.records.size(), 3u);
  EXPECT_EQ(world.records[0].uint(Field::kPid), 1u);
  EXPECT_EQ(world.records[1].text(Field::kCmdline), "bash -l");
  const Record& child = world.records[2];
  EXPECT_EQ(child.text(Field::kCmdline), "curl --password=[redacted]");
  EXPECT_EQ(child.uint(Field::kRedacted), 1u);
  EXPECT_EQ(child.uint(Field::kPpid), 50u);
  EXPECT_EQ(child.uint(Field::kParentStart), world.records[1].uint(Field::kProcessStart));
  EXPECT_EQ(child.uint(Field::kProcessStart), StandingClock::kOffset + 6'000);
  EXPECT_FALSE(child.has(Field::kLoginUid));
  EXPECT_FALSE(child.has(Field::kAuditSession));
  world.processes.identify(kChild, 8'000, world.emit);
  EXPECT_EQ(world.records.size(), 3u);
}

TEST(Processes, a_fork_without_exec_runs_what_its_parent_runs) {
  World world;
  apply_process(world.processes, PB_EXEC, kShell, kInit, 5'100, "nginx\0sbin\0"sv, "nginx\0"sv);
  apply_process(world.processes, PB_FORK, kChild, kShell, 6'000);
  // The parent runs something else by now; the child does not.
  apply_process(world.processes, PB_EXEC, kShell, kInit, 6'500, "other\0"sv, "other\0"sv);
  EXPECT_EQ(world.processes.identify(kChild, 7'000, world.emit).image->exe, "/sbin/nginx");
}

TEST(Processes, a_process_that_runs_another_program_is_written_anew) {
  World world;
  apply_process(world.processes, PB_EXEC, kChild, kShell, 6'100, "bash\0"sv, "bash\0"sv);
  world.processes.identify(kChild, 7'000, world.emit);
  apply_process(world.processes, PB_EXEC, kChild, kShell, 7'100, "python3\0"sv, "python3\0"sv);
  world.processes.identify(kChild, 7'200, world.emit);
  ASSERT_EQ(world.records.size(), 2u);
  EXPECT_EQ(world.records[0].text(Field::kExe), "/bash");
  EXPECT_EQ(world.records[1].text(Field::kExe), "/python3");
  EXPECT_EQ(world.records[0].uint(Field::kProcessStart), world.records[1].uint(Field::kProcessStart));
}

TEST(Processes, a_moment_that_is_asked_for_late_has_the_program_of_then) {
  World world;
  apply_process(world.processes, PB_EXEC, kShell, kInit, 5'100, "bash"sv);
  apply_process(world.processes, PB_FORK, kChild, kShell, 6'000);
  apply_process(world.processes, PB_EXEC, kChild, kShell, 6'100, "first"sv);
  apply_process(world.processes, PB_EXEC, kChild, kShell, 6'200, "second"sv);
  const auto exe_at = [&](uint64_t time) { return world.processes.identify(kChild, time, world.emit).image->exe; };
  EXPECT_EQ(exe_at(6'250), "/second");
  EXPECT_EQ(exe_at(6'150), "/first");
  EXPECT_EQ(exe_at(6'050), "/bash");
  EXPECT_EQ(exe_at(6'300), "/second");
  // Each is told at its own time, and the newest again after an older one: readers join the record that came last.
  std::vector<std::string> told;
  for (const Record* record : world.of(Kind::kProcess)) {
    if (record->uint(Field::kPid) == 60) told.emplace_back(record->text(Field::kExe));
  }
  EXPECT_EQ(told, (std::vector<std::string>{"/second", "/first", "/bash", "/second"}));
}

TEST(Processes, what_ran_before_an_exec_that_is_the_first_thing_known_is_not_what_it_ran_then) {
  World world;
  apply_process(world.processes, PB_EXEC, kChild, kShell, 6'100, "first"sv);
  EXPECT_EQ(world.processes.identify(kChild, 6'050, world.emit).image, nullptr);
  EXPECT_EQ(world.processes.identify(kChild, 6'150, world.emit).image->exe, "/first");
}

TEST(Processes, events_that_come_after_proc_was_read_say_since_when) {
  World world;
  world.clock.boot = 9'000;
  world.proc.known_tgid = 60;
  world.proc.known.image.exe = "/second";
  EXPECT_EQ(world.processes.identify(kChild, 6'050, world.emit).image->exe, "/second");
  apply_process(world.processes, PB_EXEC, kShell, kInit, 5'100, "bash"sv);
  apply_process(world.processes, PB_FORK, kChild, kShell, 6'000);
  apply_process(world.processes, PB_EXEC, kChild, kShell, 6'200, "second"sv);
  EXPECT_EQ(world.processes.identify(kChild, 6'050, world.emit).image->exe, "/bash");
  EXPECT_EQ(world.processes.identify(kChild, 6'250, world.emit).image->exe, "/second");
  EXPECT_EQ(world.processes.identify(kChild, 9'500, world.emit).image->exe, "/second");
}

TEST(Processes, only_the_last_few_programs_are_kept) {
  World world;
  apply_process(world.processes, PB_FORK, kChild, kShell, 6'000);
  for (uint64_t i = 1; i <= 20; ++i) apply_process(world.processes, PB_EXEC, kChild, kShell, 6'000 + i, "p" + std::to_string(i));
  EXPECT_EQ(world.processes.identify(kChild, 6'019, world.emit).image->exe, "/p19");
  EXPECT_EQ(world.processes.identify(kChild, 6'001, world.emit).image->exe, "/p17");
}

TEST(Processes, a_change_of_user_is_written_anew) {
  World world;
  apply_process(world.processes, PB_EXEC, kChild, kShell, 6'100, "sshd\0"sv, "sshd\0"sv);
  world.processes.identify(kChild, 7'000, world.emit);
  pb_owner alice = kChild;
  alice.uid = 1001;
  alice.loginuid = 1001;
  EXPECT_EQ(world.processes.identify(alice, 7'200, world.emit).uid, 1001u);
  ASSERT_EQ(world.records.size(), 2u);
  EXPECT_EQ(world.records[1].uint(Field::kLoginUid), 1001u);
}

TEST(Processes, a_number_that_is_used_again_is_another_process) {
  World world;
  apply_process(world.processes, PB_EXEC, kChild, kShell, 6'100, "first\0"sv);
  const pb_owner again = make_owner(60, 9'000);
  apply_process(world.processes, PB_EXEC, again, kShell, 9'100, "second\0"sv);
  EXPECT_EQ(world.processes.identify(kChild, 9'200, world.emit).image->exe, "/first");
  EXPECT_EQ(world.processes.identify(again, 9'200, world.emit).image->exe, "/second");
}

TEST(Processes, proc_fills_in_only_for_the_very_process) {
  World world;
  world.proc.known_tgid = 60;
  world.proc.known.image.exe = "/from/proc";
  world.proc.known.start_ticks = 3;
  const pb_owner same = make_owner(60, 3 * 10'000'000 + 5);
  const pb_owner earlier = make_owner(60, 1 * 10'000'000);
  EXPECT_EQ(world.processes.identify(same, 1, world.emit).image->exe, "/from/proc");
  EXPECT_EQ(world.processes.identify(earlier, 1, world.emit).image, nullptr);
}

TEST(Processes, ended_ones_are_forgotten_once_nobody_descends_from_them) {
  World world;
  apply_process(world.processes, PB_FORK, kShell, kInit, 5'000);
  apply_process(world.processes, PB_FORK, kChild, kShell, 6'000);
  apply_process(world.processes, PB_EXIT, kShell, kInit, 7'000);
  world.processes.forget_old(1'000 * kNsPerSecond);
  EXPECT_EQ(world.processes.count(), 2u);
  apply_process(world.processes, PB_EXIT, kChild, kShell, 8'000);
  world.processes.forget_old(1'000 * kNsPerSecond);
  world.processes.forget_old(1'000 * kNsPerSecond);
  EXPECT_EQ(world.processes.count(), 0u);
}

TEST(Processes, without_command_lines_none_is_kept) {
  World world;
  Processes processes(world.boot_clock, world.cgroups, world.proc, false);
  apply_process(processes, PB_EXEC, kChild, kShell, 6'100, "curl\0"sv, "curl\0secret\0"sv);
  processes.identify(kChild, 7'000, world.emit);
  ASSERT_EQ(world.records.size(), 1u);
  EXPECT_FALSE(world.records[0].has(Field::kCmdline));
}

TEST(Processes, a_containers_name_that_comes_later_is_written_with_the_next_socket) {
  const std::string id(64, 'a');
  std::atomic<bool> written = false;
  std::array<int, 2> pipe_ends{};
  ContainerNames names([&](std::string_view path) -> Result<FileDescriptor> {
    if (!written || !path.ends_with("config.v2.json")) return fail(ErrorCode::kNotFound, "no such file");
    EXPECT_EQ(pipe(pipe_ends.data()), 0);
    EXPECT_EQ(write(pipe_ends[1], R"({"Name":"/web"})", 15), 15);
    close(pipe_ends[1]);
    return FileDescriptor(pipe_ends[0]);
  });
  World world;
  world.processes.name_containers(names);
  world.cgroups.add(9, false, "/system.slice/docker-" + id + ".scope");
  pb_owner owner = make_owner(7, 50 * kNsPerSecond);
  owner.cgroup = 9;
  apply_process(world.processes, PB_EXEC, owner, {}, 60 * kNsPerSecond, "web");
  world.processes.identify(owner, 61 * kNsPerSecond, world.emit);
  ASSERT_EQ(world.records.size(), 1u);
  EXPECT_EQ(world.records[0].text(Field::kContainer), id);
  EXPECT_FALSE(world.records[0].has(Field::kContainerName));
  written = true;
  // It is looked for again some seconds later, on a thread of its own.
  for (uint64_t at = 100 * kNsPerSecond; world.records.size() < 2; at += kNsPerSecond / 1000) {
    world.clock.boot = at;
    world.processes.identify(owner, at, world.emit);
    std::this_thread::yield();
  }
  EXPECT_EQ(world.records[1].text(Field::kContainerName), "web");
  world.processes.identify(owner, 200 * kNsPerSecond, world.emit);
  EXPECT_EQ(world.records.size(), 2u);
}

}  // namespace
}  // namespace portbook

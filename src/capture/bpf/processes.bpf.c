// SPDX-License-Identifier: GPL-2.0
// Processes: who started whom with which program and arguments, told at the moment itself, since a short-lived process leaves
// nothing in /proc; and the paths of control groups.
#include "capture/bpf/kernel.h"
#include "capture/bpf/owner.bpf.h"

char LICENSE[] SEC("license") = "GPL";

// The hierarchy whose ids pb_owner.cgroup1 holds; 0: none.
const volatile int pb_cgroup1_hierarchy = 0;

struct linux_binprm;

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 16 << 20);
} process_ring SEC(".maps");

// Per-CPU map values end at 32 KiB. Masks instead of comparisons: the verifier of every kernel follows them.
#define PATHS_MASK 8191
#define ARGS_MASK 16383
#define DATA_BYTES (PATHS_MASK + 1 + ARGS_MASK + 1)
_Static_assert(2 * PB_PATH_BYTES_MAX <= PATHS_MASK && PB_ARGS_BYTES_MAX <= ARGS_MASK, "the masks never cut");

struct exec_scratch {
  struct pb_process_event event;
  char data[DATA_BYTES];
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct exec_scratch);
} exec_scratch SEC(".maps");

// In a section, and so a map, of its own: whoever reads the ring maps this too.
struct pb_cpu_counters process_counters[PB_CPUS_MAX] SEC(".data.process_counters");

static __always_inline struct pb_cpu_counters* counters(void) {
  return &process_counters[bpf_get_smp_processor_id() & (PB_CPUS_MAX - 1)];
}

// Counted before numbered: whoever reads the numbers first and the losses after finds no number without its reason.
static __always_inline void lose(void) {
  struct pb_cpu_counters* counter = counters();
  __sync_fetch_and_add(&counter->lost, 1);
  __sync_fetch_and_add(&counter->seq, 1);
}

static __always_inline void fill_head(struct pb_process_event* event, u8 type) {
  __builtin_memset(event, 0, sizeof *event);
  event->type = type;
  event->time = bpf_ktime_get_boot_ns();
  event->cpu = bpf_get_smp_processor_id() & (PB_CPUS_MAX - 1);
}

static __always_inline void fill_task(struct pb_process_event* event, struct task_struct* task) {
  struct task_struct* parent = task->real_parent;
  owner_of(task, &event->owner);
  event->parent_tgid = parent->tgid;
  event->parent_start = BPF_CORE_READ(parent, group_leader, start_boottime);
  if (bpf_core_field_exists(task->self_exec_id)) event->exec_id = task->self_exec_id + 1;
  event->netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
}

static __always_inline void report_task(u8 type, struct task_struct* task) {
  struct pb_process_event* event = bpf_ringbuf_reserve(&process_ring, sizeof *event, 0);
  if (!event) {
    lose();
    return;
  }
  fill_head(event, type);
  fill_task(event, task);
  event->seq = __sync_fetch_and_add(&counters()->seq, 1) + 1;
  bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct* parent, struct task_struct* child) {
  if (child->pid == child->tgid) report_task(PB_FORK, child);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct* task) {
  struct signal_struct* signal = task->signal;
  if (signal->live.counter == 0) report_task(PB_EXIT, task);
  return 0;
}

struct path_walk {
  struct mount* mount;
  struct dentry* dentry;
  u32 at;
  u32 used;
};

// One step up: a name, or the crossing of a mount point. 1 ends the walk.
static long step_up(u32 index, void* context) {
  struct path_walk* walk = context;
  struct dentry* dentry = walk->dentry;
  struct mount* mount = walk->mount;
  struct dentry* parent = BPF_CORE_READ(dentry, d_parent);
  struct exec_scratch* scratch;
  u32 zero = 0;
  long length;
  if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
    struct mount* above = BPF_CORE_READ(mount, mnt_parent);
    if (above == mount) return 1;
    walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
    walk->mount = above;
    return 0;
  }
  scratch = bpf_map_lookup_elem(&exec_scratch, &zero);
  if (!scratch || dentry == parent || walk->used > PB_PATH_BYTES_MAX - 256) return 1;
  length = bpf_probe_read_kernel_str(&scratch->data[(walk->at + walk->used) & PATHS_MASK], 256, BPF_CORE_READ(dentry, d_name.name));
  if (length <= 0) return 1;
  walk->used += length;
  walk->dentry = parent;
  return 0;
}

// Writes the names from `dentry` up to the root of its mount namespace behind data[at], each ended by NUL; returns their length.
static __always_inline u32 read_path(u32 at, struct vfsmount* vfsmount, struct dentry* dentry) {
  struct path_walk walk = {
      .mount = (void*)vfsmount - bpf_core_field_offset(struct mount, mnt),
      .dentry = dentry,
      .at = at,
      .used = 0,
  };
  bpf_loop(PB_PATH_DEPTH_MAX, step_up, &walk, 0);
  return walk.used & PATHS_MASK;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct* task, int old_pid, struct linux_binprm* program) {
  struct exec_scratch* scratch;
  struct pb_process_event* event;
  struct mm_struct* mm = task->mm;
  u32 zero = 0, at, args;
  u64 arg_start, arg_bytes;
  scratch = bpf_map_lookup_elem(&exec_scratch, &zero);
  if (!scratch || !mm) {
    lose();
    return 0;
  }
  event = &scratch->event;
  fill_head(event, PB_EXEC);
  fill_task(event, task);
  event->exe_bytes = read_path(0, BPF_CORE_READ(mm, exe_file, f_path.mnt), BPF_CORE_READ(mm, exe_file, f_path.dentry));
  at = event->exe_bytes;
  event->cwd_bytes = read_path(at, BPF_CORE_READ(task, fs, pwd.mnt), BPF_CORE_READ(task, fs, pwd.dentry));
  at = (at + event->cwd_bytes) & PATHS_MASK;
  arg_start = BPF_CORE_READ(mm, arg_start);
  arg_bytes = BPF_CORE_READ(mm, arg_end) - arg_start;
  event->args_total = arg_bytes > 0xffffffff ? 0xffffffff : arg_bytes;
  args = arg_bytes > PB_ARGS_BYTES_MAX ? PB_ARGS_BYTES_MAX : arg_bytes;
  barrier_var(args);  // else the compiler proves the masks needless, which the verifier of Linux 6.1 does not
  if (bpf_probe_read_user(&scratch->data[at], args & ARGS_MASK, (void*)arg_start)) args = 0;
  event->args_bytes = args;
  event->seq = __sync_fetch_and_add(&counters()->seq, 1) + 1;
  at = sizeof *event + at + (args & ARGS_MASK);
  barrier_var(at);
  if (at > sizeof *scratch) at = sizeof *scratch;
  // The number is taken already: a refusal shows as a hole in the sequence.
  if (bpf_ringbuf_output(&process_ring, scratch, at, BPF_RB_NO_WAKEUP)) __sync_fetch_and_add(&counters()->lost, 1);
  return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup, struct cgroup* cgroup, const char* path) {
  struct exec_scratch* scratch;
  struct pb_process_event* event;
  u32 zero = 0;
  int hierarchy = BPF_CORE_READ(cgroup, root, hierarchy_id);
  long length;
  if (hierarchy != 0 && hierarchy != pb_cgroup1_hierarchy) return 0;  // 0: cgroup2, the kernel's default hierarchy
  scratch = bpf_map_lookup_elem(&exec_scratch, &zero);
  if (!scratch) return 0;
  event = &scratch->event;
  fill_head(event, PB_CGROUP);
  event->version1 = hierarchy != 0;
  event->owner.cgroup = BPF_CORE_READ(cgroup, kn, id);
  length = bpf_probe_read_kernel_str(scratch->data, PB_CGROUP_PATH_BYTES_MAX, path);
  if (length <= 0) return 0;
  event->exe_bytes = length;
  event->seq = __sync_fetch_and_add(&counters()->seq, 1) + 1;
  if (bpf_ringbuf_output(&process_ring, scratch, sizeof *event + ((u32)length & (2 * PB_CGROUP_PATH_BYTES_MAX - 1)),
                         BPF_RB_NO_WAKEUP))
    __sync_fetch_and_add(&counters()->lost, 1);
  return 0;
}

SEC("iter/task")
int list_processes(struct bpf_iter__task* context) {
  struct task_struct* task = context->task;
  struct pb_process_event event;
  if (!task || task->pid != task->tgid) return 0;
  fill_head(&event, PB_TASK);
  fill_task(&event, task);
  bpf_seq_write(context->meta->seq, &event, sizeof event);
  return 0;
}

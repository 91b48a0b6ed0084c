/* Who a task is. */
#ifndef PORTBOOK_CAPTURE_BPF_OWNER_H
#define PORTBOOK_CAPTURE_BPF_OWNER_H

#include "capture/bpf/kernel.h"

/* Index in css_set.subsys of the version 1 hierarchy whose ids are wanted; -1: none. Set by portbook before loading. */
const volatile int pb_cgroup1_subsystem = -1;

static __always_inline u64 cgroup1_id(struct css_set* groups) {
  struct cgroup_subsys_state* state;
  const int index = pb_cgroup1_subsystem;
  if (index < 0 || index > 15) return 0;
  // The index is a constant when the program is loaded, so that this is a plain load for the kernel too.
  state = *(struct cgroup_subsys_state**)((void*)groups + bpf_core_field_offset(struct css_set, subsys) + index * sizeof(void*));
  return state->cgroup->kn->id;
}

// Direct loads, not reads by helper calls: this runs for every connection.
static __always_inline void owner_of(struct task_struct* task, struct pb_owner* owner) {
  struct task_struct* leader = task->group_leader;
  const struct cred* cred = task->cred;
  struct css_set* groups = task->cgroups;
  owner->start = leader->start_boottime;
  owner->tgid = task->tgid;
  owner->uid = cred->uid.val;
  owner->gid = cred->gid.val;
  owner->loginuid = (u32)-1;
  owner->session = (u32)-1;
  if (bpf_core_field_exists(task->loginuid)) {
    owner->loginuid = task->loginuid.val;
    owner->session = task->sessionid;
  }
  owner->cgroup = groups->dfl_cgrp->kn->id;
  owner->cgroup1 = cgroup1_id(groups);
  owner->reserved = 0;
  __builtin_memcpy(owner->comm, leader->comm, sizeof owner->comm);
}

static __always_inline void owner_of_current(struct pb_owner* owner) {
  owner_of((struct task_struct*)bpf_get_current_task_btf(), owner);
}

// Not bpf_get_current_pid_tgid(): Linux 6.1 does not lend it to sockops.
static __always_inline u32 current_tgid(void) {
  return ((struct task_struct*)bpf_get_current_task_btf())->tgid;
}

#endif

/* Which system call a hook runs in, where that makes a difference. */
#ifndef PORTBOOK_CAPTURE_BPF_SYSTEM_CALL_H
#define PORTBOOK_CAPTURE_BPF_SYSTEM_CALL_H

#include "capture/bpf/kernel.h"

enum {
  X32_SYSCALL_BIT = 0x40000000,
  I386_SOCKETCALL = 102,
  SOCKETCALL_GETPEERNAME = 7,
};

// Whether the current process called getpeername(), whatever its instruction set. Numbers of the one are never others' calls that
// come here. Source: arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h, arch/arm/tools/syscall.tbl of Linux.
static __always_inline bool in_getpeername(void) {
  void* registers = (void*)bpf_task_pt_regs((struct task_struct*)bpf_get_current_task_btf());
  const struct pt_regs___x86* x86 = registers;
  const struct pt_regs___arm64* arm64 = registers;
  if (bpf_core_field_exists(x86->orig_ax)) {
    const u32 call = x86->orig_ax & ~(u32)X32_SYSCALL_BIT;
    return call == 52 || call == 368 || (call == I386_SOCKETCALL && (u32)x86->bx == SOCKETCALL_GETPEERNAME);
  }
  if (bpf_core_field_exists(arm64->syscallno)) return arm64->syscallno == 205 || arm64->syscallno == 287;
  return true;
}

#endif

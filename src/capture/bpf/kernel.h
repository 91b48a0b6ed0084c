/* The kernel types that the programs read, only the members used; offsets are found at load time (CO-RE), so that building needs no
 * kernel's type information. */
#ifndef PORTBOOK_CAPTURE_BPF_KERNEL_H
#define PORTBOOK_CAPTURE_BPF_KERNEL_H

#define PB_KERNEL_SIDE
// The order matters: linux/types.h gives bpf.h its types.
// clang-format off
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
// clang-format on

#include "capture/bpf/events.h"

#define bool _Bool
#define true 1
#define false 0
typedef __u64 u64;
typedef __u32 u32;
typedef __u16 u16;
typedef __u8 u8;
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_BOUND_LOCKS 12 /* sk_userlocks: bind() with an address or a port */
#define SEND_SHUTDOWN 2
#define SOCK_DONE_BIT 1 /* enum sock_flags */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
  u32 val;
} kuid_t;
typedef struct {
  u32 val;
} kgid_t;
typedef struct {
  int counter;
} atomic_t;

struct ns_common {
  unsigned int inum;
};
struct net {
  struct ns_common ns;
};
typedef struct {
  struct net* net;
} possible_net_t;
struct in6_addr {
  union {
    u8 u6_addr8[16];
  } in6_u;
};
struct sock_common {
  __be32 skc_daddr;
  __be32 skc_rcv_saddr;
  unsigned short skc_family;
  volatile unsigned char skc_state;
  possible_net_t skc_net;
  struct in6_addr skc_v6_daddr;
  struct in6_addr skc_v6_rcv_saddr;
  __be16 skc_dport;
  unsigned long skc_flags;
};
struct sk_buff {
  struct sock* sk;
  char cb[48];
  unsigned long _nfct;
  unsigned char* head;
  u16 network_header;
};
struct sk_buff_head {
  struct sk_buff* prev;
};
struct sock_extended_err {
  u32 ee_errno;
};
struct sock_exterr_skb {
  struct sock_extended_err ee;
};
struct sock {
  struct sock_common __sk_common;
  struct sk_buff_head sk_error_queue;
  int sk_err;
  int sk_err_soft;
  u16 sk_protocol;
  u8 sk_shutdown;
  u8 sk_userlocks : 4;
};
struct inet_sock {
  struct sock sk;
  __be16 inet_sport;
};
struct inet_connection_sock {
  struct inet_sock icsk_inet;
};
struct tcp_sock {
  struct inet_connection_sock inet_conn;
  u32 segs_in;
  u32 segs_out;
  u64 bytes_received;
  u64 bytes_acked;
  u32 snd_una;
  u32 write_seq;
  u32 srtt_us;
  u32 total_retrans;
};
struct udp_sock {
  struct inet_sock inet;
};

union nf_inet_addr {
  u8 all[16];
};
union nf_conntrack_man_proto {
  __be16 all;
};
struct nf_conntrack_man {
  union nf_inet_addr u3;
  union nf_conntrack_man_proto u;
};
struct nf_conntrack_tuple {
  struct nf_conntrack_man src;
  struct {
    union nf_inet_addr u3;
    union {
      __be16 all;
    } u;
  } dst;
};
struct nf_conntrack_tuple_hash {
  struct nf_conntrack_tuple tuple;
};
struct nf_conn {
  struct nf_conntrack_tuple_hash tuplehash[2];
  unsigned long status;
};

struct socket {
  struct sock* sk;
};

struct qstr {
  const unsigned char* name;
};
struct dentry {
  struct dentry* d_parent;
  struct qstr d_name;
};
struct vfsmount {
  struct dentry* mnt_root;
};
struct mount {
  struct mount* mnt_parent;
  struct dentry* mnt_mountpoint;
  struct vfsmount mnt;
};
struct path {
  struct vfsmount* mnt;
  struct dentry* dentry;
};
struct file {
  struct path f_path;
};
struct fs_struct {
  struct path pwd;
};
struct mm_struct {
  unsigned long arg_start;
  unsigned long arg_end;
  struct file* exe_file;
};

struct kernfs_node {
  u64 id;
};
struct cgroup_root {
  int hierarchy_id;
};
struct cgroup {
  struct kernfs_node* kn;
  struct cgroup_root* root;
};
struct cgroup_subsys_state {
  struct cgroup* cgroup;
};
enum cgroup_subsys_id {
  cpuset_cgrp_id,
  cpu_cgrp_id,
  memory_cgrp_id,
  devices_cgrp_id,
  pids_cgrp_id,
  freezer_cgrp_id,
};
struct css_set {
  struct cgroup_subsys_state* subsys[16];
  struct cgroup* dfl_cgrp;
};
struct cred {
  kuid_t uid;
  kgid_t gid;
};
struct signal_struct {
  atomic_t live;
};
struct nsproxy {
  struct net* net_ns;
};
struct task_struct {
  int pid;
  int tgid;
  u64 start_boottime;
  struct task_struct* group_leader;
  struct task_struct* real_parent;
  const struct cred* cred;
  kuid_t loginuid;
  unsigned int sessionid;
  u32 self_exec_id;
  struct mm_struct* mm;
  struct fs_struct* fs;
  struct signal_struct* signal;
  struct css_set* cgroups;
  struct nsproxy* nsproxy;
  char comm[PB_COMM_BYTES];
};

// Flavours of pt_regs, one of which the kernel has.
struct pt_regs___x86 {
  unsigned long orig_ax;
  unsigned long bx;
};
struct pt_regs___arm64 {
  int syscallno;
};

struct seq_file;
struct bpf_iter_meta {
  struct seq_file* seq;
};
struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
};
struct bpf_iter__task_file {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
  struct file* file;
};
struct bpf_iter__tcp {
  struct bpf_iter_meta* meta;
  struct sock_common* sk_common;
};
struct bpf_iter__udp {
  struct bpf_iter_meta* meta;
  struct udp_sock* udp_sk;
};
struct bpf_iter__bpf_map_elem {
  struct bpf_iter_meta* meta;
  void* key;
  void* value;
};
struct bpf_iter__bpf_sk_storage_map {
  struct bpf_iter_meta* meta;
  struct sock* sk;
  void* value;
};

#pragma clang attribute pop

#endif

// SPDX-License-Identifier: GPL-2.0
// TCP sockets: each carries its story in socket storage; its moments go into one ring that nobody is woken for.
#include "capture/bpf/kernel.h"
#include "capture/bpf/owner.bpf.h"

char LICENSE[] SEC("license") = "GPL";

enum {
  TCP_ESTABLISHED = 1,
  TCP_SYN_SENT = 2,
  TCP_SYN_RECV = 3,
  TCP_FIN_WAIT1 = 4,
  TCP_FIN_WAIT2 = 5,
  TCP_CLOSE_STATE = 7,
  TCP_LAST_ACK = 9,
  TCP_LISTEN_STATE = 10,
  TCP_CLOSING_STATE = 11,
};

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
  __type(key, int);
  __type(value, struct pb_socket);
} sockets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 64 << 20);
} socket_ring SEC(".maps");

// Ends that found the ring full; emptied by portbook once the ring has room again.
struct {
  __uint(type, BPF_MAP_TYPE_QUEUE);
  __uint(max_entries, 16384);
  __type(value, struct pb_socket_event);
} overflow SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct pb_socket_event);
} scratch SEC(".maps");

// In a section, and so a map, of its own: whoever reads the ring maps this too.
struct pb_cpu_counters socket_counters[PB_CPUS_MAX] SEC(".data.socket_counters");

// Set by portbook where the tracepoint on_state could not be attached. The tracepoint is preferred: sockops builds a context for
// each of a connection's eight changes of state.
int pb_use_state_callback;

static __always_inline struct pb_cpu_counters* counters(void) {
  return &socket_counters[bpf_get_smp_processor_id() & (PB_CPUS_MAX - 1)];
}

static __always_inline bool is_tcp(struct sock* sk) {
  u16 family = sk->__sk_common.skc_family;
  return (family == AF_INET || family == AF_INET6) && sk->sk_protocol == IPPROTO_TCP;
}

static __always_inline void fill_ends(struct pb_socket_event* event, struct tcp_sock* tcp) {
  struct inet_sock* inet = &tcp->inet_conn.icsk_inet;
  struct sock_common* common = &inet->sk.__sk_common;
  struct net* net = common->skc_net.net;
  event->netns = net->ns.inum;
  event->family = common->skc_family;
  // Not skc_num: it is already 0 when the tracepoint sees the end.
  event->local_port = bpf_ntohs(inet->inet_sport);
  event->remote_port = bpf_ntohs(common->skc_dport);
  __builtin_memset(event->local, 0, 32);
  if (event->family == AF_INET6) {
    bpf_probe_read_kernel(event->local, 16, &common->skc_v6_rcv_saddr);
    bpf_probe_read_kernel(event->remote, 16, &common->skc_v6_daddr);
  } else {
    *(u32*)event->local = common->skc_rcv_saddr;
    *(u32*)event->remote = common->skc_daddr;
  }
}

static __always_inline void fill_measures(struct pb_socket_event* event, struct tcp_sock* tcp) {
  struct sock* sk = &tcp->inet_conn.icsk_inet.sk;
  u8 old = event->old_state;
  event->bytes_acked = tcp->bytes_acked;
  event->bytes_received = tcp->bytes_received;
  event->packets_out = tcp->segs_out;
  event->packets_in = tcp->segs_in;
  event->srtt_us = tcp->srtt_us;
  event->retransmits = tcp->total_retrans;
  event->error = sk->sk_err;
  // What an ICMP error says while the socket is locked.
  if (!event->error && event->type == PB_FAILED) event->error = sk->sk_err_soft;
  if (old == TCP_FIN_WAIT2 ||
      ((old == TCP_FIN_WAIT1 || old == TCP_CLOSING_STATE || old == TCP_LAST_ACK) && tcp->snd_una == tcp->write_seq))
    event->flags |= PB_FIN_ACKED;
  if (sk->__sk_common.skc_flags & 1ul << SOCK_DONE_BIT) event->flags |= PB_FIN_RECEIVED;
}

static __always_inline void fill(struct pb_socket_event* event, u8 type, u8 old_state, u64 cookie, struct tcp_sock* tcp,
                                 struct pb_socket* socket) {
  event->seq = 0;
  event->time = bpf_ktime_get_boot_ns();
  event->type = type;
  event->old_state = old_state;
  event->cpu = bpf_get_smp_processor_id() & (PB_CPUS_MAX - 1);
  __builtin_memset(event->reserved, 0, sizeof event->reserved);
  if (socket) {
    event->cookie = cookie | (u64)(socket->attempt & 0xff) << 56;
    event->start = socket->start;
    event->flags = socket->flags;
    event->owner = socket->owner;
    event->user = socket->user;
  } else {
    event->cookie = cookie;
    event->start = 0;
    event->flags = PB_OLD;
    __builtin_memset(&event->owner, 0, sizeof event->owner);
    __builtin_memset(&event->user, 0, sizeof event->user);
  }
  if (tcp) {
    fill_ends(event, tcp);
    fill_measures(event, tcp);
    // The process may have read, and so taken away, the socket's own error.
    if (!event->error && socket && type == PB_FAILED) event->error = socket->error;
  } else {
    // Where the kernel lends no tcp_sock; the cookie says which connection.
    __builtin_memset(&event->bytes_acked, 0, sizeof event->bytes_acked + sizeof event->bytes_received);
    event->packets_out = event->packets_in = event->srtt_us = event->retransmits = event->netns = 0;
    event->local_port = event->remote_port = event->error = 0;
    event->family = 0;
    __builtin_memset(event->local, 0, 32);
  }
}

// Puts an event into the ring; false when it has no room. Lost events take a number too, so that their absence shows.
static __always_inline bool report(u8 type, u8 old_state, u64 cookie, struct tcp_sock* tcp, struct pb_socket* socket) {
  struct pb_socket_event* event = bpf_ringbuf_reserve(&socket_ring, sizeof *event, 0);
  if (!event) return false;
  fill(event, type, old_state, cookie, tcp, socket);
  event->seq = __sync_fetch_and_add(&counters()->seq, 1) + 1;
  bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
  return true;
}

static __always_inline void lose(void) {
  struct pb_cpu_counters* counter = counters();
  __sync_fetch_and_add(&counter->seq, 1);
  __sync_fetch_and_add(&counter->lost, 1);
}

// As report(), for facts that no later event repeats: a full ring makes them wait in the overflow queue.
static __always_inline void report_or_keep(u8 type, u8 old_state, u64 cookie, struct tcp_sock* tcp, struct pb_socket* socket) {
  struct pb_socket_event* event;
  u32 zero = 0;
  if (report(type, old_state, cookie, tcp, socket)) return;
  event = bpf_map_lookup_elem(&scratch, &zero);
  if (event) {
    fill(event, type, old_state, cookie, tcp, socket);
    if (bpf_map_push_elem(&overflow, event, 0) == 0) {
      __sync_fetch_and_add(&counters()->parked, 1);
      return;
    }
  }
  lose();
}

static __always_inline void established(u64 cookie, struct tcp_sock* tcp, struct pb_socket* socket) {
  socket->flags |= PB_ESTABLISHED;
  socket->flags &= ~PB_CONNECTING;
  if (tcp->bytes_acked) socket->flags |= PB_SYN_COUNTED;
  socket->flags |= PB_OPEN_REPORTED;
  if (!report(PB_OPEN, 0, cookie, tcp, socket)) {
    // Stays with the socket: the sweep or the close makes it good.
    socket->flags &= ~PB_OPEN_REPORTED;
    __sync_fetch_and_add(&counters()->parked, 1);
  }
}

static __always_inline void ended(u8 old_state, u64 cookie, struct tcp_sock* tcp, struct pb_socket* socket) {
  if (!socket) {
    if (old_state != TCP_SYN_SENT && old_state != TCP_SYN_RECV && old_state != TCP_CLOSE_STATE)
      report_or_keep(old_state == TCP_LISTEN_STATE ? PB_LISTEN_END : PB_CLOSE, old_state, cookie, tcp, 0);
    return;
  }
  if (socket->flags & PB_CLOSE_REPORTED) return;
  if (old_state == TCP_LISTEN_STATE) {
    socket->flags &= ~PB_LISTENER;
    report_or_keep(PB_LISTEN_END, old_state, cookie, tcp, socket);
  } else if (socket->flags & PB_CONNECTING || old_state == TCP_SYN_SENT) {
    socket->flags |= PB_CLOSE_REPORTED;
    socket->flags &= ~PB_CONNECTING;
    report_or_keep(PB_FAILED, old_state, cookie, tcp, socket);
  } else if (socket->flags & (PB_ESTABLISHED | PB_OLD)) {
    socket->flags |= PB_CLOSE_REPORTED;
    socket->flags &= ~PB_ESTABLISHED;
    report_or_keep(PB_CLOSE, old_state, cookie, tcp, socket);
  }
}

SEC("cgroup/sock_create")
int on_create(struct bpf_sock* context) {
  struct pb_socket* socket;
  if (context->type != SOCK_STREAM || (context->family != AF_INET && context->family != AF_INET6)) return 1;
  socket = bpf_sk_storage_get(&sockets, context, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (socket) owner_of_current(&socket->owner);
  return 1;
}

static __always_inline u32 follow_states(struct bpf_sock_ops* context) {
  if (!pb_use_state_callback) return 0;
  bpf_sock_ops_cb_flags_set(context, context->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
  return PB_STATE_CALLBACK;
}

static __always_inline void on_connect(struct bpf_sock_ops* context, struct bpf_sock* sk) {
  struct pb_socket* socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!socket) return;
  if (socket->flags & (PB_CLOSE_REPORTED | PB_CONNECTING)) socket->attempt++;
  socket->flags = PB_CONNECTING | follow_states(context);
  socket->start = bpf_ktime_get_boot_ns();
  socket->error = 0;
  __builtin_memset(socket->users, 0, sizeof socket->users);
  if (socket->owner.tgid && socket->owner.tgid != current_tgid()) {
    socket->user = socket->owner;
    socket->flags |= PB_OTHER_CREATOR;
    socket->users[1] = socket->owner.tgid;
  }
  owner_of_current(&socket->owner);
  socket->users[0] = socket->owner.tgid;
}

static __always_inline void on_active(struct bpf_sock_ops* context, struct bpf_sock* sk, u64 cookie, struct tcp_sock* tcp) {
  struct pb_socket* socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!socket) {
    lose();
    return;
  }
  // A connect() under way when the programs were attached has no start.
  if (!(socket->flags & PB_CONNECTING)) {
    socket->flags &= PB_OLD;
    socket->flags |= follow_states(context);
  }
  established(cookie, tcp, socket);
}

static __always_inline void on_passive(struct bpf_sock_ops* context, struct bpf_sock* sk, u64 cookie, struct tcp_sock* tcp) {
  // The current task is whoever the softirq interrupted: only the listener's storage, cloned into this socket, says whose it is.
  struct pb_socket* socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!socket) {
    lose();
    return;
  }
  socket->flags = PB_PASSIVE | follow_states(context);
  socket->attempt = 0;
  socket->start = bpf_ktime_get_boot_ns();
  __builtin_memset(&socket->user, 0, sizeof socket->user);
  __builtin_memset(socket->users, 0, sizeof socket->users);
  established(cookie, tcp, socket);
}

static __always_inline void on_listen(struct bpf_sock_ops* context, struct bpf_sock* sk, u64 cookie, struct tcp_sock* tcp) {
  struct pb_socket* socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!socket) {
    lose();
    return;
  }
  if (socket->flags & PB_LISTENER) return;  // listen() again only changes the backlog
  owner_of_current(&socket->owner);
  socket->flags = PB_LISTENER | follow_states(context);
  socket->start = bpf_ktime_get_boot_ns();
  report_or_keep(PB_LISTEN, 0, cookie, tcp, socket);
}

SEC("sockops")
int on_socket(struct bpf_sock_ops* context) {
  u32 operation = context->op;
  struct bpf_sock* sk;
  struct tcp_sock* tcp;
  u64 cookie;
  if (operation != BPF_SOCK_OPS_TCP_CONNECT_CB && operation != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB &&
      operation != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB && operation != BPF_SOCK_OPS_TCP_LISTEN_CB &&
      operation != BPF_SOCK_OPS_STATE_CB)
    return 1;
  if (operation == BPF_SOCK_OPS_STATE_CB && context->args[1] != TCP_CLOSE_STATE) return 1;
  sk = context->sk;
  if (!sk) return 1;
  if (operation == BPF_SOCK_OPS_TCP_CONNECT_CB) {
    on_connect(context, sk);
    return 1;
  }
  cookie = bpf_get_socket_cookie(context);
  tcp = bpf_skc_to_tcp_sock(sk);
  if (!tcp) return 1;
  if (operation == BPF_SOCK_OPS_STATE_CB) {
    ended(context->args[0], cookie, tcp, bpf_sk_storage_get(&sockets, sk, 0, 0));
  } else if (operation == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
    on_active(context, sk, cookie, tcp);
  } else if (operation == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
    on_passive(context, sk, cookie, tcp);
  } else {
    on_listen(context, sk, cookie, tcp);
  }
  return 1;
}

// The end of every socket, with its ports still there (but skc_num).
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock* sk, int old_state, int new_state) {
  struct pb_socket* socket;
  struct tcp_sock* tcp;
  if (new_state != TCP_CLOSE_STATE || !is_tcp(sk)) return 0;
  socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
  if (socket && socket->flags & PB_STATE_CALLBACK) return 0;
  tcp = bpf_skc_to_tcp_sock(sk);
  if (tcp) ended(old_state, bpf_get_socket_cookie(sk), tcp, socket);
  return 0;
}

// An ICMP error that comes while the socket is locked: it stands only in the socket's error queue, and the process may take it away
// before the socket ends.
SEC("tp_btf/inet_sk_error_report")
int BPF_PROG(on_error, const struct sock* sk) {
  struct pb_socket* socket = bpf_sk_storage_get(&sockets, (void*)sk, 0, 0);
  struct sk_buff* newest;
  u32 error = 0;
  if (!socket || !(socket->flags & PB_CONNECTING)) return 0;
  error = sk->sk_err;
  if (!error) error = sk->sk_err_soft;
  newest = BPF_CORE_READ(sk, sk_error_queue.prev);
  if (!error && newest && (void*)newest != (void*)&sk->sk_error_queue)
    bpf_probe_read_kernel(
        &error, sizeof error,
        (void*)newest + bpf_core_field_offset(struct sk_buff, cb) + bpf_core_field_offset(struct sock_exterr_skb, ee.ee_errno));
  if (error && error < 4096) socket->error = error;
  return 0;
}

// The last net: a socket that was reported open and is destroyed without an end.
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock* sk) {
  struct pb_socket* socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
  struct tcp_sock* tcp;
  if (!socket || !(socket->flags & PB_ESTABLISHED)) return 0;
  tcp = bpf_skc_to_tcp_sock(sk);
  if (tcp) ended(TCP_ESTABLISHED, bpf_get_socket_cookie(sk), tcp, socket);
  return 0;
}

static __always_inline bool is_known_user(struct pb_socket* socket, u32 tgid, int* free_slot) {
  *free_slot = -1;
  for (int i = PB_USERS_MAX - 1; i >= 0; --i) {
    if (socket->users[i] == tgid) return 1;
    if (socket->users[i] == 0) *free_slot = i;
  }
  return 0;
}

// Called in the context of a process that sends, receives or closes: names it once.
static __always_inline void used(struct pb_socket* socket, u64 cookie, struct tcp_sock* tcp) {
  u32 tgid = current_tgid();
  int slot;
  if (is_known_user(socket, tgid, &slot)) return;
  if (slot < 0) {
    __sync_fetch_and_add(&counters()->unnamed, 1);
    return;
  }
  socket->users[slot & (PB_USERS_MAX - 1)] = tgid;
  if (socket->flags & PB_PASSIVE && !(socket->flags & PB_HAS_ACCEPTOR)) {
    owner_of_current(&socket->user);
    socket->flags |= PB_HAS_ACCEPTOR;
    if (socket->user.tgid != socket->owner.tgid) report_or_keep(PB_USED, 0, cookie, tcp, socket);
  } else {
    struct pb_owner first = socket->user;
    owner_of_current(&socket->user);
    report_or_keep(PB_USED, 0, cookie, tcp, socket);
    socket->user = first;
  }
}

static __always_inline int on_use(struct sock* sk) {
  struct pb_socket* socket;
  struct tcp_sock* tcp;
  if (!is_tcp(sk)) return 0;
  socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
  if (!socket || !(socket->flags & PB_ESTABLISHED) || socket->users[0] == current_tgid()) return 0;
  tcp = bpf_skc_to_tcp_sock(sk);
  if (tcp) used(socket, bpf_get_socket_cookie(sk), tcp);
  return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock* sk, int result, int flags) {
  return on_use(sk);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock* sk, int result, int flags) {
  return on_use(sk);
}

// An accepted socket that nobody sent or received on: who closes it accepted it.
SEC("cgroup/sock_release")
int on_release(struct bpf_sock* context) {
  struct pb_socket* socket;
  if (context->type != SOCK_STREAM || context->protocol != IPPROTO_TCP) return 1;
  socket = bpf_sk_storage_get(&sockets, context, 0, 0);
  if (!socket || !(socket->flags & PB_PASSIVE) || socket->flags & (PB_HAS_ACCEPTOR | PB_CLOSE_REPORTED)) return 1;
  used(socket, bpf_get_socket_cookie(context), 0);
  return 1;
}

// Snapshot, first pass: whose are the sockets that were there before.
SEC("iter/task_file")
int find_owners(struct bpf_iter__task_file* context) {
  struct task_struct* task = context->task;
  struct file* file = context->file;
  struct socket* sock;
  struct sock* sk;
  struct pb_socket* socket;
  if (!task || !file) return 0;
  sock = bpf_sock_from_file(file);
  if (!sock) return 0;
  sk = sock->sk;
  if (!sk || !is_tcp(sk)) return 0;
  socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
  if (!socket) {
    socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
    if (!socket) return 0;
    socket->flags = PB_OLD;
  }
  if (socket->flags & PB_OLD && socket->owner.tgid == 0) {
    owner_of(task, &socket->owner);
    socket->users[0] = socket->owner.tgid;
  }
  return 0;
}

// Snapshot, second pass, once per network namespace: the sockets that were there before.
SEC("iter/tcp")
int list_sockets(struct bpf_iter__tcp* context) {
  struct sock_common* common = context->sk_common;
  struct pb_socket_event* event;
  struct pb_socket* socket;
  struct tcp_sock* tcp;
  u32 zero = 0;
  u8 state;
  if (!common) return 0;
  tcp = bpf_skc_to_tcp_sock(common);
  if (!tcp) return 0;  // TIME_WAIT and half-open requests are no sockets yet or any more
  state = common->skc_state;
  if (state == TCP_CLOSE_STATE || state == TCP_SYN_SENT || state == TCP_SYN_RECV) return 0;
  socket = bpf_sk_storage_get(&sockets, tcp, 0, 0);
  if (!socket) {
    socket = bpf_sk_storage_get(&sockets, tcp, 0, BPF_SK_STORAGE_GET_F_CREATE);
    if (!socket) return 0;
    socket->flags = PB_OLD;
  }
  if (!(socket->flags & PB_OLD) || socket->flags & PB_SNAPSHOT_REPORTED) return 0;
  event = bpf_map_lookup_elem(&scratch, &zero);
  if (!event) return 0;
  socket->flags |= PB_SNAPSHOT_REPORTED | (state == TCP_LISTEN_STATE ? PB_LISTENER : PB_ESTABLISHED | PB_OPEN_REPORTED);
  fill(event, PB_EXISTING, state, bpf_get_socket_cookie(tcp), tcp, socket);
  bpf_seq_write(context->meta->seq, event, sizeof *event);
  return 0;
}

// After a loss and every few minutes: which connections are alive, and those whose opening is still owed.
SEC("iter/bpf_sk_storage_map")
int list_alive(struct bpf_iter__bpf_sk_storage_map* context) {
  struct pb_socket* socket = context->value;
  struct sock* sk = context->sk;
  struct pb_socket_event* event;
  struct tcp_sock* tcp;
  u32 zero = 0;
  bool owed;
  if (!sk || !socket || !(socket->flags & PB_ESTABLISHED)) return 0;
  tcp = bpf_skc_to_tcp_sock(sk);
  event = bpf_map_lookup_elem(&scratch, &zero);
  if (!tcp || !event) return 0;
  owed = !(socket->flags & PB_OPEN_REPORTED);
  socket->flags |= PB_OPEN_REPORTED;
  fill(event, owed ? PB_OPEN : PB_ALIVE, 0, bpf_get_socket_cookie(sk), tcp, socket);
  bpf_seq_write(context->meta->seq, event, sizeof *event);
  return 0;
}

// SPDX-License-Identifier: GPL-2.0
// TCP sockets: each carries its story in socket storage; its moments go into one ring that nobody is woken for.
#include "capture/bpf/kernel.h"
#include "capture/bpf/owner.bpf.h"
#include "capture/bpf/system_call.bpf.h"

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

// What nothing repeats (ends, uses) goes here once the ring is full, so that a flood of beginnings cannot push it out.
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 8 << 20);
} overflow SEC(".maps");

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
  if (old == TCP_FIN_WAIT2 || ((old == TCP_FIN_WAIT1 || old == TCP_CLOSING_STATE || old == TCP_LAST_ACK ||
                                (old == 0 && sk->sk_shutdown & SEND_SHUTDOWN && !sk->sk_err)) &&
                               tcp->snd_una == tcp->write_seq))
    event->flags |= PB_FIN_ACKED;
  if (sk->__sk_common.skc_flags & 1ul << SOCK_DONE_BIT) event->flags |= PB_FIN_RECEIVED;
}

static __always_inline bool is_beginning_owed(const struct pb_socket* socket) {
  return !(socket->flags & PB_OPEN_REPORTED) && socket->swept != socket->attempt + 1;
}

static __always_inline u64 numbered_cookie(u64 cookie, u32 attempt) {
  return cookie | (u64)(attempt & PB_ATTEMPT_MASK) << PB_ATTEMPT_SHIFT;
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
    event->cookie = numbered_cookie(cookie, socket->attempt);
    event->start = socket->start;
    event->opened = socket->opened;
    event->flags = socket->flags;
    if (socket->acceptor == 2) event->flags |= PB_HAS_ACCEPTOR;
    if (!is_beginning_owed(socket)) event->flags |= PB_OPEN_REPORTED;
    event->owner = socket->owner;
    event->user = socket->user;
  } else {
    event->cookie = cookie;
    event->start = event->opened = 0;
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

// The number is given out when the event has its place: all numbers up to one that was read are in the ring, or were counted as
// lost.
static __always_inline void submit(struct pb_socket_event* event) {
  event->seq = __sync_fetch_and_add(&counters()->seq, 1) + 1;
  bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

// Counted before numbered: whoever reads the numbers first and the losses after finds no number without its reason.
static __always_inline void lose(u64 facts) {
  struct pb_cpu_counters* counter = counters();
  __sync_fetch_and_add(&counter->lost, facts);
  __sync_fetch_and_add(&counter->seq, facts);
}

// A beginning: where the ring has no room it stays with its socket, and the sweep or a later event makes it good.
static __always_inline void report_or_park(u8 type, u64 cookie, struct tcp_sock* tcp, struct pb_socket* socket) {
  struct pb_socket_event* event = bpf_ringbuf_reserve(&socket_ring, sizeof *event, 0);
  if (!event) {
    __sync_fetch_and_add(&counters()->parked, 1);
    return;
  }
  socket->flags |= PB_OPEN_REPORTED;
  fill(event, type, 0, cookie, tcp, socket);
  submit(event);
}

// A fact that no later event repeats. `facts`: how many are lost with it. `by_current`: the user is the current process.
static __always_inline void report_or_lose(u8 type, u8 old_state, u64 cookie, struct tcp_sock* tcp, struct pb_socket* socket,
                                           u64 facts, bool by_current) {
  struct pb_socket_event* event = bpf_ringbuf_reserve(&socket_ring, sizeof *event, 0);
  if (!event) event = bpf_ringbuf_reserve(&overflow, sizeof *event, 0);
  if (!event) {
    lose(facts);
    return;
  }
  fill(event, type, old_state, cookie, tcp, socket);
  if (by_current) owner_of_current(&event->user);
  submit(event);
}

static __always_inline void established(u64 cookie, struct tcp_sock* tcp, struct pb_socket* socket) {
  socket->flags |= PB_ESTABLISHED;
  socket->flags &= ~PB_CONNECTING;
  socket->opened = bpf_ktime_get_boot_ns();
  if (tcp->bytes_acked) socket->flags |= PB_SYN_COUNTED;
  report_or_park(PB_OPEN, cookie, tcp, socket);
}

static __always_inline void ended(u8 old_state, u64 cookie, struct tcp_sock* tcp, struct pb_socket* socket) {
  u64 facts = 1;
  u8 type = 0;
  if (!socket) {
    // Older than the programs, or its storage could not be made.
    if (old_state == TCP_SYN_RECV || old_state == TCP_CLOSE_STATE) return;
    type = old_state == TCP_LISTEN_STATE ? PB_LISTEN_END : old_state == TCP_SYN_SENT ? PB_FAILED : PB_CLOSE;
  } else if (socket->flags & PB_CLOSE_REPORTED) {
    return;
  } else if (old_state == TCP_LISTEN_STATE) {
    type = PB_LISTEN_END;
    if (is_beginning_owed(socket)) facts = 2;
    socket->flags &= ~PB_LISTENER;
  } else if (!(socket->flags & PB_CONNECTING) && old_state == TCP_SYN_SENT) {
    // No packet left, for want of a port mostly. The socket may try again.
    socket->flags |= PB_NO_PACKET;
    report_or_lose(PB_FAILED, old_state, cookie, tcp, socket, 1, false);
    socket->flags &= ~PB_NO_PACKET;
    socket->attempt++;
    return;
  } else if (socket->flags & PB_CONNECTING) {
    type = PB_FAILED;
    socket->flags |= PB_CLOSE_REPORTED;
    socket->flags &= ~PB_CONNECTING;
  } else if (socket->flags & PB_ESTABLISHED || (socket->flags & PB_OLD && old_state != TCP_SYN_RECV)) {
    type = PB_CLOSE;
    if (is_beginning_owed(socket) && !(socket->flags & PB_OLD)) facts = 2;
    socket->flags |= PB_CLOSE_REPORTED;
    socket->flags &= ~PB_ESTABLISHED;
  } else {
    return;
  }
  report_or_lose(type, old_state, cookie, tcp, socket, facts, false);
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
  socket->opened = 0;
  socket->error = 0;
  socket->acceptor = 0;
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
    lose(1);
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
    lose(1);
    return;
  }
  // Both sides called connect(): the kernel takes the passive way, yet nobody listened.
  if (socket->flags & PB_CONNECTING) {
    established(cookie, tcp, socket);
    return;
  }
  socket->flags = PB_PASSIVE | follow_states(context);
  socket->attempt = 0;
  socket->swept = 0;
  socket->acceptor = 0;
  socket->start = bpf_ktime_get_boot_ns();
  __builtin_memset(&socket->user, 0, sizeof socket->user);
  __builtin_memset(socket->users, 0, sizeof socket->users);
  established(cookie, tcp, socket);
}

static __always_inline void on_listen(struct bpf_sock_ops* context, struct bpf_sock* sk, u64 cookie, struct tcp_sock* tcp) {
  struct pb_socket* socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!socket) {
    lose(1);
    return;
  }
  if (socket->flags & PB_LISTENER) return;  // listen() again only changes the backlog
  owner_of_current(&socket->owner);
  if (socket->flags & PB_CLOSE_REPORTED) socket->attempt++;
  socket->flags = PB_LISTENER | follow_states(context);
  socket->swept = 0;
  socket->start = bpf_ktime_get_boot_ns();
  report_or_park(PB_LISTEN, cookie, tcp, socket);
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

static __always_inline int end_of_live(struct sock* sk, u8 old_state) {
  struct pb_socket* socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
  struct tcp_sock* tcp;
  if (!socket || !(socket->flags & (PB_ESTABLISHED | PB_CONNECTING))) return 0;
  tcp = bpf_skc_to_tcp_sock(sk);
  if (tcp) ended(old_state, bpf_get_socket_cookie(sk), tcp, socket);
  return 0;
}

// The kernel runs no program within itself (prog->active in kernel/trace/bpf_trace.c): of the sockets that a timer or a packet ends
// while its processor is in on_state, on_state is told nothing. This one, called beside it, is free then and has their ends;
// those that on_state had are over for it. What a process ends itself cannot meet on_state at work.
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_within, struct sock* sk, int old_state, int new_state) {
  return new_state == TCP_CLOSE_STATE && is_tcp(sk) ? end_of_live(sk, old_state) : 0;
}

// An ICMP error that comes while the socket is locked: it stands only in the socket's error queue, and the process may take it away
// before the socket ends.
static __always_inline int on_error_report(const struct sock* sk) {
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

SEC("tp_btf/inet_sk_error_report")
int BPF_PROG(on_error, const struct sock* sk) {
  return on_error_report(sk);
}

// As on_state_within.
SEC("tp_btf/inet_sk_error_report")
int BPF_PROG(on_error_within, const struct sock* sk) {
  return on_error_report(sk);
}

// The last net.
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock* sk) {
  return end_of_live(sk, 0);
}

// Called in the context of a process that sends, receives or closes: names it once. The socket is not locked.
static __always_inline void used(struct pb_socket* socket, u64 cookie, struct tcp_sock* tcp) {
  u32 tgid = current_tgid();
  bool is_new = false;
  bool full = true;
  for (int i = 0; i < PB_USERS_MAX; ++i) {
    u32 held = socket->users[i];
    if (!held) held = __sync_val_compare_and_swap(&socket->users[i], 0, tgid);
    if (held == tgid) return;
    if (held) continue;
    is_new = true;
    full = false;
    break;
  }
  if (full) __sync_fetch_and_add(&counters()->unnamed, 1);
  if (!is_new) return;
  if (socket->flags & PB_PASSIVE && __sync_val_compare_and_swap(&socket->acceptor, 0, 1) == 0) {
    owner_of_current(&socket->user);
    socket->acceptor = 2;
    if (tgid == socket->owner.tgid) return;
  }
  report_or_lose(PB_USED, 0, cookie, tcp, socket, 1, true);
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

// The same before Linux 6.3, where the kernel lends trampolines; loaded only in place of on_send and on_receive.
SEC("?fentry/tcp_sendmsg")
int BPF_PROG(on_send_entry, struct sock* sk) {
  return on_use(sk);
}

SEC("?fentry/tcp_recvmsg")
int BPF_PROG(on_receive_entry, struct sock* sk) {
  return on_use(sk);
}

static __always_inline bool lacks_acceptor(struct pb_socket* socket) {
  return socket && socket->flags & PB_PASSIVE && !(socket->flags & PB_CLOSE_REPORTED) && !socket->acceptor;
}

// accept() with an address to fill asks for the peer's name, in the context of the process that accepts. So does getpeername(), but
// who asks need not have accepted. A listener's own process may accept for a child that it forks, which is to be named.
static __always_inline int on_peer(struct bpf_sock_addr* context) {
  struct bpf_sock* sk = context->sk;
  struct pb_socket* socket;
  struct tcp_sock* tcp;
  if (!sk || context->protocol != IPPROTO_TCP) return 1;
  socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
  if (!lacks_acceptor(socket) || socket->owner.tgid == current_tgid() || in_getpeername()) return 1;
  tcp = bpf_skc_to_tcp_sock(sk);
  if (tcp) used(socket, bpf_get_socket_cookie(context), tcp);
  return 1;
}

SEC("cgroup/getpeername4")
int on_peer4(struct bpf_sock_addr* context) {
  return on_peer(context);
}

SEC("cgroup/getpeername6")
int on_peer6(struct bpf_sock_addr* context) {
  return on_peer(context);
}

// Who closes an open connection and is none of those that are known.
static __always_inline void closed(struct pb_socket* socket, u64 cookie) {
  const u32 tgid = current_tgid();
  if (!(socket->flags & PB_ESTABLISHED) || socket->flags & PB_CLOSE_REPORTED || socket->owner.tgid == tgid) return;
  for (int i = 0; i < PB_USERS_MAX; ++i) {
    if (socket->users[i] == tgid) return;
  }
  report_or_lose(PB_CLOSED_BY, 0, cookie, 0, socket, 1, true);
}

// An accepted socket that nobody sent or received on: who closes it accepted it.
SEC("cgroup/sock_release")
int on_release(struct bpf_sock* context) {
  struct pb_socket* socket;
  if (context->type != SOCK_STREAM || context->protocol != IPPROTO_TCP) return 1;
  socket = bpf_sk_storage_get(&sockets, context, 0, 0);
  if (lacks_acceptor(socket)) {
    used(socket, bpf_get_socket_cookie(context), 0);
  } else if (socket) {
    closed(socket, bpf_get_socket_cookie(context));
  }
  return 1;
}

#include "capture/bpf/socket_lists.bpf.h"

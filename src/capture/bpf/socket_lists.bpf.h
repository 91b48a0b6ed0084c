/* What portbook asks for: the sockets that are there. A part of sockets.bpf.c, whose maps and functions it uses. */
#ifndef PORTBOOK_CAPTURE_BPF_SOCKET_LISTS_H
#define PORTBOOK_CAPTURE_BPF_SOCKET_LISTS_H

// For iterators only: they run in one process, one at a time.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct pb_socket_event);
} scratch SEC(".maps");

// Snapshot, first pass: whose are the sockets that are not known.
SEC("iter/task_file")
int find_owners(struct bpf_iter__task_file* context) {
  struct task_struct* task = context->task;
  struct file* file = context->file;
  struct pb_socket made = {.flags = PB_OLD};
  struct socket* sock;
  struct sock* sk;
  struct pb_socket* socket;
  if (!task || !file) return 0;
  sock = bpf_sock_from_file(file);
  if (!sock) return 0;
  sk = sock->sk;
  if (!sk || !is_tcp(sk)) return 0;
  socket = bpf_sk_storage_get(&sockets, sk, &made, BPF_SK_STORAGE_GET_F_CREATE);
  if (socket && socket->flags & PB_OLD && socket->owner.tgid == 0) {
    owner_of(task, &socket->owner);
    socket->users[0] = socket->owner.tgid;
  }
  return 0;
}

// Snapshot, second pass, once per network namespace: the sockets whose beginning no program saw. They are locked here.
SEC("iter/tcp")
int list_sockets(struct bpf_iter__tcp* context) {
  struct sock_common* common = context->sk_common;
  struct pb_socket made = {.flags = PB_OLD};
  struct pb_socket_event* event;
  struct pb_socket* socket;
  struct tcp_sock* tcp;
  u32 zero = 0, known;
  u8 state;
  if (!common) return 0;
  tcp = bpf_skc_to_tcp_sock(common);
  if (!tcp) return 0;  // TIME_WAIT and half-open requests are no sockets yet or any more
  state = common->skc_state;
  if (state == TCP_CLOSE_STATE || state == TCP_SYN_SENT || state == TCP_SYN_RECV) return 0;
  socket = bpf_sk_storage_get(&sockets, tcp, &made, BPF_SK_STORAGE_GET_F_CREATE);
  known = state == TCP_LISTEN_STATE ? PB_LISTENER : PB_ESTABLISHED;
  if (!socket || socket->flags & (known | PB_CLOSE_REPORTED)) return 0;
  event = bpf_map_lookup_elem(&scratch, &zero);
  if (!event) return 0;
  fill(event, PB_EXISTING, state, bpf_get_socket_cookie(tcp), tcp, socket);
  event->flags = (event->flags & ~(PB_LISTENER | PB_CONNECTING)) | PB_OLD | known;
  // Without room the kernel asks again for the same socket.
  if (bpf_seq_write(context->meta->seq, event, sizeof *event)) return 0;
  socket->flags = (socket->flags & ~(PB_LISTENER | PB_CONNECTING)) | PB_OLD | PB_OPEN_REPORTED | known;
  return 0;
}

// After a loss and every few minutes: which connections and listeners are alive, and those whose beginning is still owed.
SEC("iter/bpf_sk_storage_map")
int list_alive(struct bpf_iter__bpf_sk_storage_map* context) {
  struct pb_socket* socket = context->value;
  struct sock* sk = context->sk;
  struct pb_socket_event* event;
  struct tcp_sock* tcp;
  u32 zero = 0;
  bool owed;
  u8 type;
  if (!sk || !socket || !(socket->flags & (PB_ESTABLISHED | PB_LISTENER))) return 0;
  tcp = bpf_skc_to_tcp_sock(sk);
  event = bpf_map_lookup_elem(&scratch, &zero);
  if (!tcp || !event) return 0;
  // A child that its listener's storage was copied into, and that is not established yet.
  if (socket->flags & PB_LISTENER && sk->__sk_common.skc_state != TCP_LISTEN_STATE) return 0;
  owed = is_beginning_owed(socket);
  type = !owed ? PB_ALIVE : socket->flags & PB_LISTENER ? PB_LISTEN : PB_OPEN;
  fill(event, type, 0, bpf_get_socket_cookie(sk), tcp, socket);
  if (owed) event->time = type == PB_LISTEN ? event->start : event->opened;
  // Without room the kernel asks again for the same socket.
  if (bpf_seq_write(context->meta->seq, event, sizeof *event)) return 0;
  if (owed) socket->swept = socket->attempt + 1;
  return 0;
}

// The same question, asked every minute: only the numbers of the connections that are alive.
SEC("iter/bpf_sk_storage_map")
int list_cookies(struct bpf_iter__bpf_sk_storage_map* context) {
  struct pb_socket* socket = context->value;
  struct sock* sk = context->sk;
  u64 cookie;
  if (!sk || !socket || !(socket->flags & PB_ESTABLISHED)) return 0;
  cookie = numbered_cookie(bpf_get_socket_cookie(sk), socket->attempt);
  bpf_seq_write(context->meta->seq, &cookie, sizeof cookie);
  return 0;
}

#endif

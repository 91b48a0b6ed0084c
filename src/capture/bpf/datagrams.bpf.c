// SPDX-License-Identifier: GPL-2.0
// UDP: each socket carries its first peer in its storage, further ones stand in a map. Packets are counted where they pass between
// socket and network; only a peer's first packet and its end are events, in a ring of their own that nobody is woken for.
#include "capture/bpf/datagram_packet.bpf.h"
#include "capture/bpf/datagram_report.bpf.h"
#include "capture/bpf/kernel.h"
#include "capture/bpf/owner.bpf.h"

char LICENSE[] SEC("license") = "GPL";

enum { kPlaceFree = 0, kPlaceWritten = 1, kPlaceInUse = 2 };
enum { kUdpConnected = 1 /* TCP_ESTABLISHED */ };
enum { kWaitTurns = 64 };

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct pb_datagram_socket);
} datagram_sockets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, PB_PEERS_MAX);
  __type(key, struct pb_peer_key);
  __type(value, struct pb_peer);
} peers SEC(".maps");

// How many of a socket's peers portbook has taken out of the map, by cookie.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, PB_PEERS_MAX);
  __type(key, u64);
  __type(value, u64);
} peers_ended SEC(".maps");

// For iterators only: they run in one process, one at a time.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct pb_datagram_event);
} datagram_scratch SEC(".maps");

// In a section of its own, for portbook to write.
struct pb_datagram_sweep datagram_sweep SEC(".data.datagram_sweep");

static __always_inline bool same_key(const struct pb_peer_key* a, const struct pb_peer_key* b) {
  const u64* left = (const u64*)a;
  const u64* right = (const u64*)b;
  for (int i = 0; i < (int)(sizeof *a / 8); ++i) {
    if (left[i] != right[i]) return false;
  }
  return true;
}

// Unique on this boot, also when portbook is started again: one CPU meets no two new peers within 16 ns.
static __always_inline u64 new_flow(u64 now) {
  return 1ull << 63 | (u64)(bpf_get_smp_processor_id() & (PB_CPUS_MAX - 1)) << 53 | (now >> 4 & ((1ull << 53) - 1));
}

static __always_inline bool current_is_user(void) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task_btf();
  return task->mm != 0;
}

static __always_inline void fill_peer(struct pb_peer* peer, const struct pb_datagram_socket* socket, bool in, u64 now) {
  peer->flow = new_flow(now);
  peer->first = peer->last = now;
  peer->bytes_out = peer->bytes_in = peer->packets_out = peer->packets_in = 0;
  peer->error = 0;
  peer->sender = 0;
  peer->netns = socket->netns;
  peer->family = socket->family;
  peer->flags = in ? PB_PEER_IN : 0;
  // A process sends in its own context; a kernel socket sends in anybody's.
  if (in || !current_is_user()) {
    peer->owner = socket->owner;
  } else {
    owner_of_current(&peer->owner);
    if (socket->owner.tgid && socket->owner.tgid != peer->owner.tgid) peer->flags |= PB_PEER_OTHER_CREATOR;
  }
}

static __always_inline void report_open(struct pb_datagram_socket* socket, const struct pb_peer_key* key, struct pb_peer* peer) {
  peer->flags |= PB_PEER_REPORTED;
  if (report(PB_PEER_OPEN, socket, key, peer, peer->flags & PB_PEER_OTHER_CREATOR ? kCreatorUser : kNoUser)) return;
  // Stays with the peer: the sweep or the end makes it good.
  peer->flags &= ~PB_PEER_REPORTED;
  __sync_fetch_and_add(&counters()->parked, 1);
}

static __always_inline struct pb_peer* make_first_peer(struct pb_datagram_socket* socket, const struct pb_peer_key* key, bool in) {
  struct pb_peer* peer = &socket->peer;
  // After a silence, who spoke first is still who spoke first.
  if (same_key(&socket->key, key)) in = peer->flags & PB_PEER_IN;
  socket->key = *key;
  fill_peer(peer, socket, in, bpf_ktime_get_boot_ns());
  peer->place = kPlaceInUse;
  report_open(socket, key, peer);
  return peer;
}

static __always_inline struct pb_peer* make_map_peer(struct pb_datagram_socket* socket, const struct pb_peer_key* key, bool in) {
  struct pb_peer fresh = {};
  struct pb_peer* peer;
  const u64* ended = bpf_map_lookup_elem(&peers_ended, &socket->cookie);
  if (socket->inserted - (ended ? *ended : 0) >= PB_PEERS_PER_SOCKET_MAX) return 0;
  fill_peer(&fresh, socket, in, bpf_ktime_get_boot_ns());
  fresh.flags |= PB_PEER_IN_MAP;
  if (bpf_map_update_elem(&peers, key, &fresh, BPF_NOEXIST) == 0) __sync_fetch_and_add(&socket->inserted, 1);
  peer = bpf_map_lookup_elem(&peers, key);
  if (peer && peer->flow == fresh.flow) report_open(socket, key, peer);
  return peer;
}

static __always_inline struct pb_peer* find_or_make_peer(struct pb_datagram_socket* socket, const struct pb_peer_key* key,
                                                         bool in) {
  struct pb_peer* peer = 0;
  if (socket->peer.place == kPlaceInUse && same_key(&socket->key, key)) return &socket->peer;
  if (socket->inserted) peer = bpf_map_lookup_elem(&peers, key);
  if (peer) return peer;
  if (__sync_val_compare_and_swap(&socket->peer.place, kPlaceFree, kPlaceWritten) == kPlaceFree)
    return make_first_peer(socket, key, in);
  // Another CPU may be writing this very peer.
  for (int i = 0; i < kWaitTurns && *(volatile u64*)&socket->peer.place == kPlaceWritten; ++i) {
  }
  if (socket->peer.place == kPlaceInUse && same_key(&socket->key, key)) return &socket->peer;
  return make_map_peer(socket, key, in);
}

static __always_inline void note_sender(struct pb_datagram_socket* socket, const struct pb_peer_key* key, struct pb_peer* peer) {
  const u32 tgid = current_tgid();
  if (peer->owner.tgid == tgid || peer->sender == tgid || !current_is_user()) return;
  if (peer->sender) {
    __sync_fetch_and_add(&counters()->unnamed, 1);
    return;
  }
  peer->sender = tgid;
  report_or_lose(PB_PEER_USED, socket, key, peer, kCurrentUser);
}

static __always_inline void not_recorded(struct pb_datagram_socket* socket, bool out, u64 packets) {
  if (!socket->unrecorded_since) socket->unrecorded_since = bpf_ktime_get_boot_ns();
  __sync_fetch_and_add(out ? &socket->unrecorded_out : &socket->unrecorded_in, packets);
}

// IPsec's headers, or more of IPv6's than are followed.
static __always_inline void not_read(struct pb_datagram_socket* socket, bool out, u64 packets) {
  if (!socket->unread_since) socket->unread_since = bpf_ktime_get_boot_ns();
  __sync_fetch_and_add(out ? &socket->unread_out : &socket->unread_in, packets);
}

// A socket that was made before the programs were attached, or by the kernel itself.
static __always_inline void adopt(struct pb_datagram_socket* socket, struct __sk_buff* skb, struct bpf_sock* sk) {
  struct sock* kernel_socket = address_of(sk);
  socket->netns = BPF_CORE_READ(kernel_socket, __sk_common.skc_net.net, ns.inum);
  socket->family = sk->family;
  socket->flags = PB_SOCKET_OLD;
  socket->cookie = bpf_get_socket_cookie(skb);
}

static __always_inline int on_packet(struct __sk_buff* skb, bool out) {
  struct bpf_sock* sk;
  struct pb_datagram_socket* socket;
  struct pb_peer_key key;
  struct pb_peer* peer;
  u64 packets = 1;
  u32 payload = 0;
  bool known;
  if (is_surely_not_udp(skb)) return 1;
  sk = skb->sk;
  if (!sk) return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk || sk->protocol != IPPROTO_UDP || sk->type != SOCK_DGRAM) return 1;
  known = read_key(skb, out, &key, &payload);
  socket = bpf_sk_storage_get(&datagram_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!socket) {
    lose(1);
    return 1;
  }
  if (!socket->cookie) adopt(socket, skb, sk);
  if (socket->flags & PB_SOCKET_GONE) return 1;
  if (skb->gso_segs > 1) packets = skb->gso_segs;
  if (!known) {
    not_read(socket, out, packets);
    return 1;
  }
  key.cookie = socket->cookie;
  peer = find_or_make_peer(socket, &key, !out);
  if (!peer) {
    not_recorded(socket, out, packets);
    return 1;
  }
  peer->last = bpf_ktime_get_boot_ns();
  __sync_fetch_and_add(out ? &peer->bytes_out : &peer->bytes_in, payload);
  __sync_fetch_and_add(out ? &peer->packets_out : &peer->packets_in, packets);
  if (out) note_sender(socket, &key, peer);
  return 1;
}

SEC("cgroup_skb/egress")
int on_datagram_out(struct __sk_buff* skb) {
  return on_packet(skb, true);
}

SEC("cgroup_skb/ingress")
int on_datagram_in(struct __sk_buff* skb) {
  return on_packet(skb, false);
}

static __always_inline bool is_udp(struct bpf_sock* sk) {
  return sk->type == SOCK_DGRAM && sk->protocol == IPPROTO_UDP && (sk->family == AF_INET || sk->family == AF_INET6);
}

static __always_inline u32 current_netns(void) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task_btf();
  return BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
}

SEC("cgroup/sock_create")
int on_datagram_create(struct bpf_sock* context) {
  struct pb_datagram_socket* socket;
  if (!is_udp(context)) return 1;
  socket = bpf_sk_storage_get(&datagram_sockets, context, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!socket) return 1;
  socket->netns = current_netns();
  socket->family = context->family;
  owner_of_current(&socket->owner);
  socket->users[0] = socket->owner.tgid;
  socket->cookie = bpf_get_socket_cookie(context);
  return 1;
}

static __always_inline int on_bound(struct bpf_sock* context, const struct pb_peer_key* local) {
  struct pb_datagram_socket* socket = bpf_sk_storage_get(&datagram_sockets, context, 0, BPF_SK_STORAGE_GET_F_CREATE);
  struct pb_peer_key key = *local;
  bool other;
  if (!socket) {
    lose(1);
    return 1;
  }
  if (!socket->cookie) {
    socket->cookie = bpf_get_socket_cookie(context);
    socket->netns = current_netns();
    socket->family = context->family;
  }
  key.cookie = socket->cookie;
  other = socket->owner.tgid && socket->owner.tgid != current_tgid();
  socket->flags |= PB_SOCKET_BOUND | PB_SOCKET_BOUND_REPORTED;
  if (other) {
    // The maker is told first: the binder takes its place.
    socket->flags |= PB_PEER_OTHER_CREATOR;
    report_or_lose(PB_BOUND, socket, &key, 0, kCurrentUser);
    socket->flags &= ~PB_PEER_OTHER_CREATOR;
    owner_of_current(&socket->owner);
    socket->users[1] = current_tgid();
  } else {
    if (!socket->owner.tgid) owner_of_current(&socket->owner);
    report_or_lose(PB_BOUND, socket, &key, 0, kNoUser);
  }
  return 1;
}

SEC("cgroup/post_bind4")
int on_datagram_bind4(struct bpf_sock* context) {
  struct pb_peer_key key = {};
  if (context->type != SOCK_DGRAM || context->protocol != IPPROTO_UDP) return 1;
  map_ipv4(key.local, context->src_ip4);
  key.local_port = context->src_port;
  return on_bound(context, &key);
}

SEC("cgroup/post_bind6")
int on_datagram_bind6(struct bpf_sock* context) {
  struct pb_peer_key key = {};
  u32 words[4];
  if (context->type != SOCK_DGRAM || context->protocol != IPPROTO_UDP) return 1;
  words[0] = context->src_ip6[0];
  words[1] = context->src_ip6[1];
  words[2] = context->src_ip6[2];
  words[3] = context->src_ip6[3];
  __builtin_memcpy(key.local, words, 16);
  key.local_port = context->src_port;
  return on_bound(context, &key);
}

SEC("cgroup/sock_release")
int on_datagram_release(struct bpf_sock* context) {
  struct pb_datagram_socket* socket;
  struct pb_peer_key key = {};
  if (!is_udp(context)) return 1;
  socket = bpf_sk_storage_get(&datagram_sockets, context, 0, 0);
  if (!socket || socket->flags & PB_SOCKET_GONE) return 1;
  socket->flags |= PB_SOCKET_GONE;
  if (socket->peer.place == kPlaceInUse) {
    report_or_lose(PB_PEER_CLOSE, socket, &socket->key, &socket->peer, kCurrentUser);
    socket->peer.place = kPlaceFree;
  }
  key.cookie = socket->cookie;
  if (socket->unread_since) report_or_lose(PB_UNREAD, socket, &key, 0, kNoUser);
  if (socket->inserted || socket->unrecorded_since || socket->flags & PB_SOCKET_BOUND_REPORTED) {
    report_or_lose(PB_SOCKET_CLOSED, socket, &key, 0, kCurrentUser);
  }
  return 1;
}

static __always_inline void fill_socket_key(struct pb_peer_key* key, const struct sock* sk, u64 cookie) {
  const struct sock_common* common = &sk->__sk_common;
  key->cookie = cookie;
  if (common->skc_family == AF_INET6) {
    bpf_probe_read_kernel(key->local, 16, &common->skc_v6_rcv_saddr);
    bpf_probe_read_kernel(key->remote, 16, &common->skc_v6_daddr);
  } else {
    map_ipv4(key->local, common->skc_rcv_saddr);
    map_ipv4(key->remote, common->skc_daddr);
  }
  key->local_port = bpf_ntohs(BPF_CORE_READ((const struct inet_sock*)sk, inet_sport));
  key->remote_port = bpf_ntohs(common->skc_dport);
  key->reserved = 0;
}

// What ICMP says about a connected socket's peer.
SEC("tp_btf/inet_sk_error_report")
int BPF_PROG(on_datagram_error, const struct sock* sk) {
  struct pb_datagram_socket* socket;
  struct pb_peer_key key;
  struct pb_peer* peer = 0;
  const int error = sk->sk_err;
  if (sk->sk_protocol != IPPROTO_UDP || error <= 0 || sk->__sk_common.skc_state != kUdpConnected) return 0;
  socket = bpf_sk_storage_get(&datagram_sockets, (void*)sk, 0, 0);
  if (!socket) return 0;
  fill_socket_key(&key, sk, socket->cookie);
  if (socket->peer.place == kPlaceInUse && same_key(&socket->key, &key)) peer = &socket->peer;
  if (!peer) peer = bpf_map_lookup_elem(&peers, &key);
  if (peer) peer->error = error;
  return 0;
}

// In the context of a process that receives: names it once.
static __always_inline void note_receiver(struct pb_datagram_socket* socket, const struct pb_peer_key* key) {
  const u32 tgid = current_tgid();
  int slot = -1;
  for (int i = PB_USERS_MAX - 1; i >= 0; --i) {
    if (socket->users[i] == tgid) return;
    if (socket->users[i] == 0) slot = i;
  }
  if (slot < 0) {
    __sync_fetch_and_add(&counters()->unnamed, 1);
    return;
  }
  socket->users[slot & (PB_USERS_MAX - 1)] = tgid;
  if (socket->peer.place == kPlaceInUse && !socket->inserted) {
    report_or_lose(PB_PEER_USED, socket, &socket->key, &socket->peer, kCurrentUser);
  } else {
    report_or_lose(PB_PEER_USED, socket, key, 0, kCurrentUser);
  }
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_datagram_receive, struct sock* sk, int result, int flags) {
  struct pb_datagram_socket* socket;
  struct pb_peer_key key = {};
  if (sk->sk_protocol != IPPROTO_UDP || result < 0) return 0;
  socket = bpf_sk_storage_get(&datagram_sockets, sk, 0, 0);
  if (!socket || socket->users[0] == current_tgid()) return 0;
  fill_socket_key(&key, sk, socket->cookie);
  note_receiver(socket, &key);
  return 0;
}

// Only where the tracepoint above is missing (before Linux 6.3): blind for who receives without asking for the address.
static __always_inline int on_receive_from(struct bpf_sock_addr* context) {
  struct pb_datagram_socket* socket;
  struct pb_peer_key key = {};
  struct bpf_sock* sk = context->sk;
  if (!sk || context->protocol != IPPROTO_UDP) return 1;
  socket = bpf_sk_storage_get(&datagram_sockets, sk, 0, 0);
  if (!socket || socket->users[0] == current_tgid()) return 1;
  key.cookie = socket->cookie;
  note_receiver(socket, &key);
  return 1;
}

SEC("cgroup/recvmsg4")
int on_datagram_receive4(struct bpf_sock_addr* context) {
  return on_receive_from(context);
}

SEC("cgroup/recvmsg6")
int on_datagram_receive6(struct bpf_sock_addr* context) {
  return on_receive_from(context);
}

// Snapshot, first pass: whose are the sockets that were there before.
SEC("iter/task_file")
int find_datagram_owners(struct bpf_iter__task_file* context) {
  struct task_struct* task = context->task;
  struct file* file = context->file;
  struct socket* sock;
  struct sock* sk;
  struct pb_datagram_socket* socket;
  if (!task || !file) return 0;
  sock = bpf_sock_from_file(file);
  if (!sock) return 0;
  sk = sock->sk;
  if (!sk || sk->sk_protocol != IPPROTO_UDP) return 0;
  if (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6) return 0;
  socket = bpf_sk_storage_get(&datagram_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!socket || socket->owner.tgid) return 0;
  owner_of(task, &socket->owner);
  socket->users[0] = socket->owner.tgid;
  // What was not made under our eyes was there before, and so was whom it is connected to.
  socket->flags |= PB_SOCKET_OLD;
  if (!socket->cookie) {
    socket->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
    socket->family = sk->__sk_common.skc_family;
    socket->cookie = bpf_get_socket_cookie(sk);
  }
  return 0;
}

// False when the kernel's buffer has no room: it will ask again for the same thing, all of whose writing is undone.
static __always_inline bool write_event(struct bpf_iter_meta* meta, u8 type, const struct pb_datagram_socket* socket,
                                        const struct pb_peer_key* key, const struct pb_peer* peer) {
  u32 zero = 0;
  struct pb_datagram_event* event = bpf_map_lookup_elem(&datagram_scratch, &zero);
  if (!event) return false;
  fill(event, type, socket, key, peer);
  return bpf_seq_write(meta->seq, event, sizeof *event) == 0;
}

// Snapshot, second pass, once per network namespace: the sockets that were there before.
SEC("iter/udp")
int list_datagram_sockets(struct bpf_iter__udp* context) {
  struct udp_sock* udp = context->udp_sk;
  struct pb_datagram_socket* socket;
  struct pb_peer_key key = {};
  struct sock* sk;
  u32 bound = 0;
  if (!udp) return 0;
  sk = &udp->inet.sk;
  if (sk->sk_protocol != IPPROTO_UDP) return 0;
  socket = bpf_sk_storage_get(&datagram_sockets, udp, 0, 0);
  if (!socket || !(socket->flags & PB_SOCKET_OLD)) return 0;
  fill_socket_key(&key, sk, socket->cookie);
  if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOCK_BOUND_LOCKS && !(socket->flags & PB_SOCKET_BOUND_REPORTED)) {
    bound = PB_SOCKET_BOUND | PB_SOCKET_BOUND_REPORTED;
    if (!write_event(context->meta, PB_BOUND_EXISTING, socket, &key, 0)) return 0;
  }
  if (sk->__sk_common.skc_state != kUdpConnected ||
      __sync_val_compare_and_swap(&socket->peer.place, kPlaceFree, kPlaceWritten) != kPlaceFree) {
    socket->flags |= bound;
    return 0;
  }
  // Who sent first is not to be known; a process connects to whom it wants to reach.
  socket->key = key;
  socket->peer.flow = new_flow(bpf_ktime_get_boot_ns());
  socket->peer.first = 0;
  socket->peer.last = bpf_ktime_get_boot_ns();
  socket->peer.netns = socket->netns;
  socket->peer.family = socket->family;
  socket->peer.flags = PB_PEER_WAS_THERE | PB_PEER_REPORTED;
  socket->peer.owner = socket->owner;
  if (!write_event(context->meta, PB_PEER_EXISTING, socket, &key, &socket->peer)) {
    socket->peer.place = kPlaceFree;
    return 0;
  }
  socket->flags |= bound;
  socket->peer.place = kPlaceInUse;
  return 0;
}

// Every few seconds, first pass: sockets' first peers that fell silent, opens that are owed, packets that were not recorded.
SEC("iter/bpf_sk_storage_map")
int sweep_first_peers(struct bpf_iter__bpf_sk_storage_map* context) {
  struct pb_datagram_socket* socket = context->value;
  struct sock* sk = context->sk;
  struct pb_peer_key key = {};
  u64 unrecorded = 0, unread = 0;
  bool owed = false, idle = false;
  if (!sk || !socket || socket->flags & PB_SOCKET_GONE) return 0;
  unrecorded = socket->unrecorded_since;
  unread = socket->unread_since;
  if (unrecorded || unread) fill_socket_key(&key, sk, socket->cookie);
  if (unrecorded && !write_event(context->meta, PB_UNRECORDED, socket, &key, 0)) return 0;
  if (unread && !write_event(context->meta, PB_UNREAD, socket, &key, 0)) return 0;
  key.cookie = socket->cookie;
  if (datagram_sweep.list_alive && (socket->inserted || socket->flags & PB_SOCKET_BOUND_REPORTED) &&
      !write_event(context->meta, PB_SOCKET_ALIVE, socket, &key, 0))
    return 0;
  if (socket->peer.place == kPlaceInUse) {
    owed = !(socket->peer.flags & PB_PEER_REPORTED);
    if (owed && !write_event(context->meta, PB_PEER_OPEN, socket, &socket->key, &socket->peer)) return 0;
    idle = socket->peer.last < datagram_sweep.idle_before &&
           __sync_val_compare_and_swap(&socket->peer.place, kPlaceInUse, kPlaceWritten) == kPlaceInUse;
    if (idle && !write_event(context->meta, PB_PEER_IDLE, socket, &socket->key, &socket->peer)) {
      socket->peer.place = kPlaceInUse;
      return 0;
    }
    if (!idle && datagram_sweep.list_alive && !write_event(context->meta, PB_PEER_ALIVE, socket, &socket->key, &socket->peer))
      return 0;
  }
  if (unread) socket->unread_since = socket->unread_in = socket->unread_out = 0;
  if (unrecorded) socket->unrecorded_since = socket->unrecorded_in = socket->unrecorded_out = 0;
  if (owed) socket->peer.flags |= PB_PEER_REPORTED;
  if (idle) socket->peer.place = kPlaceFree;
  return 0;
}

// Second pass: the same for all further peers; portbook takes the silent ones out.
SEC("iter/bpf_map_elem")
int sweep_map_peers(struct bpf_iter__bpf_map_elem* context) {
  struct pb_peer_key* key = context->key;
  struct pb_peer* peer = context->value;
  bool owed, idle;
  if (!key || !peer) return 0;
  owed = !(peer->flags & PB_PEER_REPORTED);
  if (owed && !write_event(context->meta, PB_PEER_OPEN, 0, key, peer)) return 0;
  idle = peer->last < datagram_sweep.idle_before;
  if ((idle || datagram_sweep.list_alive) && !write_event(context->meta, idle ? PB_PEER_IDLE : PB_PEER_ALIVE, 0, key, peer))
    return 0;
  if (owed) peer->flags |= PB_PEER_REPORTED;
  return 0;
}

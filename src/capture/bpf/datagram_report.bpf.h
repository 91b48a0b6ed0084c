/* How a moment of a UDP socket becomes an event in the ring, or a counted loss. */
#ifndef PORTBOOK_CAPTURE_BPF_DATAGRAM_REPORT_H
#define PORTBOOK_CAPTURE_BPF_DATAGRAM_REPORT_H

#include "capture/bpf/kernel.h"
#include "capture/bpf/owner.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 16 << 20);
} datagram_ring SEC(".maps");

// What nothing repeats (ends, uses) goes here once the ring is full, so that a flood of beginnings cannot push it out.
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 8 << 20);
} datagram_overflow SEC(".maps");

// In a section, and so a map, of its own: whoever reads the ring maps this too.
struct pb_cpu_counters datagram_counters[PB_CPUS_MAX] SEC(".data.datagram_counters");

static __always_inline struct pb_cpu_counters* counters(void) {
  return &datagram_counters[bpf_get_smp_processor_id() & (PB_CPUS_MAX - 1)];
}

static __always_inline void fill(struct pb_datagram_event* event, u8 type, const struct pb_datagram_socket* socket,
                                 const struct pb_peer_key* key, const struct pb_peer* peer) {
  __builtin_memset(event, 0, sizeof *event);
  event->time = bpf_ktime_get_boot_ns();
  event->type = type;
  event->cpu = bpf_get_smp_processor_id() & (PB_CPUS_MAX - 1);
  event->key = *key;
  if (peer) {
    event->flow = peer->flow;
    event->start = peer->first;
    event->last = peer->last;
    event->bytes_out = peer->bytes_out;
    event->bytes_in = peer->bytes_in;
    event->packets_out = peer->packets_out;
    event->packets_in = peer->packets_in;
    event->flags = peer->flags;
    event->error = peer->error;
    event->netns = peer->netns;
    event->family = peer->family;
    event->owner = peer->owner;
  } else if (socket) {
    const bool unread = type == PB_UNREAD;
    event->start = unread ? socket->unread_since : socket->unrecorded_since;
    event->packets_out = unread ? socket->unread_out : socket->unrecorded_out;
    event->packets_in = unread ? socket->unread_in : socket->unrecorded_in;
    event->owner = socket->owner;
    event->netns = socket->netns;
    event->family = socket->family;
  }
  if (socket) event->flags |= socket->flags;
}

enum pb_user { kNoUser, kCurrentUser, kCreatorUser };

static __always_inline void fill_user(struct pb_datagram_event* event, const struct pb_datagram_socket* socket, enum pb_user user) {
  if (user == kCurrentUser) owner_of_current(&event->user);
  if (user == kCreatorUser && socket) event->user = socket->owner;
}

static __always_inline void submit(struct pb_datagram_event* event) {
  event->seq = __sync_fetch_and_add(&counters()->seq, 1) + 1;
  bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

// Puts an event into the ring; false when it has no room.
static __always_inline bool report(u8 type, const struct pb_datagram_socket* socket, const struct pb_peer_key* key,
                                   const struct pb_peer* peer, enum pb_user user) {
  struct pb_datagram_event* event = bpf_ringbuf_reserve(&datagram_ring, sizeof *event, 0);
  if (!event) return false;
  fill(event, type, socket, key, peer);
  fill_user(event, socket, user);
  submit(event);
  return true;
}

// Counted before numbered: whoever reads the numbers first and the losses after finds no number without its reason.
static __always_inline void lose(u64 facts) {
  struct pb_cpu_counters* counter = counters();
  __sync_fetch_and_add(&counter->lost, facts);
  __sync_fetch_and_add(&counter->seq, facts);
}

// As report(), for facts that no later event repeats. What does not fit into the overflow either is lost.
static __always_inline void report_or_lose(u8 type, const struct pb_datagram_socket* socket, const struct pb_peer_key* key,
                                           const struct pb_peer* peer, enum pb_user user) {
  struct pb_datagram_event* event = bpf_ringbuf_reserve(&datagram_ring, sizeof *event, 0);
  if (!event) event = bpf_ringbuf_reserve(&datagram_overflow, sizeof *event, 0);
  if (event) {
    fill(event, type, socket, key, peer);
    fill_user(event, socket, user);
    submit(event);
    return;
  }
  // An opening that still waits goes with its end.
  lose(type == PB_PEER_CLOSE && peer && !(peer->flags & PB_PEER_REPORTED) ? 2 : 1);
}

#endif

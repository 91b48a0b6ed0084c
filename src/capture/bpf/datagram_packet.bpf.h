/* Both ends of a UDP packet as its socket knows them. */
#ifndef PORTBOOK_CAPTURE_BPF_DATAGRAM_PACKET_H
#define PORTBOOK_CAPTURE_BPF_DATAGRAM_PACKET_H

#include "capture/bpf/kernel.h"

enum { kEthIpv4 = 0x0800, kEthIpv6 = 0x86dd };
enum { kIpv6HopByHop = 0, kIpv6Routing = 43, kIpv6Authentication = 51, kIpv6Destination = 60, kIpv6HeadersMax = 8 };
enum { kSourceTranslated = 1 << 4, kDestinationTranslated = 1 << 5, kFirstReplyInfo = 3, kTrackingInfoBits = 7 };

// The kernel's address of what a program was lent; only for bpf_probe_read_kernel.
static __always_inline void* address_of(void* lent) {
  void* spot = lent;
  u64 address = 0;
  bpf_probe_read_kernel(&address, sizeof address, &spot);
  return (void*)address;
}

static __always_inline void map_ipv4(u8* out, u32 address) {
  __builtin_memset(out, 0, 10);
  out[10] = out[11] = 0xff;
  *(u32*)(out + 12) = address;
}

// Straight from the packet, for this is asked of every packet of the host, and most are TCP's. IPv6's extension headers may hide
// UDP, and so does IPsec: what is neither is looked into by its socket.
static __always_inline bool is_surely_not_udp(struct __sk_buff* skb) {
  const u8* head = (const u8*)(long)skb->data;
  if ((const void*)(head + 20) > (const void*)(long)skb->data_end) return false;
  return (head[0] >> 4 == 4 ? head[9] : head[6]) == IPPROTO_TCP;
}

struct ends {
  u8 source[16];
  u8 destination[16];
  __be16 source_port;
  __be16 destination_port;
};

static __always_inline bool read_ipv4(struct __sk_buff* skb, struct ends* ends, u32* header_bytes) {
  u32 words[7];
  u32 length;
  if (bpf_skb_load_bytes(skb, 0, words, sizeof words)) return false;
  if (((u8*)words)[9] != IPPROTO_UDP) return false;
  length = (((u8*)words)[0] & 15) * 4;
  if (length != 20 && bpf_skb_load_bytes(skb, length, &words[5], 8)) return false;
  map_ipv4(ends->source, words[3]);
  map_ipv4(ends->destination, words[4]);
  ends->source_port = ((__be16*)words)[10];
  ends->destination_port = ((__be16*)words)[11];
  *header_bytes = length + 8;
  return true;
}

static __always_inline bool read_ipv6(struct __sk_buff* skb, struct ends* ends, u32* header_bytes) {
  u32 words[12];
  u32 length = 40;
  u8 next;
  if (bpf_skb_load_bytes(skb, 0, words, sizeof words)) return false;
  next = ((u8*)words)[6];
  __builtin_memcpy(ends->source, &words[2], 32);
  for (int i = 0; i < kIpv6HeadersMax && next != IPPROTO_UDP; ++i) {
    u8 head[2];
    if (next != kIpv6HopByHop && next != kIpv6Routing && next != kIpv6Destination && next != kIpv6Authentication) return false;
    if (bpf_skb_load_bytes(skb, length, head, sizeof head)) return false;
    length += next == kIpv6Authentication ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
    next = head[0];
  }
  if (next != IPPROTO_UDP) return false;
  if (length != 40 && bpf_skb_load_bytes(skb, length, &words[10], 8)) return false;
  ends->source_port = ((__be16*)words)[20];
  ends->destination_port = ((__be16*)words)[21];
  *header_bytes = length + 8;
  return true;
}

// An outgoing packet is seen after this host's own translation: the tracked connection has what the socket sent.
static __always_inline void undo_translation(struct __sk_buff* skb, struct ends* ends) {
  struct sk_buff* packet;
  struct nf_conntrack_tuple tuple;
  unsigned long tracked;
  unsigned long status = 0;
  void* at;
  if (!bpf_core_field_exists(((struct sk_buff*)0)->_nfct) || !bpf_core_type_exists(struct nf_conn)) return;
  packet = address_of(skb);
  tracked = BPF_CORE_READ(packet, _nfct);
  at = (void*)(tracked & ~(unsigned long)kTrackingInfoBits);
  if (!at) return;
  status = BPF_CORE_READ((struct nf_conn*)at, status);
  if (!(status & (kSourceTranslated | kDestinationTranslated))) return;
  at += bpf_core_field_offset(struct nf_conn, tuplehash) + bpf_core_field_offset(struct nf_conntrack_tuple_hash, tuple);
  if ((tracked & kTrackingInfoBits) >= kFirstReplyInfo) at += bpf_core_type_size(struct nf_conntrack_tuple_hash);
  bpf_core_read(&tuple.src.u3, 16, &((struct nf_conntrack_tuple*)at)->src.u3);
  bpf_core_read(&tuple.dst.u3, 16, &((struct nf_conntrack_tuple*)at)->dst.u3);
  bpf_core_read(&ends->source_port, 2, &((struct nf_conntrack_tuple*)at)->src.u.all);
  bpf_core_read(&ends->destination_port, 2, &((struct nf_conntrack_tuple*)at)->dst.u.all);
  if (skb->protocol == bpf_htons(kEthIpv4)) {
    map_ipv4(ends->source, *(u32*)&tuple.src.u3);
    map_ipv4(ends->destination, *(u32*)&tuple.dst.u3);
  } else {
    __builtin_memcpy(ends->source, &tuple.src.u3, 16);
    __builtin_memcpy(ends->destination, &tuple.dst.u3, 16);
  }
}

static __always_inline bool read_key(struct __sk_buff* skb, bool out, struct pb_peer_key* key, u32* payload) {
  struct ends ends;
  u32 header_bytes = 0;
  const bool known =
      skb->protocol == bpf_htons(kEthIpv4) ? read_ipv4(skb, &ends, &header_bytes) : read_ipv6(skb, &ends, &header_bytes);
  if (!known) return false;
  *payload = skb->len > header_bytes ? skb->len - header_bytes : 0;
  if (out) undo_translation(skb, &ends);
  __builtin_memcpy(key->local, out ? ends.source : ends.destination, 16);
  __builtin_memcpy(key->remote, out ? ends.destination : ends.source, 16);
  key->local_port = bpf_ntohs(out ? ends.source_port : ends.destination_port);
  key->remote_port = bpf_ntohs(out ? ends.destination_port : ends.source_port);
  key->reserved = 0;
  return true;
}

#endif

/* The structs that the kernel programs and portbook share: plain, fixed in size, in host byte order but where said. */
#ifndef PORTBOOK_CAPTURE_BPF_EVENTS_H
#define PORTBOOK_CAPTURE_BPF_EVENTS_H

#ifndef PB_KERNEL_SIDE
#include <linux/types.h>
#endif

#define PB_CPUS_MAX 1024 /* a power of two; further CPUs share counters, which stays exact */
#define PB_COMM_BYTES 16
#define PB_USERS_MAX 4      /* processes told apart per socket; more are counted, not named */
#define PB_ATTEMPT_SHIFT 44 /* an event's cookie: the socket's, and above it how many connections the socket had before */
#define PB_ATTEMPT_MASK 0xfffff
#define PB_ARGS_BYTES_MAX 8448 /* a little over the field's maximum, so that the record marks its own cut */
#define PB_PATH_BYTES_MAX 3328 /* longer paths lose their leading folders */
#define PB_PATH_DEPTH_MAX 40
#define PB_CGROUP_PATH_BYTES_MAX 1024
#define PB_PEERS_PER_SOCKET_MAX 65536 /* UDP peers told apart at one socket at the same time; packets of more are counted */
#define PB_PEERS_MAX 131072           /* the same of all sockets, each one's first peer not counted */

/* A process as the kernel saw it, in that process's own context or through its task. */
struct pb_owner {
  __u64 start;   /* start of the thread group's leader, boot time in ns; 0: no owner is known */
  __u64 cgroup;  /* id in cgroup2 */
  __u64 cgroup1; /* id in the chosen version 1 hierarchy; 0: none was chosen */
  __u32 tgid;
  __u32 uid;
  __u32 gid;
  __u32 loginuid; /* 4294967295: unset */
  __u32 session;  /* 4294967295: unset */
  __u32 reserved;
  char comm[PB_COMM_BYTES];
};

enum pb_socket_event_type {
  PB_OPEN = 1,   /* established: owner is who connected, or the listener */
  PB_CLOSE = 2,  /* user is the acceptor, if one is known */
  PB_FAILED = 3, /* error says why */
  PB_LISTEN = 4,
  PB_LISTEN_END = 5,
  PB_USED = 6,      /* user is another process than those named so far */
  PB_EXISTING = 7,  /* only from the snapshot */
  PB_ALIVE = 8,     /* only from the sweep: nothing but the cookie counts */
  PB_CLOSED_BY = 9, /* user closed an open connection, and is none of those named so far */
};

enum pb_socket_flags {
  PB_PASSIVE = 1u << 0, /* came out of a listener */
  PB_LISTENER = 1u << 1,
  PB_OPEN_REPORTED = 1u << 2, /* or the listen; without it the beginning is still owed */
  PB_CLOSE_REPORTED = 1u << 3,
  PB_OLD = 1u << 4,            /* was there before the programs were attached */
  PB_STATE_CALLBACK = 1u << 6, /* sockops tells this socket's end, not the tracepoint */
  PB_HAS_ACCEPTOR = 1u << 7,   /* only in events of a passive socket: user is set */
  PB_OTHER_CREATOR = 1u << 8,  /* of an active socket: user is the process that made the socket and did not connect it */
  PB_ESTABLISHED = 1u << 9,
  PB_SYN_COUNTED = 1u << 10,  /* bytes_acked had the SYN in it when the connection was established */
  PB_FIN_ACKED = 1u << 11,    /* only in events: bytes_acked has our FIN in it */
  PB_FIN_RECEIVED = 1u << 12, /* only in events: bytes_received has the peer's FIN in it */
  PB_CONNECTING = 1u << 13,
  PB_NO_PACKET = 1u << 14, /* only in events: the connect() failed before a packet left */
};

/* What a socket carries in its storage; copied from listener to child. Groups are written by different programs at once, and each
 * only by those named: whoever writes a flag writes the whole word. */
struct pb_socket {
  /* With the socket locked. */
  __u64 start;  /* connect(), listen() or establishment, boot ns */
  __u64 opened; /* establishment, boot ns; 0: was not seen */
  __u32 flags;
  __u32 attempt; /* how many connections this socket had before */
  __u32 error;   /* reported to the process while it connected */
  /* By the sweep: the attempt whose beginning it reported, plus one. */
  __u32 swept;
  /* By whoever uses the socket, with atomic operations. */
  __u32 users[PB_USERS_MAX];
  __u32 acceptor; /* 1: user is being written; 2: it stands */
  __u32 reserved;
  struct pb_owner owner;
  struct pb_owner user;
};

struct pb_socket_event {
  __u64 seq;    /* per CPU, without a hole but for lost events; 0: from a snapshot or sweep, outside the sequence */
  __u64 time;   /* boot ns */
  __u64 cookie; /* see PB_ATTEMPT_SHIFT */
  __u64 start;
  __u64 opened;
  __u64 bytes_acked; /* with SYN and FIN; see the flags */
  __u64 bytes_received;
  __u32 packets_out;
  __u32 packets_in;
  __u32 srtt_us; /* the kernel's unit: eighths of a microsecond */
  __u32 retransmits;
  __u32 netns; /* inode number */
  __u32 flags;
  __u16 cpu;
  __u16 local_port;
  __u16 remote_port;
  __u16 error;
  __u8 type;
  __u8 family;    /* AF_INET or AF_INET6 */
  __u8 old_state; /* 0: not known */
  __u8 reserved[5];
  __u8 local[16]; /* network order; AF_INET uses the first four bytes */
  __u8 remote[16];
  struct pb_owner owner;
  struct pb_owner user;
};

enum pb_datagram_event_type {
  PB_PEER_OPEN = 1,
  PB_PEER_CLOSE = 2,
  PB_PEER_IDLE = 3,     /* only from the sweep: portbook takes the peer out of the map of peers */
  PB_PEER_USED = 4,     /* user is another process than the opener that sent to this peer; flow 0: that received on this socket */
  PB_BOUND = 5,         /* bind() with an address or port */
  PB_SOCKET_CLOSED = 6, /* the socket is gone, and with it the peers that are in the map; user is who closed it */
  PB_UNRECORDED = 7,    /* packets_in and packets_out of peers beyond the maximum, since `start` */
  PB_PEER_EXISTING = 8, /* only from the snapshot */
  PB_BOUND_EXISTING = 9,
  PB_PEER_ALIVE = 10,   /* only from the sweep: nothing but the flow counts */
  PB_UNREAD = 12,       /* packets_in and packets_out whose headers were not understood, since `start` */
  PB_SOCKET_ALIVE = 11, /* likewise, of a socket that is bound or has peers in the map: nothing but the cookie counts */
};

enum pb_datagram_flags {
  PB_PEER_IN = 1u << 0, /* the peer sent first */
  PB_PEER_REPORTED = 1u << 1,
  PB_PEER_IN_MAP = 1u << 2,        /* not the socket's first peer */
  PB_PEER_OTHER_CREATOR = 1u << 3, /* of an outgoing flow: user is the process that made the socket and did not send first */
  PB_PEER_WAS_THERE = 1u << 4,     /* connected before the programs were attached */
  PB_SOCKET_BOUND = 1u << 5,       /* of the socket */
  PB_SOCKET_GONE = 1u << 6,
  PB_SOCKET_OLD = 1u << 7,
  PB_SOCKET_BOUND_REPORTED = 1u << 8,
};

/* One peer of one socket, by all four ends. */
struct pb_peer_key {
  __u64 cookie;
  __u8 local[16]; /* IPv4 as mapped IPv6; before any translation on this host */
  __u8 remote[16];
  __u16 local_port;
  __u16 remote_port;
  __u32 reserved;
};

struct pb_peer {
  __u64 flow;  /* unique on this boot */
  __u64 first; /* boot ns; 0: before the programs were attached */
  __u64 last;
  __u64 bytes_out; /* payload */
  __u64 bytes_in;
  __u64 packets_out;
  __u64 packets_in;
  __u32 flags;
  __u32 sender; /* another process than the owner that sent to it */
  __u32 netns;
  __u16 family;          /* of the socket */
  __u16 error;           /* the last one that ICMP brought */
  __u64 place;           /* of the peer inside pb_datagram_socket: 0 free, 1 being written, 2 in use */
  struct pb_owner owner; /* who sent first, or whose socket it is */
};

/* What a UDP socket carries in its storage. */
struct pb_datagram_socket {
  __u64 cookie;
  __u64 inserted; /* peers put into the map so far */
  __u64 unrecorded_since;
  __u64 unrecorded_out; /* packets */
  __u64 unrecorded_in;
  __u64 unread_since; /* likewise, of packets whose headers were not understood */
  __u64 unread_out;
  __u64 unread_in;
  __u32 flags;
  __u32 netns;
  __u32 family;
  __u32 users[PB_USERS_MAX]; /* processes that made it, bound it or received on it */
  __u32 reserved;
  struct pb_owner owner; /* who bound it, else who made it */
  struct pb_peer_key key;
  struct pb_peer peer; /* the first one; for most sockets the only one */
};

struct pb_datagram_event {
  __u64 seq;  /* as of pb_socket_event */
  __u64 time; /* boot ns */
  __u64 flow; /* 0: it is about the socket */
  __u64 start;
  __u64 last; /* the last packet */
  __u64 bytes_out;
  __u64 bytes_in;
  __u64 packets_out;
  __u64 packets_in;
  struct pb_peer_key key;
  __u32 netns;
  __u32 flags; /* of the peer and of the socket */
  __u16 cpu;
  __u16 error;
  __u8 type;
  __u8 family; /* of the socket */
  __u8 reserved[2];
  struct pb_owner owner;
  struct pb_owner user;
};

/* What portbook asks of a sweep, before it reads the iterators. */
struct pb_datagram_sweep {
  __u64 idle_before; /* peers whose last packet is older are idle */
  __u64 list_alive;  /* not 0: tell of every peer that is there */
};

enum pb_process_event_type {
  PB_FORK = 1,
  PB_EXEC = 2,
  PB_EXIT = 3,
  PB_TASK = 4,   /* only from the snapshot */
  PB_CGROUP = 5, /* a control group was made: owner.cgroup is its id, data its path */
};

/* Followed by exe_bytes + cwd_bytes + args_bytes of data. Paths are names of the deepest component first, each ended by NUL. */
struct pb_process_event {
  __u64 seq;
  __u64 time;
  __u64 parent_start;
  __u32 parent_tgid;
  __u16 cpu;
  __u8 type;
  __u8 version1;    /* of PB_CGROUP: the id is of the version 1 hierarchy */
  __u32 args_total; /* as the process was given; more than args_bytes when cut */
  __u16 exe_bytes;
  __u16 cwd_bytes;
  __u16 args_bytes;
  __u16 reserved;
  __u32 exec_id; /* counts the programs that this process and its ancestors before it ran; 0: the kernel does not say */
  __u32 netns;   /* network namespace that it is in, inode number; 0: none any more */
  __u32 padding;
  struct pb_owner owner;
};

/* Counters that portbook reads through the program's mapped memory, without a system call. */
struct pb_cpu_counters {
  __u64 seq;     /* the last number given out */
  __u64 parked;  /* beginnings that found the ring full and wait with their socket */
  __u64 lost;    /* facts that nothing will tell any more; counted before their numbers are given out */
  __u64 unnamed; /* uses of a socket beyond PB_USERS_MAX processes */
  __u64 padding[4];
};

#endif

// The field table: the one place from which the codec, query names, JSON, the docs and the page's columns follow.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace portbook {

// How a field's value is held, written as CBOR and written as JSON.
enum class FieldType : uint8_t {
  kUint,      // u64; CBOR unsigned; JSON number
  kSigned,    // i64; CBOR integer; JSON number
  kTime,      // u64 ns since 1970 UTC; CBOR unsigned; JSON RFC 3339 with nine digits
  kDuration,  // u64 ns; CBOR unsigned; JSON number
  kPort,      // u16, never 0; CBOR unsigned; JSON number
  kEnum,      // u8 with a name (see enum_name); CBOR unsigned; JSON name
  kIp,        // IPv4 or IPv6; CBOR bytes of 4 or 16; JSON text
  kText,      // CBOR text iff valid UTF-8, else bytes; JSON text, or {"hex": …}
  kId128,     // 16 bytes; CBOR bytes; JSON 32 hex digits
  kCbor,      // canonical CBOR of named values; CBOR bytes; JSON {"hex": …}
};

// X(key, enumerator, "name", type, maximum, "what it says", "OCSF 4001", "ECS")
//
// `key` is the CBOR map key, dense and append-only: a line is never removed, reordered or given another type. Keys 0 to 23 cost
// one byte, so the usual `open` record uses those. `maximum` is the greatest number, or the greatest length in bytes.
#define PORTBOOK_FIELDS(X)                                                                                                        \
  X(0, kKind, "kind", kEnum, 255, "what the record says", "activity_id", "event.action")                                          \
  X(1, kTime, "time", kTime, UINT64_MAX, "when it happened", "time", "@timestamp")                                                \
  X(2, kVantage, "vantage", kEnum, 255, "where it was observed", "", "")                                                          \
  X(3, kSource, "source", kText, 255, "stream that wrote the record", "", "")                                                     \
  X(4, kSourceSeq, "source_seq", kUint, UINT64_MAX, "position in its source, gap-free from 1", "", "event.sequence")              \
  X(5, kHost, "host", kText, 255, "host name", "device.hostname", "host.name")                                                    \
  X(6, kProto, "proto", kEnum, 255, "IP protocol", "connection_info.protocol_num", "network.transport")                           \
  X(7, kDirection, "direction", kEnum, 255, "which end is local: out is src, in is dst", "connection_info.direction_id",          \
    "network.direction")                                                                                                          \
  X(8, kOutcome, "outcome", kEnum, 255, "how the connection went", "status_id", "event.outcome")                                  \
  X(9, kSrcIp, "src.ip", kIp, 16, "initiator's address as seen at this vantage", "src_endpoint.ip", "source.ip")                  \
  X(10, kSrcPort, "src.port", kPort, 65535, "internal port: initiator's port as seen at this vantage", "src_endpoint.port",       \
    "source.port")                                                                                                                \
  X(11, kDstIp, "dst.ip", kIp, 16, "destination address as the initiator asked for", "dst_endpoint.ip", "destination.ip")         \
  X(12, kDstPort, "dst.port", kPort, 65535, "destination port as the initiator asked for", "dst_endpoint.port",                   \
    "destination.port")                                                                                                           \
  X(13, kNat, "nat", kEnum, 255, "whether an address translation was seen", "", "")                                               \
  X(14, kConn, "conn", kId128, 16, "connection: 64-bit host and boot, 64-bit socket cookie", "connection_info.uid", "")           \
  X(15, kNetns, "netns", kUint, UINT64_MAX, "network namespace (inode number, as lsns shows it)", "", "")                         \
  X(16, kPid, "pid", kUint, UINT32_MAX, "process id (thread group) of the local end", "process.pid", "process.pid")               \
  X(17, kProcessStart, "process_start", kTime, UINT64_MAX, "when that process started; with pid it names the process record",     \
    "process.created_time", "process.start")                                                                                      \
  X(18, kExe, "exe", kText, 4096, "path of the process's program", "process.file.path", "process.executable")                     \
  X(19, kUid, "uid", kUint, UINT32_MAX, "user id of the process", "process.user.uid", "user.id")                                  \
  X(20, kClockError, "clock_error", kDuration, UINT64_MAX,                                                                        \
    "bound on the error of time; absent when the clock is not synchronised", "", "")                                              \
  X(21, kStart, "start", kTime, UINT64_MAX, "when the connection, lease or gap began", "start_time", "event.start")               \
  X(22, kEnd, "end", kTime, UINT64_MAX, "when it ended", "end_time", "event.end")                                                 \
  X(23, kContainer, "container", kText, 64, "container id", "container.uid", "container.id")                                      \
  X(24, kSrcNatIp, "src.nat.ip", kIp, 16, "initiator's address after source translation", "src_endpoint.proxy_endpoint.ip",       \
    "source.nat.ip")                                                                                                              \
  X(25, kSrcNatPort, "src.nat.port", kPort, 65535, "external port: initiator's port after source translation",                    \
    "src_endpoint.proxy_endpoint.port", "source.nat.port")                                                                        \
  X(26, kDstNatIp, "dst.nat.ip", kIp, 16, "real server after destination translation", "dst_endpoint.proxy_endpoint.ip",          \
    "destination.nat.ip")                                                                                                         \
  X(27, kDstNatPort, "dst.nat.port", kPort, 65535, "real server's port after destination translation",                            \
    "dst_endpoint.proxy_endpoint.port", "destination.nat.port")                                                                   \
  X(28, kNatReason, "nat_reason", kEnum, 255, "why nat is unknown", "", "")                                                       \
  X(29, kClockState, "clock_state", kEnum, 255, "whether the clock was synchronised", "", "")                                     \
  X(30, kFamily, "family", kEnum, 255, "socket family; only where it differs from the addresses' (IPv4-mapped IPv6)",             \
    "connection_info.protocol_ver_id", "network.type")                                                                            \
  X(31, kRole, "role", kEnum, 255, "what the named process did with the socket", "", "")                                          \
  X(32, kBytesOut, "bytes_out", kUint, UINT64_MAX, "payload bytes sent by the local end", "traffic.bytes_out", "source.bytes")    \
  X(33, kBytesIn, "bytes_in", kUint, UINT64_MAX, "payload bytes received by the local end", "traffic.bytes_in",                   \
    "destination.bytes")                                                                                                          \
  X(34, kPacketsOut, "packets_out", kUint, UINT64_MAX, "segments sent by the local end", "traffic.packets_out", "source.packets") \
  X(35, kPacketsIn, "packets_in", kUint, UINT64_MAX, "segments received by the local end", "traffic.packets_in",                  \
    "destination.packets")                                                                                                        \
  X(36, kRtt, "rtt", kDuration, UINT64_MAX, "smoothed round-trip time", "", "")                                                   \
  X(37, kRetransmits, "retransmits", kUint, UINT64_MAX, "segments sent again", "", "")                                            \
  X(38, kErrno, "errno", kUint, 4095, "the kernel's error number", "status_code", "error.code")                                   \
  X(39, kZone, "zone", kUint, 65535, "conntrack zone", "", "")                                                                    \
  X(40, kPpid, "ppid", kUint, UINT32_MAX, "parent's process id", "process.parent_process.pid", "process.parent.pid")              \
  X(41, kParentStart, "parent_start", kTime, UINT64_MAX, "when the parent started", "process.parent_process.created_time",        \
    "process.parent.start")                                                                                                       \
  X(42, kComm, "comm", kText, 64, "thread group's short name", "process.name", "process.name")                                    \
  X(43, kCmdline, "cmdline", kText, 8192, "arguments, joined with blanks, redacted", "process.cmd_line", "process.command_line")  \
  X(44, kCwd, "cwd", kText, 4096, "working directory", "process.working_directory", "process.working_directory")                  \
  X(45, kUser, "user", kText, 256, "name of uid on that host", "process.user.name", "user.name")                                  \
  X(46, kGid, "gid", kUint, UINT32_MAX, "group id of the process", "process.group.uid", "group.id")                               \
  X(47, kLoginUid, "loginuid", kUint, UINT32_MAX - 1, "user id that logged in; absent when unset", "actor.user.uid",              \
    "process.session_leader.user.id")                                                                                             \
  X(48, kLoginUser, "login_user", kText, 256, "name of loginuid on that host", "actor.user.name",                                 \
    "process.session_leader.user.name")                                                                                           \
  X(49, kAuditSession, "audit_session", kUint, UINT32_MAX - 1, "audit session id; absent when unset", "actor.session.uid", "")    \
  X(50, kCgroup, "cgroup", kText, 4096, "control group path", "", "")                                                             \
  X(51, kContainerName, "container.name", kText, 256, "container's name", "container.name", "container.name")                     \
  X(52, kPod, "pod", kText, 256, "Kubernetes pod", "container.pod_uuid", "orchestrator.resource.name")                            \
  X(53, kRedacted, "redacted", kUint, UINT32_MAX, "how many arguments were redacted before hashing", "", "")                      \
  X(54, kCut, "cut", kText, 255, "names of the fields cut to their maximum, joined with commas", "", "")                          \
  X(55, kUpSrcIp, "up.src.ip", kIp, 16, "proxy's own address on its second leg", "proxy_endpoint.ip", "")                         \
  X(56, kUpSrcPort, "up.src.port", kPort, 65535, "proxy's own port on its second leg", "proxy_endpoint.port", "")                 \
  X(57, kUpDstIp, "up.dst.ip", kIp, 16, "server's address on the second leg", "", "")                                             \
  X(58, kUpDstPort, "up.dst.port", kPort, 65535, "server's port on the second leg", "", "")                                       \
  X(59, kClaimedIp, "claimed.ip", kIp, 16, "client address that a header claims, never observed", "", "client.ip")                \
  X(60, kClaimedPort, "claimed.port", kPort, 65535, "client port that a header claims, never observed", "", "client.port")        \
  X(61, kSession, "session", kText, 256, "session id that another layer gave", "session.uid", "")                                 \
  X(62, kTrace, "trace", kText, 256, "trace id that another layer gave", "", "trace.id")                                          \
  X(63, kPrincipal, "principal", kText, 256, "identity that another layer gave", "actor.user.name", "")                           \
  X(64, kMessage, "message", kText, 16384, "text for a person, or another program's line", "message", "message")                  \
  X(65, kApp, "app", kText, 256, "program that wrote the line", "app_name", "service.name")                                       \
  X(66, kAttrs, "attrs", kCbor, 16384, "other named values, canonical CBOR", "unmapped", "labels")                                \
  X(67, kCount, "count", kUint, UINT64_MAX, "how many; absent when unknown", "count", "")                                         \
  X(68, kCause, "cause", kText, 256, "why records were lost, or why an interval ended", "", "event.reason")                       \
  X(69, kAbout, "about", kText, 255, "the source that a book record speaks about", "", "")                                        \
  X(70, kFirstIndex, "first_index", kUint, UINT64_MAX, "index of a batch's first record in the ledger", "", "")                   \
  X(71, kReceived, "received", kTime, UINT64_MAX, "when the book accepted the batch", "logged_time", "event.created")             \
  X(72, kSeqFirst, "seq_first", kUint, UINT64_MAX, "first source_seq of the batch", "", "")                                       \
  X(73, kSeqLast, "seq_last", kUint, UINT64_MAX, "last source_seq of the batch", "", "")                                          \
  X(74, kCovers, "covers", kText, 1024, "what a source captures, words joined with blanks", "", "")                               \
  X(75, kAddress, "address", kIp, 16, "address that a host has", "device.ip", "host.ip")                                          \
  X(76, kPrefix, "prefix", kUint, 128, "prefix length of that address in bits", "", "")                                           \
  X(77, kInterface, "interface", kText, 64, "network interface", "device.interface_name", "observer.ingress.interface.name")      \
  X(78, kState, "state", kEnum, 255, "whether an address is there or gone", "", "")                                               \
  X(79, kClockStep, "clock_step", kSigned, INT64_MAX, "by how much the clock was set, in ns; positive is forward", "", "")        \
  X(80, kAction, "action", kText, 256, "what was done to the book", "activity_name", "event.action")                              \
  X(81, kConntrackId, "conntrack_id", kUint, UINT32_MAX, "conntrack entry; not unique over time", "", "")                         \
  X(82, kBoot, "boot", kId128, 16, "the kernel's boot id", "device.boot_uid", "host.boot.id")                                     \
  X(83, kVersion, "version", kText, 64, "version of the program that wrote the record", "metadata.product.version",               \
    "agent.version")                                                                                                              \
  X(84, kMeans, "means", kText, 256, "by what means a source captures, words joined with blanks", "", "")

// One field; its value is its CBOR key.
enum class Field : uint8_t {
#define PORTBOOK_ENUMERATOR(key, enumerator, ...) enumerator = key,
  PORTBOOK_FIELDS(PORTBOOK_ENUMERATOR)
#undef PORTBOOK_ENUMERATOR
};

// One line of the field table.
struct FieldInfo {
  Field field;
  std::string_view name;
  FieldType type;
  uint64_t maximum;  // greatest number, or greatest length in bytes
  std::string_view doc;
  std::string_view ocsf;  // empty where OCSF has no such attribute
  std::string_view ecs;   // empty where ECS has no such field
};

inline constexpr std::array kFields = {
#define PORTBOOK_INFO(key, enumerator, name, type, maximum, doc, ocsf, ecs) \
  FieldInfo{Field::enumerator, name, FieldType::type, maximum, doc, ocsf, ecs},
    PORTBOOK_FIELDS(PORTBOOK_INFO)
#undef PORTBOOK_INFO
};

inline constexpr size_t kFieldCount = kFields.size();
static_assert(kFieldCount <= 128, "FieldSet holds 128 fields");

constexpr size_t index_of(Field field) {
  return static_cast<size_t>(field);
}
constexpr const FieldInfo& info(Field field) {
  return kFields[index_of(field)];
}

// The same as info(field).type, out of a table that fits into two cache lines: for what is asked per value.
inline constexpr std::array kFieldTypes = {
#define PORTBOOK_TYPE(key, enumerator, name, type, ...) FieldType::type,
    PORTBOOK_FIELDS(PORTBOOK_TYPE)
#undef PORTBOOK_TYPE
};
constexpr FieldType type_of(Field field) {
  return kFieldTypes[index_of(field)];
}

// The field of that dotted name, or nothing.
std::optional<Field> field_named(std::string_view name);

// A set of fields, as a record's shape.
class FieldSet {
 public:
  constexpr FieldSet() = default;
  constexpr bool has(Field f) const { return (words_[index_of(f) / 64] >> index_of(f) % 64 & 1) != 0; }
  constexpr void add(Field f) { words_[index_of(f) / 64] |= uint64_t{1} << index_of(f) % 64; }
  constexpr void remove(Field f) { words_[index_of(f) / 64] &= ~(uint64_t{1} << index_of(f) % 64); }
  constexpr void clear() { words_ = {}; }
  constexpr size_t size() const {
    return static_cast<size_t>(__builtin_popcountll(words_[0])) + static_cast<size_t>(__builtin_popcountll(words_[1]));
  }
  constexpr bool operator==(const FieldSet&) const = default;
  constexpr const std::array<uint64_t, 2>& words() const { return words_; }
  constexpr void add(const FieldSet& other) {
    for (size_t word = 0; word < 2; ++word) words_[word] |= other.words_[word];
  }
  // The fields that are here and not in `other`.
  constexpr FieldSet without(const FieldSet& other) const {
    return of_words({words_[0] & ~other.words_[0], words_[1] & ~other.words_[1]});
  }
  constexpr FieldSet common(const FieldSet& other) const {
    return of_words({words_[0] & other.words_[0], words_[1] & other.words_[1]});
  }
  constexpr bool empty() const { return (words_[0] | words_[1]) == 0; }
  static constexpr FieldSet of_words(std::array<uint64_t, 2> words) {
    FieldSet set;
    set.words_ = words;
    return set;
  }
  // Calls visit(Field) in ascending order of key.
  template <typename Visit>
  constexpr void for_each(Visit visit) const {
    for (size_t word = 0; word < 2; ++word) {
      for (uint64_t rest = words_[word]; rest != 0; rest &= rest - 1) {
        visit(static_cast<Field>(word * 64 + static_cast<size_t>(__builtin_ctzll(rest))));
      }
    }
  }

 private:
  std::array<uint64_t, 2> words_{};
};

inline constexpr FieldSet kEveryField = [] {
  FieldSet all;
  for (const FieldInfo& about : kFields) all.add(about.field);
  return all;
}();
constexpr FieldSet fields_of(std::span<const Field> fields) {
  FieldSet set;
  for (const Field field : fields) set.add(field);
  return set;
}

// Values of the enumerated fields. 0 is never used: unknown is an absent field. Append-only, like the field table.
enum class Kind : uint8_t {
  kOpen = 1,
  kClose,
  kFailed,
  kListen,
  kUsedBy,
  kExisting,
  kProcess,
  kNatOpen,
  kNatClose,
  kAddress,
  kProxy,
  kNote,
  kBatch,
  kGap,
  kSourceStart,
  kSourceStop,
  kClock,
  kAdmin
};
enum class Vantage : uint8_t { kSocket = 1, kNat, kProxy, kApp, kGateway, kBook };
enum class Proto : uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58, kSctp = 132 };  // IANA numbers; others stand as numbers
enum class Direction : uint8_t { kOut = 1, kIn, kForward };
enum class Outcome : uint8_t { kOk = 1, kRefused, kTimeout, kUnreachable, kReset, kDenied, kError };
enum class Nat : uint8_t { kTranslated = 1, kNone, kUnknown };
enum class NatReason : uint8_t { kNoConntrack = 1, kNoEntry, kGap, kNotCovered, kNotPermitted };
enum class ClockState : uint8_t { kSynchronised = 1, kNotSynchronised };
enum class Family : uint8_t { kInet = 1, kInet6 };
enum class Role : uint8_t { kCreator = 1, kListener, kAcceptor, kUser, kCloser };
enum class AddressState : uint8_t { kUp = 1, kDown };

// The name of value `value` of enumerated field `field`; empty when it has none.
std::string_view enum_name(Field field, uint64_t value);
// Whether that value has a name.
bool is_named_value(Field field, uint64_t value);
// The value of that name; nothing when the field has no such name.
std::optional<uint64_t> enum_value(Field field, std::string_view name);
// Every name of the field in order of value, for help, errors and completion; empty when the field is not enumerated.
struct EnumName {
  uint8_t value;
  std::string_view name;
};
std::span<const EnumName> enum_names(Field field);

}  // namespace portbook

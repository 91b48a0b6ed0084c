// One end of a SOCK_SEQPACKET pair: whole messages, with descriptors.
#pragma once

#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/file_descriptor.h"
#include "base/result.h"

namespace portbook {

// Two connected ends, closed on exec. Errors: kIo.
Result<std::pair<FileDescriptor, FileDescriptor>> make_message_sockets();

// Errors: kUnavailable (the other end is closed), kIo.
Status send_message(int socket, ByteView bytes, const std::vector<FileDescriptor>& descriptors);

// Waits for one message. `bytes` is resized to it; longer than `bytes_max`: kBadInput. Descriptors beyond `descriptors_max` are
// closed and the message is kBadInput. Errors: also kLimit (this process has no number free for a descriptor), kUnavailable (the
// other end is closed), kIo.
Status receive_message(int socket, size_t bytes_max, size_t descriptors_max, Bytes& bytes,
                       std::vector<FileDescriptor>& descriptors);

}  // namespace portbook

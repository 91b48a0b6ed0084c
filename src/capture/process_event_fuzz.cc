// Process events of any bytes, and arguments of any bytes through the redaction: nothing read beyond them, nothing invented.
#include "base/check.h"
#include "capture/processes.h"
#include "capture/redact.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ProcessEventData event;
  if (decode_process_event(bytes, event)) {
    PB_CHECK(event.exe.size() + event.cwd.size() + event.args.size() + sizeof event.head <= size);
    PB_CHECK(path_of_names(event.exe).starts_with('/'));
    redact_arguments(event.args);
  }
  const Redacted redacted = redact_arguments(bytes);
  PB_CHECK(redacted.count == 0 || redacted.text.find(kRedactedMark) != std::string::npos);
  container_of(bytes);
  pod_of(bytes);
  find_cgroup_mounts(bytes, bytes);
  return 0;
}

// Whatever lines somebody imports: refused, or a record whose bytes a book takes; and the chunks have every line once.
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file_descriptor.h"
#include "book/checked_batch.h"
#include "book/import.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  static const FileDescriptor file(memfd_create("lines", MFD_CLOEXEC));
  static ImportLine line(kImportVantages);
  static Record record;
  PB_CHECK(ftruncate(file.get(), 0) == 0 && pwrite(file.get(), data, size, 0) == static_cast<ssize_t>(size));
  PB_CHECK(lseek(file.get(), 0, SEEK_SET) == 0);
  LineChunks chunks(file.get());
  LineChunk chunk;
  std::string joined;
  BatchBuilder builder("a/import/b", 1);
  while (true) {
    const auto there = chunks.next(chunk);
    if (!there || !*there) break;
    joined += chunk.text;
    for (std::string_view rest = chunk.text; !rest.empty();) {
      const size_t end = rest.find('\n');
      if (line.read(rest.substr(0, end), record)) builder.add(record);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
  }
  PB_CHECK(joined == as_text({data, size}));
  if (builder.count() > 0) PB_CHECK(check_batch(builder.take()).has_value());
  return 0;
}

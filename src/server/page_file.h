// The page's files, which the build makes part of the program (embed_page.py).
#pragma once

#include <span>
#include <string_view>

namespace portbook {

struct PageFile {
  std::string_view path;  // "/index.html"
  std::string_view content_type;
  std::string_view etag;     // hash of the content
  std::string_view content;  // all live as long as the program
  std::string_view gzipped;  // empty where packing saves nothing
};

// Empty when the program was built without the page.
std::span<const PageFile> page_files();

}  // namespace portbook

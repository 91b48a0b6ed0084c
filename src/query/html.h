// Self-contained, printable HTML pages: one style, no script, nothing loaded from anywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace portbook {

// The text with <, >, &, " and ' as entities; bytes that are not UTF-8 show as \xHH.
std::string html_escaped(std::string_view text);

// Builds one page from top to bottom.
class HtmlPage {
 public:
  explicit HtmlPage(std::string_view title);
  void heading(std::string_view text);
  void paragraph(std::string_view text);
  void warning(std::string_view text);
  void preformatted(std::string_view text);
  // Every row has as many cells as the header.
  void table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows);
  // The whole page; used once.
  std::string finished();

 private:
  std::string out_;
};

}  // namespace portbook

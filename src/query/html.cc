#include "query/html.h"

#include <fmt/format.h>

#include "base/bytes.h"

namespace portbook {

namespace {

constexpr std::string_view kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%;font-size:.9rem}"
    "th,td{border-bottom:1px solid #ccc;padding:.3rem .6rem .3rem 0;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "pre{background:#f4f4f4;padding:.8rem;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8rem}"
    ".warn{border-left:4px solid #b45309;padding-left:.8rem}"
    "@media print{body{margin:0;max-width:none}tr,pre{break-inside:avoid}thead{display:table-header-group}}";

}  // namespace

std::string html_escaped(std::string_view text) {
  const bool utf8 = is_utf8(as_bytes(text));
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: byte < 0x80 || utf8 ? out += c : out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

HtmlPage::HtmlPage(std::string_view title) {
  out_ = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width\">\n"
      "<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
      html_escaped(title), kStyle);
}

void HtmlPage::heading(std::string_view text) {
  out_ += fmt::format("<h2>{}</h2>\n", html_escaped(text));
}
void HtmlPage::paragraph(std::string_view text) {
  out_ += fmt::format("<p>{}</p>\n", html_escaped(text));
}
void HtmlPage::warning(std::string_view text) {
  out_ += fmt::format("<p class=\"warn\">{}</p>\n", html_escaped(text));
}
void HtmlPage::preformatted(std::string_view text) {
  out_ += fmt::format("<pre>{}</pre>\n", html_escaped(text));
}

void HtmlPage::table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows) {
  out_ += "<table>\n<thead><tr>";
  for (const std::string& cell : header) out_ += fmt::format("<th scope=\"col\">{}</th>", html_escaped(cell));
  out_ += "</tr></thead>\n<tbody>\n";
  for (const auto& row : rows) {
    out_ += "<tr>";
    for (const std::string& cell : row) out_ += fmt::format("<td>{}</td>", html_escaped(cell));
    out_ += "</tr>\n";
  }
  out_ += "</tbody>\n</table>\n";
}

std::string HtmlPage::finished() {
  return std::move(out_) + "</body>\n</html>\n";
}

}  // namespace portbook

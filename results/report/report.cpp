#include "results/report.h"

#include <zlib.h>

#include <ctime>

#include "base/error.h"
#include "results/embedded.h"
#include "results/report/report_data.h"
#include "results/table.h"

namespace assay::results {
namespace {

std::string deflated(const std::string& text, const std::string& where) {
  uLongf size = compressBound(static_cast<uLong>(text.size()));
  std::string out(size, '\0');
  // Level 6: a tenth of level 9's time for a few percent more bytes.
  if (compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                reinterpret_cast<const Bytef*>(text.data()), static_cast<uLong>(text.size()),
                6) != Z_OK)
    throw_resource("the documents could not be compressed", where, "embed fewer of them");
  out.resize(size);
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k)
      word = word << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k)
      out += i + k <= bytes.size() ? kDigits[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

// JSON inside a <script> element: nothing in it can end the element or open a comment.
std::string script_safe(const std::string& json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    if (c == '<')
      out += "\\u003c";
    else
      out += c;
  }
  return out;
}

// Replaces {{name}} once, left to right; what is inserted is not looked at again.
template <class Lookup>
std::string filled(std::string_view page, Lookup lookup) {
  std::string out;
  for (size_t at = 0;;) {
    const size_t open = page.find("{{", at);
    out += page.substr(at, open - at);
    if (open == std::string_view::npos) return out;
    const size_t close = page.find("}}", open);
    out += lookup(page.substr(open + 2, close - open - 2));
    at = close + 2;
  }
}

std::string scripts() {
  std::string all;
  for (const char* name : {"core.js", "scores.js", "curves.js", "heatmaps.js", "items.js"})
    all += embedded_file(name);
  return all;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &parts);
  return text;
}

}  // namespace

std::string html_report(const Store& store, std::span<const RunSummary> runs,
                        const ReportOptions& options, const Workers& workers) {
  if (runs.empty()) throw_usage("a report of no runs", "name runs; `assay list runs` shows them");
  const report::Rows rows = report::collect_rows(store, runs);
  return filled(embedded_file("page.html"), [&](std::string_view name) -> std::string {
    if (name == "title") return escape_html(options.title);
    if (name == "style") return std::string(embedded_file("report.css"));
    if (name == "chart") return std::string(embedded_file("chart.min.js"));
    if (name == "script")
      return scripts();
    if (name == "summary")
      return script_safe(report::summary_json(store, runs, rows, options, workers));
    if (name == "items")
      return base64(
          deflated(report::items_json(store, runs, rows, options), store.path().string()));
    if (name == "footer")
      return escape_html("Made by assay from " + store.path().filename().string() + ", " + today() +
                         ". Contains Chart.js 3.9.1 (MIT License).");
    throw_internal("the report's page has an unknown field " + std::string(name));
  });
}

}  // namespace assay::results

#include "results/report.h"

#include <libdeflate.h>

#include <ctime>
#include <memory>

#include "base/error.h"
#include "results/embedded.h"
#include "results/report/report_data.h"
#include "results/table.h"

namespace assay::results {
namespace {

std::string deflated(const std::string& text) {
  // Level 6: a tenth of level 9's time for a few percent more bytes.
  const std::unique_ptr<libdeflate_compressor, decltype(&libdeflate_free_compressor)> compressor(
      libdeflate_alloc_compressor(6), libdeflate_free_compressor);
  if (!compressor)
    throw_resource("no memory to compress the documents", "report", "embed fewer of them");
  std::string out(libdeflate_zlib_compress_bound(compressor.get(), text.size()), '\0');
  out.resize(
      libdeflate_zlib_compress(compressor.get(), text.data(), text.size(), out.data(), out.size()));
  return out;
}

// Thirteen bits in two of 91 characters: 23 % more than the bytes, where base64 has 33 %. The characters
// are printable ASCII without "<", so that nothing can end the element that holds them. The length
// stands in front, four bytes, since the end is padded.
std::string packed(const std::string& bytes) {
  std::string text;
  text.reserve((bytes.size() + 4) * 16 / 13 + 4);
  uint32_t bits = 0;
  int held = 0;
  const auto digit = [&](uint32_t value) {
    const auto c = static_cast<char>('#' + value);
    text += c < '<' ? c : static_cast<char>(c + 1);
  };
  const auto put = [&](uint8_t byte) {
    bits = bits << 8 | byte;
    held += 8;
    if (held < 13) return;
    held -= 13;
    const uint32_t value = bits >> held;
    digit(value / 91);
    digit(value % 91);
    bits &= (1u << held) - 1;
  };
  for (int shift = 0; shift < 32; shift += 8) put(static_cast<uint8_t>(bytes.size() >> shift));
  for (const char c : bytes) put(static_cast<uint8_t>(c));
  put(0);
  put(0);
  return text;
}

// One element a task that has documents; compressed side by side.
std::string item_elements(std::span<const report::TaskItems> items, const Workers& workers) {
  std::vector<std::string> elements(items.size());
  workers.for_ranges(static_cast<int64_t>(items.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto t = static_cast<size_t>(begin); t < static_cast<size_t>(end); ++t)
      if (items[t].documents > 0)
        elements[t] = "<script type=\"text/plain\" id=\"items-" + std::to_string(t) + "\">" +
                      packed(deflated(items[t].json)) + "</script>\n";
  });
  std::string all;
  for (const std::string& element : elements) all += element;
  return all;
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
  ReportOptions fitting = options;
  std::vector<report::TaskItems> items = report::items_json(store, rows, fitting);
  std::string elements = item_elements(items, workers);
  // Long prompts or generations: fewer documents, until the page is no larger than asked.
  while (elements.size() > options.most_bytes) {
    size_t documents = 0;
    for (const report::TaskItems& task : items) documents += task.documents;
    if (documents <= rows.size()) break;
    fitting.most_items = static_cast<size_t>(0.95 * static_cast<double>(documents) *
                                             static_cast<double>(options.most_bytes) /
                                             static_cast<double>(elements.size()));
    items = report::items_json(store, rows, fitting);
    elements = item_elements(items, workers);
  }
  return filled(embedded_file("page.html"), [&](std::string_view name) -> std::string {
    if (name == "title") return escape_html(options.title);
    if (name == "style") return std::string(embedded_file("report.css"));
    if (name == "jquery") return std::string(embedded_file("jquery.min.js"));
    if (name == "tables") return std::string(embedded_file("jquery.dataTables.min.js"));
    if (name == "chart") return std::string(embedded_file("chart.min.js"));
    if (name == "script") return scripts();
    if (name == "summary")
      return script_safe(report::summary_json(store, runs, rows, items, options, workers));
    if (name == "items") return elements;
    if (name == "footer")
      return escape_html(
          "Made by assay from " + store.path().filename().string() + ", " + today() +
          ". Contains Chart.js 3.9.1, (c) 2022 Chart.js Contributors, jQuery 3.6.1, (c) OpenJS "
          "Foundation and other contributors, and DataTables 1.11.5, (c) 2008-2022 "
          "SpryMedia Ltd., all under the MIT License.");
    throw_internal("the report's page has an unknown field " + std::string(name));
  });
}

}  // namespace assay::results

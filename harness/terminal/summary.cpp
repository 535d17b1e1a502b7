#include "harness/terminal/summary.h"

#include <algorithm>
#include <cstdio>
#include <ostream>

#include "base/utf8.h"
#include "harness/terminal/progress.h"

namespace assay::harness {

namespace {

constexpr size_t kWidth = 80, kCell = 18;

std::string fitted(std::string_view text, size_t width, bool right) {
  std::string out = utf8::printable(text);
  while (utf8::display_width(out) > width) {
    do out.pop_back();
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80);
  }
  const std::string space(width - utf8::display_width(out), ' ');
  return right ? space + out : out + space;
}

// "61.3 ±1.2" in percent; the wider side where the interval is not symmetric.
std::string score_text(const TaskSummary& task) {
  if (!task.headline) return task.errors > 0 ? "errors" : "-";
  const bool percent = task.unit == "percent";
  const double scale = percent ? 100 : 1;
  const results::AggregateRecord& a = *task.headline;
  char buffer[64];
  if (a.low && a.high) {
    const double half = std::max(a.value - *a.low, *a.high - a.value) * scale;
    std::snprintf(buffer, sizeof buffer, percent ? "%.1f \u00b1%.1f" : "%.4f \u00b1%.4f",
                  a.value * scale, half);
  } else {
    std::snprintf(buffer, sizeof buffer, percent ? "%.1f" : "%.4f", a.value * scale);
  }
  return buffer;
}

void print_block(std::ostream& out, const std::vector<RunSummary>& runs, size_t first, size_t last,
                 size_t name_width) {
  const auto& tasks = runs.front().tasks;
  // The last parts of labels tell checkpoints apart; long common beginnings do not.
  std::string header = fitted("", name_width, false);
  for (size_t r = first; r < last; ++r) {
    std::string label = utf8::printable(runs[r].label);
    if (utf8::display_width(label) > kCell - 2) {
      size_t cut = label.size() - (kCell - 3);
      while (cut < label.size() && (static_cast<unsigned char>(label[cut]) & 0xC0) == 0x80) ++cut;
      label = "\u2026" + label.substr(cut);
    }
    header += fitted(label, kCell, true);
  }
  out << header << '\n';
  for (size_t t = 0; t < tasks.size(); ++t) {
    out << fitted(tasks[t].task + " (" + tasks[t].metric + ")", name_width, false);
    for (size_t r = first; r < last; ++r) out << fitted(score_text(runs[r].tasks[t]), kCell, true);
    out << '\n';
  }
}

}  // namespace

void print_summary(std::ostream& out, const std::vector<RunSummary>& runs,
                   const std::string& store) {
  if (runs.empty()) return;
  size_t name_width = 0;
  for (const TaskSummary& task : runs.front().tasks) {
    name_width = std::max(name_width, task.task.size() + task.metric.size() + 3);
  }
  name_width = std::min<size_t>(name_width, 26);
  const size_t columns = std::max<size_t>(1, (kWidth - name_width) / kCell);
  for (size_t first = 0; first < runs.size(); first += columns) {
    if (first > 0) out << '\n';
    print_block(out, runs, first, std::min(runs.size(), first + columns), name_width);
  }
  out << '\n';
  int64_t errors = 0;
  for (const RunSummary& run : runs) {
    int64_t documents = 0;
    uint64_t asked = 0;
    for (const TaskSummary& task : run.tasks) {
      documents += task.documents;
      asked += task.tokens_asked;
      errors += task.errors;
    }
    std::string line = run.label + ": " + count_text(static_cast<double>(documents)) + " documents";
    if (run.engine.tokens_computed > 0) {
      line += ", " + count_text(static_cast<double>(asked)) + " tokens asked, " +
              count_text(static_cast<double>(run.engine.tokens_computed)) + " computed";
    } else {
      line += ", all in the store already";
    }
    out << utf8::printable(line) << ", " << duration_text(run.seconds) << '\n';
  }
  if (errors > 0) out << errors << " documents could not be judged: no headline until rerun\n";
  out << "\u00b1: 95 % interval. Results: " << utf8::printable(store) << '\n';
}

}  // namespace assay::harness

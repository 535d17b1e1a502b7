#include "harness/terminal/summary.h"

#include <cstdio>
#include <iostream>

#include "base/utf8.h"
#include "harness/cli/stored_runs.h"
#include "harness/terminal/progress.h"
#include "results/diagnostics.h"
#include "results/scores.h"

namespace assay::harness {

std::string drafting_text(const engine::EngineStatistics& statistics) {
  char text[96];
  std::snprintf(text, sizeof text, "MTP: %.1f %% of %s drafts accepted, %.2f tokens a step",
                100 * statistics.acceptance_rate(),
                count_text(static_cast<double>(statistics.drafted)).c_str(),
                statistics.accepted_length());
  return text;
}

void print_summary(const std::vector<RunSummary>& runs, const std::string& store) {
  StoreFlags flags;
  flags.store = store;
  const results::Store opened = flags.open();
  std::vector<results::RunSummary> stored;
  for (const RunSummary& run : runs) {
    stored.push_back(results::find_run(opened, std::to_string(static_cast<int64_t>(run.run))));
  }
  flags.print(results::scores_table(opened, stored));
  std::cout << '\n';
  for (const RunSummary& run : runs) {
    for (const LargestOf& best : run.largest) {
      std::cout << utf8::printable((runs.size() > 1 ? run.label + ": " : "") + best.task + "@" + best.name) << ' '
                << results::score_text(best.value, "percent") << ", the larger one, of " << best.variant << '\n';
    }
    if (!run.largest.empty()) std::cout << '\n';
  }
  for (const results::RunSummary& run : stored) print_heat_maps(opened, run);
  for (const results::RunSummary& run : stored) {
    const std::vector<std::string> lines = results::diagnostic_lines(opened, run);
    if (lines.empty()) continue;
    std::cout << "Worth a look" << (stored.size() > 1 ? " in " + utf8::printable(run.identity.label) : "")
              << ":\n";
    for (const std::string& line : lines) {
      std::cout << results::wrap_text("  " + line, output_width());
    }
    std::cout << '\n';
  }
  int64_t errors = 0;
  for (const RunSummary& run : runs) {
    int64_t documents = 0;
    uint64_t asked = 0;
    for (const TaskSummary& task : run.tasks) {
      documents += task.documents;
      asked += task.tokens_asked;
      errors += task.errors;
    }
    std::string line = run.label + ": " + std::to_string(documents) + " documents, ";
    if (run.engine.tokens_computed > 0) {
      line += count_text(static_cast<double>(asked)) + " tokens asked, " +
              count_text(static_cast<double>(run.engine.tokens_computed)) + " computed, " +
              duration_text(run.seconds);
    } else {
      line += "all in the store already";
    }
    std::cout << utf8::printable(line) << '\n';
    if (run.engine.drafted > 0) std::cout << "  " << drafting_text(run.engine) << '\n';
  }
  if (errors > 0) {
    std::cout << errors << " documents could not be judged; the same command tries them again\n";
  }
  if (!runs.empty() && !runs.front().skipped.empty()) {
    const auto& skipped = runs.front().skipped;
    std::cout << "Left out, because their data files are missing (" << skipped.size() << "):\n";
    for (const SkippedTask& task : skipped) {
      std::cout << results::wrap_text("  " + utf8::printable(task.task + "@" + task.variant + ": " + task.reason),
                                      output_width());
    }
  }
  std::cout << "Results: " << utf8::printable(store) << '\n';
}

}  // namespace assay::harness

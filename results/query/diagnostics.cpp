#include "results/diagnostics.h"

#include <cmath>

#include "results/store/database.h"
#include "results/table.h"

namespace assay::results {

namespace {

constexpr double kNegligible = 0.01;  // of the documents
constexpr double kLetterGap = 0.10;   // between how often a letter is chosen and right
constexpr double kSigmas = 3;         // and in standard errors of that share

std::string percent(int64_t count, int64_t of) {
  const double share = 100 * static_cast<double>(count) / static_cast<double>(of);
  return fixed_text(share, count > 0 && share < 10 ? 1 : 0) + " %";
}

bool is_letter(const std::string& text) {
  return text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z';
}

// "A 3 % (right 25 %), B 90 % (24 %)" if some letter is off by more than chance explains.
std::string letters_clause(const Diagnostics& d) {
  int64_t chosen = 0, right = 0;
  for (const auto& [letter, count] : d.chosen) chosen += count;
  for (const auto& [letter, count] : d.right) right += count;
  if (chosen == 0 || right == 0) return {};
  std::map<std::string, int64_t> letters = d.right;
  letters.insert(d.chosen.begin(), d.chosen.end());
  bool skewed = false;
  std::string text;
  for (const auto& [letter, unused] : letters) {
    const auto count = [&](const std::map<std::string, int64_t>& counts) {
      const auto found = counts.find(letter);
      return found == counts.end() ? int64_t{0} : found->second;
    };
    const int64_t of_chosen = count(d.chosen), of_right = count(d.right);
    const double n = static_cast<double>(chosen);
    const double expected = static_cast<double>(of_right) / static_cast<double>(right);
    const double gap = std::abs(static_cast<double>(of_chosen) / n - expected);
    const double error = std::sqrt(std::max(expected * (1 - expected), 0.25 / n) / n);
    skewed |= gap > kLetterGap && gap > kSigmas * error;
    text += (text.empty() ? "" : ", ") + letter + " " + percent(of_chosen, chosen) + " (right " +
            percent(of_right, right) + ")";
  }
  return skewed ? "options chosen: " + text : "";
}

}  // namespace

Diagnostics diagnose(const Store& store, const EvaluationSummary& evaluation) {
  Diagnostics d;
  const auto bind = [&](auto& q) { q.bind(1, static_cast<int64_t>(evaluation.id)); };
  const bool options =
      evaluation.description.kind == "choice" || evaluation.description.kind == "partial";
  store.database().for_each_row(
      "SELECT i.error IS NOT NULL, i.truncated, i.tie, i.predicted, d.gold FROM items i "
      "JOIN documents d ON d.id = i.document_id WHERE i.evaluation_id = ?",
      bind, [&](auto& q) {
        ++d.documents;
        d.truncated += q.getColumn(1).getInt();
        if (q.getColumn(0).getInt() != 0) {
          ++d.errors;
          return;
        }
        d.ties += q.getColumn(2).getInt();
        if (!options) return;
        const std::string chosen = detail::column_text(q, 3), right = detail::column_text(q, 4);
        if (!is_letter(chosen) || !is_letter(right)) return;
        ++d.chosen[chosen];
        ++d.right[right];
      });
  store.database().for_each_row(
      "SELECT n.name, sum(m.value > 0) FROM metrics m JOIN metric_names n ON n.id = m.metric_id "
      "WHERE m.evaluation_id = ? AND n.name IN ('no_extract', 'length_limited', 'shots_dropped', "
      "'boundary_merge', 'literal_bos') GROUP BY n.name",
      bind, [&](auto& q) {
        const std::string name = detail::column_text(q, 0);
        const int64_t count = q.getColumn(1).getInt64();
        (name == "no_extract"       ? d.no_extract
         : name == "length_limited" ? d.length_limited
         : name == "shots_dropped"  ? d.shots_dropped
         : name == "literal_bos"    ? d.literal_bos
                                    : d.boundary_merges) = count;
      });
  return d;
}

std::vector<std::string> notable(const Diagnostics& d) {
  std::vector<std::string> clauses;
  if (d.documents == 0) return clauses;
  const auto say = [&](int64_t count, double from, const char* what) {
    if (count == 0 || static_cast<double>(count) < from * static_cast<double>(d.documents)) return;
    clauses.push_back(std::to_string(count) + " of " + std::to_string(d.documents) + " " + what);
  };
  say(d.errors, 0, "could not be judged");
  say(d.truncated, 0, "questions were cut to fit the context");
  say(d.literal_bos, 0, "prompts begin with the begin token written out");
  say(d.shots_dropped, kNegligible, "lost exemplars to the context limit");
  say(d.no_extract, kNegligible, "texts hold no answer that the rules find");
  say(d.length_limited, kNegligible, "texts ended at the limit of new tokens");
  say(d.boundary_merges, kNegligible, "have a token across the boundary of prompt and answer");
  say(d.ties, kNegligible, "were decided between equal scores");
  if (std::string letters = letters_clause(d); !letters.empty()) clauses.push_back(std::move(letters));
  return clauses;
}

std::vector<std::string> diagnostic_lines(const Store& store, const RunSummary& run) {
  std::vector<std::string> lines;
  for (const EvaluationSummary& evaluation : list_evaluations(store, run.id)) {
    std::string line;
    for (const std::string& clause : notable(diagnose(store, evaluation))) {
      line += (line.empty() ? evaluation_name(evaluation) + ": " : "; ") + clause;
    }
    if (!line.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace assay::results

#include "results/base_table.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "results/scores.h"

namespace assay::results {
namespace {

constexpr double kTie = 0.3;  // percent: "the same level" in the report

// One score as shown: percent with one decimal, bits per byte with three.
struct Entry {
  std::optional<double> value;
  std::string mark;  // what makes it unlike its neighbours: "@lmeval", "0-shot", "first 100"
};

struct Row {
  std::string name, metric, shots, category;
  bool percent = true, higher_is_better = true;
  std::vector<Entry> entries;  // one a column
};

double as_shown(double value, bool percent) {
  return std::stod(fixed_text(value, percent ? 1 : 3));
}

std::string count_text(uint64_t parameters) {
  if (parameters == 0) return "?";
  const auto value = static_cast<double>(parameters);
  if (value >= 1e9) return fixed_text(value / 1e9, value >= 1e10 ? 0 : 1) + "B";
  return fixed_text(value / 1e6, 1) + "M";
}

// The evaluation of a run that stands in a row: the wanted variant, the row's shots, whole before
// limited; in doubt the first.
const EvaluationSummary* choose(const std::vector<EvaluationSummary>& evaluations,
                                const std::string& task, const std::string& variant,
                                const std::string& shots) {
  const EvaluationSummary* best = nullptr;
  int best_rank = -1;
  for (const EvaluationSummary& e : evaluations) {
    if (e.identity.task != task || !e.headline) continue;
    const int rank = (e.identity.variant == variant ? 4 : 0) + (e.identity.limit == 0 ? 2 : 0) +
                     (std::to_string(e.identity.shots) + "-shot" == shots ? 1 : 0);
    if (rank > best_rank) {
      best = &e;
      best_rank = rank;
    }
  }
  return best;
}

Entry measured(const EvaluationSummary& e, const BaseTableOptions& options, const Row& row) {
  Entry entry;
  const auto mark = [&](const std::string& text) {
    entry.mark += (entry.mark.empty() ? "" : ", ") + text;
  };
  if (e.headline->errors > 0) {
    mark(std::to_string(e.headline->errors) + " errors");
    return entry;
  }
  entry.value = as_shown(e.headline->value * (row.percent ? 100 : 1), row.percent);
  if (e.identity.variant != options.variant) mark("@" + e.identity.variant);
  const std::string shots = std::to_string(e.identity.shots) + "-shot";
  if (!row.shots.empty() && shots != row.shots) mark(shots);
  if (e.description.population > 0 ? e.headline->n < e.description.population
                                   : e.identity.limit > 0)
    mark("n=" + std::to_string(e.headline->n));
  return entry;
}

// "a" ... "z", "aa", ...
std::string footnote_name(size_t number) {
  const char last = static_cast<char>('a' + number % 26);
  return (number < 26 ? "" : footnote_name(number / 26 - 1)) + last;
}

// Which entries of columns [begin, end) are best or of the same level.
void mark_best(const Row& row, size_t begin, size_t end, std::vector<char>& best) {
  std::optional<double> top;
  size_t present = 0;
  for (size_t c = begin; c < end; ++c) {
    if (!row.entries[c].value) continue;
    ++present;
    const double v = *row.entries[c].value;
    if (!top || (row.higher_is_better ? v > *top : v < *top)) top = v;
  }
  if (present < 2) return;
  // Sums of decimals are not exact in binary; a thousandth of the last digit shown covers that.
  const double gap = row.percent ? kTie + 1e-4 : 1e-6;
  for (size_t c = begin; c < end; ++c)
    if (row.entries[c].value && std::fabs(*row.entries[c].value - *top) <= gap) best[c] = 1;
}

}  // namespace

std::vector<published::Column> published_columns(const std::string& name) {
  if (name == "published") return published::base_models();
  for (const published::Column& column : published::base_models())
    if (column.name == name) return {column};
  for (const published::Ablation& ablation : published::ablations())
    if (ablation.name == name) return ablation.columns;
  if (std::filesystem::exists(name)) return published::load_baselines(name);
  throw_usage("nothing published is called " + name + ", and there is no such file",
              "published, a model of it (DeepSeek-V3-Base), mtp, aux-loss-free, or a CSV file");
}

Table base_table(const Store& store, std::span<const RunSummary> runs,
                 const BaseTableOptions& options) {
  std::vector<std::vector<EvaluationSummary>> evaluations;
  for (const RunSummary& run : runs) evaluations.push_back(list_evaluations(store, run.id));

  std::vector<Row> rows;
  const auto add_runs = [&](Row& row, const std::string& task) {
    bool any = false;
    for (const auto& of_run : evaluations) {
      const EvaluationSummary* e = choose(of_run, task, options.variant, row.shots);
      row.entries.push_back(e ? measured(*e, options, row) : Entry{});
      any = any || e != nullptr;
    }
    return any;
  };
  for (const published::Benchmark& benchmark : published::benchmarks()) {
    Row row{benchmark.name,
            benchmark.metric,
            benchmark.shots,
            benchmark.category,
            benchmark.metric != "BPB",
            benchmark.higher_is_better,
            {}};
    bool any_published = false;
    for (const published::Column& column : options.published) {
      const published::Score* score = column.find(benchmark.name);
      Entry entry;
      if (score != nullptr) {
        entry.value = score->value;
        if (!score->shots.empty() && score->shots != benchmark.shots) entry.mark = score->shots;
        any_published = true;
      }
      row.entries.push_back(entry);
    }
    const bool any_measured = add_runs(row, benchmark.task);
    if (any_measured || (any_published && !options.only_measured))
      rows.push_back(std::move(row));
  }
  // Own tasks that the table does not have.
  std::vector<std::string> others;
  for (const auto& of_run : evaluations)
    for (const EvaluationSummary& e : of_run) {
      const std::string& task = e.identity.task;
      if (!e.headline || published::row_of_task(task) < published::benchmarks().size() ||
          std::find(others.begin(), others.end(), task) != others.end())
        continue;
      others.push_back(task);
      Row row{e.description.title.empty() ? task : e.description.title,
              e.description.primary_metric,
              std::to_string(e.identity.shots) + "-shot",
              "Other",
              e.description.unit == "percent",
              e.description.higher_is_better,
              {}};
      row.entries.resize(options.published.size());
      add_runs(row, task);
      rows.push_back(std::move(row));
    }

  Table table;
  table.columns = {{"Benchmark (metric)", Align::left}, {"shots", Align::left}};
  for (const published::Column& column : options.published)
    table.columns.push_back({column.name, Align::right});
  for (const RunSummary& run : runs)
    table.columns.push_back({run.identity.label, Align::right});

  const auto fact = [&](const char* name, auto&& of_published, auto&& of_run) {
    TableRow row;
    row.cells = {{name}, {"–"}};
    for (const published::Column& column : options.published)
      row.cells.push_back({of_published(column)});
    for (const RunSummary& run : runs) row.cells.push_back({of_run(run)});
    table.rows.push_back(std::move(row));
  };
  fact(
      "Numbers", [](const auto&) { return "published"; }, [](const auto&) { return "measured"; });
  fact(
      "Architecture", [](const auto& c) { return c.architecture; },
      [](const auto& r) {
        return r.model.active_parameters == r.model.parameters ? "Dense" : "MoE";
      });
  fact(
      "# Activated params", [](const auto& c) { return c.activated_parameters; },
      [](const auto& r) { return count_text(r.model.active_parameters); });
  fact(
      "# Total params", [](const auto& c) { return c.total_parameters; },
      [](const auto& r) { return count_text(r.model.parameters); });

  std::vector<std::string> marks;  // what footnotes [a], [b], ... say
  const auto mark_text = [&](const std::string& mark) -> std::string {
    if (!options.footnotes) return " (" + mark + ")";
    const auto known = std::find(marks.begin(), marks.end(), mark);
    const auto number = static_cast<size_t>(known - marks.begin());
    if (known == marks.end()) marks.push_back(mark);
    return "[" + footnote_name(number) + "]";
  };
  std::string category;
  for (const Row& row : rows) {
    if (row.category != category) {
      category = row.category;
      table.rows.push_back({category, {}});
    }
    std::vector<char> best(row.entries.size(), 0);
    const size_t step = options.layout == TableLayout::ablation ? 2 : row.entries.size();
    for (size_t c = 0; step > 0 && c < row.entries.size(); c += step)
      mark_best(row, c, std::min(c + step, row.entries.size()), best);
    TableRow line;
    line.cells = {{row.name + " (" + row.metric + ")"}, {row.shots.empty() ? "–" : row.shots}};
    for (size_t c = 0; c < row.entries.size(); ++c) {
      const Entry& entry = row.entries[c];
      std::string text = entry.value ? fixed_text(*entry.value, row.percent ? 1 : 3) : "–";
      if (!entry.mark.empty()) text += mark_text(entry.mark);
      line.cells.push_back({text, best[c] != 0, entry.value ? Tone::plain : Tone::dim});
    }
    table.rows.push_back(std::move(line));
  }
  if (!rows.empty())
    table.notes.push_back(options.layout == TableLayout::ablation
                              ? "Bold or *: the better of each pair; a gap of at most 0.3 is a tie."
                              : "Bold or *: the best of the row; scores with a gap of at most 0.3 "
                                "are at the same level.");
  std::vector<std::string> sources;
  for (const published::Column& column : options.published)
    if (std::find(sources.begin(), sources.end(), column.source) == sources.end())
      sources.push_back(column.source);
  for (const std::string& source : sources) table.notes.push_back("published: " + source + ".");
  if (!runs.empty())
    table.notes.push_back("measured: by this program, variant " + options.variant +
                          " unless a cell says otherwise.");
  for (size_t m = 0; m < marks.size(); ++m)
    table.notes.push_back("[" + footnote_name(m) + "] " + marks[m] + ".");
  return table;
}

}  // namespace assay::results

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "results/compare.h"
#include "results/heat_map.h"
#include "results/published.h"
#include "results/report/report_data.h"
#include "results/scores.h"
#include "results/series.h"

namespace assay::results::report {
namespace {

void write_strings(json::Writer& out, const char* key, const std::vector<std::string>& strings) {
  out.key(key).begin_array();
  for (const std::string& text : strings) out.value(text);
  out.end_array();
}

std::string grouped(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, " ");
  return digits;
}

void write_run(json::Writer& out, const RunSummary& run) {
  out.begin_object();
  out.member("label", run.identity.label).member("model", run.model.name);
  out.member("series", series_name(run));
  out.member("architecture", run.model.architecture);
  out.member("parameters", run.model.parameters == 0
                               ? std::string()
                               : grouped(run.model.parameters) + ", " +
                                     grouped(run.model.active_parameters) + " a token");
  out.member("step", run.model.training_step);
  out.member("tokens", run.model.training_tokens);
  std::string training;
  if (run.model.training_step) training = "step " + std::to_string(*run.model.training_step);
  if (run.model.training_tokens)
    training += (training.empty() ? "" : ", ") +
                grouped(static_cast<uint64_t>(*run.model.training_tokens)) + " tokens";
  out.member("training", training);
  out.member("numerics", run.identity.numerics).member("profile", run.identity.kernel_profile);
  out.member("version", run.identity.engine_version);
  out.member("weights", run.model.weights_digest).member("tokenizer", run.model.tokenizer_digest);
  out.member("settings", run.identity.settings).member("identity", run.digest);
  out.member("command", run.command_line);
  out.end_object();
}

// Groups of a row with the primary metric of every run.
void write_groups(json::Writer& out, const Store& store, const Row& row) {
  std::map<std::string, std::vector<std::optional<double>>> groups;
  std::map<std::string, int64_t> documents;
  for (size_t r = 0; r < row.runs.size(); ++r) {
    if (!row.runs[r] || !row.runs[r]->finished) continue;
    for (const AggregateRecord& a : store.aggregates(row.runs[r]->id)) {
      if (a.metric != row.any().description.primary_metric || !a.name.starts_with("group:"))
        continue;
      auto& values = groups[a.name.substr(6)];
      values.resize(row.runs.size());
      values[r] = a.value;
      documents[a.name.substr(6)] = a.n;
    }
  }
  out.key("groups").begin_array();
  for (const auto& [name, values] : groups) {
    out.begin_object().member("name", name).member("n", documents[name]);
    out.key("values").begin_array();
    for (const auto& value : values) out.value(value);
    out.end_array().end_object();
  }
  out.end_array();
}

// Needle in a haystack: each run's grid of scores, null where it has none.
void write_grids(json::Writer& out, const Store& store, const Row& row) {
  out.key("grids").begin_array();
  for (const auto& of_run : row.runs) {
    const std::optional<HeatMap> map =
        of_run && of_run->finished ? heat_map(store, *of_run) : std::nullopt;
    if (!map) {
      out.null();
      continue;
    }
    out.begin_object();
    write_strings(out, "columns", map->columns);
    write_strings(out, "rows", map->rows);
    out.key("cells").begin_array();
    for (const auto& cells : map->cells) {
      out.begin_array();
      for (const auto& value : cells) out.value(value);
      out.end_array();
    }
    out.end_array().end_object();
  }
  out.end_array();
}

void write_row(json::Writer& out, const Store& store, const Row& row, size_t embedded) {
  const EvaluationSummary& e = row.any();
  out.begin_object();
  out.member("name", row.name).member("task", e.identity.task);
  out.member("variant", e.identity.variant).member("shots", e.identity.shots);
  out.member("category", e.description.category).member("unit", e.description.unit);
  out.member("kind", e.description.kind).member("metric", e.description.primary_metric);
  out.member("aggregation", e.description.aggregation);
  out.member("higher", e.description.higher_is_better);
  out.member("documents", e.description.documents).member("population", e.description.population);
  out.member("embedded", static_cast<int64_t>(embedded));
  out.member("definition", e.identity.task_digest).member("data", e.identity.data_digest);
  write_strings(out, "deviations", e.description.deviations);
  out.key("runs").begin_array();
  for (const auto& of_run : row.runs) {
    if (!of_run) {
      out.null();
      continue;
    }
    const bool scored = of_run->headline.has_value();
    out.begin_object();
    out.member("value", scored ? std::optional(of_run->headline->value) : std::nullopt);
    out.member("low", scored ? of_run->headline->low : std::nullopt);
    out.member("high", scored ? of_run->headline->high : std::nullopt);
    out.member("interval", scored ? of_run->headline->interval : "");
    out.member("n", scored ? of_run->headline->n : 0);
    out.member("errors", scored ? of_run->headline->errors : 0);
    out.end_object();
  }
  out.end_array();
  write_groups(out, store, row);
  write_grids(out, store, row);
  out.end_object();
}

void write_comparison(json::Writer& out, const Store& store, const RunSummary& a,
                      const RunSummary& b, size_t index_a, size_t index_b, const Workers& workers) {
  out.begin_object().member("a", static_cast<int64_t>(index_a));
  out.member("b", static_cast<int64_t>(index_b));
  CompareOptions options;
  options.force = true;  // shown with a warning instead of refused
  try {
    const Comparison comparison = compare(store, a, b, options, workers);
    out.member("forced", comparison.forced);
    std::vector<std::string> differences = comparison.differences;
    for (const TaskComparison& task : comparison.tasks)
      for (const std::string& line : task.differences)
        differences.push_back(evaluation_name(task.a) + ": " + line);
    write_strings(out, "differences", differences);
    std::vector<std::string> notes = comparison.notes;
    notes.insert(notes.end(), comparison.left_out.begin(), comparison.left_out.end());
    write_strings(out, "notes", notes);
    out.key("tasks").begin_array();
    for (const TaskComparison& task : comparison.tasks) {
      const auto& e = task.estimate;
      const bool higher = task.a.description.higher_is_better;
      out.begin_object();
      out.member("name", evaluation_name(task.a)).member("category", task.a.description.category);
      out.member("unit", task.a.description.unit).member("higher", higher);
      out.member("a", e.a).member("b", e.b).member("difference", e.difference);
      out.member("low", e.interval ? std::optional(e.interval->low) : std::nullopt);
      out.member("high", e.interval ? std::optional(e.interval->high) : std::nullopt);
      out.member("p", e.p);
      out.member("test", std::string(e.p_method)).member("adjusted", task.p_bh);
      out.member("win", higher ? e.counts.above : e.counts.below);
      out.member("loss", higher ? e.counts.below : e.counts.above).member("tie", e.counts.equal);
      const char* verdict = task.verdict == Verdict::better  ? "better"
                            : task.verdict == Verdict::worse ? "worse"
                            : task.verdict == Verdict::same  ? "same"
                                                             : "unclear";
      out.member("verdict", verdict).member("sentence", task.sentence);
      out.member("unpaired", task.only_a + task.only_b + task.changed + task.unjudged);
      out.end_object();
    }
    out.end_array();
  } catch (const Error& error) {
    // Two runs without a common task: the page says so where the table would be.
    if (error.kind() != ErrorKind::usage) throw;
    out.member("error", error.message());
  }
  out.end_object();
}

// Runs whose training step is known, as `assay series` has them; means of groups last.
void write_curves(json::Writer& out, const Store& store, std::span<const RunSummary> runs) {
  std::vector<RunSummary> known;
  for (const RunSummary& run : runs)
    if (run.model.training_step || run.model.training_tokens) known.push_back(run);
  std::vector<Series> series = build_series(store, known);
  const auto key = [](const Series& s) {
    return std::pair(s.task.starts_with("category:"), published::row_of_task(s.task));
  };
  std::stable_sort(series.begin(), series.end(),
                   [&](const Series& a, const Series& b) { return key(a) < key(b); });
  out.value(json::Document::parse(series_json(series), "series").root());
}

}  // namespace

const EvaluationSummary& Row::any() const {
  for (const auto& of_run : runs)
    if (of_run) return *of_run;
  throw_internal("a report line without an evaluation");
}

Rows collect_rows(const Store& store, std::span<const RunSummary> runs) {
  Rows rows;
  std::map<std::string, size_t> index;  // identity -> row
  for (size_t r = 0; r < runs.size(); ++r) {
    for (EvaluationSummary& e : list_evaluations(store, runs[r].id)) {
      const auto [entry, added] = index.try_emplace(e.digest, rows.size());
      if (added) {
        rows.push_back({evaluation_name(e), {}});
        rows.back().runs.resize(runs.size());
      }
      rows[entry->second].runs[r] = std::move(e);
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    const auto key = [](const EvaluationSummary& e) {
      return std::tuple(published::row_of_task(e.identity.task), e.description.category,
                        e.identity.task, e.identity.variant, e.identity.shots);
    };
    return key(a.any()) < key(b.any());
  });
  std::map<std::string, int> names;
  for (const Row& row : rows) ++names[row.name];
  for (Row& row : rows)
    if (names[row.name] > 1) row.name += " " + row.any().digest.substr(0, 6);
  return rows;
}

std::string summary_json(const Store& store, std::span<const RunSummary> runs, const Rows& rows,
                         std::span<const TaskItems> items, const ReportOptions& options,
                         const Workers& workers) {
  json::Writer out;
  out.begin_object().key("runs").begin_array();
  for (const RunSummary& run : runs) write_run(out, run);
  out.end_array().key("tasks").begin_array();
  for (size_t t = 0; t < rows.size(); ++t) write_row(out, store, rows[t], items[t].documents);
  out.end_array().key("comparisons").begin_array();
  const bool all = runs.size() * (runs.size() - 1) / 2 <= options.most_pairs;
  for (size_t i = 0; i < (all ? runs.size() : size_t{1}); ++i)
    for (size_t j = i + 1; j < runs.size(); ++j)
      write_comparison(out, store, runs[i], runs[j], i, j, workers);
  out.end_array().key("curves");
  write_curves(out, store, runs);
  out.key("loads").begin_array();
  for (size_t t = 0; t < rows.size(); ++t) {
    for (size_t r = 0; r < runs.size(); ++r) {
      if (!rows[t].runs[r]) continue;
      const auto layers = expert_load(store, rows[t].runs[r]->id);
      if (layers.empty()) continue;
      out.begin_object().member("run", static_cast<int64_t>(r));
      out.member("task", static_cast<int64_t>(t)).key("layers").begin_array();
      for (const ExpertLoadRecord& layer : layers) {
        out.begin_object().member("layer", layer.layer).key("tokens").begin_array();
        for (const uint64_t n : layer.tokens) out.value(n);
        out.end_array().key("weight").begin_array();
        for (const double w : layer.weight) out.value(static_cast<double>(static_cast<float>(w)));
        out.end_array().end_object();
      }
      out.end_array().end_object();
    }
  }
  return out.end_array().end_object().take();
}

}  // namespace assay::results::report

#include "results/scores.h"

#include <algorithm>
#include <ctime>
#include <map>

#include "base/json.h"
#include "base/utf8.h"
#include "results/published.h"

namespace assay::results {
namespace {

int decimals(std::string_view unit) { return unit == "percent" ? 1 : 3; }
double scale(std::string_view unit) { return unit == "percent" ? 100.0 : 1.0; }

std::string time_text(int64_t unix_seconds) {
  if (unix_seconds == 0) return "";
  const auto time = static_cast<std::time_t>(unix_seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &parts);
  return text;
}

std::string count_text(uint64_t count) {
  if (count == 0) return "?";
  constexpr std::pair<double, const char*> kUnits[] = {
      {1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}};
  const auto value = static_cast<double>(count);
  for (const auto& [unit, name] : kUnits)
    if (value >= unit) return fixed_text(value / unit, value / unit < 10 ? 2 : 1) + name;
  return std::to_string(count);
}

// What drafting did in the last session; empty where nothing was drafted.
std::string drafts_text(const std::string& host) {
  const json::Document document = json::Document::parse(host, "host facts");
  const json::Value drafts = document.root().find("mtp_drafts");
  if (!drafts.exists()) return "";
  return std::to_string(drafts.integer_or("accepted", 0)) + " of " +
         std::to_string(drafts.integer_or("drafted", 0)) + " accepted (" +
         fixed_text(100 * drafts.number_or("acceptance_rate", 0), 1) + " %), " +
         fixed_text(drafts.number_or("accepted_length", 0), 2) + " tokens a step";
}

// How many ranks computed in the last session; empty for one.
std::string ranks_text(const std::string& host) {
  const json::Document document = json::Document::parse(host, "host facts");
  const int64_t ranks = document.root().integer_or("ranks", 1);
  if (ranks == 1) return "";
  return std::to_string(ranks) + ", " + std::string(document.root().string_or("parallel", "")) + " parallel";
}

std::string headline_text(const EvaluationSummary& evaluation) {
  if (!evaluation.finished) return "running";
  if (!evaluation.headline) return "no score";
  const AggregateRecord& a = *evaluation.headline;
  const std::string& unit = evaluation.description.unit;
  // A run with item errors has no headline score until they are gone (task-specs 0.6).
  if (a.errors > 0) return std::to_string(a.errors) + " errors";
  std::string text = score_text(a.value, unit);
  if (a.low && a.high)
    text += " ±" + fixed_text(scale(unit) * (*a.high - *a.low) / 2, decimals(unit));
  return text;
}

bool same_model(const RunSummary& a, const RunSummary& b) {
  return a.model.name == b.model.name && a.model.weights_digest == b.model.weights_digest;
}

std::vector<RunSummary> first_of_each_model(std::span<const RunSummary> runs) {
  std::vector<RunSummary> out;
  for (const RunSummary& run : runs)
    if (std::none_of(out.begin(), out.end(), [&](const auto& o) { return same_model(run, o); }))
      out.push_back(run);
  return out;
}

void write_aggregate(json::Writer& out, const AggregateRecord& a) {
  out.begin_object();
  out.member("metric", a.metric).member("aggregate", a.name).member("value", a.value);
  out.member("standard_error", a.standard_error);
  out.member("low", a.low);
  out.member("high", a.high);
  out.member("interval", a.interval)
      .member("documents", a.n)
      .member("clusters", a.clusters)
      .member("errors", a.errors);
  out.end_object();
}

}  // namespace

std::string score_text(double value, std::string_view unit) {
  return fixed_text(value * scale(unit), decimals(unit));
}

std::string difference_text(double value, std::string_view unit) {
  return signed_text(value * scale(unit), decimals(unit));
}

Table scores_table(const Store& store, std::span<const RunSummary> runs) {
  Table table;
  table.columns.push_back({"task", Align::left});
  // identity of the evaluation -> one evaluation a run
  std::vector<EvaluationSummary> rows;
  std::map<std::string, std::map<size_t, EvaluationSummary>> cells;
  for (size_t r = 0; r < runs.size(); ++r) {
    table.columns.push_back({runs[r].identity.label, Align::right});
    for (EvaluationSummary& evaluation : list_evaluations(store, runs[r].id)) {
      auto& row = cells[evaluation.digest];
      if (row.empty()) rows.push_back(evaluation);
      row.emplace(r, std::move(evaluation));
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    const auto key = [](const EvaluationSummary& e) {
      return std::tuple(published::row_of_task(e.identity.task), e.description.category,
                        e.identity.task, e.identity.variant != "ds", e.identity.variant, e.identity.shots);
    };
    return key(a) < key(b);
  });
  std::map<std::string, int> names;
  for (const EvaluationSummary& row : rows) ++names[evaluation_name(row)];
  std::string category;
  for (const EvaluationSummary& row : rows) {
    if (row.description.category != category) {
      category = row.description.category;
      table.rows.push_back({category, {}});
    }
    std::string name = evaluation_name(row);
    // The same name under two identities: a changed template, other data files.
    if (names[name] > 1) name += " " + row.digest.substr(0, 6);
    TableRow line;
    line.cells.push_back({name});
    for (size_t r = 0; r < runs.size(); ++r) {
      const auto found = cells[row.digest].find(r);
      line.cells.push_back(found == cells[row.digest].end() ? Cell{"–", false, Tone::dim}
                                                            : Cell{headline_text(found->second)});
    }
    table.rows.push_back(std::move(line));
  }
  table.notes.push_back("± is half of the 95 % interval. `assay compare A B` tests differences.");
  return table;
}

Table run_table(const Store& store, const RunSummary& run, const ShowOptions& options) {
  Table table;
  table.columns = {{"task", Align::left}, {"metric", Align::left}, {"score"},
                   {"95 % interval"},     {"documents"},           {"errors"}};
  std::string category;
  for (const EvaluationSummary& e : list_evaluations(store, run.id)) {
    if (e.description.category != category) {
      category = e.description.category;
      table.rows.push_back({category, {}});
    }
    if (!e.finished) {
      table.rows.push_back({"", {{evaluation_name(e)}, {"not finished", false, Tone::dim}}});
      continue;
    }
    bool first = true;
    const auto add = [&](const AggregateRecord& a) {
      const bool primary = a.metric == e.description.primary_metric;
      const std::string& unit = primary ? e.description.unit : "raw";
      const bool subject = a.name.starts_with("group:");
      std::string name = first ? evaluation_name(e) : "";
      if (subject) name = "  " + a.name.substr(6);
      first = false;
      const std::string interval =
          a.low && a.high ? score_text(*a.low, unit) + " – " + score_text(*a.high, unit) : "";
      std::string metric = a.metric;
      if (!subject && (a.name != e.description.aggregation || a.strata > 1)) metric += " " + a.name;
      table.rows.push_back({"",
                            {{name},
                             {metric},
                             {score_text(a.value, unit), primary && !subject},
                             {interval},
                             {std::to_string(a.n)},
                             {a.errors > 0 ? std::to_string(a.errors) : ""}}});
    };
    if (e.headline) add(*e.headline);
    for (const AggregateRecord& a : store.aggregates(e.id)) {
      const bool primary = a.metric == e.description.primary_metric;
      const bool headline = primary && a.name == e.description.aggregation;
      const bool subject = a.name.starts_with("group:");
      if (headline) continue;
      if (subject ? options.by_group && primary
                  : options.all_metrics && (primary || a.name == e.description.aggregation))
        add(a);
    }
    if (e.description.population > 0 && e.headline && e.headline->n < e.description.population)
      table.notes.push_back(evaluation_name(e) + ": " + std::to_string(e.headline->n) + " of " +
                            std::to_string(e.description.population) + " documents.");
  }
  return table;
}

std::string run_card(const RunSummary& run) {
  std::string card;
  const auto line = [&](const char* name, const std::string& value) {
    if (value.empty() || value == "{}") return;
    std::string head = std::string(name) + ":";
    head.resize(14, ' ');
    card += head + utf8::printable(value) + "\n";
  };
  line("run", "#" + std::to_string(static_cast<int64_t>(run.id)) + " " + run.identity.label);
  line("checkpoint", run.model.name + " (" + run.model.architecture + ", " +
                         count_text(run.model.parameters) + " parameters, " +
                         count_text(run.model.active_parameters) + " a token)");
  if (run.model.training_step)
    line("training",
         "step " + std::to_string(*run.model.training_step) +
             (run.model.training_tokens
                  ? ", " + count_text(static_cast<uint64_t>(*run.model.training_tokens)) + " tokens"
                  : ""));
  line("weights", run.model.weights_digest.substr(0, 16));
  line("tokenizer", run.model.tokenizer_digest.substr(0, 16));
  line("numerics", run.identity.numerics + " on " + run.identity.kernel_profile);
  line("version", run.identity.engine_version);
  line("settings", run.identity.settings);
  line("identity", run.digest.substr(0, 16));
  line("status", (run.finished ? "finished, " : "running, ") +
                     std::to_string(run.finished_evaluations) + " of " +
                     std::to_string(run.evaluations) + " tasks");
  line("started", time_text(run.started_at));
  line("command", run.command_line);
  line("ranks", ranks_text(run.host));
  line("drafts", drafts_text(run.host));
  return card;
}

std::string scores_json(const Store& store, std::span<const RunSummary> runs) {
  json::Writer out;
  out.begin_object().key("runs").begin_array();
  for (const RunSummary& run : runs) {
    out.begin_object();
    out.member("id", static_cast<int64_t>(run.id)).member("label", run.identity.label);
    out.member("model", run.model.name).member("architecture", run.model.architecture);
    out.member("weights_digest", run.model.weights_digest);
    out.member("tokenizer_digest", run.model.tokenizer_digest);
    out.member("training_step", run.model.training_step);
    out.member("training_tokens", run.model.training_tokens);
    out.member("numerics", run.identity.numerics);
    out.member("kernel_profile", run.identity.kernel_profile);
    out.member("engine_version", run.identity.engine_version);
    out.member("identity", run.digest).member("finished", run.finished);
    out.key("tasks").begin_array();
    for (const EvaluationSummary& e : list_evaluations(store, run.id)) {
      out.begin_object();
      out.member("task", e.identity.task).member("title", e.description.title);
      out.member("category", e.description.category).member("variant", e.identity.variant);
      out.member("shots", e.identity.shots).member("limit", e.identity.limit);
      out.member("identity", e.digest).member("task_digest", e.identity.task_digest);
      out.member("finished", e.finished).member("unit", e.description.unit);
      out.member("higher_is_better", e.description.higher_is_better);
      out.member("documents", e.description.documents)
          .member("population", e.description.population);
      out.key("headline");
      if (e.headline)
        write_aggregate(out, *e.headline);
      else
        out.null();
      out.key("aggregates").begin_array();
      for (const AggregateRecord& a : store.aggregates(e.id)) write_aggregate(out, a);
      out.end_array().end_object();
    }
    out.end_array().end_object();
  }
  return out.end_array().end_object().take();
}

Table runs_list(std::span<const RunSummary> runs) {
  Table table;
  table.columns = {{"run", Align::left},
                   {"label", Align::left},
                   {"numerics", Align::left},
                   {"step"},
                   {"tasks"},
                   {"started", Align::left}};
  for (const RunSummary& run : runs)
    table.rows.push_back(
        {"",
         {{"#" + std::to_string(static_cast<int64_t>(run.id))},
          {run.identity.label},
          {run.identity.numerics},
          {run.model.training_step ? std::to_string(*run.model.training_step) : ""},
          {run.finished
               ? std::to_string(run.evaluations)
               : std::to_string(run.finished_evaluations) + "/" + std::to_string(run.evaluations)},
          {time_text(run.started_at)}}});
  return table;
}

std::string runs_json(std::span<const RunSummary> runs) {
  json::Writer out;
  out.begin_array();
  for (const RunSummary& run : runs) {
    out.begin_object().member("id", static_cast<int64_t>(run.id));
    out.member("label", run.identity.label).member("model", run.model.name);
    out.member("numerics", run.identity.numerics);
    out.member("kernel_profile", run.identity.kernel_profile);
    out.member("engine_version", run.identity.engine_version);
    out.member("training_step", run.model.training_step);
    out.member("training_tokens", run.model.training_tokens);
    out.member("identity", run.digest).member("finished", run.finished);
    out.member("tasks", run.evaluations).member("finished_tasks", run.finished_evaluations);
    out.member("started_at", run.started_at).member("command", run.command_line).end_object();
  }
  return out.end_array().take();
}

std::string models_json(std::span<const RunSummary> runs) {
  json::Writer out;
  out.begin_array();
  for (const RunSummary& first : first_of_each_model(runs)) {
    const ModelRecord& model = first.model;
    out.begin_object().member("model", model.name).member("architecture", model.architecture);
    out.member("parameters", model.parameters).member("active_parameters", model.active_parameters);
    out.member("training_step", model.training_step);
    out.member("training_tokens", model.training_tokens);
    out.member("weights_digest", model.weights_digest);
    out.member("tokenizer_digest", model.tokenizer_digest);
    out.key("runs").begin_array();
    for (const RunSummary& run : runs)
      if (same_model(run, first)) out.value(static_cast<int64_t>(run.id));
    out.end_array().end_object();
  }
  return out.end_array().take();
}

Table models_list(std::span<const RunSummary> runs) {
  Table table;
  table.columns = {{"checkpoint", Align::left},
                   {"architecture", Align::left},
                   {"parameters"},
                   {"a token"},
                   {"step"},
                   {"tokens"},
                   {"runs"},
                   {"weights", Align::left}};
  for (const RunSummary& r : first_of_each_model(runs)) {
    const auto count = std::count_if(runs.begin(), runs.end(),
                                     [&](const RunSummary& run) { return same_model(run, r); });
    table.rows.push_back(
        {"",
         {{r.model.name},
          {r.model.architecture},
          {count_text(r.model.parameters)},
          {count_text(r.model.active_parameters)},
          {r.model.training_step ? std::to_string(*r.model.training_step) : ""},
          {r.model.training_tokens ? count_text(static_cast<uint64_t>(*r.model.training_tokens))
                                   : ""},
          {std::to_string(count)},
          {r.model.weights_digest.substr(0, 12)}}});
  }
  return table;
}

}  // namespace assay::results

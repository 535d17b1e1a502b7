#include "results/queries.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "results/published.h"
#include "results/store/database.h"

namespace assay::results {
namespace {

using detail::aggregate_at;
using detail::column_text;
using detail::optional_double;

std::optional<int64_t> optional_integer(const SQLite::Statement& q, int column) {
  if (q.getColumn(column).isNull()) return std::nullopt;
  return q.getColumn(column).getInt64();
}

std::string run_line(const RunSummary& run) {
  return "#" + std::to_string(static_cast<int64_t>(run.id)) + " " + run.identity.label + " (" +
         run.identity.numerics + ", " + run.identity.kernel_profile + ")";
}

// Texts come in two parts; see TextTable.
constexpr const char* kWholeText =
    "SELECT p.content, t.content FROM texts t LEFT JOIN texts p ON p.id = t.prefix_id "
    "WHERE t.id = ?";

std::string text_of(const Store& store, std::optional<int64_t> id) {
  std::string text;
  if (!id) return text;
  store.database().for_each_row(
      kWholeText, [&](auto& q) { q.bind(1, *id); },
      [&](auto& q) { text = column_text(q, 0) + column_text(q, 1); });
  return text;
}

}  // namespace

std::vector<RunSummary> list_runs(const Store& store) {
  std::vector<RunSummary> runs;
  store.database().for_each_row(
      "SELECT r.id, m.name, m.architecture, m.weights_digest, m.config_digest, m.tokenizer_digest, "
      "m.parameters, m.active_parameters, m.training_step, m.training_tokens, m.details, r.label, "
      "r.numerics, r.kernel_profile, r.engine_version, r.seed, r.settings, r.identity, r.status, "
      "(SELECT count(*) FROM evaluations e WHERE e.run_id = r.id), "
      "(SELECT count(*) FROM evaluations e WHERE e.run_id = r.id AND e.status = 'finished'), "
      "(SELECT min(started_at) FROM sessions s WHERE s.run_id = r.id), s.started_at, "
      "s.command_line, s.host "
      "FROM runs r JOIN models m ON m.id = r.model_id "
      "LEFT JOIN sessions s ON s.id = (SELECT max(id) FROM sessions WHERE run_id = r.id) "
      "ORDER BY r.id",
      [](auto&) {},
      [&](auto& q) {
        RunSummary run;
        run.id = RunId{q.getColumn(0).getInt64()};
        run.model.name = column_text(q, 1);
        run.model.architecture = column_text(q, 2);
        run.model.weights_digest = column_text(q, 3);
        run.model.config_digest = column_text(q, 4);
        run.model.tokenizer_digest = column_text(q, 5);
        run.model.parameters = static_cast<uint64_t>(q.getColumn(6).getInt64());
        run.model.active_parameters = static_cast<uint64_t>(q.getColumn(7).getInt64());
        run.model.training_step = optional_integer(q, 8);
        run.model.training_tokens = optional_integer(q, 9);
        run.model.details = column_text(q, 10);
        run.identity.label = column_text(q, 11);
        run.identity.numerics = column_text(q, 12);
        run.identity.kernel_profile = column_text(q, 13);
        run.identity.engine_version = column_text(q, 14);
        run.identity.seed = static_cast<uint64_t>(q.getColumn(15).getInt64());
        run.identity.settings = column_text(q, 16);
        run.digest = column_text(q, 17);
        run.finished = column_text(q, 18) == "finished";
        run.evaluations = q.getColumn(19).getInt64();
        run.finished_evaluations = q.getColumn(20).getInt64();
        run.started_at = q.getColumn(21).getInt64();
        run.last_at = q.getColumn(22).getInt64();
        run.command_line = column_text(q, 23);
        run.host = column_text(q, 24);
        runs.push_back(std::move(run));
      });
  return runs;
}

RunSummary find_run(const Store& store, std::string_view name) {
  const std::vector<RunSummary> runs = list_runs(store);
  const std::string where = store.path().string();
  if (runs.empty()) throw_bad_input("the store holds no runs", where, "make one with `assay run`");
  std::string_view digits = name;
  const bool hash = digits.starts_with('#');
  if (hash) digits.remove_prefix(1);
  const bool numeric =
      !digits.empty() && digits.size() < 18 &&
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  std::vector<const RunSummary*> found;
  const auto collect = [&](auto&& fits) {
    if (!found.empty()) return;
    for (const RunSummary& run : runs)
      if (fits(run)) found.push_back(&run);
  };
  // A label comes before a number, so that a run called "600" can be named; "#600" is a number.
  if (!hash) collect([&](const RunSummary& run) { return run.identity.label == name; });
  if (numeric) {
    const int64_t number = std::stoll(std::string(digits));
    collect([&](const RunSummary& run) { return static_cast<int64_t>(run.id) == number; });
  }
  if (name.size() >= 6)
    collect([&](const RunSummary& run) { return run.digest.starts_with(name); });
  if (found.size() == 1) return *found.front();
  if (found.empty()) {
    std::vector<std::string_view> labels;
    for (const RunSummary& run : runs) labels.push_back(run.identity.label);
    const std::string near = nearest_word(name, labels.data(), labels.size());
    throw_usage("no run is called " + std::string(name) + " in " + where,
                near.empty() ? "`assay list runs` names them" : "did you mean " + near + "?");
  }
  std::string choices;
  for (const RunSummary* run : found) choices += (choices.empty() ? "" : "; ") + run_line(*run);
  throw_usage(std::string(name) + " is the label of several runs: " + choices,
              "name one by its number");
}

std::vector<EvaluationSummary> list_evaluations(const Store& store, RunId run) {
  std::vector<EvaluationSummary> evaluations;
  store.database().for_each_row(
      "SELECT e.id, e.run_id, e.task, e.variant, e.shots, e.task_digest, e.data_digest, "
      "e.document_limit, e.max_length, e.boundary_policy, e.sandbox_level, e.samples, e.settings, "
      "e.identity, e.title, e.category, e.kind, e.primary_metric, e.higher_is_better, e.unit, "
      "e.aggregation, e.documents, e.population, e.deviations, e.status, a.metric, a.name, "
      "a.strata, a.value, a.standard_error, a.low, a.high, a.interval, a.n, a.clusters, a.errors "
      "FROM evaluations e LEFT JOIN aggregates a ON a.evaluation_id = e.id "
      "AND a.metric = e.primary_metric AND a.name = e.aggregation WHERE e.run_id = ?",
      [&](auto& q) { q.bind(1, static_cast<int64_t>(run)); },
      [&](auto& q) {
        EvaluationSummary e;
        e.id = EvaluationId{q.getColumn(0).getInt64()};
        e.run = RunId{q.getColumn(1).getInt64()};
        e.identity.task = column_text(q, 2);
        e.identity.variant = column_text(q, 3);
        e.identity.shots = q.getColumn(4).getInt();
        e.identity.task_digest = column_text(q, 5);
        e.identity.data_digest = column_text(q, 6);
        e.identity.limit = q.getColumn(7).getInt64();
        e.identity.max_length = q.getColumn(8).getInt64();
        e.identity.boundary_policy = column_text(q, 9);
        e.identity.sandbox_level = column_text(q, 10);
        e.identity.samples = q.getColumn(11).getInt();
        e.identity.settings = column_text(q, 12);
        e.digest = column_text(q, 13);
        e.description.title = column_text(q, 14);
        e.description.category = column_text(q, 15);
        e.description.kind = column_text(q, 16);
        e.description.primary_metric = column_text(q, 17);
        e.description.higher_is_better = q.getColumn(18).getInt() != 0;
        e.description.unit = column_text(q, 19);
        e.description.aggregation = column_text(q, 20);
        e.description.documents = q.getColumn(21).getInt64();
        e.description.population = q.getColumn(22).getInt64();
        e.description.deviations =
            json::Document::parse(column_text(q, 23), "deviations").root().strings();
        e.finished = column_text(q, 24) == "finished";
        if (e.finished && !q.getColumn(25).isNull()) e.headline = aggregate_at(q, 25);
        evaluations.push_back(std::move(e));
      });
  std::sort(evaluations.begin(), evaluations.end(), [](const auto& a, const auto& b) {
    const auto key = [](const EvaluationSummary& e) {
      return std::tuple(published::row_of_task(e.identity.task), e.identity.task, e.identity.variant != "ds",
                        e.identity.variant, e.identity.shots, e.description.title, e.digest);
    };
    return key(a) < key(b);
  });
  return evaluations;
}

std::vector<std::string> metric_names(const Store& store, EvaluationId evaluation) {
  std::vector<std::string> names;
  store.database().for_each_row(
      "SELECT n.name FROM metric_names n WHERE EXISTS (SELECT 1 FROM metrics m "
      "WHERE m.evaluation_id = ? AND m.metric_id = n.id) ORDER BY n.name",
      [&](auto& q) { q.bind(1, static_cast<int64_t>(evaluation)); },
      [&](auto& q) { names.push_back(column_text(q, 0)); });
  return names;
}

std::vector<ItemValue> item_values(const Store& store, const EvaluationSummary& evaluation,
                                   std::string_view metric) {
  std::optional<int64_t> metric_id;
  store.database().for_each_row(
      "SELECT id FROM metric_names WHERE name = ?",
      [&](auto& q) { q.bind(1, std::string(metric)); },
      [&](auto& q) { metric_id = q.getColumn(0).getInt64(); });
  std::vector<ItemValue> items;
  items.reserve(static_cast<size_t>(std::max<int64_t>(0, evaluation.description.documents)));
  bool any = false;
  store.database().for_each_row(
      "SELECT i.position, i.document_id, d.item_id, d.content_hash, d.group_name, d.cluster, "
      "i.stratum, iif(i.error IS NULL, m.value, NULL), m.weight FROM items i "
      "JOIN documents d ON d.id = i.document_id "
      "LEFT JOIN metrics m ON m.evaluation_id = i.evaluation_id AND m.position = i.position "
      "AND m.metric_id = ?2 WHERE i.evaluation_id = ?1 ORDER BY i.position",
      [&](auto& q) {
        q.bind(1, static_cast<int64_t>(evaluation.id));
        q.bind(2, metric_id.value_or(0));
      },
      [&](auto& q) {
        ItemValue item;
        item.position = q.getColumn(0).getInt64();
        item.document = q.getColumn(1).getInt64();
        item.item_id = column_text(q, 2);
        item.content_hash = column_text(q, 3);
        item.group = column_text(q, 4);
        item.cluster = column_text(q, 5);
        item.stratum = optional_integer(q, 6);
        item.value = optional_double(q, 7);
        if (item.value) item.weight = q.getColumn(8).getDouble();
        any = any || item.value.has_value();
        items.push_back(std::move(item));
      });
  if (!any && !items.empty()) {
    const std::vector<std::string> names = metric_names(store, evaluation.id);
    if (!names.empty() && std::find(names.begin(), names.end(), metric) == names.end()) {
      std::string list;
      for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
      throw_bad_input("no metric " + std::string(metric), evaluation_name(evaluation),
                      "there are " + list);
    }
  }
  return items;
}

ItemDetail item_detail(const Store& store, EvaluationId evaluation, int64_t position) {
  ItemDetail detail;
  bool found = false;
  const auto bind = [&](auto& q) {
    q.bind(1, static_cast<int64_t>(evaluation));
    q.bind(2, position);
  };
  std::optional<int64_t> context;
  store.database().for_each_row(
      "SELECT d.item_id, d.content_hash, d.group_name, d.cluster, d.gold, i.context_id, "
      "i.shots_used, i.truncated, i.tie, i.predicted, i.error FROM items i "
      "JOIN documents d ON d.id = i.document_id WHERE i.evaluation_id = ? AND i.position = ?",
      bind, [&](auto& q) {
        found = true;
        detail.item.position = detail.grade.position = position;
        detail.item.document = {column_text(q, 0), column_text(q, 1), column_text(q, 2),
                                column_text(q, 3), column_text(q, 4)};
        context = optional_integer(q, 5);
        detail.item.shots_used = q.getColumn(6).getInt();
        detail.item.truncated = q.getColumn(7).getInt() != 0;
        detail.grade.tie = q.getColumn(8).getInt() != 0;
        detail.grade.predicted = column_text(q, 9);
        detail.grade.error = column_text(q, 10);
      });
  if (!found)
    throw_bad_input("no document at position " + std::to_string(position), store.path().string());
  detail.item.context = text_of(store, context);
  std::vector<std::pair<std::optional<int64_t>, std::optional<int64_t>>> texts;
  store.database().for_each_row(
      "SELECT option, context_id, continuation_id, logprob, tokens, bytes, characters, greedy, "
      "boundary_merge, uncond_logprob, whole_loss, whole_tokens FROM options "
      "WHERE evaluation_id = ? AND position = ? ORDER BY option",
      bind, [&](auto& q) {
        OptionRecord option;
        option.position = position;
        option.option = q.getColumn(0).getInt();
        texts.push_back({optional_integer(q, 1), optional_integer(q, 2)});
        option.logprob = optional_double(q, 3);
        option.tokens = q.getColumn(4).getInt64();
        option.bytes = q.getColumn(5).getInt64();
        option.characters = q.getColumn(6).getInt64();
        option.greedy = q.getColumn(7).getInt() != 0;
        option.boundary_merge = q.getColumn(8).getInt() != 0;
        option.uncond_logprob = optional_double(q, 9);
        option.whole_loss = optional_double(q, 10);
        option.whole_tokens = optional_integer(q, 11);
        detail.options.push_back(std::move(option));
      });
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].first) detail.options[i].context = text_of(store, texts[i].first);
    detail.options[i].continuation = text_of(store, texts[i].second);
  }
  store.database().for_each_row(
      "SELECT sample, text, tokens, finish, logprob, extracted FROM generations "
      "WHERE evaluation_id = ? AND position = ? ORDER BY sample",
      bind, [&](auto& q) {
        GenerationRecord generation;
        generation.position = position;
        generation.sample = q.getColumn(0).getInt();
        generation.text = column_text(q, 1);
        const std::string ids = column_text(q, 2);
        generation.tokens.resize(ids.size() / sizeof(int32_t));
        std::memcpy(generation.tokens.data(), ids.data(),
                    generation.tokens.size() * sizeof(int32_t));
        generation.finish = column_text(q, 3);
        generation.logprob = q.getColumn(4).getDouble();
        generation.extracted = column_text(q, 5);
        detail.generations.push_back(std::move(generation));
      });
  store.database().for_each_row(
      "SELECT sample, execution, verdict, reason, level, volatile_wall_ms, volatile_cpu_ms, "
      "volatile_memory_bytes, volatile_record FROM executions "
      "WHERE evaluation_id = ? AND position = ? ORDER BY sample, execution",
      bind, [&](auto& q) {
        detail.executions.push_back({position, q.getColumn(0).getInt(), q.getColumn(1).getInt(),
                                     column_text(q, 2), column_text(q, 3), column_text(q, 4),
                                     q.getColumn(5).getDouble(), q.getColumn(6).getDouble(),
                                     q.getColumn(7).getInt64(), column_text(q, 8)});
      });
  store.database().for_each_row(
      "SELECT n.name, m.value, m.weight FROM metrics m JOIN metric_names n ON n.id = m.metric_id "
      "WHERE m.evaluation_id = ? AND m.position = ? ORDER BY n.name",
      bind, [&](auto& q) {
        detail.grade.metrics.push_back(
            {column_text(q, 0), q.getColumn(1).getDouble(), q.getColumn(2).getDouble()});
      });
  return detail;
}

std::vector<ExpertLoadRecord> expert_load(const Store& store, EvaluationId evaluation) {
  std::vector<ExpertLoadRecord> layers;
  store.database().for_each_row(
      "SELECT layer, expert, tokens, weight FROM expert_load WHERE evaluation_id = ? "
      "ORDER BY layer, expert",
      [&](auto& q) { q.bind(1, static_cast<int64_t>(evaluation)); },
      [&](auto& q) {
        const int layer = q.getColumn(0).getInt();
        if (layers.empty() || layers.back().layer != layer) layers.push_back({layer, {}, {}});
        const auto expert = static_cast<size_t>(q.getColumn(1).getInt64());
        layers.back().tokens.resize(expert + 1);
        layers.back().weight.resize(expert + 1);
        layers.back().tokens[expert] = static_cast<uint64_t>(q.getColumn(2).getInt64());
        layers.back().weight[expert] = q.getColumn(3).getDouble();
      });
  return layers;
}

std::string evaluation_name(const EvaluationSummary& evaluation) {
  std::string name = evaluation.description.title.empty() ? evaluation.identity.task
                                                          : evaluation.description.title;
  name += " " + std::to_string(evaluation.identity.shots) + "-shot";
  if (evaluation.identity.variant != "ds") name += " @" + evaluation.identity.variant;
  if (const int64_t limit = evaluation.identity.limit; limit > 0) {
    const int64_t planned = evaluation.description.documents;  // fewer where the data have fewer
    name += ", " + std::to_string(planned > 0 ? std::min(limit, planned) : limit) + " docs";
  }
  return name;
}

}  // namespace assay::results

#include "results/explain.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "results/scores.h"
#include "results/store/database.h"

namespace assay::results {
namespace {

EvaluationSummary find_evaluation(const Store& store, const RunSummary& run,
                                  const std::string& name) {
  const size_t at = name.find('@');
  const std::string task = name.substr(0, at);
  const std::string variant = at == std::string::npos ? "" : name.substr(at + 1);
  std::vector<EvaluationSummary> found;
  std::string known;
  for (const EvaluationSummary& e : list_evaluations(store, run.id)) {
    known += (known.empty() ? "" : ", ") + e.identity.task + "@" + e.identity.variant;
    if (e.identity.task == task && (variant.empty() || e.identity.variant == variant) &&
        e.finished && e.headline)
      found.push_back(e);
  }
  if (found.empty())
    throw_usage(run.identity.label + " has no finished " + name, "it has " + known);
  if (found.size() > 1)
    throw_usage(run.identity.label + " has " + std::to_string(found.size()) + " evaluations of " +
                    name,
                "name the variant: TASK@VARIANT");
  return found.front();
}

// The question: what follows the last blank line of a prompt, where few-shot prompts part.
std::string question_of(const std::string& prompt) {
  const size_t at = prompt.rfind("\n\n");
  return at == std::string::npos ? prompt : prompt.substr(at + 2);
}

bool same_prompt(const ItemDetail& a, const ItemDetail& b) {
  if (a.item.context != b.item.context) return false;
  for (size_t k = 0; k < std::min(a.options.size(), b.options.size()); ++k)
    if (a.options[k].context != b.options[k].context) return false;
  return true;
}

bool same_questions(const ItemDetail& a, const ItemDetail& b) {
  if (question_of(a.item.context) != question_of(b.item.context)) return false;
  for (size_t k = 0; k < std::min(a.options.size(), b.options.size()); ++k)
    if (question_of(a.options[k].context.value_or("")) !=
        question_of(b.options[k].context.value_or("")))
      return false;
  return true;
}

bool same_options(const ItemDetail& a, const ItemDetail& b) {
  if (a.options.size() != b.options.size()) return false;
  for (size_t k = 0; k < a.options.size(); ++k)
    if (a.options[k].continuation != b.options[k].continuation) return false;
  return true;
}

bool same_outputs(const ItemDetail& a, const ItemDetail& b) {
  for (size_t k = 0; k < a.options.size(); ++k)
    if (a.options[k].logprob != b.options[k].logprob ||
        a.options[k].uncond_logprob != b.options[k].uncond_logprob ||
        a.options[k].tokens != b.options[k].tokens)
      return false;
  if (a.generations.size() != b.generations.size()) return false;
  for (size_t s = 0; s < a.generations.size(); ++s)
    if (a.generations[s].text != b.generations[s].text) return false;
  return true;
}

// Another way to cut the same text into tokens shows in the counts or in a merge that one side marks.
bool same_tokens(const ItemDetail& a, const ItemDetail& b) {
  for (size_t k = 0; k < a.options.size(); ++k)
    if (a.options[k].tokens != b.options[k].tokens ||
        a.options[k].boundary_merge != b.options[k].boundary_merge)
      return false;
  return true;
}

bool same_extracted(const ItemDetail& a, const ItemDetail& b) {
  for (size_t s = 0; s < a.generations.size(); ++s)
    if (a.generations[s].extracted != b.generations[s].extracted) return false;
  return true;
}

bool same_verdicts(const ItemDetail& a, const ItemDetail& b) {
  if (a.executions.size() != b.executions.size()) return false;
  for (size_t s = 0; s < a.executions.size(); ++s)
    if (a.executions[s].verdict != b.executions[s].verdict) return false;
  return true;
}

enum Stage {
  documents, exemplars, prompt_template, options, boundary, numerics, extraction, execution, judging,
  equal, kStages
};
constexpr const char* kStageNames[] = {"documents", "exemplars",  "template",  "options", "boundary",
                                       "numerics",  "extraction", "execution", "judging", "the same"};

Stage stage_of(const Store& store, const Explanation& e, int64_t position_a, int64_t position_b) {
  const ItemDetail a = item_detail(store, e.a.id, position_a);
  const ItemDetail b = item_detail(store, e.b.id, position_b);
  if (!same_prompt(a, b)) return same_questions(a, b) ? exemplars : prompt_template;
  if (!same_options(a, b)) return options;
  if (!same_tokens(a, b)) return boundary;
  if (!same_outputs(a, b)) return numerics;
  if (!same_extracted(a, b)) return extraction;
  return same_verdicts(a, b) ? judging : execution;
}

void add_notes(const RunSummary& a, const RunSummary& b, Explanation& e) {
  std::vector<std::string> differ;
  const auto check = [&](const char* what, const std::string& x, const std::string& y) {
    if (x != y) differ.push_back(std::string(what) + " (" + x + " / " + y + ")");
  };
  check("checkpoint", a.model.name + " " + a.model.weights_digest.substr(0, 8),
        b.model.name + " " + b.model.weights_digest.substr(0, 8));
  check("tokenizer", a.model.tokenizer_digest.substr(0, 8), b.model.tokenizer_digest.substr(0, 8));
  check("numerics", a.identity.numerics, b.identity.numerics);
  check("kernel profile", a.identity.kernel_profile, b.identity.kernel_profile);
  check("variant", e.a.identity.variant, e.b.identity.variant);
  check("shots", std::to_string(e.a.identity.shots), std::to_string(e.b.identity.shots));
  check("context limit", std::to_string(e.a.identity.max_length),
        std::to_string(e.b.identity.max_length));
  check("token boundary", e.a.identity.boundary_policy, e.b.identity.boundary_policy);
  check("sandbox level", e.a.identity.sandbox_level, e.b.identity.sandbox_level);
  check("metric", e.metric_a, e.metric_b);
  check("headline", e.a.description.aggregation, e.b.description.aggregation);
  std::string list;
  for (const std::string& line : differ) list += (list.empty() ? "" : ", ") + line;
  e.notes.push_back(differ.empty() ? "the runs are alike in everything the store knows"
                                   : "the runs differ in " + list);
  if (a.model.weights_digest != b.model.weights_digest)
    e.notes.push_back(
        "two checkpoints: what numerics and kernels add cannot be told from their difference");
  else if (a.identity.kernel_profile != b.identity.kernel_profile &&
           a.identity.numerics != b.identity.numerics)
    e.notes.push_back("numerics and kernels differ at once; the store cannot tell them apart");
  if (e.a.identity.boundary_policy != e.b.identity.boundary_policy &&
      e.a.description.kind == "generate")
    e.notes.push_back("where a prompt ends in another token, its generation differs: the store holds "
                      "no prompt tokens, so that effect is part of \"numerics\"");
  e.notes.push_back("where prompts differ, the outputs differ too: what the same model would have "
                    "answered to the other prompt is not in the store");
}

}  // namespace

Explanation explain(const Store& store, const RunSummary& a, const RunSummary& b,
                    const std::string& task) {
  Explanation e;
  const size_t comma = task.find(',');
  const std::string task_a = task.substr(0, comma);
  const std::string task_b = comma == std::string::npos ? task : task.substr(comma + 1);
  e.a = find_evaluation(store, a, task_a);
  e.b = find_evaluation(store, b, task_b);
  if (e.a.id == e.b.id) throw_usage("an evaluation compared with itself");
  e.metric_a = e.a.description.primary_metric;
  e.metric_b = e.b.description.primary_metric;
  e.value_a = e.a.headline->value;
  e.value_b = e.b.headline->value;
  // Both sides under B's metric where A's documents have it: what that changes in A is the effect of
  // the normalisation (or of another metric), without any other.
  std::vector<ItemValue> in_a = item_values(store, e.a, e.metric_a);
  const std::vector<ItemValue> in_b = item_values(store, e.b, e.metric_b);
  struct Side {
    double mean = 0, weight = 0;
  };
  const auto micro = [](const std::vector<ItemValue>& items) {
    Side side;
    double sum = 0;
    for (const ItemValue& item : items) {
      if (!item.value) continue;
      sum += item.weight * *item.value;
      side.weight += item.weight;
    }
    side.mean = side.weight > 0 ? sum / side.weight : 0;
    return side;
  };
  ExplainPart normalisation{"normalisation", 0, 0, 0};
  const double first_mean = micro(in_a).mean;
  if (e.metric_a != e.metric_b) {
    const std::vector<std::string> names = metric_names(store, e.a.id);
    if (std::find(names.begin(), names.end(), e.metric_b) != names.end()) {
      std::vector<ItemValue> again = item_values(store, e.a, e.metric_b);
      for (size_t i = 0; i < again.size(); ++i) normalisation.changed += again[i].value != in_a[i].value;
      normalisation.documents = static_cast<int64_t>(again.size());
      in_a = std::move(again);
      normalisation.contribution = micro(in_a).mean - first_mean;
    } else {
      e.notes.push_back("A has no " + e.metric_b + " of its documents, B no " + e.metric_a +
                        ": what the metric changes is part of the other lines");
    }
  }
  const Side all_a = micro(in_a), all_b = micro(in_b);

  // Pairs that both judged, and the means over them.
  std::map<std::string, const ItemValue*> by_id;
  for (const ItemValue& item : in_b) by_id[item.item_id] = &item;
  std::vector<std::pair<const ItemValue*, const ItemValue*>> pairs;
  for (const ItemValue& item : in_a) {
    const auto other = by_id.find(item.item_id);
    if (other != by_id.end() && other->second->content_hash == item.content_hash && item.value &&
        other->second->value)
      pairs.push_back({&item, other->second});
  }
  double weight = 0, common_a = 0, common_b = 0;
  for (const auto& [x, y] : pairs) {
    weight += x->weight;
    common_a += x->weight * *x->value;
    common_b += x->weight * *y->value;
  }
  std::vector<ExplainPart> parts(kStages);
  for (size_t s = 0; s < kStages; ++s) parts[s].stage = kStageNames[s];
  const bool two = a.model.weights_digest != b.model.weights_digest;
  if (two) parts[numerics].stage = "checkpoint";
  if (weight > 0) {
    common_a /= weight;
    common_b /= weight;
    for (const auto& [x, y] : pairs) {
      const Stage stage = stage_of(store, e, x->position, y->position);
      ExplainPart& part = parts[stage == judging && *x->value == *y->value ? equal : stage];
      ++part.documents;
      if (*x->value != *y->value) ++part.changed;
      part.contribution += x->weight * (*y->value - *x->value) / weight;
    }
  }
  ExplainPart& lone = parts[documents];
  lone.documents = static_cast<int64_t>(in_a.size() + in_b.size() - 2 * pairs.size());
  lone.contribution = weight > 0 ? (all_b.mean - common_b) - (all_a.mean - common_a)
                                 : all_b.mean - all_a.mean;
  ExplainPart aggregation{"aggregation", 0, 0,
                          (e.value_b - all_b.mean) - (e.value_a - first_mean)};
  if (normalisation.documents > 0) e.parts.push_back(normalisation);
  for (ExplainPart& part : parts)
    if (part.documents > 0) e.parts.push_back(part);
  if (std::fabs(aggregation.contribution) > 1e-12) e.parts.push_back(aggregation);
  add_notes(a, b, e);
  return e;
}

Table explanation_table(const Explanation& e) {
  Table table;
  const std::string& unit = e.b.description.unit;
  table.title = evaluation_name(e.a) + ": " + score_text(e.value_a, e.a.description.unit) + " to " +
                score_text(e.value_b, unit) + ", a gap of " +
                difference_text(e.value_b - e.value_a, unit);
  table.columns = {{"the runs part at", Align::left}, {"documents"}, {"changed"}, {"of the gap"}};
  for (const ExplainPart& part : e.parts)
    table.rows.push_back({"",
                          {{part.stage},
                           {part.documents > 0 ? std::to_string(part.documents) : ""},
                           {part.documents > 0 ? std::to_string(part.changed) : ""},
                           {difference_text(part.contribution, unit)}}});
  table.rows.push_back({"", {{"sum", true}, {""}, {""},
                             {difference_text(e.value_b - e.value_a, unit), true}}});
  for (const std::string& note : e.notes) table.notes.push_back(note + ".");
  return table;
}

std::string explanation_json(const Explanation& e) {
  json::Writer out;
  out.begin_object().member("task", e.a.identity.task);
  out.member("a", e.value_a).member("b", e.value_b).member("gap", e.value_b - e.value_a);
  out.key("parts").begin_array();
  for (const ExplainPart& part : e.parts)
    out.begin_object().member("stage", part.stage).member("documents", part.documents)
        .member("changed", part.changed).member("contribution", part.contribution).end_object();
  out.end_array().key("notes").begin_array();
  for (const std::string& note : e.notes) out.value(note);
  return out.end_array().end_object().take();
}

}  // namespace assay::results

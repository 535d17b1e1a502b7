#include "harness/evaluation/task_record.h"

#include "base/digest.h"
#include "base/json.h"

namespace assay::harness {

namespace {

std::string data_digest(const tasks::Task& task) {
  Sha256 sha;
  for (const auto& source : task.sources()) {
    sha.update_field(source.path.filename().string()).update_field(source.sha256);
  }
  return sha.finish_hex();
}

// Generations a document.
int samples_of(const tasks::Task& task) {
  if (task.kind() != tasks::RequestKind::generate || task.size() == 0) return 1;
  return task.prompt(0).generation.samples;
}

}  // namespace

results::EvaluationIdentity evaluation_identity(const tasks::Task& task, const IdentityOptions& options) {
  const tasks::RunPolicy policy{.boundary = options.boundary, .bos = "tokenizer"};
  results::EvaluationIdentity identity;
  identity.task = task.name();
  identity.variant = task.variant();
  identity.shots = task.shots();
  identity.task_digest = task.digest(policy);
  identity.data_digest = data_digest(task);
  identity.limit = options.limit;
  identity.max_length = task.max_len();
  identity.boundary_policy = options.boundary;
  if (task.executes()) identity.sandbox_level = options.sandbox_level;
  identity.samples = samples_of(task);
  json::Writer settings;
  settings.begin_object()
      .member("identity", task.identity(policy))
      .member("limit_first", options.limit_first)
      .member("gold_answers", options.gold_answers)
      .member("scorer_version", tasks::Task::scorer_version());
  // Named only where it changes something: other evaluations stay comparable.
  if (options.token_healing && task.kind() == tasks::RequestKind::generate) {
    settings.member("token_healing", true);
  }
  if (!task.group().empty()) settings.member("group", task.group());
  if (!task.corpus().empty()) settings.member("corpus", task.corpus());
  identity.settings = settings.end_object().take();
  return identity;
}

results::EvaluationDescription describe(const tasks::Task& task) {
  const tasks::TaskInfo& info = task.info();
  results::EvaluationDescription out;
  out.title = info.title;
  out.category = info.section;
  out.kind = tasks::request_kind_name(task.kind());
  const tasks::AggregationRule& rule = task.aggregation();
  out.primary_metric = rule.metric;
  out.higher_is_better = !rule.lower_is_better;
  out.unit = rule.percent ? "percent" : "bpb";
  out.aggregation = rule.headline;
  out.documents = static_cast<int64_t>(task.size());
  out.population = static_cast<int64_t>(task.total());
  for (const tasks::VariantInfo& variant : info.variants) {
    if (variant.name != task.variant()) continue;
    for (const auto& text : variant.card.published) out.deviations.push_back("published: " + text);
    for (const auto& text : variant.card.inferred) out.deviations.push_back("inferred: " + text);
    for (const auto& text : variant.card.defaults) out.deviations.push_back("default: " + text);
  }
  return out;
}

// The task's averages over the evaluated documents, for the store to compute with intervals.
std::vector<results::AggregateRule> aggregate_rules(const tasks::Task& task) {
  std::vector<tasks::ItemKey> keys;
  for (size_t i = 0; i < task.size(); ++i) keys.push_back(task.item_key(i));
  std::vector<results::AggregateRule> rules;
  for (const tasks::Aggregate& aggregate : task.aggregation().aggregates(keys)) {
    results::AggregateRule& rule = rules.emplace_back();
    rule.name = aggregate.name;
    for (const auto& stratum : aggregate.strata) {
      rule.strata.emplace_back(stratum.begin(), stratum.end());
    }
  }
  return rules;
}

}  // namespace assay::harness

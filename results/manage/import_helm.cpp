// Runs of HELM: runs/SUITE/SCENARIO:...,model=MODEL/display_predictions.json, an array with one
// object a prediction (instance_id, train_trial_index, perturbation, predicted_text, mapped_output,
// stats), and beside it instances.json (inputs and references) and display_requests.json (prompts),
// both as `helm-summarize` leaves them. Perturbed copies of documents are left out: they are
// robustness tests.
#include <algorithm>
#include <optional>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "results/manage/import_logs.h"

namespace assay::results::detail {
namespace {

bool is_log(const std::filesystem::path& path) {
  return path.filename() == "display_predictions.json";
}

// "mmlu:subject=anatomy,model=openai_gpt2" -> "mmlu:subject=anatomy": runs of two models are one
// task.
std::string task_of(const std::filesystem::path& path) {
  const std::string run = path.parent_path().filename().string();
  const size_t colon = run.find(':');
  std::string task = run.substr(0, colon), arguments;
  for (size_t at = colon; at != std::string::npos && at < run.size();) {
    const size_t end = run.find(',', at + 1);
    const std::string argument = run.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    if (!argument.starts_with("model=") && !argument.starts_with("model_deployment="))
      arguments += (arguments.empty() ? ":" : ",") + argument;
    at = end;
  }
  return task + arguments;
}

// The accuracies that HELM's schemas call main metrics, most common ones first.
constexpr std::string_view kMain[] = {"exact_match",
                                      "quasi_exact_match",
                                      "prefix_exact_match",
                                      "quasi_prefix_exact_match",
                                      "final_number_exact_match",
                                      "math_equiv_chain_of_thought",
                                      "math_equiv",
                                      "chain_of_thought_correctness",
                                      "ifeval_strict_accuracy",
                                      "f1_score",
                                      "rouge_l",
                                      "bleu_4"};

struct Beside {
  std::map<std::string, json::Value> instances, prompts;  // by id; prompts by id and trial
};

std::string key_of(json::Value value) {
  return std::string(value.at("instance_id").string()) + "#" +
         std::to_string(value.integer_or("train_trial_index", 0));
}
bool perturbed(json::Value value) {
  const json::Value p = value.find("perturbation");
  return p.exists() && !p.is_null();
}

std::string gold_of(json::Value instance) {
  std::string gold;
  if (const json::Value references = instance.find("references"); references.exists())
    references.for_each_element([&](json::Value reference) {
      const std::vector<std::string> tags = reference.at("tags").strings();
      if (gold.empty() && std::find(tags.begin(), tags.end(), "correct") != tags.end())
        gold = reference.at("output").string_or("text", "");
    });
  return gold;
}

void read_prediction(json::Value line, const Beside& beside, ImportedSample& sample) {
  const std::string id(line.at("instance_id").string());
  DocumentRecord& document = sample.item.document;
  document.content_hash = sha256_hex(id);
  if (const auto at = beside.instances.find(id); at != beside.instances.end()) {
    document.gold = gold_of(at->second);
    document.content_hash =
        sha256_hex(at->second.at("input").string_or("text", "") + "\n" + document.gold);
  }
  if (const auto at = beside.prompts.find(key_of(line)); at != beside.prompts.end())
    sample.item.context = at->second.at("request").string_or("prompt", "");
  GenerationRecord generation;
  generation.text = line.string_or("predicted_text", "");
  generation.extracted = line.string_or("mapped_output", generation.text);
  generation.finish = "stop";
  sample.grade.predicted = generation.extracted;
  sample.generations.push_back(std::move(generation));
  line.at("stats").for_each_member([&](std::string_view name, json::Value value) {
    // Counts of tokens and times are no scores.
    for (const std::string_view head :
         {"num_", "prompt_", "inference_", "training_", "finish_reason_", "max_"})
      if (name.starts_with(head)) return;
    if (value.is_number()) sample.grade.metrics.push_back({std::string(name), value.number(), 1});
  });
}

ImportedTask read_log(const std::filesystem::path& path) {
  ImportedTask task;
  task.name = task_of(path);
  Beside beside;
  std::optional<json::Document> instances, requests;
  const auto load = [&](const char* name, std::optional<json::Document>& document, auto add) {
    const std::filesystem::path file = path.parent_path() / name;
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) return;
    document = json::Document::load(file);
    document->root().for_each_element([&](json::Value value) {
      if (!perturbed(value)) add(value);
    });
  };
  load("instances.json", instances,
       [&](json::Value v) { beside.instances[std::string(v.at("id").string())] = v; });
  load("display_requests.json", requests, [&](json::Value v) { beside.prompts[key_of(v)] = v; });

  const json::Document log = json::Document::load(path);
  std::map<std::string, bool> seen;
  log.root().for_each_element([&](json::Value line) {
    if (perturbed(line)) return;
    const std::string key = key_of(line);
    if (!seen.emplace(key, true).second) line.fail("prediction " + key + " is there twice");
    ImportedSample& sample = task.samples[static_cast<int64_t>(task.samples.size())];
    sample.item.document.item_id = "helm:" + task.name + ":" + key;
    read_prediction(line, beside, sample);
  });
  const auto has = [&](std::string_view name) {
    return std::any_of(task.samples.begin(), task.samples.end(), [&](const auto& entry) {
      const auto& metrics = entry.second.grade.metrics;
      return std::any_of(metrics.begin(), metrics.end(),
                         [&](const auto& m) { return m.metric == name; });
    });
  };
  for (const std::string_view name : kMain)
    if (task.primary.empty() && has(name)) task.primary = std::string(name);
  return task;
}

}  // namespace

const LogLayout kHelmLayout{
    "helm", "HELM",  "runs/SUITE/RUN/display_predictions.json", "numerics and log-probabilities",
    is_log, read_log};

}  // namespace assay::results::detail

// Sample logs of lm-evaluation-harness 0.4 (`--log_samples`): one JSON object a line and document, or
// one a document and filter.
#include <algorithm>
#include <map>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "results/manage.h"

namespace assay::results {
namespace {

// "samples_hellaswag_2025-01-31T12-00-00.000000.jsonl" -> "hellaswag"
std::string task_of(const std::filesystem::path& path) {
  std::string name = path.filename().string();
  constexpr std::string_view kHead = "samples_";
  if (!name.starts_with(kHead))
    throw_bad_input("not a sample log", path.string(), "they are called samples_TASK_DATE.jsonl");
  name.erase(0, kHead.size());
  for (const std::string_view end : {".gz", ".jsonl"})
    if (name.ends_with(end)) name.erase(name.size() - end.size());
  // The date follows the last underscore and begins with a year.
  const size_t at = name.rfind('_');
  if (at != std::string::npos && name.size() > at + 5 && name[at + 1] == '2' && name[at + 5] == '-')
    name.erase(at);
  return name;
}

// Numbers are written as numbers or, by newer versions, as strings.
double number_of(json::Value value) {
  if (!value.is_string()) return value.number();
  const std::string text(value.string());
  try {
    size_t used = 0;
    const double number = std::stod(text, &used);
    if (used == text.size()) return number;
  } catch (const std::exception&) {
  }
  value.fail("\"" + text + "\" is not a number");
}

bool truth_of(json::Value value) {
  return value.is_boolean() ? value.boolean() : value.is_string() && value.string() == "True";
}

struct Argument {
  std::string context, continuation;
  bool generate = false;
};

// [[context, continuation], ...] or {"gen_args_0": {"arg_0": ..., "arg_1": ...}, ...}
std::vector<Argument> arguments_of(json::Value value) {
  std::vector<Argument> all;
  const auto add = [&](json::Value context, json::Value second) {
    Argument argument;
    argument.context = std::string(context.string());
    argument.generate = !second.exists() || !second.is_string();
    if (!argument.generate) argument.continuation = std::string(second.string());
    all.push_back(std::move(argument));
  };
  if (value.is_array()) {
    value.for_each_element([&](json::Value pair) {
      add(pair[0], pair.size() > 1 ? pair[1] : json::Value());
    });
  } else {
    for (size_t i = 0; value.has("gen_args_" + std::to_string(i)); ++i) {
      const json::Value pair = value.at("gen_args_" + std::to_string(i));
      add(pair.at("arg_0"), pair.find("arg_1"));
    }
  }
  return all;
}

struct Sample {
  ItemRecord item;
  std::vector<OptionRecord> options;
  std::vector<GenerationRecord> generations;
  GradeRecord grade;
};

void read_outputs(json::Value line, Sample& sample) {
  const std::vector<Argument> arguments = arguments_of(line.at("arguments"));
  const json::Value responses = line.at("resps");
  if (arguments.empty()) line.fail("no arguments");
  const bool shared = std::all_of(arguments.begin(), arguments.end(), [&](const Argument& a) {
    return a.context == arguments[0].context;
  });
  if (shared) sample.item.context = arguments[0].context;
  for (size_t i = 0; i < arguments.size() && i < responses.size(); ++i) {
    const json::Value answers = responses[i];
    if (arguments[i].generate) {
      for (size_t k = 0; k < answers.size(); ++k) {
        GenerationRecord generation;
        generation.position = sample.item.position;
        generation.sample = static_cast<int>(sample.generations.size());
        // Rolling log-likelihoods are numbers; only texts are generations.
        if (!answers[k].is_string()) return;
        generation.text = std::string(answers[k].string());
        generation.finish = "stop";
        sample.generations.push_back(std::move(generation));
      }
      continue;
    }
    OptionRecord option;
    option.position = sample.item.position;
    option.option = static_cast<int>(i);
    option.continuation = arguments[i].continuation;
    if (!shared) option.context = arguments[i].context;
    // [log-likelihood, greedy], sometimes inside a further list
    json::Value answer = answers;
    while (answer.is_array() && answer.size() > 0 && answer[0].is_array()) answer = answer[0];
    option.logprob = number_of(answer[0]);
    option.greedy = answer.size() > 1 && truth_of(answer[1]);
    const std::string_view text = utf8::strip_left(option.continuation);
    option.bytes = static_cast<int64_t>(text.size());
    option.characters = static_cast<int64_t>(utf8::length(text));
    sample.options.push_back(std::move(option));
  }
}

void read_metrics(json::Value line, Sample& sample) {
  const std::string filter = line.string_or("filter", "none");
  const auto add = [&](const std::string& name, json::Value value) {
    if (!value.exists() || (!value.is_number() && !value.is_boolean())) return;
    const double number = value.is_boolean() ? (value.boolean() ? 1 : 0) : value.number();
    sample.grade.metrics.push_back({filter == "none" ? name : name + "," + filter, number, 1});
  };
  if (const json::Value names = line.find("metrics"); names.exists() && names.is_array()) {
    for (const std::string& name : names.strings()) add(name, line.find(name));
  } else {
    for (const char* name : {"acc", "acc_norm", "exact_match", "f1", "em", "pass@1"})
      add(name, line.find(name));
  }
}

std::string primary_of(const std::map<int64_t, Sample>& samples, const std::string& where) {
  std::vector<std::string> names;
  for (const auto& [id, sample] : samples)
    for (const MetricValue& metric : sample.grade.metrics) names.push_back(metric.metric);
  if (names.empty()) throw_bad_input("no document has a numeric metric", where);
  std::sort(names.begin(), names.end());
  for (const std::string_view wanted : {"acc", "exact_match", "pass@1", "em", "f1"})
    for (const std::string& name : names)
      if (name == wanted || name.starts_with(std::string(wanted) + ",")) return name;
  return names.front();
}

int64_t import_file(Store& target, RunId run, const std::filesystem::path& path) {
  const std::string task = task_of(path);
  std::map<int64_t, Sample> samples;  // by doc_id
  bool generate = false;
  json::for_each_line(read_file(path), path.string(), [&](json::Value line, size_t) {
    const int64_t id = line.at("doc_id").integer();
    Sample& sample = samples[id];
    if (sample.item.document.item_id.empty()) {
      sample.item.document.item_id = "lmeval:" + task + ":" + std::to_string(id);
      sample.item.document.content_hash =
          line.has("doc_hash") ? std::string(line.at("doc_hash").string())
                               : sha256_hex(line.at("doc").dump(true));
      const json::Value gold = line.find("target");
      if (gold.exists())
        sample.item.document.gold = gold.is_string() ? std::string(gold.string()) : gold.dump();
      read_outputs(line, sample);
      generate = generate || !sample.generations.empty();
    }
    read_metrics(line, sample);
  });
  if (samples.empty()) throw_bad_input("the log is empty", path.string());

  EvaluationIdentity identity;
  identity.task = "lmeval:" + task;
  identity.variant = "lmeval";
  EvaluationDescription description;
  description.title = task;
  description.category = "Imported";
  description.kind = generate ? "generate" : "choice";
  description.primary_metric = primary_of(samples, path.string());
  description.documents = static_cast<int64_t>(samples.size());
  description.deviations = {"Imported from a sample log of lm-evaluation-harness: numerics, shots "
                            "and tokens are not in it."};
  // What was asked identifies the task as far as a log can: the set of documents.
  Sha256 hash;
  for (const auto& [id, sample] : samples)
    hash.update_field(sample.item.document.item_id).update_field(sample.item.document.content_hash);
  identity.data_digest = hash.finish_hex();
  const EvaluationId evaluation = target.begin_evaluation(run, identity, description);
  int64_t position = 0;
  for (auto& [id, sample] : samples) {
    sample.item.position = sample.grade.position = position;
    target.put_item(evaluation, sample.item);
    for (OptionRecord& option : sample.options) {
      option.position = position;
      target.put_option(evaluation, option);
    }
    for (GenerationRecord& generation : sample.generations) {
      generation.position = position;
      target.put_generation(evaluation, generation);
    }
    target.put_grade(evaluation, sample.grade);
    ++position;
  }
  target.finish_evaluation(evaluation);
  return position;
}

}  // namespace

ImportReport import_lmeval(Store& target, const std::filesystem::path& path,
                           const std::string& label) {
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(path)) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
      if (entry.path().filename().string().starts_with("samples_")) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  if (files.empty())
    throw_bad_input("no sample logs (samples_TASK_DATE.jsonl) below it", path.string(),
                    "lm-evaluation-harness writes them with --log_samples");
  for (const auto& file : files) task_of(file);  // a wrong name is found before anything is written
  ModelRecord model;
  model.name = label;
  model.architecture = "imported";
  RunIdentity identity;
  identity.label = label;
  identity.numerics = "unknown";
  identity.kernel_profile = "lm-evaluation-harness";
  identity.engine_version = "unknown";
  const RunId run = target.begin_run(target.put_model(model), identity,
                                     {"assay import " + path.string(), "{}"});
  ImportReport report;
  for (const auto& file : files) {
    report.documents += import_file(target, run, file);
    report.tasks.push_back(task_of(file));
    ++report.files;
  }
  target.finish_run(run);
  return report;
}

}  // namespace assay::results

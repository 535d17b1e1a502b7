// Sample logs of lm-evaluation-harness 0.4 (`--log_samples`): one JSON object a line and document, or
// one a document and filter.
#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "results/manage/import_logs.h"

namespace assay::results::detail {
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

void read_outputs(json::Value line, ImportedSample& sample) {
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

void read_metrics(json::Value line, ImportedSample& sample) {
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

bool is_log(const std::filesystem::path& path) {
  return path.filename().string().starts_with("samples_");
}

ImportedTask read_log(const std::filesystem::path& path) {
  ImportedTask task;
  task.name = task_of(path);
  json::for_each_line(read_file(path), path.string(), [&](json::Value line, size_t) {
    const int64_t id = line.at("doc_id").integer();
    ImportedSample& sample = task.samples[id];
    DocumentRecord& document = sample.item.document;
    if (document.item_id.empty()) {
      document.item_id = "lmeval:" + task.name + ":" + std::to_string(id);
      document.content_hash = line.has("doc_hash") ? std::string(line.at("doc_hash").string())
                                                   : sha256_hex(line.at("doc").dump(true));
      const json::Value gold = line.find("target");
      if (gold.exists())
        document.gold = gold.is_string() ? std::string(gold.string()) : gold.dump();
      read_outputs(line, sample);
    }
    read_metrics(line, sample);
  });
  return task;
}

}  // namespace

const LogLayout kLmEvalLayout{"lmeval", "lm-evaluation-harness",
                              "samples_TASK_DATE.jsonl (--log_samples)",
                              "numerics, shots and tokens", is_log, read_log};

}  // namespace assay::results::detail

// Predictions of OLMES (oe-eval): task-NNN-TASK-predictions.jsonl, one JSON object a line and document
// with doc_id, native_id, label, metrics (numbers by name) and model_output (a list: one entry a choice
// with sum_logits, num_tokens, num_chars, is_greedy, or one a sample with continuation).
#include <cmath>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "results/manage/import_logs.h"

namespace assay::results::detail {
namespace {

constexpr std::string_view kHead = "task-", kTail = "-predictions.jsonl";

bool is_log(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(kHead) && name.ends_with(kTail) && name.size() > kHead.size() + kTail.size();
}

// "task-003-arc_easy-predictions.jsonl" -> "arc_easy"
std::string task_of(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  std::string task = name.substr(kHead.size(), name.size() - kHead.size() - kTail.size());
  const size_t number = task.find_first_not_of("0123456789");
  if (number != std::string::npos && number > 0 && task[number] == '-') task.erase(0, number + 1);
  return task;
}

std::string text_of(json::Value value) {
  if (!value.exists() || value.is_null()) return "";
  return value.is_string() ? std::string(value.string()) : value.dump();
}

void read_output(json::Value output, ImportedSample& sample) {
  if (const json::Value logits = output.find("sum_logits"); logits.exists()) {
    OptionRecord option;
    option.option = static_cast<int>(sample.options.size());
    // The text itself is in another file (requests); its number tells the choices apart.
    option.continuation = "choice " + std::to_string(sample.options.size());
    option.logprob = logits.number();
    option.tokens = output.integer_or("num_tokens", 0);
    option.characters = output.integer_or("num_chars", 0);
    option.bytes = output.integer_or("num_bytes", option.characters);
    option.greedy = output.boolean_or("is_greedy", false);
    if (const json::Value u = output.find("sum_logits_uncond"); u.exists() && u.is_number())
      option.uncond_logprob = u.number();
    sample.options.push_back(std::move(option));
  } else if (const json::Value text = output.find("continuation"); text.exists()) {
    GenerationRecord generation;
    generation.sample = static_cast<int>(sample.generations.size());
    generation.text = text_of(text);
    generation.finish = "stop";
    sample.generations.push_back(std::move(generation));
  }
}

ImportedTask read_log(const std::filesystem::path& path) {
  ImportedTask task;
  task.name = task_of(path);
  json::for_each_line(read_file(path), path.string(), [&](json::Value line, size_t) {
    const int64_t id = line.at("doc_id").integer();
    const auto [entry, added] = task.samples.try_emplace(id);
    if (!added) line.fail("document " + std::to_string(id) + " is there twice");
    ImportedSample& sample = entry->second;
    sample.item.document.item_id = "olmes:" + task.name + ":" + std::to_string(id);
    // The log has no text of the document: its own number and label must do.
    sample.item.document.gold = text_of(line.find("label"));
    sample.item.document.content_hash =
        sha256_hex(text_of(line.find("native_id")) + "\n" + sample.item.document.gold);
    if (const json::Value outputs = line.find("model_output"); outputs.exists())
      outputs.for_each_element([&](json::Value output) { read_output(output, sample); });
    line.at("metrics").for_each_member([&](std::string_view name, json::Value value) {
      if (name.starts_with("predicted_index") || name == "correct_choice" || !value.is_number()) return;
      sample.grade.metrics.push_back({std::string(name), value.number(), 1});
    });
  });
  return task;
}

}  // namespace

const LogLayout kOlmesLayout{"olmes", "OLMES", "task-NNN-TASK-predictions.jsonl",
                             "numerics, prompts and the choices' texts", is_log, read_log};

}  // namespace assay::results::detail

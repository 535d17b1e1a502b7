// Predictions of OpenCompass: predictions/MODEL/DATASET.json, one JSON object whose members "0", "1", ...
// are documents. A perplexity task has prediction, gold and "label: X" with prompt and PPL (mean loss of
// the complete string); a generative one origin_prompt, prediction and gold. Generations carry no
// verdict there: they are compared with gold literally, as metric `literal`, which is not the score that
// OpenCompass reports.
#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "results/manage/import_logs.h"

namespace assay::results::detail {
namespace {

constexpr std::string_view kLabel = "label: ";

bool is_log(const std::filesystem::path& path) {
  return path.extension() == ".json" && path.parent_path().parent_path().filename() == "predictions";
}

// A prompt is a text or a list of {role, prompt}; a reference is a text, a number or a list.
std::string text_of(json::Value value) {
  if (!value.exists() || value.is_null()) return "";
  if (value.is_string()) return std::string(value.string());
  if (!value.is_array()) return value.dump();
  std::string text;
  value.for_each_element([&](json::Value part) {
    const bool turn = part.is_object() && part.has("prompt");
    text += (text.empty() ? "" : "\n") + text_of(turn ? part.at("prompt") : part);
  });
  return text;
}

bool literally_right(const std::string& prediction, json::Value gold) {
  const auto same = [&](json::Value reference) {
    return utf8::strip(prediction) == utf8::strip(text_of(reference));
  };
  if (!gold.is_array()) return same(gold);
  bool any = false;
  gold.for_each_element([&](json::Value reference) { any = any || same(reference); });
  return any;
}

void read_perplexity(json::Value document, ImportedSample& sample) {
  document.for_each_member([&](std::string_view name, json::Value label) {
    if (!name.starts_with(kLabel)) return;
    OptionRecord option;
    option.option = static_cast<int>(sample.options.size());
    option.continuation = text_of(label.at("prompt"));
    option.whole_loss = label.at("PPL").number();
    sample.options.push_back(std::move(option));
  });
  const std::string prediction = text_of(document.at("prediction"));
  sample.grade.predicted = prediction;
  sample.grade.metrics = {{"acc", prediction == sample.item.document.gold ? 1.0 : 0.0, 1}};
}

void read_generation(json::Value document, ImportedSample& sample) {
  sample.item.context = text_of(document.find("origin_prompt"));
  GenerationRecord generation;
  generation.text = text_of(document.at("prediction"));
  generation.finish = "stop";
  sample.grade.predicted = generation.text;
  const bool right = literally_right(generation.text, document.at("gold"));
  sample.grade.metrics = {{"literal", right ? 1.0 : 0.0, 1}};
  sample.generations.push_back(std::move(generation));
}

ImportedTask read_log(const std::filesystem::path& path) {
  ImportedTask task;
  task.name = path.stem().string();
  const json::Document log = json::Document::load(path);
  log.root().for_each_member([&](std::string_view key, json::Value document) {
    if (key.empty() || key.find_first_not_of("0123456789") != std::string_view::npos)
      document.fail("documents are numbered \"0\", \"1\", ...");
    const int64_t id = std::stoll(std::string(key));
    ImportedSample& sample = task.samples[id];
    sample.item.document.item_id = "opencompass:" + task.name + ":" + std::string(key);
    bool perplexity = false;
    document.for_each_member(
        [&](std::string_view name, json::Value) { perplexity |= name.starts_with(kLabel); });
    if (!document.has("gold"))
      document.fail("no reference answer (gold), so that nothing can be judged");
    sample.item.document.gold = text_of(document.at("gold"));
    if (perplexity) read_perplexity(document, sample);
    else read_generation(document, sample);
    // What was asked, without the exemplars of the prompt, is not in the file.
    sample.item.document.content_hash = sha256_hex(std::string(key) + "\n" + sample.item.document.gold);
  });
  return task;
}

}  // namespace

const LogLayout kOpenCompassLayout{"opencompass", "OpenCompass", "predictions/MODEL/DATASET.json",
                                   "numerics, shots, tokens and (of generations) verdicts", is_log,
                                   read_log};

}  // namespace assay::results::detail

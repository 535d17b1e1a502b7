// Every request that lm-eval 0.4.13 was seen to build, against the `lmeval` variants: contexts by
// digest, continuations, gold, and through them the exemplars it drew.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "tasks/task.h"
#include "tests/support/paths.h"
#include "tests/tasks/shared_data.h"

namespace assay::tasks {
namespace {

struct Recorded {
  std::string task, variant, group;
};

// The task and variant that stand for an lm-eval task name; nullopt for those not built yet.
std::optional<Recorded> counterpart(const std::string& name) {
  auto rest = [&](std::string_view prefix) { return name.substr(prefix.size()); };
  auto math_type = [](const std::string& type) -> std::string {
    static const std::map<std::string, std::string> kTypes{
        {"algebra", "Algebra"},          {"counting_and_prob", "Counting & Probability"},
        {"geometry", "Geometry"},        {"intermediate_algebra", "Intermediate Algebra"},
        {"num_theory", "Number Theory"}, {"prealgebra", "Prealgebra"},
        {"precalc", "Precalculus"}};
    return kTypes.at(type);
  };
  if (name.starts_with("mmlu_redux_")) {
    std::string group = rest("mmlu_redux_");
    group.resize(group.size() - std::string_view("_generative").size());
    return Recorded{"mmlu_redux", "lmeval", group};
  }
  if (name.starts_with("mmlu_pro_")) {
    std::string group = rest("mmlu_pro_");
    std::replace(group.begin(), group.end(), '_', ' ');
    return Recorded{"mmlu_pro", "lmeval", group};
  }
  if (name.starts_with("bbh_cot_fewshot_")) {
    return Recorded{"bbh", "lmeval", rest("bbh_cot_fewshot_")};
  }
  if (name.starts_with("minerva_math_")) {
    return Recorded{"math", "lmeval", math_type(rest("minerva_math_"))};
  }
  if (name.starts_with("hendrycks_math_")) {
    std::string type = math_type(rest("hendrycks_math_"));
    // The recording drew from the test rows where the train part has none of the type.
    bool train = type == "Prealgebra" || type == "Geometry" || type == "Intermediate Algebra" ||
                 type == "Precalculus";
    return Recorded{train ? "math" : "math_sample", "lmeval_hendrycks", type};
  }
  if (name.starts_with("mgsm_native_cot_"))
    return Recorded{"mgsm", "lmeval", rest("mgsm_native_cot_")};
  if (name.starts_with("mgsm_direct_"))
    return Recorded{"mgsm", "lmeval_direct", rest("mgsm_direct_")};
  if (name.starts_with("mgsm_en_cot_"))
    return Recorded{"mgsm", "lmeval_en_cot", rest("mgsm_en_cot_")};
  if (name == "gsm8k_cot") return Recorded{"gsm8k", "lmeval_cot", ""};
  if (name == "mbpp") return Recorded{"mbpp", "lmeval", ""};
  if (name == "cruxeval_input") return Recorded{"cruxeval_i", "lmeval", ""};
  if (name == "cruxeval_output") return Recorded{"cruxeval_o", "lmeval", ""};
  if (name.starts_with("mmlu_") && name.ends_with("_continuation")) {
    std::string group = rest("mmlu_");
    group.resize(group.size() - std::string_view("_continuation").size());
    return Recorded{"mmlu", "lmeval_cloze", group};
  }
  if (name.starts_with("mmlu_")) return Recorded{"mmlu", "lmeval", rest("mmlu_")};
  if (name.starts_with("ceval-valid_")) return Recorded{"ceval", "lmeval", rest("ceval-valid_")};
  if (name.starts_with("cmmlu_")) return Recorded{"cmmlu", "lmeval", rest("cmmlu_")};
  if (name == "hellaswag") return Recorded{"hellaswag_sample", "lmeval", ""};
  if (name == "gsm8k" || name == "humaneval") return Recorded{name, "lmeval", ""};
  if (name.starts_with("arc_") || name == "piqa" || name == "triviaqa") {
    return Recorded{name, "lmeval", ""};
  }
  if (name == "nq_open") return Recorded{"nq", "lmeval", ""};
  if (name == "race") return Recorded{"race_high", "lmeval", ""};
  if (name == "winogrande" || name == "drop") return Recorded{name + "_sample", "lmeval", ""};
  if (name.starts_with("agieval_")) {
    std::string group = rest("agieval_");
    std::replace(group.begin(), group.end(), '_', '-');
    bool cloze = group == "math" || group == "gaokao-mathcloze";
    return Recorded{"agieval", cloze ? "lmeval_cloze" : "lmeval", group};
  }
  return std::nullopt;
}

// The recorded runs scored parts of a data set or drew exemplars from other files than the official
// ones; each is a task of its own that extends the built-in one.
constexpr const char* kSamples[] = {
    R"({"task": "hellaswag_sample", "extends": "hellaswag",
        "data": {"splits": {
          "val": {"files": "hellaswag/hellaswag_val.sample1000.jsonl", "where": {"@index": [0, 799]}, "rows": 800},
          "train": {"files": "hellaswag/hellaswag_val.sample1000.jsonl", "where": {"@index": [800, 999]}, "rows": 200}}}})",
    R"({"task": "winogrande_sample", "extends": "winogrande",
        "variants": {"lmeval": {"shots": {"from": "train_m"}}}})",
    R"({"task": "drop_sample", "extends": "drop",
        "variants": {"lmeval": {"split": "contrast", "shots": {"from": "train_sample"}}},
        "data": {"splits": {"train_sample": {
          "files": ["drop/drop_train.sample.json", "drop/drop_dataset_dev.sample.json"]}}}})",
    R"({"task": "math_sample", "extends": "math",
        "variants": {"lmeval_hendrycks": {"shots": {"from": "test"}}}})",
};

class LmEvalRequests : public testing::Test {
 protected:
  void SetUp() override {
    file_ = test_paths::shared() / "reference/lmeval/prompts.jsonl.gz";
    if (!std::filesystem::exists(file_))
      GTEST_SKIP() << "recorded requests are not here: " << file_;
  }
  std::filesystem::path file_;
};

std::string text_of(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += "[" + text + "]";
  return out;
}

TEST_F(LmEvalRequests, EqualByteForByte) {
  TemporaryDirectory tasks_dir;
  for (size_t i = 0; i < std::size(kSamples); ++i) {
    write_file_atomically(tasks_dir.path() / (std::to_string(i) + ".json"), kSamples[i]);
  }
  Catalog catalog;
  catalog.add_directory(tasks_dir.path());
  std::filesystem::path root = test_paths::shared() / "datasets";

  std::map<std::string, Task> open;  // by lm-eval name and shots
  std::map<std::string, int> compared;
  std::map<std::string, int> skipped;
  std::map<std::string, int> failures;
  json::for_each_line(read_file(file_), file_.string(), [&](json::Value line, size_t) {
    std::string name(line.at("task").string());
    auto recorded = counterpart(name);
    if (!recorded) {
      ++skipped[name.substr(0, name.find('_'))];
      return;
    }
    int shots = static_cast<int>(line.at("num_fewshot").integer());
    std::string key = name + "/" + std::to_string(shots);
    auto it = open.find(key);
    if (it == open.end()) {
      Selection selection{.task = recorded->task,
                          .variant = recorded->variant,
                          .group = recorded->group,
                          .data_root = root,
                          .shots = shots};
      it = open.emplace(key, Task::open(catalog, selection)).first;
    }
    const Task& task = it->second;
    size_t doc = static_cast<size_t>(line.at("doc").integer());
    ASSERT_LT(doc, task.size()) << key;
    Prompt prompt = task.prompt(doc);
    std::string place = key + " document " + std::to_string(doc);

    std::vector<std::string> continuations, contexts = prompt.contexts;
    for (const Option& option : prompt.options) continuations.push_back(option.continuation);
    if (contexts.empty()) contexts = {prompt.context};
    std::vector<std::string> digests;
    for (const std::string& context : contexts) digests.push_back(sha256_hex(context));

    bool same = digests == line.at("sha256").strings();
    if (!same && failures[key] < 1) {
      ADD_FAILURE() << place << ": context differs\n" << contexts[0];
      if (auto theirs = line.find("contexts"); theirs.exists()) {
        ADD_FAILURE() << "recorded:\n" << theirs[0].string();
      }
    }
    if (auto theirs = line.find("continuations"); theirs.exists()) {
      if (prompt.kind == RequestKind::partial) continuations.resize(1);
      if (continuations != theirs.strings()) {
        same = false;
        if (failures[key] < 1) {
          ADD_FAILURE() << place << ": " << text_of(continuations) << " vs "
                        << text_of(theirs.strings());
        }
      }
    }
    json::Value gold = line.at("gold");
    // CRUXEval's recorded target is the literal "[ANSWER]"; its metric runs the program instead.
    if (name.starts_with("cruxeval")) gold = json::Value();
    bool gold_same = true;
    if (!gold.exists()) {
      // nothing to compare
    } else if (gold.is_integer()) {
      gold_same = prompt.gold_options == std::vector<int>{static_cast<int>(gold.integer())};
    } else if (name == "drop") {
      // lm-eval's template renders the keys of the answer record as its target.
      gold_same = gold.string() == "number,date,spans,worker_id,hit_id";
    } else if (gold.is_string()) {
      gold_same = prompt.gold_texts.size() == 1 && prompt.gold_texts[0] == gold.string();
    } else if (gold.is_array() && gold.size() > 0 && gold[0].is_string()) {
      gold_same = prompt.gold_texts == gold.strings();
    }
    if (!gold_same) {
      same = false;
      if (failures[key] < 1) {
        ADD_FAILURE() << place << ": gold " << text_of(prompt.gold_texts) << " vs " << gold.dump();
      }
    }
    if (auto kwargs = line.find("generation_kwargs"); kwargs.exists() && kwargs.has("until")) {
      EXPECT_EQ(prompt.generation.stop, kwargs.at("until").strings()) << place;
      if (kwargs.has("max_gen_toks")) {
        EXPECT_EQ(prompt.generation.max_new_tokens, kwargs.at("max_gen_toks").integer()) << place;
      }
    }
    failures[key] += same ? 0 : 1;
    ++compared[name.substr(0, name.find('_'))];
  });
  for (const auto& [family, count] : compared) {
    std::cout << "  " << family << ": " << count << " documents compared\n";
  }
  for (const auto& [family, count] : skipped) {
    std::cout << "  " << family << ": " << count << " documents without a counterpart\n";
  }
  for (const auto& [key, count] : failures) EXPECT_EQ(count, 0) << key;
}

}  // namespace
}  // namespace assay::tasks

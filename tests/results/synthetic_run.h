// An invented evaluation for tests of the store and of everything that reads it: every value is a
// pure function of its position, so that any two ways of storing it must give the same content.
#pragma once

#include <string>
#include <vector>

#include "base/digest.h"
#include "base/random.h"
#include "results/store.h"

namespace assay::results::synthetic {

struct Shape {
  std::string task = "mmlu";
  int64_t documents = 40;
  int options = 4;
  int groups = 4;         // subjects; 0: none
  double skill = 0.5;     // probability of a right answer
  uint64_t seed = 1;      // of the run's answers; documents do not depend on it
  bool clusters = false;  // documents of a group share a passage in threes
  bool generate = false;  // a generation instead of options
};

inline ModelRecord model(const std::string& name, std::optional<int64_t> step = std::nullopt) {
  ModelRecord record;
  record.name = name;
  record.architecture = "deepseek_v3";
  record.weights_digest = sha256_hex("weights " + name);
  record.config_digest = sha256_hex("config");
  record.tokenizer_digest = sha256_hex("tokenizer");
  record.parameters = 4'000'000;
  record.active_parameters = 1'500'000;
  record.training_step = step;
  if (step) record.training_tokens = *step * 4096;
  return record;
}

inline RunIdentity run_identity(const std::string& label) {
  return {label, "bf16", "cpu-avx2/bf16", "0.1.0", 0, R"({"max_len": 4096})"};
}

inline EvaluationIdentity evaluation_identity(const Shape& shape) {
  EvaluationIdentity identity;
  identity.task = shape.task;
  identity.variant = "ds";
  identity.shots = 5;
  identity.task_digest = sha256_hex("task " + shape.task);
  identity.data_digest = sha256_hex("data " + shape.task);
  return identity;
}

inline EvaluationDescription description(const Shape& shape) {
  EvaluationDescription d;
  d.title = shape.task;
  d.category = "English";
  d.kind = shape.generate ? "generate" : "choice";
  d.primary_metric = "acc";
  d.documents = shape.documents;
  d.population = shape.documents;
  return d;
}

inline ItemRecord item(const Shape& shape, int64_t i) {
  ItemRecord record;
  record.position = i;
  const std::string group =
      shape.groups > 0 ? "subject_" + std::to_string(i * shape.groups / shape.documents) : "";
  record.document.item_id =
      shape.task + ":test:" + (group.empty() ? "" : group + ":") + std::to_string(i);
  record.document.content_hash = sha256_hex(record.document.item_id);
  record.document.group = group;
  if (shape.clusters) record.document.cluster = group + "/" + std::to_string(i / 3);
  record.document.gold = std::string(1, static_cast<char>('A' + i % shape.options));
  std::string shots;
  for (int k = 0; k < 5; ++k)
    shots += "Exemplar " + std::to_string(k) + " of " + group +
             ", long enough to be worth sharing between the questions that follow it.\n\n";
  record.context = shots + "Question " + std::to_string(i) + "?\nAnswer:";
  record.shots_used = 5;
  return record;
}

inline bool right(const Shape& shape, int64_t i) {
  return Random(shape.seed, static_cast<uint64_t>(i)).uniform() < shape.skill;
}

inline OptionRecord option(const Shape& shape, int64_t i, int k) {
  OptionRecord record;
  record.position = i;
  record.option = k;
  record.continuation = std::string(" ") + static_cast<char>('A' + k);
  const bool best = right(shape, i) ? k == i % shape.options : k == (i + 1) % shape.options;
  record.logprob = best ? -0.5 : -2.0 - 0.125 * k;
  record.tokens = 1;
  record.bytes = record.characters = 1;
  record.greedy = best;
  return record;
}

inline GenerationRecord generation(const Shape& shape, int64_t i) {
  GenerationRecord record;
  record.position = i;
  record.text = "The answer is " + std::to_string(right(shape, i) ? i : i + 1) + ".";
  for (int t = 0; t < 6; ++t) record.tokens.push_back(static_cast<int32_t>(100 + i + t));
  record.finish = "stop";
  record.logprob = -3.25;
  record.extracted = std::to_string(right(shape, i) ? i : i + 1);
  return record;
}

inline GradeRecord grade(const Shape& shape, int64_t i) {
  GradeRecord record;
  record.position = i;
  const bool r = right(shape, i);
  record.metrics = {{"acc", r ? 1.0 : 0.0, 1}, {"p_correct", r ? 0.75 : 0.125, 1}};
  record.predicted = std::string(1, static_cast<char>('A' + (r ? i : i + 1) % shape.options));
  return record;
}

inline ExpertLoadRecord load(int64_t i) {
  ExpertLoadRecord record;
  record.layer = 1;
  record.tokens = {static_cast<uint64_t>(i % 3), 2, 0, 1};
  record.weight = {0.25 * static_cast<double>(i % 3), 0.5, 0, 0.125};
  return record;
}

struct Stored {
  RunId run{};
  EvaluationId evaluation{};
};

inline Stored begin(Store& store, const Shape& shape, const std::string& label,
                    std::optional<int64_t> step = std::nullopt) {
  Stored stored;
  stored.run = store.begin_run(store.put_model(model(label, step)), run_identity(label),
                               {"assay run --tasks " + shape.task, R"({"threads": 2})"});
  stored.evaluation =
      store.begin_evaluation(stored.run, evaluation_identity(shape), description(shape));
  return stored;
}

// Stores what is missing, `batch` documents a commit, outputs first and grades one batch later, as
// the harness does.
inline void complete(Store& store, const Stored& stored, const Shape& shape, int64_t batch) {
  std::vector<ItemState> states = store.item_states(stored.evaluation);
  std::vector<char> scored(static_cast<size_t>(shape.documents), 0), graded = scored;
  for (const ItemState& state : states) {
    scored[static_cast<size_t>(state.position)] = 1;
    graded[static_cast<size_t>(state.position)] = state.graded;
  }
  for (int64_t begin = 0; begin < shape.documents; begin += batch) {
    const int64_t end = std::min(begin + batch, shape.documents);
    for (int64_t i = begin; i < end; ++i) {
      if (scored[static_cast<size_t>(i)]) continue;
      store.put_item(stored.evaluation, item(shape, i));
      if (shape.generate) {
        store.put_generation(stored.evaluation, generation(shape, i));
        store.put_execution(stored.evaluation,
                            {i, 0, 0, right(shape, i) ? "passed" : "wrong_answer", "", "full", 1.5,
                             1.0, 4096, R"({"exit": 0})"});
      } else {
        for (int k = 0; k < shape.options; ++k)
          store.put_option(stored.evaluation, option(shape, i, k));
      }
      store.add_expert_load(stored.evaluation, load(i));
    }
    store.commit();
    for (int64_t i = begin; i < end; ++i)
      if (!graded[static_cast<size_t>(i)]) store.put_grade(stored.evaluation, grade(shape, i));
    store.commit();
  }
  if (!store.is_finished(stored.evaluation)) store.finish_evaluation(stored.evaluation);
  store.finish_run(stored.run);
}

inline Stored store_run(Store& store, const Shape& shape, const std::string& label,
                        std::optional<int64_t> step = std::nullopt, int64_t batch = 100) {
  const Stored stored = begin(store, shape, label, step);
  complete(store, stored, shape, batch);
  return stored;
}

}  // namespace assay::results::synthetic

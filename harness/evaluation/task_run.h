// One task of a run in progress: its documents, the requests they need, and what has come back.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/workers.h"
#include "engine/engine.h"
#include "results/store.h"
#include "tasks/task.h"

namespace assay::harness {

// What a score request is for.
enum class Role : uint8_t {
  option,       // S of an option
  uncond,       // U of an option
  whole,        // S and L of an option from one request over all tokens
  gold_answer,  // the reference answer of a generative document
  window,       // a window of a rolling document
};

struct ScoreReference {
  int32_t task = 0;  // index of the TaskRun
  int32_t item = 0;
  int32_t option = 0;
  Role role = Role::option;
  bool boundary_merge = false;
  int32_t tail = 0;  // tokens of the continuation: the last ones of the request
};

struct GenerateReference {
  int32_t task = 0, item = 0, sample = 0;
};

struct OptionText {
  std::string continuation;
  int64_t bytes = 0, characters = 0;
};

struct Item {
  tasks::Outputs outputs;
  std::vector<OptionText> options;  // of choices; the reference answer; the rolling text's windows
  int pending = 0;                  // score requests and generations that have not come back
  int executing = 0;
  bool graded = false;
  bool shots_dropped = false;  // exemplars that did not fit the context
  bool literal_bos = false;    // a prompt begins with the begin token written out
  bool verdicts_kept = false;  // its programs' verdicts are those of an earlier execution
};

struct TaskRun {
  const tasks::Task& task;
  results::EvaluationId evaluation{};
  std::vector<Item> items;
  bool finished_before = false;  // nothing to do: the store has it all
  bool resumed = false;
  bool literal_bos = false;            // some item's
  int64_t requests = 0;
  uint64_t tokens_asked = 0, tokens_generated = 0;
  int64_t documents_done = 0, errors = 0;
  double metric_sum = 0, metric_weight = 0;  // running mean of the primary metric
  explicit TaskRun(const tasks::Task& t) : task(t) {}  // the task must outlive the run
};

// The engine requests of all tasks, with their tokens. Spans point into `tokens`, names into the tasks.
struct Workload {
  std::deque<std::vector<engine::TokenId>> tokens;
  std::vector<engine::ScoreRequest> score;
  std::vector<ScoreReference> score_references;
  std::vector<engine::GenerateRequest> generate;
  std::vector<GenerateReference> generate_references;
};

struct WorkloadPolicy {
  std::string boundary = "joint";
  int64_t context_length = 0;  // of the model, tokens
  bool gold_answers = true;
  bool token_healing = false;
  uint64_t seed = 0;
};

struct EvaluationOptions;
// What the options say, for a model of so many tokens of context.
WorkloadPolicy workload_policy(const EvaluationOptions& options, int64_t context_length);

// Renders every document of `run` (index `number` among the runs), tokenises it on `workers`, hands the
// items that `states` lacks to `keep` (may be null) a slice at a time, marks requests whose results
// `states` already has as finished, and appends the requests to `work`. Throws bad_input naming the
// document whose prompt does not fit.
void add_requests(TaskRun& run, int number, const engine::Tokenizer& tokenizer,
                  const WorkloadPolicy& policy, const Workers& workers,
                  const std::vector<results::ItemState>& states,
                  const std::function<void(std::vector<results::ItemRecord>)>& keep, Workload& work);

// Fills `run` with the complete outputs of a finished evaluation, so that its documents can be graded
// without a model; with `verdicts` those of its programs too. Throws bad_input where the documents
// are not the ones that the model was asked.
void restore_outputs(TaskRun& run, const std::vector<results::ItemState>& states, bool verdicts);

}  // namespace assay::harness

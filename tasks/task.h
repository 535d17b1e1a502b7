// One benchmark in one variant on one data root, ready to run: documents -> prompts -> grades.
//
//   Catalog catalog;
//   Task task = Task::open(catalog, {.task = "mmlu", .variant = "ds", .data_root = root});
//   Prompt prompt = task.prompt(i, count_tokens);        // for every i < task.size()
//   Grade grade = task.grade(i, outputs);                // any time later, without a model
//
// prompt(), programs() and grade() are pure: the same document gives the same result in any order
// and from any thread. Errors: usage for a wrong selection, bad_input naming file and row for data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/dataset.h"
#include "tasks/aggregate.h"
#include "tasks/catalog.h"
#include "tasks/grade.h"
#include "tasks/outputs.h"
#include "tasks/program.h"
#include "tasks/prompt.h"

namespace assay::tasks {

struct Selection {
  std::string task = {};
  std::string variant = {};  // "" = the task's default
  std::string group = {};    // one subject; "" = all
  std::filesystem::path data_root = {};
  // Instead of the data root's files: text of the user's own (datasets/corpus.h), called `corpus_name`.
  std::shared_ptr<const datasets::Split> corpus = {};
  std::string corpus_name = {};
  std::optional<int> shots = {};        // instead of the task's number
  std::optional<int64_t> max_len = {};  // tokens, instead of the task's context budget
  int64_t limit = 0;                    // most documents; 0 = all
  // Which ones: hash order over the document ids (nested, unbiased over subjects; default), or the
  // first in file order. Documents are evaluated in file order either way.
  bool limit_first = false;
  uint64_t seed = 0;  // of hash order, for exemplars and `limit`
};

// Run settings that are part of a score's identity but not of the task (task-specs 0.5).
struct RunPolicy {
  std::string boundary = "joint";  // or "split"
  std::string bos = "tokenizer";
};

class Task {
 public:
  static Task open(const Catalog& catalog, const Selection& selection);
  ~Task();
  Task(Task&&) noexcept;
  Task& operator=(Task&&) noexcept;

  const TaskInfo& info() const;
  const std::string& name() const;     // "mmlu"
  const std::string& variant() const;  // "ds"
  const std::string& split() const;    // of the scored documents
  const std::string& group() const;    // the one that was selected, "" = all
  const std::string& corpus() const;   // name of the user's own text, "" = the data root's files
  int shots() const;                   // asked for
  int64_t max_len() const;             // context budget in tokens; 0 = the model's own maximum
  int64_t stride() const;              // rolling: tokens a later window scores; 0 = a whole window
  RequestKind kind() const;
  bool executes() const;                  // programs() must be run before grade()
  std::string_view primary_norm() const;  // "sum", "token", ... for choice; "" else

  // Scored documents in file order, after filters and `limit`; total() before `limit`.
  size_t size() const;
  size_t total() const;
  const datasets::Document& document(size_t i) const;
  // Index within the group's file order of the scored split, as lm-eval and show-prompt count it.
  int64_t doc_number(size_t i) const;
  ItemKey item_key(size_t i) const;
  std::vector<std::string> groups() const;  // of the scored documents, in order

  // The request of document i. With a counter, exemplars are dropped until prompt and answer fit
  // max_len (task-specs 0.4); most documents are decided without calling it.
  Prompt prompt(size_t i, const TokenCounter& count = {}) const;

  // The programs to execute for document i's generated text: one for each generation, in order.
  std::vector<ProgramRequest> programs(size_t i, const std::vector<Generation>& generations) const;

  // All metrics of document i from stored outputs. Outputs that do not fit the task (wrong number
  // of options, no execution for a program) are an internal error; NaN log-probs set Grade::error.
  Grade grade(size_t i, const Outputs& outputs) const;

  const AggregationRule& aggregation() const;
  const std::vector<std::string>& metrics() const;  // every metric grade() gives, primary first

  // task/variant/split/k/exemplar-hash/template-hash/data-hash/norm/max_len/boundary/bos
  // (task-specs 6.3); `digest` is its SHA-256.
  std::string identity(const RunPolicy& policy) const;
  std::string digest(const RunPolicy& policy) const;
  // Changes whenever extraction or grading code changes meaning; stored beside metrics.
  static int scorer_version();

  const std::vector<std::string>& warnings()
      const;  // counts that differ from the official ones ...
  const std::vector<datasets::SourceFile>& sources() const;

  struct State;  // for this room alone (task_state.h)

 private:
  Task();
  std::unique_ptr<State> state_;
};

// {"task":..,"variant":..,"doc":..,"shots":..,"context":..,"continuations":[..],"gold":..,
//  "until":[..],"exemplars":[..]} on one line, as `show-prompt --json` prints it.
std::string prompt_json(const Task& task, size_t i, const Prompt& prompt);

}  // namespace assay::tasks

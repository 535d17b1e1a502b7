// The evaluation: checkpoints x tasks -> plan, run, grade, store.
//
// All requests of all tasks of a checkpoint go to the engine as one plan. Results are graded and
// committed as they arrive; programs are executed while the engine still generates. Killed at any
// moment and started again with the same options, it continues where the last commit was and ends
// with the same content; started again after it finished, it computes nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "results/records.h"
#include "tasks/catalog.h"

namespace assay::harness {

class ProgressDisplay;

struct EvaluationOptions {
  std::string tasks;                     // names, suites, TASK:GROUP, TASK@VARIANT, comma-separated
  std::vector<std::string> texts;        // files or folders of the user's own text: bits per byte
  std::vector<std::string> variants;     // for tasks that name none; empty: each task's default
  std::vector<std::filesystem::path> task_directories;
  std::filesystem::path data;            // root of the publishers' files
  std::filesystem::path store;
  int64_t limit = 0;                     // documents a task; 0: all
  bool limit_first = false;              // the first in file order instead of a hash sample
  std::optional<int> shots;
  std::optional<int64_t> max_length;     // context budget in tokens
  std::string label;                     // of the run; default: the checkpoint's directory name
  std::string boundary = "joint";        // token boundary policy: joint or split
  bool token_healing = false;            // generation may replace the prompt's last token
  std::string sandbox = "auto";          // least isolation level: A, B, C or auto
  int sandbox_workers = 0;               // 0: the processors that the engine leaves
  bool strict = false;                   // dataset warnings and missing files are errors
  // Leave out tasks whose files are not there even where they were named one by one; members of a
  // suite are left out anyway (and named), unless `strict`.
  bool skip_missing = false;
  bool gold_answers = true;              // score reference answers of generative tasks too
  uint64_t seed = 0;
  // What a person knows about the checkpoint's training; else the checkpoint and its name are asked
  // (harness/evaluation/training_progress.h).
  std::optional<int64_t> training_step, training_tokens, tokens_per_step;
  std::string command_line;              // recorded with the run
  engine::EngineOptions engine;          // all but `model`
};

struct TaskSummary {
  std::string task, variant, metric, unit;
  std::optional<results::AggregateRecord> headline;
  std::vector<results::AggregateRecord> aggregates;
  int64_t documents = 0, requests = 0, errors = 0;
  uint64_t tokens_asked = 0;     // of all its requests, unshared
  uint64_t tokens_computed = 0;  // what its requests alone need after sharing prefixes
  uint64_t tokens_generated = 0;
  double seconds = 0;            // share of the engine's time by computed and generated tokens
  bool resumed = false;          // some or all of it was in the store already
  std::vector<std::string> warnings;
};

// A number that people quote for several variants together: the largest of their headlines.
struct LargestOf {
  std::string task, name;  // "mmlu", "olmes"
  std::string variant;     // whose headline it is
  double value = 0;
};

// A task that was asked for and could not be run, because its files are not there.
struct SkippedTask {
  std::string task, variant, reason;
};

struct RunSummary {
  std::string model, label, profile;
  results::RunId run{};
  std::optional<int64_t> training_step, training_tokens;
  std::vector<TaskSummary> tasks;
  std::vector<LargestOf> largest;  // of the sets all of whose variants were run without an error
  std::vector<SkippedTask> skipped;
  engine::EngineStatistics engine;
  double seconds = 0;
};

// Throws assay::Error; what was committed before stays. Interrupted (SIGINT once): stops after the
// current pass, commits, and throws a resource error that says how to resume.
std::vector<RunSummary> evaluate(const std::vector<std::string>& models,
                                 const EvaluationOptions& options, ProgressDisplay& display);

}  // namespace assay::harness

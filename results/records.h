// What one evaluation leaves behind, as plain structs: the rows of the store (results/store.h).
//
// Text fields are byte strings: prompts and generations may hold NUL and malformed UTF-8 and come
// back as they went in. Log-probabilities are in nats. Positions are 0-based places of a document
// in the evaluated list, the same at every start of an evaluation. Everything here is content,
// equal for equal evaluations, except what is called volatile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace assay::results {

// Row numbers of one store file; meaningless in another.
enum class ModelId : int64_t {};
enum class RunId : int64_t {};
enum class EvaluationId : int64_t {};

struct ModelRecord {
  std::string name;  // directory name
  std::string architecture;
  std::string weights_digest, config_digest, tokenizer_digest;  // hexadecimal
  uint64_t parameters = 0, active_parameters = 0;               // 0: unknown
  std::optional<int64_t> training_step, training_tokens;
  std::string details;  // JSON object with whatever else was found out; "" is "{}"
};

// What must be equal for two evaluations' log-probabilities to be the same bits. A run is one
// checkpoint under one such identity; tasks may be added to it by later invocations.
struct RunIdentity {
  std::string label;           // what people call the run; the model's name if they gave none
  std::string numerics;        // resolved: "bf16"
  std::string kernel_profile;  // "cpu-avx2/bf16"
  std::string engine_version;
  uint64_t seed = 0;
  std::string settings;  // JSON object: every further setting that can change a result
};

// One start of the program on a run. Volatile: it never takes part in a content digest.
struct SessionRecord {
  std::string command_line;
  std::string host;  // JSON object: processor, threads, memory, operating system
};

// One task of a run, with everything that can change its score.
struct EvaluationIdentity {
  std::string task;         // "mmlu"
  std::string variant;      // "ds"
  int shots = 0;            // exemplars asked for
  std::string task_digest;  // identity digest of the task: template, exemplars, extraction, ...
  std::string data_digest;  // digest over the source files used
  int64_t limit = 0;        // documents asked for; 0: all
  int64_t max_length = 0;   // context budget in tokens; 0: the model's own
  std::string boundary_policy = "joint";
  std::string sandbox_level;  // "" where nothing is executed
  int samples = 1;            // generations a document
  std::string settings;       // JSON object: every further setting that can change a result
};

// How people should see the task; may change between program versions without changing a score.
struct EvaluationDescription {
  std::string title;           // "MMLU"
  std::string category;        // "English", "Code", "Math", "Chinese", "Multilingual"
  std::string kind;            // "choice", "partial", "whole", "rolling", "generate"
  std::string primary_metric;  // "acc"
  bool higher_is_better = true;
  std::string unit = "percent";  // "percent": a mean of [0,1] values shown times 100; "bpb"; "raw"
  // Name of the headline aggregate: "micro" (mean over documents), "macro" (mean of group means) or
  // that of a rule given to Store::finish_evaluation.
  std::string aggregation = "micro";
  int64_t documents = 0;                // planned
  int64_t population = 0;               // documents of the full split; 0: unknown
  std::vector<std::string> deviations;  // where the task departs from its source, one sentence each
};

struct DocumentRecord {
  std::string item_id;       // "mmlu:test:anatomy:17"
  std::string content_hash;  // hexadecimal SHA-256
  std::string group;         // subject, language ...; "" where there is none
  std::string cluster;       // documents that share a passage or source problem; "": independent
  std::string gold;          // for people: "B", the answer, a JSON list of accepted answers
};

// A document as it was asked. Stored before its outputs.
struct ItemRecord {
  int64_t position = 0;
  DocumentRecord document;
  std::string context;  // the prompt; "" where every option has its own (`partial`, `whole`)
  int shots_used = 0;
  bool truncated = false;  // the query itself was cut to fit max_length
};

// What was measured about one option of a document (or, for `rolling`, about one window of it, and
// for `generate`, about the reference answer). Fields that are not set are left as they are, so
// that the passes of one option may be stored as they finish.
struct OptionRecord {
  int64_t position = 0;
  int option = 0;
  std::string continuation;              // the scored text, with its leading space if it has one
  std::optional<std::string> context;    // where it is not the item's
  std::optional<double> logprob;         // S
  int64_t tokens = 0;                    // T
  int64_t bytes = 0, characters = 0;     // B and C: the option's text without its leading space
  bool greedy = false;                   // every scored token is the arg-max
  bool boundary_merge = false;           // a token straddles context and continuation
  std::optional<double> uncond_logprob;  // U: the same sum under the unconditional context
  std::optional<double> whole_loss;      // L: mean loss over a complete string
  std::optional<int64_t> whole_tokens;
};

struct GenerationRecord {
  int64_t position = 0;
  int sample = 0;
  std::string text;
  std::vector<int32_t> tokens;
  std::string finish;  // "stop", "eos", "length"
  double logprob = 0;
  std::string extracted;  // what the extractor found; set by grading, "" before
};

struct ExecutionRecord {
  int64_t position = 0;
  int sample = 0, execution = 0;  // execution: 0-based number of the program of this sample
  std::string verdict;            // "passed", "wrong_answer", "timeout", ...
  std::string reason;             // one line for people; equal for equal executions
  std::string level;              // isolation that held
  double volatile_wall_ms = 0, volatile_cpu_ms = 0;
  int64_t volatile_memory_bytes = 0;
  std::string volatile_record;  // bounded JSON: everything else that was observed
};

struct MetricValue {
  std::string metric;  // "acc"
  double value = 0;
  double weight = 1;  // of the document in a micro mean; bytes for bits per byte
};

// Grading finished for a document: its metrics, or why it could not be judged.
struct GradeRecord {
  int64_t position = 0;
  std::vector<MetricValue> metrics;
  std::string predicted;  // for people: "B", the extracted answer
  bool tie = false;       // the best option was not alone; the lowest index was taken
  std::string error;      // not empty: an item error, never counted as wrong
};

struct ExpertLoadRecord {
  int layer = 0;
  std::vector<uint64_t> tokens;  // [experts] times chosen, to be added to what is stored
  std::vector<double> weight;    // [experts] sum of combine weights, likewise
};

// An average over documents: the mean over strata of the weighted mean inside each stratum.
struct AggregateRule {
  std::string name;                          // unique within an evaluation
  std::vector<std::vector<int64_t>> strata;  // positions; documents with an error are left out
};

struct AggregateRecord {
  std::string metric;  // "acc"
  std::string name;    // "micro", "macro", "group:anatomy", "category:STEM", ...
  int64_t strata = 1;  // means that were averaged
  double value = 0;
  std::optional<double> standard_error, low, high;  // 95 %
  std::string
      interval;   // how low and high were made: "wilson", "clustered", "normal", "student", ...
  int64_t n = 0;  // documents
  int64_t clusters = 0;
  int64_t errors = 0;  // item errors, not in n
};

}  // namespace assay::results

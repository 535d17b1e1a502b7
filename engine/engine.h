// A checkpoint in, log-probabilities and text out. The only engine header that the harness includes.
//
// DESCRIPTION
//
// An Engine scores continuations and generates text for one checkpoint. It has never heard of a
// benchmark: requests are token ids, grouped by an opaque number for statistics.
//
// Determinism: a request's results are bit-identical for any batch, order, thread count, pass size,
// memory budget, prefix sharing, resident or streamed weights, number of ranks. They may differ between kernel
// profiles (capabilities().profile); the profile is part of a run's identity.
//
// Threads: an Engine is used by one thread at a time; it uses `EngineOptions::threads` workers
// itself. Sinks are called from that thread.
//
// Errors: assay::Error. Bad token ids and prompts beyond the context length: bad_input, before any
// computation; NaN in weights: bad_input, before any result. Out of memory budget: resource.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/boundary.h"
#include "engine/text/tokenizer.h"

namespace assay::engine {

using TokenSpan = std::span<const TokenId>;

// What is computed in which precision; part of a run's identity (docs/numerics.md).
enum class Numerics {
  automatic,    // what the checkpoint was trained for: bf16 for BF16, fp8_weights for FP8, fp32 else
  fp32,         // weights widened or dequantised to fp32, fp32 throughout
  bf16,         // matrix operands rounded to bf16, accumulation and residual stream fp32
  fp8,          // w8a8: activations 1x128, weights 128x128, e4m3, fp32 accumulation per block
  fp8_weights,  // e4m3 weights with block scales, activations bf16
};
std::string_view numerics_name(Numerics numerics);
Numerics parse_numerics(std::string_view name);  // throws usage, listing the names

// Which implementation of the op contracts runs; `automatic` is the fastest this processor supports.
enum class Kernels { automatic, reference, portable, avx2, avx512, amx };
std::string_view kernels_name(Kernels kernels);
Kernels parse_kernels(std::string_view name);
// Which kernels this processor can run, and why not the others; `automatic` is left out.
struct KernelSupport {
  Kernels kernels;
  bool available;
  std::string why;
};
std::vector<KernelSupport> kernel_support();

// Where the forward pass runs.
enum class DeviceKind { cpu, cuda };
struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;  // cuda: which one
};
// One or several: "cpu", "cuda", "cuda:1"; "cuda:0,1", "cuda:all", "cpu,cpu". Throws usage, and resource
// where all of none are asked for.
std::vector<Device> parse_devices(std::string_view names);

// How several ranks, one a device, divide the work. Results are the same bits (docs/gpu.md).
enum class Parallel {
  automatic,  // data where a rank can hold the whole model, else expert for MoE models, else pipeline
  none,       // one rank
  data,       // requests; each rank holds the whole model
  expert,     // requests and routed experts
  pipeline,   // layers
};
std::string_view parallel_name(Parallel parallel);
Parallel parse_parallel(std::string_view name);  // throws usage, listing the names

// What of CUDA this program and machine have.
struct DeviceSupport {
  bool built = false;                  // the program has the CUDA kernels
  std::string why;                     // no device can be used; empty: some can
  std::string runtime, driver, nccl;   // versions; empty: not there
  std::vector<std::string> devices;    // one line each
};
DeviceSupport device_support();

struct EngineOptions {
  std::filesystem::path model;         // a Hugging Face checkpoint directory
  std::filesystem::path config;        // instead of <model>/config.json, if not empty
  Numerics numerics = Numerics::automatic;
  Kernels kernels = Kernels::automatic;
  std::vector<Device> devices{Device{}};  // a rank each
  Parallel parallel = Parallel::automatic;
  // Each GPU's: what memory_bytes is on the CPU; 0: what it has free. memory_bytes then bounds what is kept
  // in host memory of weights that are streamed.
  size_t gpu_memory_bytes = 0;
  int threads = 0;                     // of all ranks of this process; 0: all processors
  size_t memory_bytes = 0;             // budget for weights, KV and workspace; 0: what the machine has
  int pass_tokens = 0;                 // most tokens a pass; 0: chosen from the memory budget
  bool expert_load = true;             // collect expert-load statistics
  bool speculate_mtp = false;          // draft with the MTP layer in generation (same text, same bits)
  bool graphs = true;                  // a GPU's decoding steps as CUDA graphs (same bits)
  bool require_tokenizer = true;       // false: token ids only, tokenizer() may not be called
  // Weights that stay in memory are prepared beside what the caller does between opening and its first
  // call (CPU). False: where that would disturb, as when measuring.
  bool prepare_ahead = true;

  const Device& device() const { return devices.front(); }
};

struct Capabilities {
  std::string architecture;            // "deepseek_v3"
  std::string profile;                 // "cpu-avx2/bf16": equal profiles give equal bits
  int64_t context_length = 0;          // tokens
  int64_t vocabulary_size = 0;
  Numerics numerics = Numerics::fp32;  // resolved
  bool has_mtp = false;
  int moe_layers = 0, routed_experts = 0;
  int ranks = 1;                       // that compute; no part of the profile: the bits are the same
  Parallel parallel = Parallel::none;  // resolved
};

// log p(continuation | context), token by token. Spans and name must outlive the call.
struct ScoreRequest {
  TokenSpan context;       // at least one token (BOS, or the first token of a text)
  TokenSpan continuation;  // at least one token
  int group = 0;           // statistics are kept per group (the harness uses one a task)
  // Already answered in an earlier, interrupted call: not computed or reported again, but counted
  // when expert load is attributed, so that the totals equal those of an uninterrupted call.
  bool finished = false;
  std::string_view name = {};  // what errors call it ("<stdin>:3"); empty: "request N"
};

struct ScoreResult {
  size_t index = 0;                    // of the request in the span
  double logprob = 0;                  // sum over the continuation, nats
  std::vector<float> token_logprobs;   // one per continuation token
  std::vector<uint8_t> token_greedy;   // 1 where the token is the arg-max (ties: lowest id)
  bool greedy = false;                 // all of them are
};

struct Sampling {
  double temperature = 0;              // 0: greedy, ties to the lowest token id
  double top_p = 1;
  uint64_t seed = 0;                   // with the request's own stream; same seed, same text
  uint64_t stream = 0;
};

struct GenerateRequest {
  TokenSpan prompt;                    // at least one token
  std::vector<std::string> stop;       // byte strings, matched on the decoded generated bytes
  int max_tokens = 256;
  Sampling sampling;
  int group = 0;
  bool finished = false;
  bool stop_at_eos = true;
  // Token healing (heal_prompt): bytes that the generated tokens must begin with. They belong to
  // the prompt: the result's text starts, and stop strings are looked for, behind them.
  std::string required;
  std::string_view name = {};  // as a ScoreRequest's
};

enum class FinishReason { stop, eos, length };
std::string_view finish_reason_name(FinishReason reason);

struct GenerateResult {
  size_t index = 0;
  std::vector<TokenId> tokens;         // generated ids, with the stop string's tokens, without EOS
  std::string text;                    // decoded up to the earliest stop string, special tokens skipped
  FinishReason finish = FinishReason::length;
  double logprob = 0;                  // sum over `tokens` under temperature 1, nats
  std::vector<float> token_logprobs;
};

// How often each routed expert was chosen for the tokens of a group, since the previous report.
// A token position counts once per group: in the first request (in trie order) that contains it.
struct ExpertLoad {
  int group = 0;
  int layer = 0;                       // model layer index
  std::vector<uint64_t> tokens;        // [routed_experts] times chosen
  std::vector<double> weight;          // [routed_experts] sum of combine weights
};

struct EngineProgress {
  std::string_view stage;              // "score" or "generate"
  uint64_t tokens_done = 0;            // computed tokens
  uint64_t tokens_planned = 0;         // for generation: an upper bound
  uint64_t requests_done = 0, requests = 0;
  double seconds = 0;
};

// Receives results in any order. Everything reported between two commits belongs together: a caller
// that stores results and expert load at each commit, and marks stored requests `finished` when it
// calls again after an interruption, ends with the same totals as an uninterrupted call.
class ResultSink {
 public:
  virtual ~ResultSink() = default;
  virtual void on_expert_load(const ExpertLoad&) {}
  virtual void on_progress(const EngineProgress&) {}
  virtual void on_commit() {}
  // Asked between passes; true ends the call early (results so far stand).
  virtual bool cancelled() { return false; }
};
class ScoreSink : public ResultSink {
 public:
  virtual void on_score(ScoreResult&& result) = 0;
};
class GenerateSink : public ResultSink {
 public:
  virtual void on_generate(GenerateResult&& result) = 0;
};

// What a plan would compute; needs a config and token ids, no weights. Of several ranks: tokens, passes
// and arithmetic as if one computed all, bytes of the first rank.
struct PlanSummary {
  uint64_t requests = 0, distinct_requests = 0;
  uint64_t tokens_asked = 0;           // prompt + continuation tokens of all requests, unshared
  uint64_t tokens_computed = 0;        // after sharing, recomputation included
  uint64_t scored_positions = 0;
  uint64_t tokens_generated = 0;       // at most
  uint64_t passes = 0;                 // over prompts and scored texts
  uint64_t pass_tokens = 0;            // rows that a pass aims at
  uint64_t decode_steps = 0;           // generation: about how many, sequences advancing together
  double flops = 0;                    // see EngineStatistics
  uint64_t weight_bytes = 0, kv_bytes = 0, workspace_bytes = 0;
  uint64_t held_weight_bytes = 0;      // weights in memory at any time; all of them unless streamed
  bool streamed = false;
  // Where streamed, every pass and decoding step: bytes of prepared weights that are brought in, bytes of files
  // that are read for them, and what a row computes in the layers concerned.
  uint64_t streamed_bytes = 0, streamed_file_bytes = 0;
  double streamed_row_flops = 0;
  uint64_t host_bytes = 0;             // a GPU's streamed weights that are kept in host memory
};

// How long plans take. Moving is reading from disk and copying to a GPU what is streamed; of a pass, the shorter
// of moving and computing is hidden behind the longer.
struct PlanEstimate {
  double seconds = 0;
  double compute_seconds = 0, moving_seconds = 0;  // each by itself
  // FLOP/s of a pass, bytes/s from disk, bytes/s to a GPU (0: nothing is copied), and whether measured here.
  double flops_rate = 0, disk_rate = 0, link_rate = 0;
  bool flops_measured = true, disk_measured = false;
  // Rows of a pass for which computing takes as long as moving; 0: nothing is streamed. Below it moving binds.
  double break_even_tokens = 0;
};

struct EngineStatistics {
  uint64_t tokens_asked = 0, tokens_computed = 0, tokens_generated = 0;
  // MTP: guesses that the main model verified, and those that were right. A verifying step gives
  // one token, and a second one where the guess was right.
  uint64_t drafted = 0, accepted = 0;
  double seconds = 0;
  // Useful arithmetic (a multiplication and its addition are two; formula: docs/performance.md) and
  // bytes of weights, keys and values read from memory, each once a pass.
  double flops = 0, bytes_read = 0;

  double acceptance_rate() const {
    return drafted > 0 ? static_cast<double>(accepted) / static_cast<double>(drafted) : 0;
  }
  double accepted_length() const { return 1 + acceptance_rate(); }  // tokens a verifying step
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual const Capabilities& capabilities() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;
  virtual void score(std::span<const ScoreRequest> requests, ScoreSink& sink) = 0;
  virtual void generate(std::span<const GenerateRequest> requests, GenerateSink& sink) = 0;
  virtual PlanSummary plan(std::span<const ScoreRequest> requests) const = 0;
  virtual EngineStatistics statistics() const = 0;  // also from a sink, within a call
};

// What an engine would compute, from config.json and tokenizer.json alone: a dry run needs no
// weights. Sizes assume the precision that the configuration names.
class Planner {
 public:
  virtual ~Planner() = default;
  virtual const Capabilities& capabilities() const = 0;  // profile and has_mtp as far as known
  virtual const Tokenizer& tokenizer() const = 0;
  virtual PlanSummary plan(std::span<const ScoreRequest> requests) const = 0;
  virtual PlanSummary plan(std::span<const GenerateRequest> requests) const = 0;
  // How long this machine takes for plans, from timing a layer of random weights for a second or two (the
  // first call; the weights' size is what a few experts of one layer have) and, where weights are streamed,
  // from reading the checkpoint's files, if there are any, for half a second. Reading resident weights once,
  // at the beginning, is not included. For GPUs whose memory is named and that are not here, rates are assumed.
  virtual PlanEstimate estimate(const PlanSummary& score, const PlanSummary& generate) = 0;
};
std::unique_ptr<Planner> open_planner(const EngineOptions& options);

// Opens a checkpoint; reads and checks everything that can be checked without computing.
std::unique_ptr<Engine> open_engine(const EngineOptions& options);

// What a checkpoint directory holds, for `assay inspect` and for a run's identity.
struct CheckpointInfo {
  std::string name;                    // directory name
  std::string architecture;
  bool architecture_supported = false; // config.json is understood
  bool supported = false;              // open_engine() would take it (token ids at least)
  std::vector<std::string> problems;   // what is missing, contradictory or odd; empty: nothing
  std::vector<std::string> notes;      // e.g. "MTP layer 61 present: not used for scoring"
  uint64_t parameters = 0;             // without MTP
  uint64_t active_parameters = 0;      // per token, embedding lookup counted as one row
  uint64_t mtp_parameters = 0;
  uint64_t bytes = 0;                  // of the weight files
  std::vector<std::pair<std::string, uint64_t>> dtypes;  // "BF16" -> bytes
  int64_t context_length = 0;
  int64_t layers = 0, hidden = 0, heads = 0, vocabulary = 0;
  int64_t routed_experts = 0, experts_per_token = 0, shared_experts = 0;
  std::optional<Numerics> default_numerics;  // absent: not known without weights
  std::string tokenizer;               // one line: type, entries, added tokens, BOS policy
  std::optional<int64_t> training_step, training_tokens;
  std::string config_digest;           // SHA-256 of config.json
  // SHA-256 over all tensors by name: name, dtype, shape, and the SHA-256 of their bytes - whole where
  // the files are at most 1 GiB together, else the 4 KiB in the middle of each tensor.
  std::string weights_digest;
  std::string tokenizer_digest;        // SHA-256 of tokenizer.json
};
// Lists what is wrong in `problems` instead of throwing; throws bad_input only where the directory
// itself cannot be read. For a file, a config.json under any name, the configuration alone is
// inspected: nothing else is missed, and what it announces (MTP) is reported as if it were there.
// Values of weights of at most 1 GiB together are scanned for NaN and infinities.
CheckpointInfo inspect_checkpoint(const std::filesystem::path& model);
// The same without what opening an engine does anyway: no value is scanned and no tokenizer looked at
// (its fields stay empty).
CheckpointInfo identify_checkpoint(const std::filesystem::path& model);
// Throws bad_input where there is no such directory, before anything in it is looked at.
void require_checkpoint_directory(const std::filesystem::path& model);

}  // namespace assay::engine

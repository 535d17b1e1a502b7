// Generation: a known work list, batched continuously over shared KV memory.
//
// DESCRIPTION
//
// Prompts form a prefix forest and are admitted in depth-first order, so that a prefix shared by
// neighbours is computed once and held once; among siblings the subtree with the longest expected
// text comes first, which leaves short work for the end. A sequence is admitted when KV memory for
// its whole possible length is free; those running advance together, one token a step, and leave as
// they finish. With MTP, the last few sequences of the list advance by one or two tokens a step.
//
// Determinism: a request's tokens and log-probabilities are functions of the request alone. Prompt
// tokens are always computed in MLA's expanded form, generated ones in the absorbed form; sampling
// takes its numbers from the request's own stream.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/checkpoint/config.h"
#include "engine/engine.h"
#include "engine/execute/forest.h"

namespace assay::engine {

class Runner;
struct MemoryPlan;

struct GenerateLimits {
  int64_t pass_tokens = 2048;  // prompt rows of a pass
  int64_t kv_slots = 0;        // tokens that KV memory holds
  int64_t sequences = 64;      // advancing together, at most
};

// Refuses empty prompts, ids outside the vocabulary, prompts that leave no room in the context,
// token limits below one and sampling parameters out of range (bad_input).
void check_requests(std::span<const GenerateRequest> requests, const ModelConfig& config);

// Tokens that a request may generate: its limit, cut to the context.
int64_t generation_limit(const GenerateRequest& request, const ModelConfig& config);

// Tokens of the longest prompt; 0 for no requests.
int64_t longest_prompt(std::span<const GenerateRequest> requests);

// Rows that count in the expert-load statistics: positions [position, position + count) of the
// prompt of a work item, computed by it, for `group`, brought by request `owner`.
struct PromptLoad {
  uint32_t position, count;
  int group;
  uint32_t owner;
};

// One request to compute, and the identical ones that get the same answer.
struct WorkItem {
  uint32_t request = 0;
  uint32_t shared = 0;              // prompt tokens shared with the item before
  std::vector<uint32_t> identical;  // other requests
  std::vector<PromptLoad> load;
};

// The unfinished requests in the order of admission.
std::vector<WorkItem> plan_generation(std::span<const GenerateRequest> requests,
                                      const ModelConfig& config, bool expert_load);

// `speculate`: draft with the checkpoint's MTP layer; the results are the same bits.
// `tokenizer` may be null: then no text is decoded, and stop strings and required bytes are refused.
// `budget`: as run_score()'s.
void run_generate(Runner& runner, const Tokenizer* tokenizer,
                  std::span<const GenerateRequest> requests, const GenerateLimits& limits,
                  bool expert_load, bool speculate, GenerateSink& sink,
                  EngineStatistics& statistics, const MemoryPlan* budget = nullptr);

}  // namespace assay::engine

#include "engine/execute/plan_summary.h"

#include <algorithm>

#include "engine/execute/generate.h"
#include "engine/execute/score.h"
#include "engine/execute/work.h"

namespace assay::engine {

namespace {

void add_memory(const MemoryPlan& memory, PlanSummary& summary) {
  summary.pass_tokens = static_cast<uint64_t>(memory.pass_tokens);
  summary.weight_bytes = memory.weight_bytes;
  summary.held_weight_bytes = memory.held_bytes;
  summary.streamed = memory.streamed;
  summary.streamed_bytes = static_cast<uint64_t>(memory.streaming.copied_bytes);
  summary.streamed_file_bytes = static_cast<uint64_t>(memory.streaming.read_bytes);
  summary.streamed_row_flops = memory.streaming.row_flops;
  summary.host_bytes = memory.kept_on_host;
}

}  // namespace

PlanSummary summarise(std::span<const ScoreRequest> requests, const ModelConfig& config,
                      const MemoryPlan& memory) {
  check_requests(requests, config);
  const ScoreSchedule schedule(requests, memory.limits(), false);
  PlanSummary summary = schedule.summary();
  uint32_t kept = 0;
  double pairs = 0;
  for (const PassPlan& pass : schedule.passes()) {
    kept = std::max(kept, pass.keep);
    pairs += causal_pairs(pass.kept, pass.recomputed);
  }
  for (const ForestEntry& entry : schedule.forest()) {
    const size_t own = schedule.paths()[entry.path].size() - entry.shared;
    pairs += causal_pairs(entry.shared, static_cast<double>(own));
  }
  add_memory(memory, summary);
  summary.kv_bytes = kept * memory.kv_token_bytes;
  const size_t bytes = schedule_memory(memory, config, schedule.passes());
  check_budget(memory, config, bytes);
  summary.workspace_bytes = bytes - summary.kv_bytes;
  summary.flops = work_rates(config, model::Form::expanded)
                      .of(static_cast<double>(summary.tokens_computed), pairs,
                          static_cast<double>(summary.scored_positions));
  return summary;
}

PlanSummary summarise(std::span<const GenerateRequest> requests, const ModelConfig& config,
                      const MemoryPlan& memory) {
  check_requests(requests, config);
  const WorkRates prompt_rates = work_rates(config, model::Form::expanded);
  const WorkRates token_rates = work_rates(config, model::Form::absorbed);
  PlanSummary summary;
  summary.requests = requests.size();
  for (const GenerateRequest& request : requests) summary.tokens_asked += request.prompt.size();
  uint64_t prompt_rows = 0, positions = 0;
  double longest = 0;
  for (const WorkItem& item : plan_generation(requests, config, false)) {
    const GenerateRequest& request = requests[item.request];
    const size_t rows = request.prompt.size() - item.shared;
    const auto limit = static_cast<double>(generation_limit(request, config));
    summary.flops += prompt_rates.of(static_cast<double>(rows),
                                     causal_pairs(item.shared, static_cast<double>(rows)), 0);
    summary.flops += token_rates.of(
        limit, causal_pairs(static_cast<double>(request.prompt.size()), limit), limit);
    prompt_rows += rows;
    positions += request.prompt.size() + static_cast<uint64_t>(limit);
    longest = std::max(longest, limit);
    summary.tokens_generated += static_cast<uint64_t>(limit);
    ++summary.distinct_requests;
  }
  const int64_t longest_kept = longest_prompt(requests);
  const auto pass = static_cast<uint64_t>(memory.prompt_pass_tokens(longest_kept));
  summary.passes = (prompt_rows + pass - 1) / pass;
  summary.tokens_computed = prompt_rows + summary.tokens_generated;
  if (summary.distinct_requests > 0) {
    // As many sequences together as keys and values have room for, all of them as long as they may become.
    const double mean = static_cast<double>(positions) / static_cast<double>(summary.distinct_requests);
    const double together = std::clamp(static_cast<double>(memory.kept_tokens) / mean, 1.0,
                                       static_cast<double>(memory.sequences));
    summary.decode_steps = static_cast<uint64_t>(
        std::max(longest, static_cast<double>(summary.tokens_generated) / together));
  }
  summary.scored_positions = summary.tokens_generated;
  add_memory(memory, summary);
  const GenerationMemory bytes =
      generation_memory(memory, config, static_cast<int64_t>(prompt_rows),
                        static_cast<int64_t>(summary.tokens_computed), longest_kept);
  check_budget(memory, config, bytes.kv + bytes.pass);
  summary.kv_bytes = bytes.kv;
  summary.workspace_bytes = bytes.pass;
  return summary;
}

}  // namespace assay::engine

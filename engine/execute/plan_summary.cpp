#include "engine/execute/plan_summary.h"

#include <algorithm>

#include "engine/execute/generate.h"
#include "engine/execute/score.h"
#include "engine/execute/work.h"

namespace assay::engine {

PlanSummary summarise(std::span<const ScoreRequest> requests, const ModelConfig& config,
                      const MemoryPlan& memory) {
  check_requests(requests, config);
  const ScoreSchedule schedule(requests, memory.limits(), false);
  PlanSummary summary = schedule.summary();
  uint32_t kept = 0;
  uint64_t rows = 0;
  double pairs = 0;
  for (const PassPlan& pass : schedule.passes()) {
    kept = std::max(kept, pass.keep);
    rows = std::max(rows, pass.rows + pass.kept);
    pairs += causal_pairs(pass.kept, pass.recomputed);
  }
  for (const ForestEntry& entry : schedule.forest()) {
    const size_t own = schedule.paths()[entry.path].size() - entry.shared;
    pairs += causal_pairs(entry.shared, static_cast<double>(own));
  }
  summary.weight_bytes = memory.weight_bytes;
  summary.kv_bytes = kept * memory.kv_token_bytes;
  summary.workspace_bytes = pass_memory(config, memory.kv_type, static_cast<int64_t>(rows), memory.expert_ranks);
  summary.streamed = memory.streamed;
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
  uint64_t prompt_rows = 0;
  for (const WorkItem& item : plan_generation(requests, config, false)) {
    const GenerateRequest& request = requests[item.request];
    const size_t rows = request.prompt.size() - item.shared;
    const auto limit = static_cast<double>(generation_limit(request, config));
    summary.flops += prompt_rates.of(static_cast<double>(rows),
                                     causal_pairs(item.shared, static_cast<double>(rows)), 0);
    summary.flops += token_rates.of(
        limit, causal_pairs(static_cast<double>(request.prompt.size()), limit), limit);
    prompt_rows += rows;
    summary.tokens_generated += static_cast<uint64_t>(limit);
    ++summary.distinct_requests;
  }
  const auto pass = static_cast<uint64_t>(memory.pass_tokens);
  summary.passes = (prompt_rows + pass - 1) / pass;
  summary.tokens_computed = prompt_rows + summary.tokens_generated;
  summary.scored_positions = summary.tokens_generated;
  summary.weight_bytes = memory.weight_bytes;
  const auto slots = std::min(static_cast<uint64_t>(memory.kept_tokens), summary.tokens_computed);
  summary.kv_bytes = slots * memory.kv_token_bytes;
  summary.workspace_bytes = pass_memory(
      config, memory.kv_type, static_cast<int64_t>(std::min(pass, prompt_rows)), memory.expert_ranks);
  summary.streamed = memory.streamed;
  return summary;
}

}  // namespace assay::engine

#include "harness/terminal/dry_run_report.h"

#include <cstdio>
#include <iostream>

#include "base/json.h"
#include "base/utf8.h"
#include "harness/terminal/progress.h"

namespace assay::harness {

namespace {

std::string gibibytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

void line(const std::string& task, const std::string& documents, const std::string& requests,
          const std::string& asked, const std::string& computed, const std::string& generated) {
  char text[160];
  std::snprintf(text, sizeof text, "%-26s %9s %9s %12s %12s %9s", task.c_str(), documents.c_str(),
                requests.c_str(), asked.c_str(), computed.c_str(), generated.c_str());
  std::cout << text << '\n';
}

void summary_json(json::Writer& out, const engine::PlanSummary& plan) {
  out.begin_object()
      .member("requests", plan.requests)
      .member("distinct_requests", plan.distinct_requests)
      .member("tokens_asked", plan.tokens_asked)
      .member("tokens_computed", plan.tokens_computed)
      .member("tokens_generated_at_most", plan.tokens_generated)
      .member("scored_positions", plan.scored_positions)
      .member("passes", plan.passes)
      .member("flops", plan.flops)
      .member("weight_bytes", plan.weight_bytes)
      .member("kv_bytes", plan.kv_bytes)
      .member("workspace_bytes", plan.workspace_bytes)
      .member("streamed", plan.streamed)
      .end_object();
}

}  // namespace

void print_plan(const std::vector<DryRun>& runs) {
  for (const DryRun& run : runs) {
    std::cout << utf8::printable(run.model) << '\n';
    line("task", "documents", "requests", "tokens asked", "computed", "generated");
    for (const TaskPlan& task : run.tasks) {
      line(task.task + "@" + task.variant, std::to_string(task.documents),
           std::to_string(task.requests), std::to_string(task.tokens_asked),
           std::to_string(task.tokens_computed),
           task.tokens_generated > 0 ? "<=" + count_text(static_cast<double>(task.tokens_generated)) : "");
    }
    const uint64_t asked = run.score.tokens_asked + run.generate.tokens_asked;
    line("all tasks together", "", std::to_string(run.score.requests + run.generate.requests),
         std::to_string(asked), std::to_string(run.tokens_computed()), "");
    std::cout << "passes     " << run.score.passes << " to score";
    if (run.generate.requests > 0) std::cout << ", " << run.generate.passes << " for prompts to go on from";
    const engine::PlanSummary& plan = run.score.requests > 0 ? run.score : run.generate;
    std::cout << "\nmemory     " << gibibytes(run.memory_bytes()) << ": weights "
              << gibibytes(plan.weight_bytes) << (plan.streamed ? " (streamed), " : ", ") << "a pass "
              << gibibytes(plan.workspace_bytes + plan.kv_bytes);
    if (run.ranks > 1) {
      std::cout << "; each of " << run.ranks << " ranks (" << engine::parallel_name(run.parallel) << " parallel)";
    }
    std::cout << "\ntime       about "
              << duration_text(run.estimated_seconds) << " of computation on this machine\n";
  }
}

std::string plan_json(const std::vector<DryRun>& runs) {
  json::Writer out;
  out.begin_object().key("plans").begin_array();
  for (const DryRun& run : runs) {
    out.begin_object()
        .member("model", run.model)
        .member("requests", run.score.requests + run.generate.requests)
        .member("tokens_asked", run.score.tokens_asked + run.generate.tokens_asked)
        .member("tokens_computed", run.tokens_computed())
        .member("passes", run.score.passes + run.generate.passes)
        .member("memory_bytes", run.memory_bytes())
        .member("ranks", run.ranks)
        .member("parallel", engine::parallel_name(run.parallel))
        .member("streamed", run.score.streamed || run.generate.streamed)
        .member("planning_seconds", run.planning_seconds)
        .member("estimated_seconds", run.estimated_seconds)
        .key("score");
    summary_json(out, run.score);
    out.key("generate");
    summary_json(out, run.generate);
    out.key("tasks").begin_array();
    for (const TaskPlan& task : run.tasks) {
      out.begin_object()
          .member("task", task.task)
          .member("variant", task.variant)
          .member("documents", task.documents)
          .member("requests", task.requests)
          .member("tokens_asked", task.tokens_asked)
          .member("prompt_tokens", task.prompt_tokens)
          .member("tokens_computed", task.tokens_computed)
          .member("tokens_generated_at_most", task.tokens_generated)
          .end_object();
    }
    out.end_array().end_object();
  }
  return out.end_array().end_object().take();
}

}  // namespace assay::harness

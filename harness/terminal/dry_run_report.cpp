#include "harness/terminal/dry_run_report.h"

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "base/json.h"
#include "base/utf8.h"
#include "harness/terminal/progress.h"

namespace assay::harness {

namespace {

std::string bytes_text(uint64_t bytes) {
  const bool small = bytes < (uint64_t{1} << 30) / 10;
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %s", static_cast<double>(bytes) / (small ? 1 << 20 : 1 << 30),
                small ? "MiB" : "GiB");
  return text;
}

// Further lines of an entry.
constexpr char kNextLine[] = "\n           ";

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
      .member("pass_tokens", plan.pass_tokens)
      .member("weight_bytes", plan.weight_bytes)
      .member("held_weight_bytes", plan.held_weight_bytes)
      .member("kv_bytes", plan.kv_bytes)
      .member("workspace_bytes", plan.workspace_bytes)
      .member("streamed", plan.streamed)
      .member("streamed_bytes_a_pass", plan.streamed_bytes)
      .member("streamed_file_bytes_a_pass", plan.streamed_file_bytes)
      .member("host_bytes", plan.host_bytes)
      .end_object();
}

std::string rate(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB/s", bytes * 1e-9);
  return text;
}

// What every pass moves, from how many tokens on computing takes longer, and so what binds.
void print_streaming(const engine::PlanSummary& plan, const engine::PlanEstimate& estimate) {
  std::cout << "\nstreamed   " << bytes_text(plan.streamed_bytes) << " every pass";
  if (estimate.link_rate > 0) {
    std::cout << ", copied at " << rate(estimate.link_rate) << " (assumed)" << kNextLine << bytes_text(plan.host_bytes)
              << " of it kept in host memory";
  }
  if (plan.streamed_file_bytes > 0) {
    std::cout << kNextLine << bytes_text(plan.streamed_file_bytes) << " of it read from disk at " << rate(estimate.disk_rate)
              << (estimate.disk_measured ? " (measured)" : " (assumed)");
  }
  const double rows = static_cast<double>(plan.tokens_computed - plan.tokens_generated) /
                      static_cast<double>(std::max<uint64_t>(plan.passes, 1));
  char text[160];
  std::snprintf(text, sizeof text, "\nbreak-even a pass of %.0f tokens at %.0f GFLOP/s (%s);%spasses have %.0f: %s binds",
                estimate.break_even_tokens, estimate.flops_rate * 1e-9,
                estimate.flops_measured ? "measured" : "assumed", kNextLine, rows,
                rows < estimate.break_even_tokens ? "moving weights" : "computing");
  std::cout << text;
  if (plan.decode_steps > 0) std::cout << "; every decoding step moves as much";
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
    const engine::PlanSummary& plan = run.plan();
    std::cout << "\nmemory     " << bytes_text(run.memory_bytes()) << ": weights "
              << bytes_text(plan.held_weight_bytes)
              << (plan.streamed ? " of " + bytes_text(plan.weight_bytes) + " (streamed), " : ", ") << "a pass "
              << bytes_text(plan.workspace_bytes + plan.kv_bytes);
    if (run.ranks > 1) {
      std::cout << kNextLine << "each of " << run.ranks << " ranks (" << engine::parallel_name(run.parallel) << " parallel)";
    }
    if (plan.streamed) print_streaming(plan, run.estimate);
    const engine::PlanEstimate& time = run.estimate;
    std::cout << "\ntime       about " << duration_text(time.seconds)
              << (time.flops_measured ? " on this machine" : " on a device as assumed");
    if (plan.streamed) {
      std::cout << ": computing " << duration_text(time.compute_seconds) << ", moving weights "
                << duration_text(time.moving_seconds) << ',' << kNextLine << "the shorter behind the longer";
    }
    std::cout << '\n';
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
        .member("estimated_seconds", run.estimate.seconds)
        .member("compute_seconds", run.estimate.compute_seconds)
        .member("moving_seconds", run.estimate.moving_seconds)
        .member("flops_rate", run.estimate.flops_rate)
        .member("flops_measured", run.estimate.flops_measured)
        .member("disk_rate", run.estimate.disk_rate)
        .member("disk_measured", run.estimate.disk_measured)
        .member("link_rate", run.estimate.link_rate)
        .member("break_even_tokens", run.estimate.break_even_tokens)
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

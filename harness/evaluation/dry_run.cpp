#include "harness/evaluation/dry_run.h"

#include <algorithm>
#include <chrono>
#include <span>

#include "base/workers.h"
#include "harness/evaluation/task_run.h"
#include "harness/evaluation/task_shelf.h"
#include "harness/terminal/progress.h"
#include "tasks/task.h"

namespace assay::harness {

namespace {

uint64_t held(const engine::PlanSummary& plan) {
  return plan.requests == 0 ? 0 : plan.held_weight_bytes + plan.kv_bytes + plan.workspace_bytes;
}

DryRun plan_model(const std::string& directory, size_t number, size_t count, TaskShelf& shelf,
                  const EvaluationOptions& options, ProgressDisplay& display) {
  const std::filesystem::path path = std::filesystem::path(directory).lexically_normal();
  DryRun out;
  out.model = (path.filename().empty() ? path.parent_path() : path).filename().string();
  display.begin_model(out.model, number, count);
  display.stage("rendering prompts");
  engine::EngineOptions engine_options = options.engine;
  engine_options.model = directory;
  const std::unique_ptr<engine::Planner> planner = engine::open_planner(engine_options);
  const int64_t context = planner->capabilities().context_length;
  out.ranks = planner->capabilities().ranks;
  out.parallel = planner->capabilities().parallel;
  const Workers workers(options.engine.threads);
  const WorkloadPolicy policy = workload_policy(options, context);
  Workload work;
  std::vector<TaskRun> runs;
  for (const tasks::Task* task : shelf.open(context)) runs.emplace_back(*task);
  for (size_t k = 0; k < runs.size(); ++k) {
    const size_t first_score = work.score.size(), first_generate = work.generate.size();
    add_requests(runs[k], static_cast<int>(k), planner->tokenizer(), policy, workers, {}, nullptr, work);
    TaskPlan& plan = out.tasks.emplace_back();
    plan.task = runs[k].task.name();
    plan.variant = runs[k].task.variant();
    plan.documents = static_cast<int64_t>(runs[k].task.size());
    plan.requests = runs[k].requests;
    plan.tokens_asked = runs[k].tokens_asked;
    const auto scores = std::span(work.score).subspan(first_score);
    const auto generations = std::span(work.generate).subspan(first_generate);
    const engine::TokenId* last = nullptr;  // options of a document share their context's tokens
    for (const engine::ScoreRequest& request : scores) {
      if (request.context.data() != last) plan.prompt_tokens += request.context.size();
      last = request.context.data();
    }
    for (const engine::GenerateRequest& request : generations) {
      plan.prompt_tokens += request.prompt.size();
    }
    if (!scores.empty()) plan.tokens_computed = planner->plan(scores).tokens_computed;
    if (!generations.empty()) {
      const engine::PlanSummary own = planner->plan(generations);
      plan.tokens_computed += own.tokens_computed;
      plan.tokens_generated = own.tokens_generated;
    }
  }
  display.stage("planning");
  const auto start = std::chrono::steady_clock::now();
  if (!work.score.empty()) out.score = planner->plan(work.score);
  if (!work.generate.empty()) out.generate = planner->plan(work.generate);
  out.planning_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  display.stage("timing a layer");
  out.estimate = planner->estimate(out.score, out.generate);
  display.end_model();
  return out;
}

}  // namespace

uint64_t DryRun::memory_bytes() const { return std::max(held(score), held(generate)); }

std::vector<DryRun> plan_evaluations(const std::vector<std::string>& models,
                                     const EvaluationOptions& options, ProgressDisplay& display) {
  TaskShelf shelf(options);
  for (const std::string& note : shelf.notes()) display.note(note);
  for (const SkippedTask& task : shelf.leave_out_missing()) display.note(note_of(task));
  std::vector<DryRun> out;
  for (size_t k = 0; k < models.size(); ++k) {
    out.push_back(plan_model(models[k], k + 1, models.size(), shelf, options, display));
  }
  return out;
}

}  // namespace assay::harness

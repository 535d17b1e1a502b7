#include "harness/evaluation/evaluation.h"

#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <fstream>
#include <future>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/workers.h"
#include "harness/evaluation/collector.h"
#include "harness/evaluation/preparation.h"
#include "harness/evaluation/task_record.h"
#include "harness/evaluation/task_run.h"
#include "harness/evaluation/task_shelf.h"
#include "harness/evaluation/training_progress.h"
#include "harness/terminal/progress.h"
#include "tasks/task.h"

namespace assay::harness {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

// The machine, for people who later wonder where a number came from.
std::string host_facts(int threads, const engine::Capabilities& able) {
  utsname system{};
  ::uname(&system);
  std::string processor = "unknown", line;
  std::ifstream cpuinfo("/proc/cpuinfo");
  while (std::getline(cpuinfo, line)) {
    if (line.starts_with("model name")) {
      const size_t colon = line.find(": ");
      if (colon != std::string::npos) processor = line.substr(colon + 2);
      break;
    }
  }
  json::Writer out;
  out.begin_object()
      .member("processor", processor)
      .member("processors", available_processors())
      .member("threads", threads)
      .member("ranks", able.ranks)
      .member("parallel", engine::parallel_name(able.parallel))
      .member("system", std::string(system.sysname) + " " + system.release)
      .end_object();
  return out.take();
}

// What only the end of a session knows.
std::string session_facts(const engine::EngineStatistics& statistics) {
  json::Writer out;
  out.begin_object();
  if (statistics.drafted > 0) {
    out.key("mtp_drafts")
        .begin_object()
        .member("drafted", statistics.drafted)
        .member("accepted", statistics.accepted)
        .member("acceptance_rate", statistics.acceptance_rate())
        .member("accepted_length", statistics.accepted_length())
        .end_object();
  }
  return out.end_object().take();
}

results::ModelRecord model_record(const engine::CheckpointInfo& info,
                                  const TrainingProgress& training) {
  results::ModelRecord record;
  record.name = info.name;
  record.architecture = info.architecture;
  record.weights_digest = info.weights_digest;
  record.config_digest = info.config_digest;
  record.tokenizer_digest = info.tokenizer_digest;
  record.parameters = info.parameters;
  record.active_parameters = info.active_parameters;
  record.training_step = training.step;
  record.training_tokens = training.tokens;
  json::Writer details;
  details.begin_object()
      .member("layers", info.layers)
      .member("hidden", info.hidden)
      .member("context_length", info.context_length)
      .member("routed_experts", info.routed_experts)
      .member("experts_per_token", info.experts_per_token)
      .member("bytes", info.bytes)
      .member("tokenizer", info.tokenizer)
      .end_object();
  record.details = details.take();
  return record;
}

// The sets of `task` whose first member it is, where the summary has a score of every member.
void add_largest(const tasks::Task& task, RunSummary& summary) {
  for (const tasks::VariantSet& set : task.info().sets) {
    if (!set.larger || task.variant() != set.variants.front()) continue;
    std::optional<LargestOf> largest;
    const bool complete = std::ranges::all_of(set.variants, [&](const std::string& variant) {
      const auto own = std::ranges::find_if(summary.tasks, [&](const TaskSummary& other) {
        return other.task == task.name() && other.variant == variant;
      });
      if (own == summary.tasks.end() || !own->headline || own->errors > 0) return false;
      if (!largest || own->headline->value > largest->value) {
        largest = {task.name(), set.name, variant, own->headline->value};
      }
      return true;
    });
    if (complete) summary.largest.push_back(*largest);
  }
}

// Engine time is shared out by the tokens a task needs: one plan serves all tasks.
void share_seconds(std::vector<TaskSummary>& tasks, double seconds) {
  double total = 0;
  for (const auto& task : tasks) {
    total += static_cast<double>(task.tokens_computed + task.tokens_generated);
  }
  for (auto& task : tasks) {
    const auto own = static_cast<double>(task.tokens_computed + task.tokens_generated);
    task.seconds = total > 0 ? seconds * own / total : 0;
  }
}

template <typename Requests>
bool pending(const Requests& requests) {
  return std::ranges::any_of(requests, [](const auto& request) { return !request.finished; });
}

class ModelEvaluation {
 public:
  ModelEvaluation(TaskShelf& shelf, const EvaluationOptions& options, int64_t limit,
                  results::Store& store, ExecutionPool* pool, ProgressDisplay& display)
      : shelf_(shelf), options_(options), limit_(limit), store_(store), pool_(pool),
        display_(display) {}

  RunSummary run(const std::string& directory, size_t number, size_t count) {
    const auto started = Clock::now();
    const fs::path path = fs::path(directory).lexically_normal();
    display_.begin_model(path.filename().empty() ? path.parent_path().filename().string()
                                                 : path.filename().string(),
                         number, count);
    display_.stage("opening the checkpoint");
    engine::EngineOptions engine_options = options_.engine;
    engine_options.model = directory;
    // Digests take a while; weights and prompts are prepared meanwhile.
    auto identity = std::async(std::launch::async, [&] { return engine::identify_checkpoint(directory); });
    const std::unique_ptr<engine::Engine> engine = engine::open_engine(engine_options);
    engine::CheckpointInfo info = identity.get();
    info.tokenizer = engine->tokenizer().description();
    info.tokenizer_digest = engine->tokenizer().digest();
    const engine::Capabilities& able = engine->capabilities();

    RunSummary summary;
    summary.model = info.name;
    summary.label = options_.label.empty() ? info.name : options_.label;
    if (!options_.label.empty() && count > 1) summary.label += "/" + info.name;
    summary.profile = able.profile;

    display_.stage("rendering prompts");
    std::vector<TaskRun> runs;
    for (const tasks::Task* task : shelf_.open(able.context_length)) runs.emplace_back(*task);
    const TrainingProgress training = training_of(directory, info);
    summary.training_step = training.step;
    summary.training_tokens = training.tokens;
    begin(info, training, able, summary, runs);
    {
      Preparation preparation(runs, stored(runs), engine->tokenizer(),
                              workload_policy(options_, able.context_length), options_.engine.threads);
      execute(*engine, runs, preparation);
    }
    finish(*engine, summary, runs);
    summary.seconds = seconds_since(started);
    display_.end_model();
    return summary;
  }

 private:
  TrainingProgress training_of(const fs::path& directory, const engine::CheckpointInfo& info) const {
    const TrainingProgress given{options_.training_step, options_.training_tokens};
    return with_tokens_per_step(
        first_known({given,
                     {info.training_step, info.training_tokens},
                     progress_of_trainer_state(directory),
                     progress_of_name(info.name)}),
        options_.tokens_per_step);
  }

  void begin(const engine::CheckpointInfo& info, const TrainingProgress& training,
             const engine::Capabilities& able, RunSummary& summary, std::vector<TaskRun>& runs) {
    results::RunIdentity identity;
    identity.label = summary.label;
    identity.numerics = engine::numerics_name(able.numerics);
    identity.kernel_profile = able.profile;
    identity.engine_version = ASSAY_VERSION;
    identity.seed = options_.seed;
    identity.settings = "{}";
    results::SessionRecord session;
    session.command_line = options_.command_line;
    session.host = host_facts(options_.engine.threads > 0 ? options_.engine.threads
                                                          : available_processors(),
                              able);
    summary.run = store_.begin_run(store_.put_model(model_record(info, training)), identity, session);
    for (TaskRun& run : runs) {
      run.evaluation = store_.begin_evaluation(
          summary.run,
          evaluation_identity(run.task, {.boundary = options_.boundary,
                                         .limit = limit_,
                                         .limit_first = options_.limit_first,
                                         .gold_answers = options_.gold_answers,
                                         .token_healing = options_.token_healing,
                                         .sandbox_level = pool_ ? pool_->level() : ""}),
          describe(run.task));
      run.finished_before = store_.is_finished(run.evaluation);
      TaskProgress line;
      line.name = run.task.name() + "@" + run.task.variant();
      line.total = static_cast<int64_t>(run.task.size());
      line.unit = run.task.aggregation().percent ? "%" : "";
      if (run.finished_before) line.done = line.total;
      display_.tasks().push_back(line);
      for (const std::string& warning : run.task.warnings()) {
        display_.note("warning: " + warning);
      }
    }
  }

  // What the store has of each run that is not finished.
  std::vector<std::vector<results::ItemState>> stored(std::vector<TaskRun>& runs) const {
    std::vector<std::vector<results::ItemState>> states(runs.size());
    for (size_t k = 0; k < runs.size(); ++k) {
      if (runs[k].finished_before) {
        runs[k].resumed = true;
      } else {
        states[k] = store_.item_states(runs[k].evaluation);
      }
    }
    return states;
  }

  // Scores batches as they become ready, then generates for all tasks in one plan.
  void execute(engine::Engine& engine, std::vector<TaskRun>& runs, Preparation& preparation) {
    const Preparation::KeepItems keep = [&](size_t task, std::vector<results::ItemRecord> items) {
      for (const results::ItemRecord& item : items) store_.put_item(runs[task].evaluation, item);
    };
    const auto meanwhile = [&] { preparation.keep_items(keep); };
    Workload generation;
    while (!interrupted()) {
      std::optional<Batch> batch = preparation.take(false, keep);
      if (!batch) break;
      // Streamed weights are read for every pass: one plan, however long it takes to come.
      if (preparation.more() && engine.plan(batch->work.score).streamed) {
        append(std::move(*preparation.take(true, keep)), *batch);
      }
      const Workload& work = batches_.emplace_back(std::move(*batch)).work;
      Collector collector(runs, work, store_, pool_, display_, meanwhile);
      for (const Batch::Part& part : batches_.back().parts) {
        for (const Item& item : runs[part.task].items) runs[part.task].documents_done += item.graded;
        display_.tasks()[part.task].done = runs[part.task].documents_done;
        collector.grade_restored(part.task);
      }
      generation.generate.insert(generation.generate.end(), work.generate.begin(), work.generate.end());
      generation.generate_references.insert(generation.generate_references.end(),
                                            work.generate_references.begin(),
                                            work.generate_references.end());
      display_.tasks_to_come(preparation.more());
      if (pending(work.score)) {
        display_.stage("planning");
        engine.score(work.score, collector);
        collector.settle();
      }
    }
    Collector collector(runs, generation, store_, pool_, display_);
    if (!interrupted() && pending(generation.generate)) {
      display_.stage("planning");
      engine.generate(generation.generate, collector);
      collector.settle();
    }
    if (!interrupted()) display_.stage("executing programs");
    collector.finish_programs();
    if (interrupted()) {
      display_.end_model();
      throw_resource("interrupted; what was computed is stored", store_.path().string(),
                     "the same command continues");
    }
  }

  void finish(const engine::Engine& engine, RunSummary& summary, const std::vector<TaskRun>& runs) {
    std::vector<uint64_t> tokens_computed(runs.size(), 0);
    for (const Batch& batch : batches_) {
      for (const Batch::Part& part : batch.parts) {
        const auto own = std::span(batch.work.score).subspan(part.first_score, part.scores);
        if (!own.empty()) tokens_computed[part.task] = engine.plan(own).tokens_computed;
      }
    }
    for (size_t k = 0; k < runs.size(); ++k) {
      const TaskRun& run = runs[k];
      if (!run.finished_before) {
        store_.finish_evaluation(run.evaluation, aggregate_rules(run.task));
      }
      TaskSummary task;
      task.task = run.task.name();
      task.variant = run.task.variant();
      const results::EvaluationDescription description = describe(run.task);
      task.metric = description.primary_metric;
      task.unit = description.unit;
      task.documents = static_cast<int64_t>(run.task.size());
      task.requests = run.requests;
      task.tokens_asked = run.tokens_asked;
      task.tokens_generated = run.tokens_generated;
      task.resumed = run.resumed;
      task.warnings = run.task.warnings();
      task.tokens_computed = tokens_computed[k];
      task.aggregates = store_.aggregates(run.evaluation);
      for (const auto& aggregate : task.aggregates) {
        task.errors = std::max(task.errors, aggregate.errors);
        if (aggregate.metric == task.metric && aggregate.name == description.aggregation) {
          task.headline = aggregate;
        }
      }
      summary.tasks.push_back(std::move(task));
    }
    for (const TaskRun& run : runs) add_largest(run.task, summary);
    summary.engine = engine.statistics();
    store_.finish_run(summary.run, session_facts(summary.engine));
    share_seconds(summary.tasks, summary.engine.seconds);
  }

  TaskShelf& shelf_;
  const EvaluationOptions& options_;
  const int64_t limit_;
  results::Store& store_;
  ExecutionPool* pool_;
  ProgressDisplay& display_;
  std::deque<Batch> batches_;  // kept, because plans of single tasks are counted at the end
};

}  // namespace

std::vector<RunSummary> evaluate(const std::vector<std::string>& models,
                                 const EvaluationOptions& options, ProgressDisplay& display) {
  install_interrupt_handler();
  // Everything that can be wrong with the selection is found before a checkpoint is opened: the
  // last of several names may be mistyped.
  for (const std::string& model : models) engine::require_checkpoint_directory(model);
  TaskShelf shelf(options);
  for (const std::string& note : shelf.notes()) display.note(note);
  const std::vector<SkippedTask> skipped = shelf.leave_out_missing();
  for (const SkippedTask& task : skipped) display.note(note_of(task));
  bool executes = false;
  for (const tasks::Task* task : shelf.open(0)) executes |= task->executes();
  std::unique_ptr<ExecutionPool> pool;
  if (executes) {
    pool = std::make_unique<ExecutionPool>(options.sandbox, options.sandbox_workers,
                                           options.engine.threads);
  }

  results::Store store = results::Store::open(options.store, results::Store::Access::write);
  std::vector<RunSummary> summaries;
  for (size_t k = 0; k < models.size(); ++k) {
    ModelEvaluation evaluation(shelf, options, shelf.limit(), store, pool.get(), display);
    summaries.push_back(evaluation.run(models[k], k + 1, models.size()));
    summaries.back().skipped = skipped;
  }
  return summaries;
}

}  // namespace assay::harness

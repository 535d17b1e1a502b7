#include "harness/evaluation/collector.h"

#include <csignal>
#include <cmath>

#include "base/error.h"

namespace assay::harness {

namespace {

volatile std::sig_atomic_t g_interrupted = 0;

void on_signal(int) {
  if (g_interrupted) std::_Exit(130);  // the second time: at once; what was committed stands
  g_interrupted = 1;
}

tasks::Finish finish_of(engine::FinishReason reason) {
  switch (reason) {
    case engine::FinishReason::stop: return tasks::Finish::stop;
    case engine::FinishReason::eos: return tasks::Finish::eos;
    case engine::FinishReason::length: return tasks::Finish::length;
  }
  return tasks::Finish::length;
}

// S of the option from the request over all its tokens: the last `tail` of them.
void keep_tail(const engine::ScoreResult& whole, size_t tail, tasks::ContinuationScore& score) {
  const size_t n = whole.token_logprobs.size();
  score.logprob = 0;
  score.greedy = true;
  score.tokens = static_cast<int64_t>(tail);
  for (size_t k = n - tail; k < n; ++k) {
    score.logprob += static_cast<double>(whole.token_logprobs[k]);
    score.greedy &= whole.token_greedy[k] != 0;
  }
}

}  // namespace

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() { return g_interrupted != 0; }

Collector::Collector(std::vector<TaskRun>& runs, const Workload& work, results::Store& store,
                     ExecutionPool* pool, ProgressDisplay& display, std::function<void()> meanwhile)
    : runs_(runs), work_(work), store_(store), pool_(pool), display_(display),
      meanwhile_(std::move(meanwhile)) {}

bool Collector::cancelled() { return interrupted() || background_.failed(); }

void Collector::on_score(engine::ScoreResult&& result) {
  background_.post([this, kept = std::move(result)] { record(kept); });
}

void Collector::on_generate(engine::GenerateResult&& result) {
  background_.post([this, kept = std::move(result)]() mutable { record(kept); });
}

void Collector::record(const engine::ScoreResult& result) {
  const ScoreReference& reference = work_.score_references[result.index];
  TaskRun& run = runs_[static_cast<size_t>(reference.task)];
  Item& item = run.items[static_cast<size_t>(reference.item)];
  const OptionText& text = item.options[static_cast<size_t>(reference.option)];

  results::OptionRecord record;
  record.position = reference.item;
  record.option = reference.option;
  record.continuation = text.continuation;
  record.bytes = text.bytes;
  record.characters = text.characters;
  record.boundary_merge = reference.boundary_merge;

  tasks::ContinuationScore score;
  score.logprob = result.logprob;
  score.tokens = static_cast<int64_t>(result.token_logprobs.size());
  score.greedy = result.greedy;
  score.boundary_merge = reference.boundary_merge;

  switch (reference.role) {
    case Role::uncond:
      record.uncond_logprob = result.logprob;
      item.outputs.options[static_cast<size_t>(reference.option)].uncond_logprob = result.logprob;
      break;
    case Role::window:
      item.outputs.rolling->nll -= result.logprob;
      item.outputs.rolling->tokens += score.tokens;
      record.logprob = result.logprob;
      record.tokens = score.tokens;
      break;
    case Role::whole:
    case Role::option:
    case Role::gold_answer: {
      if (reference.role == Role::whole) {
        record.whole_loss = -result.logprob / static_cast<double>(score.tokens);
        record.whole_tokens = score.tokens;
        score.whole_loss = record.whole_loss;
        keep_tail(result, static_cast<size_t>(reference.tail), score);
      }
      record.logprob = score.logprob;
      record.tokens = score.tokens;
      record.greedy = score.greedy;
      if (reference.role == Role::gold_answer) {
        item.outputs.gold_answer = score;
      } else {
        tasks::ContinuationScore& out = item.outputs.options[static_cast<size_t>(reference.option)];
        score.uncond_logprob = out.uncond_logprob;
        out = score;
      }
      break;
    }
  }
  store_.put_option(run.evaluation, record);
  --item.pending;
  complete(reference.task, reference.item);
}

void Collector::record(engine::GenerateResult& result) {
  const GenerateReference& reference = work_.generate_references[result.index];
  TaskRun& run = runs_[static_cast<size_t>(reference.task)];
  Item& item = run.items[static_cast<size_t>(reference.item)];
  run.tokens_generated += result.tokens.size();

  tasks::Generation& out = item.outputs.generations[static_cast<size_t>(reference.sample)];
  out.text = result.text;
  out.finish = finish_of(result.finish);
  out.logprob = result.logprob;

  results::GenerationRecord record;
  record.position = reference.item;
  record.sample = reference.sample;
  record.text = std::move(result.text);
  record.tokens.assign(result.tokens.begin(), result.tokens.end());
  record.finish = engine::finish_reason_name(result.finish);
  record.logprob = result.logprob;
  store_.put_generation(run.evaluation, record);
  --item.pending;
  complete(reference.task, reference.item);
}

// Once everything a document needs is there: programs first, then the grade.
void Collector::complete(int task, int index) {
  TaskRun& run = runs_[static_cast<size_t>(task)];
  Item& item = run.items[static_cast<size_t>(index)];
  if (item.pending > 0 || item.graded) return;
  if (!run.task.executes() || item.verdicts_kept) return grade(task, index);
  std::vector<tasks::ProgramRequest> programs =
      run.task.programs(static_cast<size_t>(index), item.outputs.generations);
  item.outputs.executions.assign(programs.size(), {});
  item.executing = static_cast<int>(programs.size());
  if (programs.empty()) return grade(task, index);
  const size_t samples = item.outputs.generations.size();
  const size_t per_sample = std::max<size_t>(1, programs.size() / std::max<size_t>(1, samples));
  for (size_t k = 0; k < programs.size(); ++k) {
    pool_->submit({task, index, static_cast<int32_t>(k / per_sample), static_cast<int32_t>(k)},
                  std::move(programs[k]));
  }
}

void Collector::grade(int task, int index) {
  TaskRun& run = runs_[static_cast<size_t>(task)];
  Item& item = run.items[static_cast<size_t>(index)];
  const tasks::Grade grade = run.task.grade(static_cast<size_t>(index), item.outputs);
  results::GradeRecord record;
  record.position = index;
  record.error = grade.error;
  record.tie = grade.tie;
  record.predicted = grade.predicted ? std::string(1, static_cast<char>('A' + *grade.predicted))
                                     : grade.extracted;
  if (grade.error.empty()) {
    for (const auto& [name, value] : grade.metrics) {
      const auto weight = grade.weights.find(name);
      record.metrics.push_back({name, value, weight == grade.weights.end() ? grade.weight : weight->second});
    }
    const auto companion = [&](const char* name, const std::optional<double>& value) {
      if (value && !grade.metrics.contains(name)) record.metrics.push_back({name, *value, 1});
    };
    companion("p_correct", grade.p_correct);
    companion("margin", grade.margin);
    companion("gold_bpb", grade.gold_bpb);
    const auto flag = [&](const char* name, bool value) {
      record.metrics.push_back({name, value ? 1.0 : 0.0, 1});
    };
    if (run.task.kind() == tasks::RequestKind::generate) {
      flag("no_extract", grade.no_extract);
      flag("length_limited", grade.length_limited);
    }
    if (run.task.shots() > 0) flag("shots_dropped", item.shots_dropped);
    if (run.literal_bos) flag("literal_bos", item.literal_bos);
    if (run.task.kind() != tasks::RequestKind::rolling) flag("boundary_merge", grade.boundary_merge);
    if (const auto value = grade.metrics.find(grade.primary); value != grade.metrics.end()) {
      run.metric_sum += grade.weight * value->second;
      run.metric_weight += grade.weight;
    }
  } else {
    ++run.errors;
  }
  store_.put_grade(run.evaluation, record);
  item.graded = true;
  ++run.documents_done;
  item.outputs = {};  // stored; memory stays bounded by what is under way
  item.options.clear();
  item.options.shrink_to_fit();
  show(run, static_cast<size_t>(task));
}

void Collector::show(const TaskRun& run, size_t number) {
  TaskProgress& line = display_.tasks()[number];
  line.done = run.documents_done;
  if (run.metric_weight > 0) {
    const bool percent = run.task.aggregation().percent;
    line.score = run.metric_sum / run.metric_weight * (percent ? 100 : 1);
    line.has_score = true;
  }
}

void Collector::grade_restored(size_t task) {
  for (size_t index = 0; index < runs_[task].items.size(); ++index) {
    const Item& item = runs_[task].items[index];
    if (!item.graded && item.pending == 0) {
      complete(static_cast<int>(task), static_cast<int>(index));
    }
  }
}

void Collector::take_programs(bool wait) {
  if (!pool_) return;
  for (FinishedProgram& program : pool_->take(wait)) {
    TaskRun& run = runs_[static_cast<size_t>(program.key.task)];
    Item& item = run.items[static_cast<size_t>(program.key.item)];
    item.outputs.executions[static_cast<size_t>(program.key.execution)] = program.execution;
    store_.put_execution(run.evaluation, program.record);
    if (--item.executing == 0) grade(program.key.task, program.key.item);
  }
}

void Collector::finish_programs() {
  settle();
  while (pool_ && pool_->under_way() > 0) {
    take_programs(true);
    store_.commit();
    display_.refresh();
  }
  take_programs(false);
  store_.commit();
}

void Collector::on_expert_load(const engine::ExpertLoad& load) {
  background_.post([this, load] {
    results::ExpertLoadRecord record;
    record.layer = load.layer;
    record.tokens = load.tokens;
    record.weight = load.weight;
    store_.add_expert_load(runs_[static_cast<size_t>(load.group)].evaluation, record);
  });
}

void Collector::on_progress(const engine::EngineProgress& progress) {
  background_.post([this, progress] {
    take_programs(false);
    if (meanwhile_) meanwhile_();
    display_.engine(progress);
  });
}

void Collector::on_commit() {
  background_.post([this] {
    take_programs(false);
    if (meanwhile_) meanwhile_();
    store_.commit();
    display_.refresh();
  });
}

}  // namespace assay::harness

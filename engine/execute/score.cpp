#include "engine/execute/score.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/execute/memory_plan.h"
#include "engine/execute/runner.h"

namespace assay::engine {

namespace {

// Rows that go through the head together: bounds the copied hidden states.
constexpr size_t kHeadRows = 1024;

// Results that have some of their log-probabilities.
struct Pending {
  std::vector<float> logprobs;
  std::vector<uint8_t> greedy;
};

class ScoreRun {
 public:
  // `requests`: those that are answered become `finished`. `progress` is carried on.
  ScoreRun(Runner& runner, std::span<ScoreRequest> requests, ScoreSchedule& schedule,
           bool expert_load, ScoreSink& sink, EngineStatistics& statistics, EngineProgress& progress)
      : runner_(runner),
        requests_(requests),
        schedule_(schedule),
        sink_(sink),
        statistics_(statistics),
        load_(runner.config()),
        expert_load_(expert_load && load_.enabled()),
        pending_(requests.size()),
        progress_(progress) {}

  void run() {
    const PlanSummary plan = schedule_.summary();
    progress_.stage = "score";
    progress_.tokens_planned = progress_.tokens_done + plan.tokens_computed;
    progress_.requests = progress_.requests_done + schedule_.forest().size();
    uint32_t kept = 0;
    for (const PassPlan& pass : schedule_.passes()) kept = std::max(kept, pass.keep);
    model::KvPool pool = runner_.make_pool(kept);
    std::vector<int32_t> ancestors;
    Ranks& ranks = runner_.ranks();
    bool cancelled = false;
    for (size_t i = 0;; ++i) {
      cancelled = cancelled || ranks.decide(sink_.cancelled());
      const bool mine = i < schedule_.passes().size() && !cancelled;
      if (ranks.next_pass(mine ? PassKind::layers : PassKind::none) == PassKind::none) return;
      if (!mine) {
        runner_.run_idle();
        continue;
      }
      const PassPlan& pass = schedule_.passes()[i];
      build_pass(schedule_.forest(), schedule_.paths(), pass, rows_);
      ancestors.resize(pass.kept);
      for (uint32_t p = 0; p < pass.kept; ++p) ancestors[p] = static_cast<int32_t>(p);
      ScoreSchedule::PassWork& work = schedule_.work(i);
      const model::PassInput input{rows_.positions, rows_.segments, ancestors, rows_.store,
                                   model::Form::expanded};
      const int layers = static_cast<int>(runner_.config().layers);
      const uint64_t before = progress_.tokens_done;
      const ops::Rows hidden =
          runner_.run(rows_.ids, input, pool, [&](int layer, const ops::Routing* routing) {
            if (expert_load_ && routing) load_.add(work.load, layer, *routing);
            progress_.tokens_done = before + pass.rows * static_cast<uint64_t>(layer + 1) /
                                                 static_cast<uint64_t>(layers);
            if (layer + 1 < layers && seconds_since(reported_) > 0.5) report_progress();
          });
      if (ranks.last()) read_head(hidden, work.targets);
      statistics_.tokens_computed += pass.rows;
      for (const uint32_t request : work.completed) complete(request);
      if (expert_load_) load_.report(sink_);
      sink_.on_commit();
      report_progress();
      work = {};
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point t) {
    return std::chrono::duration<double>(Clock::now() - t).count();
  }

  void report_progress() {
    progress_.seconds = seconds_since(start_);
    reported_ = Clock::now();
    sink_.on_progress(progress_);
  }

  // Targets are sorted by row, then token; equal ones are asked once.
  void read_head(ops::ConstRows hidden, std::span<const ScoreTarget> targets) {
    size_t at = 0;
    while (at < targets.size()) {
      row_list_.clear();
      first_.assign(1, 0);
      tokens_.clear();
      size_t end = at;
      while (end < targets.size()) {
        const ScoreTarget& t = targets[end];
        const bool new_row = row_list_.empty() || row_list_.back() != static_cast<int32_t>(t.row);
        if (new_row) {
          if (row_list_.size() == kHeadRows) break;
          row_list_.push_back(static_cast<int32_t>(t.row));
          first_.push_back(static_cast<int32_t>(tokens_.size()));
        }
        if (new_row || tokens_.back() != t.token) tokens_.push_back(t.token);
        first_.back() = static_cast<int32_t>(tokens_.size());
        ++end;
      }
      logprobs_.resize(tokens_.size());
      argmax_.resize(row_list_.size());
      argmax_logprobs_.resize(row_list_.size());
      const ops::Rows normed = runner_.final_norm(hidden, row_list_);
      runner_.backend().head_score(runner_.head(normed.rows), normed, {first_, tokens_}, logprobs_.data(),
                                   argmax_.data(), argmax_logprobs_.data());
      for (const float logprob : logprobs_) {
        if (!std::isfinite(logprob)) runner_.throw_overflow("the head computes log-probabilities");
      }
      size_t row = 0, token = 0;
      for (size_t i = at; i < end; ++i) {
        const ScoreTarget& t = targets[i];
        if (i > at) {
          const bool new_row = targets[i - 1].row != t.row;
          row += new_row;
          token += new_row || targets[i - 1].token != t.token;
        }
        auto& pending = pending_[t.request];
        if (!pending) {
          pending = std::make_unique<Pending>();
          pending->logprobs.resize(requests_[t.request].continuation.size());
          pending->greedy.resize(pending->logprobs.size());
        }
        pending->logprobs[t.index] = logprobs_[token];
        pending->greedy[t.index] = argmax_[row] == t.token;
      }
      at = end;
    }
  }

  void complete(uint32_t index) {
    if (expert_load_) load_.release(index, requests_[index].group);
    ++progress_.requests_done;
    requests_[index].finished = true;
    if (!runner_.ranks().last()) return;
    std::unique_ptr<Pending> pending = std::move(pending_[index]);
    ScoreResult result;
    result.index = index;
    result.token_logprobs = std::move(pending->logprobs);
    result.token_greedy = std::move(pending->greedy);
    result.greedy = true;
    for (size_t k = 0; k < result.token_logprobs.size(); ++k) {
      result.logprob += static_cast<double>(result.token_logprobs[k]);
      result.greedy = result.greedy && result.token_greedy[k] != 0;
    }
    sink_.on_score(std::move(result));
  }

  Runner& runner_;
  const std::span<ScoreRequest> requests_;
  ScoreSchedule& schedule_;
  ScoreSink& sink_;
  EngineStatistics& statistics_;
  LoadCounter load_;
  const bool expert_load_;
  std::vector<std::unique_ptr<Pending>> pending_;
  PassRows rows_;
  EngineProgress& progress_;
  Clock::time_point start_ = Clock::now(), reported_ = start_;
  // Reused by read_head.
  std::vector<int32_t> row_list_, first_, tokens_, argmax_;
  std::vector<float> logprobs_, argmax_logprobs_;
};

}  // namespace

void run_score(Runner& runner, std::span<const ScoreRequest> requests, const PlanLimits& limits,
               bool expert_load, ScoreSink& sink, EngineStatistics& statistics, const MemoryPlan* budget) {
  check_requests(requests, runner.config());
  std::vector<ScoreRequest> left(requests.begin(), requests.end());
  PlanLimits now = limits;
  EngineProgress progress;
  for (const ScoreRequest& request : requests) {
    if (!request.finished) statistics.tokens_asked += request.context.size() + request.continuation.size();
  }
  for (;;) {
    ScoreSchedule schedule(left, now, expert_load);
    if (budget != nullptr) {
      check_budget(*budget, runner.config(), schedule_memory(*budget, runner.config(), schedule.passes()));
    }
    try {
      ScoreRun(runner, left, schedule, expert_load, sink, statistics, progress).run();
      return;
    } catch (const ops::OutOfMemory&) {
      // What has been reported stands; the rest goes on in passes half as large, with equal bits.
      if (now.pass_tokens <= 1 || !runner.ranks().alone()) throw;
      now.pass_tokens /= 2;
    }
    runner.trim();
  }
}

}  // namespace assay::engine

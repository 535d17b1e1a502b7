#include "engine/distributed/parallel_engine.h"

#include <deque>
#include <utility>

#include "base/error.h"
#include "engine/distributed/nccl_collective.h"
#include "engine/distributed/rank.h"
#include "engine/distributed/share_out.h"
#include "engine/distributed/thread_collective.h"
#include "engine/distributed/thread_ranks.h"
#include "engine/execute/generate.h"
#include "engine/execute/plan_summary.h"
#include "engine/execute/score.h"
#include "engine/ops/cuda/cuda_backend.h"

namespace assay::engine {

namespace {

using Clock = std::chrono::steady_clock;

// How long a call waits for a report before it asks again whether it is cancelled.
constexpr std::chrono::milliseconds kPatience{50};

void hand_on(RankReport::Batch& batch, ScoreSink& sink) {
  for (ScoreResult& result : batch.scores) sink.on_score(std::move(result));
}
void hand_on(RankReport::Batch& batch, GenerateSink& sink) {
  for (GenerateResult& result : batch.texts) sink.on_generate(std::move(result));
}

class ParallelEngine final : public Engine {
 public:
  ParallelEngine(const RankSetup& setup, Division division, std::unique_ptr<RankGroup> ranks)
      : setup_(setup),
        config_(setup_.checkpoint->config()),
        division_(std::move(division)),
        ranks_(std::move(ranks)),
        statistics_(static_cast<size_t>(ranks_->size())),
        progress_(statistics_.size()) {
    memory_ = plan_memory(config_, numerics_of(setup_.options, *setup_.checkpoint),
                          on_device(setup_.options), false, division_.shares.front());
    std::vector<Capabilities> opened(statistics_.size());
    NoResults nothing;
    gather(nothing, [&](RankReport& report) {
      if (auto* able = std::get_if<RankReport::Opened>(&report.what)) {
        opened[static_cast<size_t>(report.rank)] = std::move(able->capabilities);
        return true;
      }
      return false;
    });
    capabilities_ = opened.front();
    for (const Capabilities& other : opened) {
      if (other.profile == capabilities_.profile) continue;
      throw_usage("the ranks do not compute the same bits: " + capabilities_.profile + " and " + other.profile,
                  "name devices of one kind");
    }
    capabilities_.ranks = ranks_->size();
    capabilities_.parallel = division_.parallel;
  }

  const Capabilities& capabilities() const override { return capabilities_; }
  const Tokenizer& tokenizer() const override {
    if (!setup_.tokenizer) throw_internal("this engine was opened without a tokenizer");
    return *setup_.tokenizer;
  }

  void score(std::span<const ScoreRequest> requests, ScoreSink& sink) override {
    check_requests(requests, config_);
    RankJob job{RankJob::Kind::score, requests, {}, {}};
    run(job, sink, [&] { return share_out(requests, config_, ranks_->size()); });
  }
  void generate(std::span<const GenerateRequest> requests, GenerateSink& sink) override {
    check_requests(requests, config_);
    RankJob job{RankJob::Kind::generate, {}, requests, {}};
    run(job, sink, [&] { return share_out(requests, config_, ranks_->size()); });
  }
  PlanSummary plan(std::span<const ScoreRequest> requests) const override {
    return summarise(requests, config_, memory_);
  }

  EngineStatistics statistics() const override {
    EngineStatistics out;
    for (const EngineStatistics& rank : statistics_) {
      // Stages count the same tokens, each its own reading.
      if (!together() || &rank == &statistics_.back()) {
        out.tokens_asked += rank.tokens_asked;
        out.tokens_computed += rank.tokens_computed;
        out.tokens_generated += rank.tokens_generated;
        out.drafted += rank.drafted;
        out.accepted += rank.accepted;
        out.flops += rank.flops;
      }
      out.bytes_read += rank.bytes_read;
    }
    out.seconds = seconds_;
    if (running_) out.seconds += since(start_);
    return out;
  }

 private:
  struct NoResults final : ResultSink {};

  static double since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }
  // Whether all ranks run the same passes.
  bool together() const { return division_.parallel == Parallel::pipeline; }

  template <class Sink, class ShareOut>
  void run(RankJob& job, Sink& sink, const ShareOut& share) {
    if (broken_) throw_resource("the ranks have stopped after an error", "this engine", "open it again");
    std::vector<int> rank_of;
    if (!together()) rank_of = share();
    start_ = Clock::now();
    running_ = true;
    job.rank_of = rank_of;
    std::fill(progress_.begin(), progress_.end(), EngineProgress{});
    std::vector<std::deque<RankReport::Batch>> waiting(statistics_.size());
    std::vector<RankReport::Batch> rests;
    ranks_->give(job);
    try {
      gather(sink, [&](RankReport& report) {
        const auto rank = static_cast<size_t>(report.rank);
        if (auto* batch = std::get_if<RankReport::Batch>(&report.what)) {
          waiting[rank].push_back(std::move(*batch));
          commit(waiting, rank, sink);
        } else if (const auto* progress = std::get_if<EngineProgress>(&report.what)) {
          progress_[rank] = *progress;
          sink.on_progress(progress_of_all());
        } else if (auto* ended = std::get_if<RankReport::Ended>(&report.what)) {
          statistics_[rank] = ended->rest.statistics;
          rests.push_back(std::move(ended->rest));
          return true;
        }
        return false;
      });
    } catch (...) {
      finish();
      throw;
    }
    finish();
    for (RankReport::Batch& rest : rests) hand_on(rest, sink);
  }
  void finish() {
    seconds_ += since(start_);
    running_ = false;
  }

  // Hands on what is complete: the batch of this rank, or of all.
  template <class Sink>
  void commit(std::vector<std::deque<RankReport::Batch>>& waiting, size_t rank, Sink& sink) {
    if (together()) {
      for (const auto& batches : waiting) {
        if (batches.empty()) return;
      }
    }
    for (size_t r = 0; r < waiting.size(); ++r) {
      if (!together() && r != rank) continue;
      RankReport::Batch batch = std::move(waiting[r].front());
      waiting[r].pop_front();
      statistics_[r] = batch.statistics;
      hand_on(batch, sink);
      for (const ExpertLoad& load : batch.load) sink.on_expert_load(load);
    }
    sink.on_commit();
  }

  EngineProgress progress_of_all() const {
    EngineProgress all = progress_.back();
    if (!together()) {
      all = {};
      for (const EngineProgress& one : progress_) {
        if (!one.stage.empty()) all.stage = one.stage;
        all.tokens_done += one.tokens_done;
        all.tokens_planned += one.tokens_planned;
        all.requests_done += one.requests_done;
        all.requests += one.requests;
      }
    }
    all.seconds = since(start_);
    return all;
  }

  // Takes reports until `last` has said of every rank that this was its last one, or the rank has
  // failed. Throws what went wrong, on a rank or in the sink, when no rank has anything left to do.
  template <class Last>
  void gather(ResultSink& sink, const Last& last) {
    std::exception_ptr error;
    int failed_rank = ranks_->size();
    bool cancelled = false, other = false;
    for (int left = ranks_->size(); left > 0;) {
      std::optional<RankReport> report;
      try {
        if (!cancelled && sink.cancelled()) {
          cancelled = true;
          ranks_->cancel();
        }
        report = ranks_->next_report(kPatience);
        if (!report) continue;
        if (error && std::holds_alternative<RankReport::Batch>(report->what)) continue;
        if (const auto* failed = std::get_if<RankReport::Failed>(&report->what)) {
          --left;
          broken_ = true;
          // A rank that failed by itself tells more than one that missed it.
          if (!error || (other && !failed->other) || (other == failed->other && report->rank < failed_rank)) {
            error = failed->error;
            other = failed->other;
            failed_rank = report->rank;
          }
          if (!cancelled) ranks_->cancel();
          cancelled = true;
        } else if (last(*report)) {
          --left;
        }
      } catch (...) {
        if (!error) error = std::current_exception();
        other = false;
        failed_rank = -1;
        if (!cancelled) ranks_->cancel();
        cancelled = true;
        if (report && std::holds_alternative<RankReport::Ended>(report->what)) --left;
      }
    }
    if (error) std::rethrow_exception(error);
  }

  const RankSetup setup_;
  const ModelConfig& config_;
  const Division division_;
  const std::unique_ptr<RankGroup> ranks_;
  MemoryPlan memory_;  // of the first rank
  Capabilities capabilities_;
  std::vector<EngineStatistics> statistics_;  // by rank
  std::vector<EngineProgress> progress_;
  double seconds_ = 0;
  Clock::time_point start_;
  bool running_ = false, broken_ = false;
};

// The threads' collectives, where the form needs any.
struct ThreadCollectives {
  std::vector<std::unique_ptr<Collective>> ends;
  std::string nccl;
};

}  // namespace

std::unique_ptr<Engine> open_parallel_engine(const RankSetup& setup) {
  const EngineOptions& options = setup.options;
  const auto ranks = static_cast<int>(options.devices.size());
  const Division division =
      divide(setup.checkpoint->config(), numerics_of(options, *setup.checkpoint), options, ranks);
  const bool exchanges = division.parallel != Parallel::data;
  const bool gpus = options.device().kind == DeviceKind::cuda;
  auto collectives = std::make_shared<ThreadCollectives>();
  if (gpus) {
    for (const Device& device : options.devices) ops::usable_cuda_device(device.index);
    if (exchanges) collectives->nccl = make_nccl_group();
  } else if (exchanges) {
    collectives->ends = make_thread_group(ranks);
  }
  auto group = start_thread_ranks(ranks, [setup, division, collectives, ranks](int rank, RankLink& link) {
    RankSetup own = setup;
    own.options = options_of_rank(setup.options, rank);
    own.parallel = division.parallel;
    own.share = division.shares[static_cast<size_t>(rank)];
    run_rank(rank, own, link, [&]() -> std::unique_ptr<Collective> {
      if (!collectives->nccl.empty()) {
        return join_nccl_group(collectives->nccl, ranks, rank, own.options.device().index);
      }
      return collectives->ends.empty() ? nullptr : std::move(collectives->ends[static_cast<size_t>(rank)]);
    });
  });
  RankSetup first = setup;
  first.options = options_of_rank(options, 0);
  return make_parallel_engine(first, division, std::move(group));
}

std::unique_ptr<Engine> make_parallel_engine(const RankSetup& first, const Division& division,
                                             std::unique_ptr<RankGroup> ranks) {
  return std::make_unique<ParallelEngine>(first, division, std::move(ranks));
}

}  // namespace assay::engine

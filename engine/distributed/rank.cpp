#include "engine/distributed/rank.h"

#include <utility>
namespace assay::engine {

namespace {

// Collects what belongs together and reports it at commits.
template <class Base>
class ReportingSink : public Base {
 public:
  ReportingSink(int rank, const Engine& engine, RankLink& link) : rank_(rank), engine_(engine), link_(link) {}
  void on_expert_load(const ExpertLoad& load) override { batch_.load.push_back(load); }
  void on_progress(const EngineProgress& progress) override { link_.report({rank_, progress}); }
  void on_commit() override { link_.report({rank_, take()}); }
  bool cancelled() override { return link_.cancelled(); }
  RankReport::Batch take() {
    batch_.statistics = engine_.statistics();
    return std::exchange(batch_, {});
  }

 protected:
  RankReport::Batch batch_;

 private:
  const int rank_;
  const Engine& engine_;
  RankLink& link_;
};
struct Scores final : ReportingSink<ScoreSink> {
  using ReportingSink::ReportingSink;
  void on_score(ScoreResult&& result) override { batch_.scores.push_back(std::move(result)); }
};
struct Texts final : ReportingSink<GenerateSink> {
  using ReportingSink::ReportingSink;
  void on_generate(GenerateResult&& result) override { batch_.texts.push_back(std::move(result)); }
};

// The rank's own requests among all.
template <class Request>
std::vector<Request> own(std::span<const Request> all, std::span<const int> rank_of, int rank) {
  std::vector<Request> out(all.begin(), all.end());
  for (size_t i = 0; i < rank_of.size(); ++i) out[i].finished = rank_of[i] != rank;
  return out;
}

RankReport::Batch run(int rank, Engine& engine, const RankJob& job, RankLink& link) {
  if (job.kind == RankJob::Kind::score) {
    Scores sink(rank, engine, link);
    engine.score(own(job.scores, job.rank_of, rank), sink);
    return sink.take();
  }
  Texts sink(rank, engine, link);
  engine.generate(own(job.generations, job.rank_of, rank), sink);
  return sink.take();
}

}  // namespace

void run_rank(int rank, const RankSetup& setup, RankLink& link,
              const std::function<std::unique_ptr<Collective>()>& join) {
  std::unique_ptr<Collective> collective;
  try {
    collective = join();
    RankSetup own = setup;
    own.collective = collective.get();
    const std::unique_ptr<Engine> engine = make_native_engine(own);
    link.report({rank, RankReport::Opened{engine->capabilities()}});
    for (;;) {
      const RankJob job = link.next_job();
      if (job.kind == RankJob::Kind::end) return;
      link.report({rank, RankReport::Ended{run(rank, *engine, job, link)}});
    }
  } catch (const RankStopped&) {
    link.report({rank, RankReport::Failed{std::current_exception(), true}});
  } catch (...) {
    if (collective) collective->abandon();
    link.report({rank, RankReport::Failed{std::current_exception(), false}});
  }
}

}  // namespace assay::engine

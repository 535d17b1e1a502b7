// The native engine over one backend: a whole model, or a rank's part of it.
#include "engine/engine.h"

#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/workers.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/random_weights.h"
#include "engine/distributed/expert_parallel.h"
#include "engine/distributed/parallel_engine.h"
#include "engine/distributed/pipeline.h"
#include "engine/distributed/process_ranks.h"
#include "engine/execute/generate.h"
#include "engine/execute/memory_plan.h"
#include "engine/execute/plan_summary.h"
#include "engine/execute/runner.h"
#include "engine/execute/score.h"
#include "engine/measure.h"
#include "engine/native_engine.h"
#include "engine/ops/ops.h"

namespace assay::engine {

namespace {

class NativeEngine final : public Engine {
 public:
  explicit NativeEngine(const RankSetup& setup)
      : setup_(setup),
        options_(setup_.options),
        workers_(options_.threads),
        checkpoint_(*setup_.checkpoint),
        backend_(make_backend(workers_, false)),
        memory_options_(on_device(options_)),
        memory_(plan(false)),
        preparer_(memory_.streamed ? make_backend(preparing_, true) : Layered()),
        ranks_(make_ranks()),
        runner_(checkpoint_, backend(), preparer_.get(), memory_.residency, ranks_.get()) {
    if (options_.prepare_ahead && !memory_.streamed && options_.device().kind == DeviceKind::cpu) {
      runner_.prepare_ahead();
    }
    capabilities_ = capabilities_of(checkpoint_.config(), backend().numerics());
    capabilities_.profile = backend().profile();
    capabilities_.has_mtp = checkpoint_.weights().mtp.has_value();
  }

  const Capabilities& capabilities() const override { return capabilities_; }

  const Tokenizer& tokenizer() const override {
    if (!setup_.tokenizer) throw_internal("this engine was opened without a tokenizer");
    return *setup_.tokenizer;
  }

  void score(std::span<const ScoreRequest> requests, ScoreSink& sink) override {
    const Stopwatch watch(statistics_.seconds);
    const MemoryPlan memory = alike(memory_);
    run_score(runner_, requests, memory.limits(), options_.expert_load, sink, statistics_, &memory);
  }

  void generate(std::span<const GenerateRequest> requests, GenerateSink& sink) override {
    const Stopwatch watch(statistics_.seconds);
    const MemoryPlan memory = alike(plan(true));
    const GenerateLimits limits{memory.prompt_pass_tokens(longest_prompt(requests)), memory.kept_tokens,
                                memory.sequences};
    if (options_.speculate_mtp && !capabilities_.has_mtp) {
      throw_usage("the checkpoint has no MTP layer to draft with", "leave --speculate mtp out");
    }
    run_generate(runner_, setup_.tokenizer.get(), requests, limits, options_.expert_load,
                 options_.speculate_mtp, sink, statistics_, &memory);
  }

  PlanSummary plan(std::span<const ScoreRequest> requests) const override {
    return summarise(requests, checkpoint_.config(), memory_);
  }

  EngineStatistics statistics() const override {
    EngineStatistics out = statistics_;
    out.flops = runner_.work().flops;
    out.bytes_read = runner_.work().bytes;
    return out;
  }

 private:
  // Adds the time from construction to destruction.
  class Stopwatch {
   public:
    explicit Stopwatch(double& seconds) : seconds_(seconds) {}
    ~Stopwatch() {
      seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;

   private:
    double& seconds_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  };

  // A backend, and perhaps the one over it that shares out experts.
  struct Layered {
    std::unique_ptr<ops::Backend> own, parallel;
    const ops::Backend* get() const { return parallel ? parallel.get() : own.get(); }
  };
  Layered make_backend(const Workers& workers, bool preparing) const {
    Layered out;
    out.own = open_backend(options_, checkpoint_, workers, preparing);
    if (setup_.parallel == Parallel::expert) {
      out.parallel = make_expert_parallel(*out.own, *setup_.collective);
    }
    return out;
  }
  std::unique_ptr<Ranks> make_ranks() const {
    switch (setup_.parallel) {
      case Parallel::expert: return std::make_unique<ExpertRanks>(*backend_.own, *setup_.collective);
      case Parallel::pipeline:
        return std::make_unique<PipelineRanks>(*backend_.own, *setup_.collective, setup_.share.layers);
      default: return std::make_unique<Ranks>();
    }
  }
  const ops::Backend& backend() const { return *backend_.get(); }
  MemoryPlan plan(bool absorbed) const {
    return plan_memory(checkpoint_.config(), backend_.own->numerics(), memory_options_, absorbed,
                       setup_.share);
  }
  // Ranks that run the same passes cut them alike.
  MemoryPlan alike(MemoryPlan plan) {
    plan.pass_tokens = ranks_->smallest(plan.pass_tokens);
    plan.kept_tokens = ranks_->smallest(plan.kept_tokens);
    plan.free_ancestors = ranks_->smallest(plan.free_ancestors);
    plan.row_ancestors = ranks_->smallest(plan.row_ancestors);
    return plan;
  }

  const RankSetup setup_;
  const EngineOptions& options_;
  const Workers workers_, preparing_{1};
  const Checkpoint& checkpoint_;
  const Layered backend_;
  const EngineOptions memory_options_;  // with the budget of the device's memory
  const MemoryPlan memory_;
  const Layered preparer_;  // packs streamed layers on a second thread
  const std::unique_ptr<Ranks> ranks_;
  Runner runner_;
  Capabilities capabilities_;
  EngineStatistics statistics_;
};

}  // namespace

Capabilities capabilities_of(const ModelConfig& config, Numerics numerics) {
  Capabilities out;
  out.architecture = config.model_type;
  out.context_length = config.context_length;
  out.vocabulary_size = config.vocabulary;
  out.numerics = numerics;
  out.routed_experts = static_cast<int>(config.moe.routed_experts);
  for (int64_t layer = 0; layer < config.layers; ++layer)
    out.moe_layers += config.is_moe_layer(layer);
  return out;
}

std::unique_ptr<Engine> make_native_engine(const RankSetup& setup) {
  return std::make_unique<NativeEngine>(setup);
}

std::unique_ptr<Engine> make_native_engine(const EngineOptions& options, Checkpoint checkpoint) {
  RankSetup setup;
  setup.options = options;
  setup.checkpoint = std::make_shared<const Checkpoint>(std::move(checkpoint));
  return make_native_engine(setup);
}

std::unique_ptr<Engine> open_engine(const EngineOptions& options) {
  RankSetup setup;
  setup.options = options;
  setup.checkpoint = std::make_shared<const Checkpoint>(Checkpoint::open(options.model, options.config));
  if (options.require_tokenizer) setup.tokenizer = Tokenizer::load(options.model);
  if (process_count() > 1) return open_process_engine(setup);
  if (options.devices.size() > 1) return open_parallel_engine(setup);
  divide(setup.checkpoint->config(), numerics_of(options, *setup.checkpoint), options, 1);  // refuses --parallel
  return make_native_engine(setup);
}

std::unique_ptr<Engine> open_random_engine(const ModelShape& shape, const EngineOptions& options) {
  EngineOptions ids_only = options;
  ids_only.require_tokenizer = false;
  ids_only.prepare_ahead = false;
  return make_native_engine(ids_only, Checkpoint::random(config_of(shape)));
}

}  // namespace assay::engine

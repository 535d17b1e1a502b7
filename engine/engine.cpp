// The native engine: one process, the op contracts of this machine's processor.
#include "engine/engine.h"

#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/workers.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/random_weights.h"
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

// Sequences that advance together, at most. Beyond this, a step's products are as fast per row as
// they get, and memory is better spent on longer prompts.
constexpr int64_t kSequences = 128, kGpuSequences = 512;

class NativeEngine final : public Engine {
 public:
  NativeEngine(const EngineOptions& options, Checkpoint checkpoint)
      : options_(options),
        workers_(options.threads),
        checkpoint_(std::move(checkpoint)),
        backend_(open_backend(options_, checkpoint_, workers_)),
        memory_options_(on_device(options)),
        memory_(plan_memory(checkpoint_.config(), backend_->numerics(), memory_options_, false)),
        preparer_(memory_.streamed ? open_backend(options_, checkpoint_, preparing_, true)
                                   : nullptr),
        runner_(checkpoint_, *backend_, preparer_.get(), memory_.residency) {
    if (options.prepare_ahead && !memory_.streamed && options.device.kind == DeviceKind::cpu) {
      runner_.prepare_ahead();
    }
    if (options.require_tokenizer) tokenizer_ = Tokenizer::load(options.model);
    capabilities_ = capabilities_of(checkpoint_.config(), backend_->numerics());
    capabilities_.profile = backend_->profile();
    capabilities_.has_mtp = checkpoint_.weights().mtp.has_value();
  }

  const Capabilities& capabilities() const override { return capabilities_; }

  const Tokenizer& tokenizer() const override {
    if (!tokenizer_) throw_internal("this engine was opened without a tokenizer");
    return *tokenizer_;
  }

  void score(std::span<const ScoreRequest> requests, ScoreSink& sink) override {
    const Stopwatch watch(statistics_.seconds);
    run_score(runner_, requests, memory_.limits(), options_.expert_load, sink, statistics_);
  }

  void generate(std::span<const GenerateRequest> requests, GenerateSink& sink) override {
    const Stopwatch watch(statistics_.seconds);
    const MemoryPlan memory =
        plan_memory(checkpoint_.config(), backend_->numerics(), memory_options_, true);
    const GenerateLimits limits{
        memory.pass_tokens, memory.kept_tokens,
        options_.device.kind == DeviceKind::cuda ? kGpuSequences : kSequences};
    if (options_.speculate_mtp && !capabilities_.has_mtp) {
      throw_usage("the checkpoint has no MTP layer to draft with", "leave --speculate mtp out");
    }
    run_generate(runner_, tokenizer_.get(), requests, limits, options_.expert_load,
                 options_.speculate_mtp, sink, statistics_);
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

  const EngineOptions options_;
  const Workers workers_, preparing_{1};
  const Checkpoint checkpoint_;
  const std::unique_ptr<ops::Backend> backend_;
  const EngineOptions memory_options_;  // with the budget of the device's memory
  const MemoryPlan memory_;
  const std::unique_ptr<ops::Backend> preparer_;  // packs streamed layers on a second thread
  Runner runner_;
  std::unique_ptr<Tokenizer> tokenizer_;
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

std::unique_ptr<Engine> make_native_engine(const EngineOptions& options, Checkpoint checkpoint) {
  return std::make_unique<NativeEngine>(options, std::move(checkpoint));
}

std::unique_ptr<Engine> open_engine(const EngineOptions& options) {
  return make_native_engine(options, Checkpoint::open(options.model, options.config));
}

std::unique_ptr<Engine> open_random_engine(const ModelShape& shape, const EngineOptions& options) {
  EngineOptions ids_only = options;
  ids_only.require_tokenizer = false;
  ids_only.prepare_ahead = false;
  return make_native_engine(ids_only, Checkpoint::random(config_of(shape)));
}

}  // namespace assay::engine

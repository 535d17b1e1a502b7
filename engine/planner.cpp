// Plans from config.json alone, and how long they would take (engine.h).
#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/random.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/config.h"
#include "engine/distributed/parallel_engine.h"
#include "engine/distributed/process_ranks.h"
#include "engine/engine.h"
#include "engine/execute/plan_summary.h"
#include "engine/execute/streaming_plan.h"
#include "engine/execute/work.h"
#include "engine/native_engine.h"
#include "engine/ops/cuda/cuda_backend.h"

namespace assay::engine {

namespace {

constexpr int64_t kCalibrationExperts = 16;
constexpr int64_t kCalibrationVocabulary = 8192;
constexpr int64_t kPromptTokens = 256, kPrompts = 4;
constexpr int kSequences = 32, kSteps = 8;
constexpr double kAssumedDecoding = 0.1;  // of a pass's FLOP/s, where no device can be timed

// One layer of each kind, few experts, a small vocabulary: the same products as the whole model's,
// over as many rows an expert, in a fraction of its memory.
ModelConfig excerpt(ModelConfig config) {
  if (config.moe.routed_experts > 0) {
    int64_t moe_layers = 0;
    for (int64_t l = 0; l < config.layers; ++l) moe_layers += config.is_moe_layer(l);
    config.moe.first_layer = moe_layers < config.layers ? 1 : 0;
    config.layers = config.moe.first_layer + (moe_layers > 0 ? 1 : 0);
    config.moe.every = 1;
    config.moe.dense_layers.clear();
    config.moe.routed_experts = std::min(config.moe.routed_experts,
                                         std::max(kCalibrationExperts, config.moe.experts_per_token));
    config.moe.groups = config.moe.kept_groups = 1;
  } else {
    config.layers = 1;
  }
  config.mtp_layers = 0;
  config.vocabulary = std::min(config.vocabulary, kCalibrationVocabulary);
  config.context_length = std::max<int64_t>(config.context_length, 2 * kPromptTokens);
  return config;
}

struct NoScores final : ScoreSink {
  void on_score(ScoreResult&&) override {}
};
struct NoTexts final : GenerateSink {
  void on_generate(GenerateResult&&) override {}
};

template <class Body>
double seconds_of(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Speed {
  double prompt_flops_s = 0;         // useful FLOP a second over many rows
  double token_flops_s = 0;          // when kSequences decode together
};

Speed calibrate(const ModelConfig& full, const EngineOptions& options) {
  const ModelConfig config = excerpt(full);
  EngineOptions small = options;
  small.memory_bytes = 0;
  small.gpu_memory_bytes = 0;
  small.pass_tokens = 0;
  small.expert_load = false;
  small.require_tokenizer = false;
  small.speculate_mtp = false;
  small.prepare_ahead = false;
  const auto engine = make_native_engine(small, Checkpoint::random(config));

  Random random(1);
  std::vector<std::vector<TokenId>> prompts(std::max<int64_t>(kPrompts, kSequences));
  for (auto& prompt : prompts) {
    while (prompt.size() < kPromptTokens) {
      prompt.push_back(static_cast<TokenId>(random.below(static_cast<uint64_t>(config.vocabulary))));
    }
  }
  const TokenId next = 0;
  std::vector<ScoreRequest> scores;
  for (int64_t i = 0; i < kPrompts; ++i) scores.push_back({prompts[static_cast<size_t>(i)], {&next, 1}});
  NoScores score_sink;
  engine->score(scores, score_sink);  // prepares the weights
  const double before = engine->statistics().flops;
  const double prompt_seconds = seconds_of([&] { engine->score(scores, score_sink); });
  Speed speed;
  speed.prompt_flops_s = (engine->statistics().flops - before) / prompt_seconds;

  const auto generate = [&](int tokens) {
    std::vector<GenerateRequest> requests(kSequences);
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].prompt = TokenSpan(prompts[i]).first(8);
      requests[i].max_tokens = tokens;
      requests[i].stop_at_eos = false;
    }
    NoTexts sink;
    const double flops = engine->statistics().flops;
    const double seconds = seconds_of([&] { engine->generate(requests, sink); });
    return std::pair{engine->statistics().flops - flops, seconds};
  };
  generate(2);
  const auto [few, few_seconds] = generate(2);
  const auto [many, many_seconds] = generate(2 + kSteps);
  speed.token_flops_s = (many - few) / std::max(1e-6, many_seconds - few_seconds);
  return speed;
}

StreamingPlan moved_by(const PlanSummary& plan) {
  return {static_cast<double>(plan.streamed_bytes), static_cast<double>(plan.streamed_file_bytes),
          plan.streamed_row_flops};
}

class NativePlanner final : public Planner {
 public:
  explicit NativePlanner(const EngineOptions& options)
      : options_(options),
        config_(load_config(options.config.empty() ? options.model / "config.json" : options.config)) {
    if (options.require_tokenizer) tokenizer_ = Tokenizer::load(options.model);
    const Numerics natural = config_.fp8_weights ? Numerics::fp8_weights : Numerics::bf16;
    const Numerics numerics = resolve_numerics(options.numerics, natural);
    capabilities_ = capabilities_of(config_, numerics);
    capabilities_.has_mtp = config_.mtp_layers > 0;
    const int processes = process_count();
    capabilities_.ranks = processes > 1 ? processes : static_cast<int>(options.devices.size());
    const Division division = divide(config_, numerics, options, capabilities_.ranks);
    capabilities_.parallel = division.parallel;
    const EngineOptions rank = on_device(options_of_rank(options, 0));
    scoring_ = plan_memory(config_, numerics, rank, false, division.shares.front());
    generation_ = plan_memory(config_, numerics, rank, true, division.shares.front());
  }

  const Capabilities& capabilities() const override { return capabilities_; }
  const Tokenizer& tokenizer() const override {
    if (!tokenizer_) throw_internal("this planner was opened without a tokenizer");
    return *tokenizer_;
  }
  PlanSummary plan(std::span<const ScoreRequest> requests) const override {
    return summarise(requests, config_, scoring_);
  }
  PlanSummary plan(std::span<const GenerateRequest> requests) const override {
    return summarise(requests, config_, generation_);
  }

  PlanEstimate estimate(const PlanSummary& score, const PlanSummary& generate) override {
    if (!speed_) speed_ = known_speed();
    const WorkRates work = work_rates(config_, model::Form::absorbed);
    const double tokens = static_cast<double>(generate.tokens_generated) * (work.row + work.scored);
    const double prompts = std::max(0.0, generate.flops - tokens);
    const double ranks = capabilities_.ranks;
    // One stage of a pipeline at a time computes a step of generation.
    const double steps_at_once = capabilities_.parallel == Parallel::pipeline ? 1 : ranks;

    const bool streamed = score.streamed || generate.streamed;
    StreamingRates rates = assumed_rates(options_.device().kind, capabilities_.numerics);
    rates.flops = speed_->prompt_flops_s;
    PlanEstimate out;
    if (streamed) {
      if (!disk_) disk_ = measure_disk(options_.model).value_or(0);
      out.disk_measured = *disk_ > 0;
      if (out.disk_measured) rates.disk = *disk_;
    }
    const auto add = [&](double passes, double computing, const PlanSummary& plan) {
      const double moving = moving_seconds(moved_by(plan), rates) * passes;
      out.compute_seconds += computing;
      out.moving_seconds += moving;
      out.seconds += std::max(computing, moving);
    };
    // Passes and steps are a rank's share where ranks have requests of their own.
    const double shared = capabilities_.parallel == Parallel::pipeline ? 1 : ranks;
    add(static_cast<double>(score.passes) / shared, score.flops / speed_->prompt_flops_s / ranks, score);
    add(static_cast<double>(generate.passes) / shared, prompts / speed_->prompt_flops_s / ranks, generate);
    add(static_cast<double>(generate.decode_steps) / shared, tokens / speed_->token_flops_s / steps_at_once,
        generate);
    out.flops_rate = rates.flops;
    out.flops_measured = !for_elsewhere();
    out.disk_rate = rates.disk;
    out.link_rate = rates.link;
    out.break_even_tokens = break_even_rows(moved_by(score.streamed ? score : generate), rates);
    return out;
  }

 private:
  // A plan for GPUs of a size that was named, on a machine without any.
  bool for_elsewhere() const {
    return options_.device().kind == DeviceKind::cuda && options_.gpu_memory_bytes > 0 &&
           ops::cuda_support().devices.empty();
  }
  Speed known_speed() const {
    if (!for_elsewhere()) return calibrate(config_, options_of_rank(options_, 0));
    const double flops = assumed_rates(DeviceKind::cuda, capabilities_.numerics).flops;
    return {flops, flops * kAssumedDecoding};
  }

  const EngineOptions options_;
  const ModelConfig config_;
  MemoryPlan scoring_, generation_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Capabilities capabilities_;
  std::optional<Speed> speed_;
  std::optional<double> disk_;  // bytes a second; 0: could not be measured
};

}  // namespace

std::unique_ptr<Planner> open_planner(const EngineOptions& options) {
  return std::make_unique<NativePlanner>(options);
}

}  // namespace assay::engine

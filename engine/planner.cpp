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
#include "engine/execute/work.h"
#include "engine/native_engine.h"

namespace assay::engine {

namespace {

constexpr int64_t kCalibrationExperts = 16;
constexpr int64_t kCalibrationVocabulary = 8192;
constexpr int64_t kPromptTokens = 256, kPrompts = 4;
constexpr int kSequences = 32, kSteps = 8;

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

  double estimate_seconds(const PlanSummary& score, const PlanSummary& generate) override {
    if (!speed_) speed_ = calibrate(config_, options_of_rank(options_, 0));
    const WorkRates rates = work_rates(config_, model::Form::absorbed);
    const double tokens = static_cast<double>(generate.tokens_generated) * (rates.row + rates.scored);
    const double prompts = std::max(0.0, generate.flops - tokens);
    // One stage of a pipeline at a time computes a step of generation.
    const double ranks = capabilities_.ranks;
    const double steps = capabilities_.parallel == Parallel::pipeline ? 1 : ranks;
    return (score.flops + prompts) / speed_->prompt_flops_s / ranks + tokens / speed_->token_flops_s / steps;
  }

 private:
  const EngineOptions options_;
  const ModelConfig config_;
  MemoryPlan scoring_, generation_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Capabilities capabilities_;
  std::optional<Speed> speed_;
};

}  // namespace

std::unique_ptr<Planner> open_planner(const EngineOptions& options) {
  return std::make_unique<NativePlanner>(options);
}

}  // namespace assay::engine

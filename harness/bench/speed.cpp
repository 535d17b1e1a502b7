#include "harness/bench/speed.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/random.h"

namespace assay::harness {

namespace {

using engine::Engine;
using engine::MachineLimits;
using engine::TokenId;

constexpr int64_t kDecodePrompt = 64;
constexpr double kEnoughSeconds = 3;
constexpr int64_t kPrefixTokens = 585, kShortestQuestion = 20, kLongestQuestion = 160;
constexpr int kQuestions = 32, kOptions = 4;  // of a subject, of a question

std::vector<TokenId> random_ids(Random& random, int64_t count, int64_t vocabulary) {
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<TokenId>(random.below(static_cast<uint64_t>(vocabulary))));
  }
  return ids;
}

class TickingScores final : public engine::ScoreSink {
 public:
  explicit TickingScores(FairClock* clock) : clock_(clock) {}
  void on_score(engine::ScoreResult&&) override {}
  void on_progress(const engine::EngineProgress&) override {
    if (clock_) clock_->tick();
  }

 private:
  FairClock* clock_;
};

// Runs the requests until enough has been timed. The first run, which touches fresh memory, counts
// only where it alone takes that long.
void time_scores(Engine& engine, const std::vector<engine::ScoreRequest>& requests, bool once,
                 const MachineLimits& limits, Measurement& out) {
  FairClock clock(limits, engine.capabilities().numerics);
  TickingScores sink(&clock);
  engine::EngineStatistics before = engine.statistics(), after = before;
  const auto timed_run = [&] {
    clock.start();
    engine.score(requests, sink);
    clock.stop();
    after = engine.statistics();
  };
  timed_run();
  if (clock.seconds() < kEnoughSeconds) {
    clock = FairClock(limits, engine.capabilities().numerics);
    before = after;
    do {
      timed_run();
    } while (!once && clock.seconds() < kEnoughSeconds);
  }
  clock.rate(after.flops - before.flops, after.bytes_read - before.bytes_read, clock.seconds(),
             out);
  out.tok_s = static_cast<double>(after.tokens_computed - before.tokens_computed) / clock.seconds();
}

Measurement measurement(const char* what, const Engine& engine, const MachineLimits& limits,
                        const SpeedOptions& options) {
  Measurement out;
  out.what = what;
  out.shape = options.shape;
  out.dtype = std::string(engine::numerics_name(engine.capabilities().numerics));
  out.threads = limits.threads();
  return out;
}

// Times the steps of a generation from the second on: the engine asks whether to stop before each.
class TickingSteps final : public engine::GenerateSink {
 public:
  TickingSteps(Engine& engine, FairClock& clock, int64_t steps)
      : engine_(engine), clock_(clock), last_(steps + 1) {}

  void on_generate(engine::GenerateResult&&) override {}
  bool cancelled() override {
    const int64_t step = asked_++;  // 0: nothing done; 1: prompts and a first step
    if (step == 1) {
      begin_ = engine_.statistics();
      clock_.start();
    } else if (step == last_) {
      end_ = engine_.statistics();
      clock_.stop();
    } else if (step > 1) {
      clock_.tick();
    }
    return step >= last_;
  }
  const engine::EngineStatistics& begin() const { return begin_; }
  const engine::EngineStatistics& end() const { return end_; }

 private:
  Engine& engine_;
  FairClock& clock_;
  const int64_t last_;
  int64_t asked_ = 0;
  engine::EngineStatistics begin_, end_;
};

}  // namespace

void warm_up(Engine& engine, bool generation) {
  const std::vector<TokenId> ids{0};
  TickingScores scores(nullptr);
  const engine::ScoreRequest request[] = {{ids, ids}};
  engine.score(request, scores);
  if (!generation) return;
  struct Ignore final : engine::GenerateSink {
    void on_generate(engine::GenerateResult&&) override {}
  } texts;
  engine::GenerateRequest generate[1];
  generate[0].prompt = ids;
  generate[0].max_tokens = 2;
  generate[0].stop_at_eos = false;
  engine.generate(generate, texts);
}

void measure_limits(const MachineLimits& limits, const std::string& kernels,
                    const MeasurementSink& sink) {
  using Limit = double (MachineLimits::*)(double) const;
  constexpr std::pair<const char*, Limit> kLimits[] = {{"fp32", &MachineLimits::fp32},
                                                       {"bf16", &MachineLimits::bf16},
                                                       {"bf16 from L1", &MachineLimits::fed_bf16},
                                                       {"fp8", &MachineLimits::fp8},
                                                       {"int8", &MachineLimits::int8},
                                                       {"read", &MachineLimits::read}};
  for (const auto& [name, limit] : kLimits) {
    double best = 0;
    const int slices = limits.device().empty() ? 5 : 1;
    for (int slice = 0; slice < slices; ++slice) best = std::max(best, (limits.*limit)(0.1));
    if (best == 0) continue;  // no such instruction
    Measurement out;
    out.what = "peak";
    out.shape = kernels;
    out.dtype = name;
    out.threads = limits.threads();
    (out.dtype == "read" ? out.gb_s : out.gflops) = best;
    out.fraction_of_peak = 1;
    out.bound = out.dtype == "read" ? Bound::memory : Bound::compute;
    sink(out);
  }
}

namespace {

// Runs `work` (seconds, FLOP and bytes of `times` runs in a row) until enough has been timed.
Measurement time_op(const std::function<engine::OpTimer::Timed(int times)>& work, int64_t rows,
                    const engine::OpTimer& timer, const MachineLimits& limits,
                    const SpeedOptions& options) {
  const double enough = options.quick ? 0.15 : 0.6;
  // The first run touches fresh memory. On a GPU several are queued together, a tenth of all, so
  // that waiting for the last does not count.
  work(1);
  int times = 1;
  if (!limits.device().empty()) {
    times =
        static_cast<int>(std::clamp(enough / 10 / std::max(work(1).seconds, 1e-7), 1.0, 1000.0));
  }
  FairClock clock(limits, timer.numerics());
  engine::OpTimer::Timed all;
  double done = 0;
  clock.start();
  while (all.seconds < enough) {
    const engine::OpTimer::Timed timed = work(times);
    all.seconds += timed.seconds;
    all.flops += timed.flops;
    all.bytes += timed.bytes;
    done += times;
    clock.tick();
  }
  clock.stop();
  Measurement out;
  out.dtype = std::string(engine::numerics_name(timer.numerics()));
  out.tokens = rows;
  out.threads = limits.threads();
  clock.rate(all.flops, all.bytes, all.seconds, out);
  out.tok_s = done * static_cast<double>(rows) / all.seconds;
  return out;
}

}  // namespace

void measure_products(engine::OpTimer& timer, const MachineLimits& limits,
                      const std::vector<int64_t>& rows, const SpeedOptions& options,
                      const MeasurementSink& sink) {
  for (size_t i = 0; i < timer.products().size(); ++i) {
    for (const int64_t m : rows) {
      const auto& product = timer.products()[i];
      Measurement out = time_op(
          [&](int times) -> engine::OpTimer::Timed {
            const double seconds = timer.run(i, m, times);
            return {seconds, 2.0 * times * static_cast<double>(m * product.n * product.k),
                    times * static_cast<double>(product.bytes)};
          },
          m, timer, limits, options);
      out.what = "gemm";
      out.shape = options.shape + " " + product.name + " " + std::to_string(product.n) + "x" +
                  std::to_string(product.k);
      if (const auto peer = timer.peer(i, m)) {
        out.of_peer = *peer * *out.tok_s / static_cast<double>(m);
      }
      sink(out);
    }
  }
}

void measure_ops(engine::OpTimer& timer, const MachineLimits& limits,
                 const std::vector<int64_t>& rows, const SpeedOptions& options,
                 const MeasurementSink& sink) {
  for (size_t i = 0; i < timer.others().size(); ++i) {
    for (const int64_t m : rows) {
      Measurement out = time_op([&](int times) { return timer.run_other(i, m, times); }, m, timer,
                                limits, options);
      out.what = "op";
      out.shape = options.shape + " " + timer.others()[i];
      sink(out);
    }
  }
}

Measurement measure_prefill(Engine& engine, const MachineLimits& limits, int64_t length,
                            const SpeedOptions& options) {
  const int64_t vocabulary = engine.capabilities().vocabulary_size;
  const int64_t all = options.quick ? options.pass_tokens / 4 : options.pass_tokens;
  const int64_t prompts = std::max<int64_t>(1, all / length);
  Random random(1, static_cast<uint64_t>(length));
  std::vector<std::vector<TokenId>> ids;
  std::vector<engine::ScoreRequest> requests;
  const std::vector<TokenId> next{0};
  for (int64_t i = 0; i < prompts; ++i) ids.push_back(random_ids(random, length, vocabulary));
  for (const auto& prompt : ids) requests.push_back({prompt, next});
  Measurement out = measurement("prefill", engine, limits, options);
  out.tokens = length;
  out.batch = prompts;
  time_scores(engine, requests, options.quick, limits, out);
  if (options.full_model > 0) out.full_tok_s = *out.tok_s * options.full_model;
  return out;
}

Measurement measure_decode(Engine& engine, const MachineLimits& limits, int64_t batch,
                           const SpeedOptions& options) {
  const int64_t vocabulary = engine.capabilities().vocabulary_size;
  const int64_t steps = options.quick ? 16 : 64;
  Random random(2, static_cast<uint64_t>(batch));
  std::vector<std::vector<TokenId>> ids;
  std::vector<engine::GenerateRequest> requests;
  for (int64_t i = 0; i < batch; ++i) ids.push_back(random_ids(random, kDecodePrompt, vocabulary));
  for (const auto& prompt : ids) {
    engine::GenerateRequest request;
    request.prompt = prompt;
    request.max_tokens = static_cast<int>(steps + 4);
    request.stop_at_eos = false;
    requests.push_back(std::move(request));
  }
  FairClock clock(limits, engine.capabilities().numerics);
  TickingSteps sink(engine, clock, steps);
  engine.generate(requests, sink);
  const engine::EngineStatistics &begin = sink.begin(), &end = sink.end();
  Measurement out = measurement("decode", engine, limits, options);
  out.tokens = steps;
  out.batch = batch;
  clock.rate(end.flops - begin.flops, end.bytes_read - begin.bytes_read, clock.seconds(), out);
  out.tok_s = static_cast<double>(end.tokens_generated - begin.tokens_generated) / clock.seconds();
  if (options.full_model > 0) out.full_tok_s = *out.tok_s * options.full_model;
  return out;
}

Measurement measure_scoring(Engine& engine, const MachineLimits& limits,
                            const SpeedOptions& options) {
  const int64_t vocabulary = engine.capabilities().vocabulary_size;
  const int subjects = options.quick ? 1 : 2;
  Random random(3);
  std::vector<std::vector<TokenId>> prompts;
  const std::vector<TokenId> answers = random_ids(random, kOptions, vocabulary);
  for (int s = 0; s < subjects; ++s) {
    const std::vector<TokenId> prefix = random_ids(random, kPrefixTokens, vocabulary);
    for (int q = 0; q < kQuestions; ++q) {
      const auto length =
          kShortestQuestion + static_cast<int64_t>(random.below(
                                  static_cast<uint64_t>(kLongestQuestion - kShortestQuestion + 1)));
      prompts.push_back(prefix);
      const std::vector<TokenId> question = random_ids(random, length, vocabulary);
      prompts.back().insert(prompts.back().end(), question.begin(), question.end());
    }
  }
  std::vector<engine::ScoreRequest> requests;
  for (const auto& prompt : prompts) {
    for (const TokenId& answer : answers) requests.push_back({prompt, {&answer, 1}});
  }
  Measurement out = measurement("score", engine, limits, options);
  out.tokens = static_cast<int64_t>(engine.plan(requests).tokens_computed);
  out.batch = static_cast<int64_t>(requests.size());
  time_scores(engine, requests, options.quick, limits, out);
  if (options.full_model > 0) out.full_tok_s = *out.tok_s * options.full_model;
  return out;
}

}  // namespace assay::harness

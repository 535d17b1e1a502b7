// Implementations against each other and against the naive pass, layer by layer.
//
// Same inputs, other orders of summation. How far two implementations may then be apart follows
// from what a mode rounds (Bounds). Routers are not smooth: where two scores are closer than that,
// the choices differ, and what follows is another function. So the choices themselves are compared:
// each must be what the formula gives for the implementation's own logits, the logits what the
// router's weights give for its own input, and the inputs as close as the bounds say; then a choice
// that differs is proven to be such a near tie. Positions that saw one, and those that attend to
// them in later layers, are left out of what follows; everything else is bounded in the mean.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "base/file.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/distributed/forwarding_backend.h"
#include "engine/execute/runner.h"
#include "engine/reference/attention.h"
#include "engine/reference/model.h"
#include "tests/engine/execute/random_material.h"
#include "tests/engine/random_models.h"

namespace assay::engine {
namespace {

// ASSAY_TEST_TRACE=1 prints what is compared, and every near tie.
bool tracing() { return std::getenv("ASSAY_TEST_TRACE") != nullptr; }

using Tokens = std::vector<TokenId>;
using reference::Matrix;

struct TracedLayer {
  Matrix output;                         // [tokens, hidden]
  Matrix router_input, logits;           // [tokens, hidden], [tokens, experts]; MoE layers
  std::vector<std::vector<int>> chosen;  // per token, ascending
};
// What one implementation computes for one sequence.
struct Trace {
  std::vector<TracedLayer> layers;
  Matrix final_norm;
  std::vector<double> logprobs;  // of each next token, [tokens - 1]
};

Matrix copy(ops::ConstRows x) {
  Matrix out(x.rows, x.cols);
  for (int64_t r = 0; r < x.rows; ++r) std::copy_n(x.row(r), x.cols, out.row(r));
  return out;
}

// Keeps what passes by.
class Recorder final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void rms_norm(ops::ConstRows x, const float* w, double eps, ops::Rows out) const override {
    inner_.rms_norm(x, w, eps, out);
    normed_ = copy(out);  // the last one before route() is the router's input
  }
  void route(const ops::Router& router, ops::ConstRows logits, ops::Routing& out) const override {
    inner_.route(router, logits, out);
    layer_.router_input = normed_;
    layer_.logits = copy(logits);
    for (auto at = out.expert.begin(); at != out.expert.end(); at += router.top_k)
      layer_.chosen.emplace_back(at, at + router.top_k);
  }
  bool all_finite(ops::ConstRows x) const override {  // asked of every layer's output
    layer_.output = copy(x);
    layers.push_back(std::exchange(layer_, {}));
    return inner_.all_finite(x);
  }
  mutable std::vector<TracedLayer> layers;

 private:
  mutable TracedLayer layer_;
  mutable Matrix normed_;
};

double logprob(std::span<const double> logits, TokenId token) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double z : logits) sum += std::exp(z - largest);
  return logits[static_cast<size_t>(token)] - largest - std::log(sum);
}

Trace trace(Runner& runner, const Recorder& backend, const Tokens& tokens) {
  const auto n = static_cast<int64_t>(tokens.size()), v = runner.config().vocabulary;
  std::vector<int32_t> positions(tokens.size()), store(tokens.size(), -1);
  std::iota(positions.begin(), positions.end(), 0);
  const ops::Segment segments[] = {{0, n, 0, positions.data()}};
  model::KvPool pool = runner.make_pool(0);
  const ops::Rows hidden = runner.run(tokens, {positions, segments, {}, store}, pool, {});
  const ops::Rows normed = runner.final_norm(hidden, positions);
  std::vector<float> logits(static_cast<size_t>(n * v));
  const ops::Rows rows{logits.data(), n, v, v};
  backend.head_logits(runner.head(n), normed, rows);
  Trace out{std::exchange(backend.layers, {}), copy(normed), {}};
  const Matrix exact = copy(rows);
  for (int64_t t = 0; t + 1 < n; ++t)
    out.logprobs.push_back(
        logprob({exact.row(t), static_cast<size_t>(v)}, tokens[static_cast<size_t>(t + 1)]));
  return out;
}

// The weights of a router, exact.
struct RouterWeights {
  Matrix weight;
  std::vector<double> bias;
  Matrix logits(const Matrix& x) const {
    Matrix out(x.rows, weight.rows);
    for (int64_t t = 0; t < x.rows; ++t)
      for (int64_t e = 0; e < weight.rows; ++e)
        out.row(t)[e] = std::inner_product(x.row(t), x.row(t) + x.cols, weight.row(e), 0.0);
    return out;
  }
};

std::vector<double> values_of(const TensorView& tensor) {
  const std::vector<float> values = reference::load_vector(tensor);
  return {values.begin(), values.end()};
}

RouterWeights router_of(const LayerWeights& layer) {
  RouterWeights out;
  if (!layer.router) return out;
  out.weight = Matrix(layer.router.rows(), layer.router.cols());
  out.weight.data = values_of(layer.router);
  if (layer.router_bias) out.bias = values_of(layer.router_bias);
  return out;
}

Trace trace(const Checkpoint& checkpoint, const reference::Model& naive,
            const std::vector<RouterWeights>& routers, const Tokens& tokens) {
  const ModelConfig& config = checkpoint.config();
  reference::Output output = naive.forward(tokens);
  Trace out;
  out.layers.resize(static_cast<size_t>(config.layers));
  for (reference::Tap& tap : output.taps) {
    if (tap.name == "final_norm") out.final_norm = tap.values;
    for (size_t l = 0; l < out.layers.size(); ++l) {
      const std::string name = "layer" + std::to_string(l);
      if (tap.name == name + ".output") out.layers[l].output = tap.values;
      if (tap.name == name + ".after_attention") out.layers[l].router_input = tap.values;
    }
  }
  for (const reference::LayerRouting& routing : output.routing) {
    const auto l = static_cast<size_t>(routing.layer);
    TracedLayer& layer = out.layers[l];
    Matrix& x = layer.router_input;
    const auto norm = reference::load_vector(checkpoint.weights().layers[l].post_attention_norm);
    for (int64_t t = 0; t < x.rows; ++t)
      reference::rms_norm(x.row(t), x.cols, norm, config.norm_eps, {});
    layer.logits = routers[l].logits(x);
    for (const reference::Routing& token : routing.tokens) {
      layer.chosen.push_back(token.experts);
      std::sort(layer.chosen.back().begin(), layer.chosen.back().end());
    }
  }
  for (size_t t = 0; t + 1 < tokens.size(); ++t)
    out.logprobs.push_back(logprob(
        {output.logits.row(static_cast<int64_t>(t)), static_cast<size_t>(config.vocabulary)},
        tokens[t + 1]));
  return out;
}

// How far two implementations of a mode may be apart, relative to a vector's length.
//
// Rounded operands: a difference d before a rounding of unit u flips d / 2u of the roundings, each
// by 2u of its value, so that d becomes sqrt(2 u d): from the last bits of fp32 it climbs within a
// few roundings to its fixed point 2u, and no further. Every attention and every MLP adds a branch
// with a difference of its own. fp32: a sum of K products is exact to K 2^-24.
// Against a pass that rounds nothing: the inputs and weights of the four products that follow one
// another in a branch are rounded, by u each at most: sqrt(8) u in the root mean square over
// positions; a single one may be more sensitive (a small residual stream, a peaked softmax). So is
// one that rounds two operands more than the other, as `amx` does in attention: their roundings
// beside the difference of what both round are no more than sqrt(2 + 4) u.
struct Bounds {
  Numerics mode;
  double unit, branch;
  bool every_position;
  Bounds(Numerics numerics, const ModelConfig& c, bool same_roundings)
      : mode(numerics), every_position(same_roundings || mode == Numerics::fp32) {
    const int64_t k = std::max({c.hidden, c.heads * c.head_dim, c.dense_hidden,
                                c.moe.expert_hidden * std::max<int64_t>(1, c.moe.shared_experts)});
    unit = mode == Numerics::fp32  ? std::ldexp(static_cast<double>(k), -25)
           : mode == Numerics::fp8 ? 0x1p-4
                                   : 0x1p-8;
    branch = unit * (every_position ? 2.0 : std::sqrt(8.0));
  }
  double hidden(int64_t branches) const {
    return branch * std::sqrt(static_cast<double>(branches));
  }
  // In the mean: what the reference's README found between two implementations, at most.
  double logprob() const {
    return mode == Numerics::fp32 ? 2e-4 : mode == Numerics::fp8 ? 0.16 : 0.06;
  }
};

double distance(const Matrix& a, const Matrix& b, int64_t t) {
  double difference = 0, length = 0;
  for (int64_t i = 0; i < a.cols; ++i) {
    difference += (a.row(t)[i] - b.row(t)[i]) * (a.row(t)[i] - b.row(t)[i]);
    length += a.row(t)[i] * a.row(t)[i];
  }
  return std::sqrt(difference / length);
}

// Selection scores of a token: what the choice is made by.
std::vector<double> selection(const double* logits, const std::vector<double>& bias,
                              const MoeConfig& moe) {
  std::vector<double> c(logits, logits + moe.routed_experts);
  if (moe.score == RouterScore::sigmoid) {
    for (double& x : c) x = 1 / (1 + std::exp(-x));
  } else {
    const double largest = *std::max_element(c.begin(), c.end());
    double sum = 0;
    for (double& x : c) sum += x = std::exp(x - largest);
    for (double& x : c) x /= sum;
  }
  for (size_t e = 0; e < bias.size(); ++e) c[e] += bias[e];
  return c;
}

// Between the last that is kept and the first that is not; infinite where all are kept.
double cut(std::vector<double> scores, int64_t kept) {
  if (kept >= static_cast<int64_t>(scores.size())) return std::numeric_limits<double>::infinity();
  std::sort(scores.begin(), scores.end(), std::greater<>());
  return scores[static_cast<size_t>(kept - 1)] - scores[static_cast<size_t>(kept)];
}

// By how much the scores of a choice are decided: of groups, and of experts in the kept groups.
double margin(const std::vector<double>& c, const MoeConfig& moe) {
  const auto size = static_cast<std::ptrdiff_t>(moe.routed_experts / moe.groups);
  std::vector<double> rating;
  for (auto g = c.begin(); g != c.end(); g += size) {
    std::vector<double> group(g, g + size);
    std::sort(group.begin(), group.end(), std::greater<>());
    rating.push_back(group[0] +
                     (moe.group_score == GroupScore::top2_sum && size > 1 ? group[1] : 0));
  }
  std::vector<double> ranked = rating;
  std::sort(ranked.begin(), ranked.end(), std::greater<>());
  std::vector<double> reachable;
  for (size_t e = 0; e < c.size(); ++e)
    if (rating[e / static_cast<size_t>(size)] >= ranked[static_cast<size_t>(moe.kept_groups - 1)])
      reachable.push_back(c[e]);
  return std::min(cut(rating, moe.kept_groups), cut(reachable, moe.experts_per_token));
}

// Each implementation by itself: logits are the router's product, choices the formula's.
void check_router(const Trace& trace, const std::vector<RouterWeights>& routers,
                  const ModelConfig& config) {
  for (size_t l = 0; l < trace.layers.size(); ++l) {
    const TracedLayer& layer = trace.layers[l];
    if (layer.chosen.empty()) continue;
    const RouterWeights& router = routers[l];
    const Matrix exact = router.logits(layer.router_input);
    for (int64_t t = 0; t < exact.rows; ++t) {
      for (int64_t e = 0; e < exact.cols; ++e) {
        double size = 0;
        for (int64_t i = 0; i < config.hidden; ++i)
          size += std::abs(layer.router_input.row(t)[i] * router.weight.row(e)[i]);
        const double rounding = std::ldexp(static_cast<double>(config.hidden), -24) * size;
        ASSERT_NEAR(layer.logits.row(t)[e], exact.row(t)[e], rounding) << "layer " << l;
      }
      const double* logits = layer.logits.row(t);
      std::vector<int> expected =
          reference::route({logits, logits + exact.cols}, router.bias, config.moe, {}).experts;
      std::sort(expected.begin(), expected.end());
      if (expected == layer.chosen[static_cast<size_t>(t)]) continue;
      // Scores are fp32: below some of their last bits a choice may differ from that in double.
      EXPECT_LE(margin(selection(logits, router.bias, config.moe), config.moe), 0x1p-21)
          << "layer " << l << " position " << t;
    }
  }
}

class Agreement : public testing::TestWithParam<std::pair<std::string, int>>,
                  public test::WithRandomCheckpoint {
 protected:
  void SetUp() override {
    const auto& [family, seed] = GetParam();
    make_checkpoint(family, seed);
    for (const LayerWeights& layer : checkpoint_->weights().layers)
      routers_.push_back(router_of(layer));
    const test::Material material =
        test::random_material(static_cast<uint64_t>(seed), checkpoint_->config().vocabulary);
    std::set<Tokens> distinct;
    for (size_t i = 0; i < material.contexts.size(); ++i) {
      Tokens tokens = material.contexts[i];
      tokens.insert(tokens.end(), material.continuations[i].begin(),
                    material.continuations[i].end());
      distinct.insert(std::move(tokens));
    }
    sequences_.assign(distinct.begin(), distinct.end());
  }

  using Traces = std::vector<Trace>;  // one a sequence
  // Implementations that round the same operands. `amx` differs where keys and values are bf16.
  enum class Rounds { nothing, operands, amx_operands };
  struct Implementation {
    std::string name;
    Rounds rounds;
    Traces traces;
  };
  std::vector<Implementation> implementations(Numerics mode, const Traces& exact) const {
    const bool bf16 = mode == Numerics::bf16 || mode == Numerics::fp8_weights;
    std::vector<Implementation> all;
    if (mode != Numerics::fp8) all.push_back({"exact", Rounds::nothing, exact});
    if (mode != Numerics::fp32)
      all.push_back({"naive", Rounds::operands, naive_traces(mode, Rounds::operands)});
    for (const KernelSupport& support : kernel_support()) {
      if (!support.available) continue;
      const bool more = bf16 && support.kernels == Kernels::amx;
      const Rounds rounds = more ? Rounds::amx_operands : Rounds::operands;
      if (more) all.push_back({"naive, as amx rounds", rounds, naive_traces(mode, rounds)});
      all.push_back(
          {std::string(kernels_name(support.kernels)), rounds, traces_of(mode, support.kernels)});
    }
    return all;
  }

  Traces traces_of(Numerics mode, Kernels kernels) const {
    const Workers workers(1);
    const auto inner =
        ops::make_cpu_backend(kernels, mode, workers, checkpoint_->config().ue8m0_scales);
    const Recorder backend(*inner);
    Runner runner(*checkpoint_, backend, nullptr, {});
    Traces out;
    for (const Tokens& tokens : sequences_) out.push_back(trace(runner, backend, tokens));
    return out;
  }
  Traces naive_traces(Numerics mode, Rounds rounds) const {
    const Workers workers(1);
    const reference::Model naive(
        *checkpoint_, workers,
        {.numerics = mode, .bf16_attention = rounds == Rounds::amx_operands});
    Traces out;
    for (const Tokens& tokens : sequences_)
      out.push_back(trace(*checkpoint_, naive, routers_, tokens));
    return out;
  }

  // Over the positions of all sequences that no near tie is before.
  struct Apart {
    std::vector<double> squares, counted;  // of a layer's distances
    double mean = 0, largest = 0, mean_of_all = 0, largest_of_all = 0;
    size_t positions = 0, near_ties = 0, all = 0;
  };
  // Positions of a layer's input that are comparable in, those of its output out.
  void compare_layer(size_t l, const TracedLayer& a, const TracedLayer& b, const Bounds& bounds,
                     std::vector<char>& comparable, Apart& apart) const {
    const ModelConfig& config = checkpoint_->config();
    const auto branches = 2 * static_cast<int64_t>(l);
    bool behind = false;  // a near tie at an earlier position
    for (size_t i = 0; i < comparable.size(); ++i) {
      const auto t = static_cast<int64_t>(i);
      const bool was = comparable[i];
      if (was && !a.chosen.empty()) {
        if (bounds.every_position) {
          EXPECT_LE(distance(a.router_input, b.router_input, t), bounds.hidden(branches + 1))
              << "layer " << l << " position " << t;
        }
        if (a.chosen[i] != b.chosen[i]) {
          const auto x = selection(a.logits.row(t), routers_[l].bias, config.moe);
          const auto y = selection(b.logits.row(t), routers_[l].bias, config.moe);
          double difference = 0;
          for (size_t e = 0; e < x.size(); ++e)
            difference = std::max(difference, std::abs(x[e] - y[e]));
          // A group is rated by two scores, and what was first has changed places with the next.
          EXPECT_LE(margin(x, config.moe), 4 * difference + 0x1p-21)
              << "layer " << l << " position " << t << ": no near tie";
          if (tracing()) {
            std::printf("  layer %zu position %zu: margin %.1e; scores apart by %.1e, inputs by ",
                        l, i, margin(x, config.moe), difference);
            std::printf("%.1e of at most %.1e\n", distance(a.router_input, b.router_input, t),
                        bounds.hidden(branches + 1));
          }
          ++apart.near_ties;
          comparable[i] = false;
        }
      }
      if (comparable[i]) {
        const double apart_by = distance(a.output, b.output, t);
        apart.squares[l] += apart_by * apart_by;
        ++apart.counted[l];
        if (bounds.every_position) {
          EXPECT_LE(apart_by, bounds.hidden(branches + 2)) << "layer " << l << " position " << t;
        }
      }
      // What attends to it sees it in the next layer.
      const bool tie = was && !comparable[i];
      if (behind && l + 1 < static_cast<size_t>(config.layers)) comparable[i] = false;
      behind |= tie;
    }
  }
  Apart compare(const Traces& a, const Traces& b, const Bounds& bounds) const {
    Apart apart;
    apart.squares.resize(a[0].layers.size());
    apart.counted.resize(a[0].layers.size());
    for (size_t s = 0; s < sequences_.size(); ++s) {
      SCOPED_TRACE("sequence " + std::to_string(s));
      std::vector<char> comparable(sequences_[s].size(), true);
      for (size_t l = 0; l < a[s].layers.size(); ++l)
        compare_layer(l, a[s].layers[l], b[s].layers[l], bounds, comparable, apart);
      for (size_t t = 0; t < a[s].logprobs.size(); ++t) {
        const double difference = std::abs(a[s].logprobs[t] - b[s].logprobs[t]);
        ++apart.all;
        apart.mean_of_all += difference;
        apart.largest_of_all = std::max(apart.largest_of_all, difference);
        if (!comparable[t]) continue;
        ++apart.positions;
        apart.mean += difference;
        apart.largest = std::max(apart.largest, difference);
      }
    }
    for (size_t l = 0; l < apart.squares.size(); ++l) {
      EXPECT_LE(std::sqrt(apart.squares[l] / std::max(1.0, apart.counted[l])),
                bounds.hidden(2 * static_cast<int64_t>(l) + 2))
          << "layer " << l;
    }
    if (apart.positions > 0) apart.mean /= static_cast<double>(apart.positions);
    if (apart.all > 0) apart.mean_of_all /= static_cast<double>(apart.all);
    return apart;
  }

  std::vector<RouterWeights> routers_;
  std::vector<Tokens> sequences_;
};

TEST_P(Agreement, Implementations) {
  std::vector<Numerics> modes{Numerics::fp32, Numerics::bf16};
  if (numerics_of_weights(checkpoint_->tensors()) == Numerics::fp8_weights)
    modes.insert(modes.end(), {Numerics::fp8_weights, Numerics::fp8});
  const Traces exact = naive_traces(Numerics::fp32, Rounds::operands);
  size_t near_ties = 0, left_out = 0;
  for (const Numerics mode : modes) {
    const std::vector<Implementation> all = implementations(mode, exact);
    for (auto b = all.begin(); b != all.end(); ++b) {
      SCOPED_TRACE(description_ + ", " + std::string(numerics_name(mode)) + ", " + b->name);
      for (const Trace& trace : b->traces) check_router(trace, routers_, checkpoint_->config());
      for (auto a = all.begin(); a != b; ++a) {
        SCOPED_TRACE("against " + a->name);
        const Bounds bounds(mode, checkpoint_->config(), a->rounds == b->rounds);
        const Apart apart = compare(a->traces, b->traces, bounds);
        if (tracing()) {
          std::printf(
              "%s, %s against %s: mean %.4f, largest %.4f of %zu positions; of all %zu "
              "%.4f, %.4f; near ties %zu\n",
              std::string(numerics_name(mode)).c_str(), b->name.c_str(), a->name.c_str(),
              apart.mean, apart.largest, apart.positions, apart.all, apart.mean_of_all,
              apart.largest_of_all, apart.near_ties);
        }
        near_ties += apart.near_ties;
        left_out += apart.all - apart.positions;
        EXPECT_LE(apart.mean, bounds.logprob()) << "largest " << apart.largest;
        if (mode == Numerics::fp32) {
          EXPECT_LE(apart.largest, bounds.logprob());
        }
      }
    }
  }
  RecordProperty("near_ties", static_cast<int>(near_ties));
  RecordProperty("positions_left_out", static_cast<int>(left_out));
}

INSTANTIATE_TEST_SUITE_P(Random, Agreement, testing::ValuesIn(test::random_parameters()),
                         [](const auto& p) {
                           return p.param.first + "_" + std::to_string(p.param.second);
                         });

}  // namespace
}  // namespace assay::engine

// Times the ops of a model's layers by themselves (measure.h), on any backend.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "base/workers.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/random_weights.h"
#include "engine/execute/work.h"
#include "engine/measure.h"
#include "engine/model/buffer.h"
#include "engine/model/decoder.h"
#include "engine/model/layer.h"
#include "engine/native_engine.h"
#include "engine/ops/cuda/cublaslt.h"

namespace assay::engine {

namespace {

using model::Buffer;

constexpr size_t kColdBytes = size_t{128} << 20;  // of copies of one matrix: beyond the caches
constexpr size_t kMostCopies = 256;
constexpr int64_t kDecodeContext = 1024;

struct Operands {
  std::vector<TensorView> tensors;
  bool gate_up = false;
  std::vector<std::unique_ptr<ops::Matrix>> copies;
  size_t next = 0;
};

}  // namespace

struct OpTimer::State {
  const EngineOptions options;
  Workers workers;
  const Checkpoint checkpoint;
  std::unique_ptr<ops::Backend> backend;
  std::vector<Product> products;
  std::vector<Operands> operands;
  std::vector<std::string> others;
  std::vector<std::function<Timed(int64_t rows, int times)>> timers;
  std::unique_ptr<ops::CublasLt> peer;
  std::string no_peer;
  // Weights of the last layer, prepared when first needed; one random matrix of activations.
  std::unique_ptr<ops::Matrix> router, head;
  model::PreparedExperts experts;
  model::Vector norm;
  Buffer<float> x, out, logits;
  Buffer<std::byte> kv;
  size_t filled = 0;  // elements of x

  State(const ModelConfig& config, const EngineOptions& o)
      : options(o),
        workers(options.threads),
        checkpoint(Checkpoint::random(config)),
        backend(open_backend(options, checkpoint, workers)),
        x(*backend),
        out(*backend),
        logits(*backend),
        kv(*backend) {
    const LayerWeights& first = checkpoint.weights().layers.front();
    const AttentionWeights& a = last().attention;
    add("q_a", {a.q_a}, false);
    add("q", {a.q_a ? a.q_b : a.q}, false);
    add("kv_a", {a.kv_a}, false);
    add("kv_b", {a.kv_b}, false);
    add("kv", {a.k, a.v}, false);
    add("o", {a.o}, false);
    add_mlp("", first.mlp);
    add_mlp("shared_", last().shared);
    if (!last().experts.empty()) {
      add_mlp("expert_", last().experts.front());
      add_other("experts", [this](int64_t rows, int times) { return time_experts(rows, times); });
      add_other("router", [this](int64_t rows, int times) { return time_router(rows, times); });
    }
    add_other("attention",
              [this](int64_t rows, int times) { return time_attention(rows, times, false); });
    add_other("decode attention",
              [this](int64_t rows, int times) { return time_attention(rows, times, true); });
    add_other("norm", [this](int64_t rows, int times) { return time_norm(rows, times); });
    add_other("head", [this](int64_t rows, int times) { return time_head(rows, times); });
    if (options.device().kind == DeviceKind::cuda) {
      peer = ops::open_cublaslt(options.device().index, no_peer);
    }
  }

  const ModelConfig& config() const { return checkpoint.config(); }
  const LayerWeights& last() const { return checkpoint.weights().layers.back(); }

  void add_mlp(const std::string& prefix, const MlpWeights& mlp) {
    add(prefix + "gate_up", {mlp.gate, mlp.up}, true);
    add(prefix + "down", {mlp.down}, false);
  }
  void add(std::string name, std::vector<TensorView> tensors, bool gate_up) {
    if (!tensors.front()) return;  // not in this architecture
    Operands o;
    o.tensors = std::move(tensors);
    o.gate_up = gate_up;
    o.copies.push_back(prepare(o));
    const bool fp8 = backend->numerics() == Numerics::fp8 && o.tensors[0].dtype == DType::f8_e4m3;
    products.push_back({std::move(name), o.copies[0]->n, o.copies[0]->k, o.copies[0]->bytes, fp8});
    operands.push_back(std::move(o));
  }
  void add_other(std::string name, std::function<Timed(int64_t, int)> timer) {
    others.push_back(std::move(name));
    timers.push_back(std::move(timer));
  }
  std::unique_ptr<ops::Matrix> prepare(const Operands& o) const {
    return backend->prepare(o.tensors, o.gate_up ? ops::Stacking::gate_up : ops::Stacking::rows,
                            ops::Role::linear);
  }

  ops::ConstRows random_rows(int64_t rows, int64_t cols) {
    const auto count = static_cast<size_t>(rows * cols);
    if (filled < count) {
      Random random(1);
      std::vector<float> values(count);
      for (float& v : values) v = static_cast<float>(random.uniform() - 0.5);
      backend->upload(reinterpret_cast<std::byte*>(x.ensure(static_cast<int64_t>(count))),
                      values.data(), count * sizeof(float));
      filled = count;
    }
    return {x.data(), rows, cols, cols};
  }
  // Seconds of `times` calls, all of them done.
  template <class Body>
  double time(int times, const Body& body) const {
    backend->finish();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < times; ++i) body();
    backend->finish();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  Timed time_experts(int64_t rows, int times);
  Timed time_router(int64_t rows, int times);
  Timed time_attention(int64_t rows, int times, bool decode);
  Timed time_norm(int64_t rows, int times);
  Timed time_head(int64_t rows, int times);
};

OpTimer::OpTimer(const ModelShape& shape, const EngineOptions& options)
    : state_(std::make_unique<State>(config_of(shape), options)) {}
OpTimer::~OpTimer() = default;

const std::vector<OpTimer::Product>& OpTimer::products() const { return state_->products; }
const std::vector<std::string>& OpTimer::others() const { return state_->others; }
const std::string& OpTimer::no_peer() const { return state_->no_peer; }
Numerics OpTimer::numerics() const { return state_->backend->numerics(); }

double OpTimer::run(size_t index, int64_t rows, int times) {
  State& s = *state_;
  Operands& o = s.operands[index];
  const Product& product = s.products[index];
  while (o.copies.size() < kMostCopies && o.copies.size() * product.bytes < kColdBytes) {
    for (size_t i = 0; i < s.operands.size(); ++i) {
      if (i != index) s.operands[i].copies.resize(1);
    }
    o.copies.push_back(s.prepare(o));
  }
  const int64_t columns = o.gate_up ? product.n / 2 : product.n;
  const ops::ConstRows x = s.random_rows(rows, product.k);
  const ops::Rows out = model::matrix(s.out, rows, columns);
  return s.time(times, [&] {
    const ops::Matrix& weight = *o.copies[o.next++ % o.copies.size()];
    if (o.gate_up) {
      s.backend->linear_swiglu(weight, x, out);
    } else {
      s.backend->linear(weight, x, nullptr, out);
    }
  });
}

std::optional<double> OpTimer::peer(size_t index, int64_t rows) {
  if (!state_->peer || numerics() == Numerics::fp32) return std::nullopt;
  const Product& p = state_->products[index];
  return p.fp8 ? state_->peer->fp8_seconds(rows, p.n, p.k)
               : state_->peer->bf16_seconds(rows, p.n, p.k);
}

OpTimer::Timed OpTimer::run_other(size_t index, int64_t rows, int times) {
  return state_->timers[index](rows, times);
}

// --- the other ops: FLOP as docs/performance.md counts them, bytes that have to move -------------

OpTimer::Timed OpTimer::State::time_experts(int64_t rows, int times) {
  if (experts.experts.empty()) experts = model::prepare_experts(checkpoint, last(), *backend);
  const MoeConfig& moe = config().moe;
  // Every row's choice is spread evenly: rows * top_k / experts entries for each.
  ops::Routing routing;
  const auto count = static_cast<int64_t>(moe.routed_experts);
  const int64_t k = moe.experts_per_token;
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<int32_t> chosen;
    const int64_t step = count / k;
    for (int64_t j = 0; j < k; ++j)
      chosen.push_back(static_cast<int32_t>((row + j * step) % count));
    std::sort(chosen.begin(), chosen.end());
    routing.expert.insert(routing.expert.end(), chosen.begin(), chosen.end());
  }
  routing.weight.assign(routing.expert.size(), 1.0f / static_cast<float>(k));
  const ops::ConstRows in = random_rows(rows, config().hidden);
  const ops::Rows to = model::matrix(out, rows, config().hidden);
  Timed timed;
  timed.seconds =
      time(times, [&] { backend->experts(experts.views, static_cast<int>(k), routing, in, to); });
  const int64_t used = std::min(count, rows * k);
  const auto row_bytes = static_cast<double>(rows * config().hidden * 8);
  timed.flops = times * 6.0 * static_cast<double>(rows * k * config().hidden * moe.expert_hidden);
  timed.bytes = times * (static_cast<double>(experts.bytes) * static_cast<double>(used) /
                             static_cast<double>(count) +
                         row_bytes);
  return timed;
}

OpTimer::Timed OpTimer::State::time_router(int64_t rows, int times) {
  if (!router) {
    router = backend->prepare({&last().router, 1}, ops::Stacking::rows, ops::Role::fp32);
  }
  const ops::ConstRows in = random_rows(rows, config().hidden);
  const ops::Rows scores = model::matrix(logits, rows, router->n);
  const ops::Router rule = model::router_of(config().moe);
  ops::Routing routing;
  Timed timed;
  timed.seconds = time(times, [&] {
    backend->linear(*router, in, nullptr, scores);
    backend->route(rule, scores, routing);
    backend->read_routing(routing);
  });
  timed.flops = times * 2.0 * static_cast<double>(rows * router->n * router->k);
  timed.bytes = times * (static_cast<double>(router->bytes) +
                         4.0 * static_cast<double>(rows * (router->k + router->n)));
  return timed;
}

OpTimer::Timed OpTimer::State::time_attention(int64_t rows, int times, bool decode) {
  const ModelConfig& c = config();
  const bool latent = decode && c.mla.has_value();
  ops::Attention a;
  a.heads = static_cast<int>(c.heads);
  a.scale = 1.0f;
  a.kv_type = backend->kv_type();
  const int64_t element = a.kv_type == ops::KvType::f32 ? 4 : 2;
  // As engine/model/attention.cpp lays them out.
  a.kv_heads = static_cast<int>(latent ? 1 : c.mla ? c.heads : c.kv_heads);
  a.key_dim = static_cast<int>(latent ? c.mla->kv_lora_rank : c.mla ? c.mla->nope_dim : c.head_dim);
  a.value_dim = static_cast<int>(latent ? c.mla->kv_lora_rank : c.v_head_dim());
  a.shared_dim = static_cast<int>(c.mla ? c.mla->rope_dim : 0);
  const int64_t positions = decode ? kDecodeContext : rows;
  const int64_t slots = decode ? rows * kDecodeContext : rows;
  const int64_t per_head = latent ? a.key_dim : a.key_dim + a.value_dim;
  const int64_t width = per_head * a.kv_heads + a.shared_dim;
  std::byte* memory = kv.ensure(slots * width * element);
  // Random numbers of a small spread; the same few rows over and over.
  std::vector<std::byte> block(static_cast<size_t>(std::min<int64_t>(slots, 64) * width * element));
  Random random(2);
  for (size_t i = 0; i < block.size(); i += static_cast<size_t>(element)) {
    const auto v = static_cast<float>(random.uniform() - 0.5) * 0.1f;
    const uint16_t half = float_to_bf16(v);
    std::memcpy(&block[i], element == 4 ? static_cast<const void*>(&v) : &half,
                static_cast<size_t>(element));
  }
  for (int64_t s = 0; s < slots; s += 64) {
    backend->upload(memory + s * width * element, block.data(),
                    static_cast<size_t>(std::min<int64_t>(64, slots - s) * width * element));
  }
  a.key = memory;
  a.key_stride = a.value_stride = a.shared_stride = width;
  a.key_head_stride = a.value_head_stride = per_head;
  a.value = latent ? memory : memory + a.key_dim * element;
  a.key_shared = memory + per_head * a.kv_heads * element;
  a.query = random_rows(rows, static_cast<int64_t>(a.heads) * (a.key_dim + a.shared_dim));
  a.out = model::matrix(out, rows, static_cast<int64_t>(a.heads) * a.value_dim);
  std::vector<int32_t> list(static_cast<size_t>(slots));
  for (size_t i = 0; i < list.size(); ++i) list[i] = static_cast<int32_t>(i);
  std::vector<ops::Segment> segments;
  if (decode) {
    for (int64_t r = 0; r < rows; ++r)
      segments.push_back({r, 1, positions - 1, &list[static_cast<size_t>(r * positions)]});
  } else {
    segments.push_back({0, rows, 0, list.data()});
  }
  a.segments = segments;
  Timed timed;
  timed.seconds = time(times, [&] { backend->attention(a); });
  timed.flops =
      times * causal_pairs(segments) * 2.0 * a.heads * (a.key_dim + a.shared_dim + a.value_dim);
  timed.bytes = times * (static_cast<double>(slots * width * element) +
                         4.0 * static_cast<double>(rows * (a.query.cols + a.out.cols)));
  return timed;
}

OpTimer::Timed OpTimer::State::time_norm(int64_t rows, int times) {
  if (norm.empty()) norm = model::load_vector(checkpoint, checkpoint.weights().norm, *backend);
  const ops::ConstRows in = random_rows(rows, config().hidden);
  const ops::Rows to = model::matrix(out, rows, config().hidden);
  Timed timed;
  timed.seconds = time(times, [&] { backend->rms_norm(in, norm.data(), config().norm_eps, to); });
  timed.bytes = times * 8.0 * static_cast<double>(rows * config().hidden);
  return timed;
}

OpTimer::Timed OpTimer::State::time_head(int64_t rows, int times) {
  if (!head) {
    head = backend->prepare({&checkpoint.weights().head, 1}, ops::Stacking::rows,
                            ops::head_role(backend->numerics()));
  }
  const ops::ConstRows in = random_rows(rows, config().hidden);
  std::vector<int32_t> first(static_cast<size_t>(rows) + 1), target(static_cast<size_t>(rows));
  for (size_t i = 0; i < first.size(); ++i) first[i] = static_cast<int32_t>(i);
  for (size_t i = 0; i < target.size(); ++i)
    target[i] = static_cast<int32_t>(i) % static_cast<int32_t>(head->n);
  std::vector<float> logprob(target.size());
  Timed timed;
  timed.seconds = time(times, [&] {
    backend->head_score(*head, in, {first, target}, logprob.data(), nullptr, nullptr);
  });
  timed.flops = times * 2.0 * static_cast<double>(rows * head->n * head->k);
  timed.bytes =
      times * (static_cast<double>(head->bytes) + 4.0 * static_cast<double>(rows * head->k));
  return timed;
}

}  // namespace assay::engine

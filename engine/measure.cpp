#include "engine/measure.h"

#include <chrono>
#include <utility>

#include "base/random.h"
#include "base/workers.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/random_weights.h"
#include "engine/execute/memory_plan.h"
#include "engine/ops/cpu/peak.h"
#include "engine/ops/ops.h"

namespace assay::engine {

struct MachineLimits::State {
  Kernels kernels;
  Workers workers;
  State(Kernels k, int threads) : kernels(k), workers(threads) {}
};

MachineLimits::MachineLimits(Kernels kernels, int threads)
    : state_(std::make_unique<State>(kernels, threads)) {}
MachineLimits::~MachineLimits() = default;

int MachineLimits::threads() const { return state_->workers.threads(); }
double MachineLimits::fp32(double seconds) const {
  return ops::measure_limit(ops::Limit::fp32, state_->kernels, state_->workers, seconds);
}
double MachineLimits::bf16(double seconds) const {
  return ops::measure_limit(ops::Limit::bf16, state_->kernels, state_->workers, seconds);
}
double MachineLimits::int8(double seconds) const {
  return ops::measure_limit(ops::Limit::int8, state_->kernels, state_->workers, seconds);
}
double MachineLimits::read(double seconds) const {
  return ops::measure_limit(ops::Limit::read, state_->kernels, state_->workers, seconds);
}

namespace {

constexpr size_t kColdBytes = size_t{128} << 20;  // of copies of one matrix: beyond the caches
constexpr size_t kMostCopies = 256;

struct Operands {
  std::vector<TensorView> tensors;
  bool gate_up = false;
  std::vector<std::unique_ptr<ops::Matrix>> copies;
  size_t next = 0;
};

}  // namespace

struct ProductTimer::State {
  Workers workers;
  Checkpoint checkpoint;
  std::unique_ptr<ops::Backend> backend;
  std::vector<Product> products;
  std::vector<Operands> operands;
  std::vector<float> x, out;

  State(const ModelConfig& config, Kernels kernels, Numerics numerics, int threads)
      : workers(threads),
        checkpoint(Checkpoint::random(config)),
        backend(ops::make_cpu_backend(
            kernels, resolve_numerics(numerics, numerics_of_weights(checkpoint.tensors())), workers,
            config.ue8m0_scales)) {
    const LayerWeights& first = checkpoint.weights().layers.front();
    const LayerWeights& last = checkpoint.weights().layers.back();
    const AttentionWeights& a = last.attention;
    add("q_a", {a.q_a}, false);
    add("q", {a.q_a ? a.q_b : a.q}, false);
    add("kv_a", {a.kv_a}, false);
    add("kv_b", {a.kv_b}, false);
    add("kv", {a.k, a.v}, false);
    add("o", {a.o}, false);
    add_mlp("", first.mlp);
    add_mlp("shared_", last.shared);
    if (!last.experts.empty()) add_mlp("expert_", last.experts.front());
  }

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
    products.push_back({std::move(name), o.copies[0]->n, o.copies[0]->k, o.copies[0]->bytes});
    operands.push_back(std::move(o));
  }
  std::unique_ptr<ops::Matrix> prepare(const Operands& o) const {
    return backend->prepare(o.tensors, o.gate_up ? ops::Stacking::gate_up : ops::Stacking::rows,
                            ops::Role::linear);
  }
};

ProductTimer::ProductTimer(const ModelShape& shape, Kernels kernels, Numerics numerics, int threads)
    : state_(std::make_unique<State>(config_of(shape), kernels, numerics, threads)) {}
ProductTimer::~ProductTimer() = default;

const std::vector<ProductTimer::Product>& ProductTimer::products() const { return state_->products; }
Numerics ProductTimer::numerics() const { return state_->backend->numerics(); }

double ProductTimer::run(size_t index, int64_t rows) {
  State& s = *state_;
  Operands& o = s.operands[index];
  const Product& product = s.products[index];
  while (o.copies.size() < kMostCopies && o.copies.size() * product.bytes < kColdBytes) {
    for (size_t i = 0; i < s.operands.size(); ++i) {
      if (i != index) s.operands[i].copies.resize(1);
    }
    o.copies.push_back(s.prepare(o));
  }
  const auto inputs = static_cast<size_t>(rows * product.k);
  if (s.x.size() < inputs) {
    Random random(1);
    while (s.x.size() < inputs) s.x.push_back(static_cast<float>(random.uniform() - 0.5));
  }
  const int64_t columns = o.gate_up ? product.n / 2 : product.n;
  if (s.out.size() < static_cast<size_t>(rows * columns)) s.out.resize(static_cast<size_t>(rows * columns));
  const ops::ConstRows x(s.x.data(), rows, product.k, product.k);
  const ops::Rows out{s.out.data(), rows, columns, columns};
  const ops::Matrix& weight = *o.copies[o.next++ % o.copies.size()];
  const auto start = std::chrono::steady_clock::now();
  if (o.gate_up) {
    s.backend->linear_swiglu(weight, x, out);
  } else {
    s.backend->linear(weight, x, nullptr, out);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace assay::engine

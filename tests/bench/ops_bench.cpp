// Speed of the ops as fractions of this machine's own limits, measured in turn within one run.
//
//   ops_bench --benchmark_filter=Gemm        rates of matrix products, of_peak against multiply-add
//   ops_bench --benchmark_filter=Decode      few rows: of_peak against read bandwidth
//   ASSAY_BENCH_KERNELS=avx2 ASSAY_BENCH_THREADS=2
//
// Every iteration times a slice of the limit right before the op, because clock and neighbours move
// both by more than what is to be seen. With one thread both are timed in CPU seconds, which a busy
// machine disturbs least; with more, by the wall clock.
#include <benchmark/benchmark.h>

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/random.h"
#include "engine/checkpoint/tensor.h"
#include "engine/ops/cpu/aligned_buffer.h"
#include "engine/ops/cpu/backends.h"
#include "engine/ops/cpu/peak.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops {
namespace {

Kernels bench_kernels() {
  const char* name = std::getenv("ASSAY_BENCH_KERNELS");
  return name == nullptr ? Kernels::automatic : parse_kernels(name);
}
const Workers& workers() {
  static const Workers instance([] {
    const char* threads = std::getenv("ASSAY_BENCH_THREADS");
    return threads == nullptr ? 0 : std::atoi(threads);
  }());
  return instance;
}

struct RandomTensor {
  TensorView view;
  AlignedBuffer bytes;
  std::vector<float> scale;

  RandomTensor(DType dtype, int64_t rows, int64_t cols) {
    view.name = "random";
    view.dtype = dtype;
    view.rank = 2;
    view.shape = {rows, cols};
    bytes.reserve(view.bytes());
    view.data = bytes.as<std::byte>();
    Random random(1);
    for (int64_t i = 0; i < rows * cols; ++i) {
      const auto x = static_cast<float>(random.uniform() - 0.5);
      if (dtype == DType::f32) {
        bytes.as<float>()[i] = x;
      } else if (dtype == DType::bf16) {
        bytes.as<uint16_t>()[i] = float_to_bf16(x);
      } else {
        bytes.as<uint8_t>()[i] = float_to_e4m3(100 * x);
      }
    }
    if (dtype == DType::f8_e4m3) {
      view.block = 128;
      view.scale_rows = (rows + 127) / 128;
      view.scale_cols = (cols + 127) / 128;
      scale.assign(static_cast<size_t>(view.scale_rows * view.scale_cols), 0.01f);
      view.scale = scale.data();
    }
  }
};

std::vector<float> random_floats(int64_t n) {
  std::vector<float> out(static_cast<size_t>(n));
  Random random(2);
  for (float& v : out) v = static_cast<float>(random.uniform() - 0.5);
  return out;
}

double now() {
  timespec t{};
  ::clock_gettime(workers().threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

constexpr double kSlice = 0.02;  // seconds

// One slice of the limit, 1e9 a second.
double slice(Limit limit) {
  if (workers().threads() > 1 || limit == Limit::read) {
    return measure_limit(limit, bench_kernels(), workers(), kSlice);
  }
  const KernelTable& table = kernel_table(bench_kernels());
  const auto busy = limit == Limit::fp32 ? table.busy_fp32 : table.busy_bf16;
  const double start = now();
  double operations = 0;
  for (int i = 0; i < 10; ++i) operations += busy(20000);
  return operations / (now() - start) * 1e-9;
}

// Times `op` and slices of `limit` in turn; counters: rate (1e9 a second) and of_peak.
template <class Op>
void against(benchmark::State& state, Limit limit, double amount, const Op& op) {
  op();
  double seconds = 0, best = 1e30, limit_sum = 0, limit_best = 0;
  int64_t rounds = 0, slices = 0;
  for (auto _ : state) {
    limit_sum += slice(limit);
    ++slices;
    double spent = 0;
    int64_t calls = 0;
    for (; spent < kSlice; ++calls) {  // short ops: as long as the limit was measured
      const double start = now();
      op();
      const double t = now() - start;
      best = std::min(best, t);
      spent += t;
    }
    state.SetIterationTime(spent / static_cast<double>(calls));
    seconds += spent;
    rounds += calls;
    limit_best = std::max(limit_best, limit_sum / static_cast<double>(slices));
  }
  const double n = static_cast<double>(rounds);
  state.counters["rate"] = amount * n / seconds * 1e-9;
  const double peak = limit_sum / static_cast<double>(slices);
  state.counters["peak"] = peak;
  state.counters["of_peak"] = amount * n / seconds * 1e-9 / peak;
  state.counters["best_of_best"] = amount / best * 1e-9 / limit_best;
}

struct Mode {
  Numerics numerics;
  DType dtype;
};
constexpr Mode kModes[] = {{Numerics::fp32, DType::f32},
                           {Numerics::bf16, DType::bf16},
                           {Numerics::fp8_weights, DType::f8_e4m3},
                           {Numerics::fp8, DType::f8_e4m3}};
constexpr const char* kModeNames[] = {"fp32", "bf16", "fp8-weights", "fp8"};

void Gemm(benchmark::State& state) {
  const Mode mode = kModes[state.range(0)];
  const int64_t m = state.range(1), n = state.range(2), k = state.range(3);
  state.SetLabel(kModeNames[state.range(0)]);
  const auto ops = make_cpu_backend(bench_kernels(), mode.numerics, workers(), false);
  const RandomTensor w(mode.dtype, n, k);
  const auto matrix = ops->prepare({&w.view, 1}, Stacking::rows, Role::linear);
  const auto x = random_floats(m * k);
  std::vector<float> out(static_cast<size_t>(m * n));
  const Limit limit = mode.numerics == Numerics::fp32 ? Limit::fp32 : Limit::bf16;
  against(state, limit, 2.0 * m * n * k, [&] {
    ops->linear(*matrix, ConstRows(x.data(), m, k, k), nullptr, Rows{out.data(), m, n, n});
  });
}
// Rows, outputs, inputs of the 0.5 B dense and the 1.1 B MoE shapes, and of a 7 B model.
BENCHMARK(Gemm)
    ->ArgNames({"mode", "m", "n", "k"})
    ->ArgsProduct({{1, 2, 3}, {256, 512}, {896, 4864}, {896}})
    ->Args({1, 512, 896, 4864})
    ->Args({1, 512, 1024, 1024})
    ->Args({0, 512, 1024, 1024})
    ->Args({1, 512, 3584, 3584})
    ->Args({2, 512, 3584, 3584})
    ->Args({3, 512, 3584, 3584})
    ->Args({1, 64, 1024, 1024})
    ->Args({2, 64, 1024, 1024})
    ->Args({3, 64, 1024, 1024})
    ->Args({1, 16, 1024, 1024})
    ->Args({2, 16, 1024, 1024})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// Few rows: enough matrices that no cache holds them.
void Decode(benchmark::State& state) {
  const Mode mode = kModes[state.range(0)];
  const int64_t m = state.range(1), n = 4864, k = 2048;
  state.SetLabel(kModeNames[state.range(0)]);
  const auto ops = make_cpu_backend(bench_kernels(), mode.numerics, workers(), false);
  const RandomTensor w(mode.dtype, n, k);
  std::vector<std::unique_ptr<Matrix>> matrices;
  double bytes = 0;
  while (bytes < 256e6) {
    matrices.push_back(ops->prepare({&w.view, 1}, Stacking::rows, Role::linear));
    bytes += static_cast<double>(matrices.back()->bytes);
  }
  const auto x = random_floats(m * k);
  std::vector<float> out(static_cast<size_t>(m * n));
  against(state, Limit::read, bytes, [&] {
    for (const auto& matrix : matrices) {
      ops->linear(*matrix, ConstRows(x.data(), m, k, k), nullptr, Rows{out.data(), m, n, n});
    }
  });
}
BENCHMARK(Decode)
    ->ArgNames({"mode", "m"})
    ->ArgsProduct({{1, 2}, {1, 2, 4}})
    ->Args({0, 1})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// Routed experts of the 1.1 B shape: hidden 1024, 64 experts of 384, top 8.
void Experts(benchmark::State& state) {
  const Mode mode = kModes[state.range(0)];
  const int64_t m = state.range(1), hidden = 1024, width = 384;
  const int count = 64, top_k = 8;
  state.SetLabel(kModeNames[state.range(0)]);
  const auto ops = make_cpu_backend(bench_kernels(), mode.numerics, workers(), false);
  const RandomTensor w(mode.dtype, width, hidden), d(mode.dtype, hidden, width);
  std::vector<std::unique_ptr<Matrix>> held;
  std::vector<ExpertWeights> experts;
  const std::vector<TensorView> pair = {w.view, w.view};
  for (int e = 0; e < count; ++e) {
    held.push_back(ops->prepare(pair, Stacking::gate_up, Role::linear));
    held.push_back(ops->prepare({&d.view, 1}, Stacking::rows, Role::linear));
    experts.push_back({held[held.size() - 2].get(), held.back().get()});
  }
  Routing routing;
  Random random(3);
  for (int64_t i = 0; i < m; ++i) {
    const auto start = static_cast<int32_t>(random.below(8));
    for (int32_t j = 0; j < top_k; ++j) {
      routing.expert.push_back(start + 8 * j);
      routing.weight.push_back(0.1f);
    }
  }
  const auto x = random_floats(m * hidden);
  std::vector<float> out(static_cast<size_t>(m * hidden));
  against(state, Limit::bf16, 2.0 * m * top_k * 3 * hidden * width, [&] {
    ops->experts(experts, top_k, routing, ConstRows(x.data(), m, hidden, hidden),
                 Rows{out.data(), m, hidden, hidden});
  });
}
BENCHMARK(Experts)
    ->ArgNames({"mode", "m"})
    ->ArgsProduct({{1, 2}, {512, 2048}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// One sequence of m positions: expanded MLA (8 heads, 128 + 64, 128); m^2 / 2 pairs a head.
void MlaAttention(benchmark::State& state) {
  const int64_t m = state.range(0);
  const int heads = 8, nope = 128, rope = 64, v = 128;
  const auto ops = make_cpu_backend(bench_kernels(), Numerics::bf16, workers(), false);
  const auto q = random_floats(m * heads * (nope + rope));
  std::vector<uint16_t> kv, shared;
  for (const float x : random_floats(m * heads * (nope + v))) kv.push_back(float_to_bf16(x));
  for (const float x : random_floats(m * rope)) shared.push_back(float_to_bf16(x));
  std::vector<float> out(static_cast<size_t>(m * heads * v));
  std::vector<int32_t> slots;
  for (int64_t i = 0; i < m; ++i) slots.push_back(static_cast<int32_t>(i));
  const Segment segment{0, m, 0, slots.data()};
  Attention a;
  a.query = ConstRows(q.data(), m, heads * (nope + rope), heads * (nope + rope));
  a.heads = a.kv_heads = heads;
  a.key_dim = nope;
  a.shared_dim = rope;
  a.value_dim = v;
  a.kv_type = KvType::bf16;
  a.key = kv.data();
  a.value = kv.data() + nope;
  a.key_shared = shared.data();
  a.key_stride = a.value_stride = heads * (nope + v);
  a.key_head_stride = a.value_head_stride = nope + v;
  a.shared_stride = rope;
  a.scale = 0.07f;
  a.segments = {&segment, 1};
  a.out = Rows{out.data(), m, heads * v, heads * v};
  // AMX multiplies bf16, the others widen to fp32.
  const bool amx = &kernel_table(bench_kernels()) == &kernel_table(Kernels::amx);
  against(state, amx ? Limit::bf16 : Limit::fp32, 1.0 * m * (m + 1) * heads * (nope + rope + v),
          [&] { ops->attention(a); });
}
BENCHMARK(MlaAttention)->Arg(512)->Arg(2048)->UseManualTime()->Unit(benchmark::kMillisecond);

// The fused head: 102400 tokens, hidden 1024.
void Head(benchmark::State& state) {
  const int64_t m = state.range(0), vocabulary = 102400, k = 1024;
  const auto ops = make_cpu_backend(bench_kernels(), Numerics::bf16, workers(), false);
  const RandomTensor w(DType::bf16, vocabulary, k);
  const auto head = ops->prepare({&w.view, 1}, Stacking::rows, Role::head);
  const auto x = random_floats(m * k);
  std::vector<int32_t> first, target;
  for (int32_t i = 0; i <= m; ++i) first.push_back(i);
  for (int32_t i = 0; i < m; ++i) target.push_back(i * 7);
  std::vector<float> logprob(target.size());
  std::vector<int32_t> best(target.size());
  against(state, Limit::bf16, 2.0 * m * vocabulary * k, [&] {
    ops->head_score(*head, ConstRows(x.data(), m, k, k), {first, target}, logprob.data(), best.data(),
                    nullptr);
  });
}
BENCHMARK(Head)->Arg(64)->Arg(256)->UseManualTime()->Unit(benchmark::kMillisecond);

// Packing a checkpoint's weights when they are loaded, in bytes of the tensor.
void Prepare(benchmark::State& state) {
  const Mode mode = kModes[state.range(0)];
  state.SetLabel(kModeNames[state.range(0)]);
  const auto ops = make_cpu_backend(bench_kernels(), mode.numerics, workers(), false);
  const RandomTensor w(mode.dtype, 4096, 4096);
  against(state, Limit::read, static_cast<double>(w.view.bytes()), [&] {
    benchmark::DoNotOptimize(ops->prepare({&w.view, 1}, Stacking::rows, Role::linear));
  });
}
BENCHMARK(Prepare)->DenseRange(0, 2)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace assay::engine::ops

#include <array>
#include <string>
#include <utility>

#include "base/error.h"
#include "engine/engine.h"

namespace assay::engine {

namespace {

template <class T, size_t N>
std::string_view name_of(const std::array<std::pair<T, std::string_view>, N>& table, T value) {
  for (const auto& [v, name] : table) {
    if (v == value) return name;
  }
  throw_internal("value without a name");
}

template <class T, size_t N>
T value_of(const std::array<std::pair<T, std::string_view>, N>& table, std::string_view word,
           std::string_view what) {
  std::string all;
  for (const auto& [v, name] : table) {
    if (name == word) return v;
    if (!all.empty()) all += ", ";
    all += name;
  }
  throw_usage("unknown " + std::string(what) + " \"" + std::string(word) + "\"",
              "one of: " + all);
}

constexpr std::array<std::pair<Numerics, std::string_view>, 5> kNumerics = {{
    {Numerics::automatic, "auto"},
    {Numerics::fp32, "fp32"},
    {Numerics::bf16, "bf16"},
    {Numerics::fp8, "fp8"},
    {Numerics::fp8_weights, "fp8-weights"},
}};
constexpr std::array<std::pair<Kernels, std::string_view>, 6> kKernels = {{
    {Kernels::automatic, "auto"},
    {Kernels::reference, "reference"},
    {Kernels::portable, "portable"},
    {Kernels::avx2, "avx2"},
    {Kernels::avx512, "avx512"},
    {Kernels::amx, "amx"},
}};
constexpr std::array<std::pair<Parallel, std::string_view>, 5> kParallel = {{
    {Parallel::automatic, "auto"},
    {Parallel::none, "none"},
    {Parallel::data, "data"},
    {Parallel::expert, "expert"},
    {Parallel::pipeline, "pipeline"},
}};
constexpr std::array<std::pair<FinishReason, std::string_view>, 3> kFinishReasons = {{
    {FinishReason::stop, "stop"},
    {FinishReason::eos, "eos"},
    {FinishReason::length, "length"},
}};

}  // namespace

std::string_view numerics_name(Numerics numerics) { return name_of(kNumerics, numerics); }
Numerics parse_numerics(std::string_view name) { return value_of(kNumerics, name, "numerics mode"); }
std::string_view kernels_name(Kernels kernels) { return name_of(kKernels, kernels); }
Kernels parse_kernels(std::string_view name) { return value_of(kKernels, name, "kernels"); }
std::string_view parallel_name(Parallel parallel) { return name_of(kParallel, parallel); }
Parallel parse_parallel(std::string_view name) { return value_of(kParallel, name, "form of parallelism"); }
std::string_view finish_reason_name(FinishReason reason) { return name_of(kFinishReasons, reason); }

}  // namespace assay::engine

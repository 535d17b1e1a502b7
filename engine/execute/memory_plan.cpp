#include "engine/execute/memory_plan.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/error.h"
#include "engine/model/decoder.h"
#include "engine/model/kv_pool.h"

namespace assay::engine {

namespace {

constexpr int64_t kPassTokens = 4096;        // resident weights: enough rows for every expert
constexpr int64_t kStreamedPassTokens = 65536;  // streamed: the more rows a pass, the fewer reads
constexpr int64_t kSmallestPass = 64;
constexpr int64_t kMostSlots = 1 << 30;  // slots are numbered in 32 bits

double weight_element_bytes(Numerics numerics) {
  switch (numerics) {
    case Numerics::fp32: return 4;
    case Numerics::fp8:
    case Numerics::fp8_weights: return 1 + 4.0 / (128 * 128);
    default: return 2;
  }
}

struct WeightSizes {
  double fixed = 0;   // head; embedding rows, read from the mapped file
  double layers = 0;  // all layers
  double largest_layer = 0;
};

WeightSizes weight_sizes(const ModelConfig& c, Numerics numerics, bool absorbed) {
  const double matrix = weight_element_bytes(numerics);
  const double head = numerics == Numerics::fp32 ? 4 : 2;
  WeightSizes sizes;
  sizes.fixed = (head + 2) * static_cast<double>(c.vocabulary * c.hidden);
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    double elements = 0, extra = 0;
    if (c.mla) {
      const MlaConfig& m = *c.mla;
      const int64_t q = c.heads * c.head_dim, pair = c.heads * (m.nope_dim + m.v_dim);
      elements += static_cast<double>(m.q_lora_rank > 0 ? m.q_lora_rank * (c.hidden + q) : q * c.hidden);
      elements += static_cast<double>((m.kv_lora_rank + m.rope_dim) * c.hidden + pair * m.kv_lora_rank);
      if (absorbed) extra += head * static_cast<double>(pair * m.kv_lora_rank);
    } else {
      elements += static_cast<double>((c.heads + 2 * c.kv_heads) * c.head_dim * c.hidden);
    }
    elements += static_cast<double>(c.heads * c.v_head_dim() * c.hidden);
    if (c.is_moe_layer(layer)) {
      elements += 3.0 * static_cast<double>((c.moe.routed_experts + c.moe.shared_experts) *
                                            c.moe.expert_hidden * c.hidden);
      extra += 4.0 * static_cast<double>(c.moe.routed_experts * c.hidden);
    } else {
      elements += 3.0 * static_cast<double>(c.dense_hidden * c.hidden);
    }
    const double bytes = elements * matrix + extra;
    sizes.layers += bytes;
    sizes.largest_layer = std::max(sizes.largest_layer, bytes);
  }
  return sizes;
}

}  // namespace

size_t available_memory() {
  std::ifstream info("/proc/meminfo");
  std::string key;
  size_t kib = 0;
  while (info >> key >> kib) {
    if (key == "MemAvailable:") return kib * 1024 / 10 * 9;
    info.ignore(256, '\n');
  }
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGE_SIZE);
  return static_cast<size_t>(pages) * static_cast<size_t>(size) / 2;
}

MemoryPlan plan_memory(const ModelConfig& config, Numerics numerics, const EngineOptions& options,
                       bool absorbed) {
  MemoryPlan plan;
  plan.budget = options.memory_bytes > 0 ? options.memory_bytes : available_memory();
  const WeightSizes sizes = weight_sizes(config, numerics, absorbed);
  plan.weight_bytes = static_cast<size_t>(sizes.fixed + sizes.layers);
  plan.kv_token_bytes =
      static_cast<size_t>(model::kv_width(config) *
                          model::kv_type_bytes(model::kv_type_of(numerics)) * config.layers);
  const size_t a = model::workspace_bytes(config, numerics, 1024, 0);
  const size_t b = model::workspace_bytes(config, numerics, 2048, 0);
  // Beside the decoder's workspace: the residual stream, its normed copy for the head, slot lists.
  plan.workspace_token_bytes =
      (b - a) / 1024 + static_cast<size_t>(config.hidden) * 2 * sizeof(float) + 64;
  const size_t constant = a - 1024 * ((b - a) / 1024);

  const double budget = static_cast<double>(plan.budget);
  const double smallest = static_cast<double>(constant + kSmallestPass * plan.workspace_token_bytes);
  plan.streamed = static_cast<double>(plan.weight_bytes) + smallest > budget;
  const double least = plan.streamed ? sizes.fixed + 2 * sizes.largest_layer
                                     : static_cast<double>(plan.weight_bytes);
  if (least + smallest > budget) {
    throw_resource("the memory budget of " + std::to_string(plan.budget >> 20) +
                       " MiB is too small: two layers, the head and a small pass need " +
                       std::to_string((static_cast<size_t>(least + smallest) >> 20) + 1) + " MiB",
                   config.source, "give a larger --memory");
  }
  const double free = budget - least - static_cast<double>(constant);
  // Half of what is left is for the rows of a pass, a quarter for kept KV (generation: the KV of
  // all sequences); the rest covers what is not counted: tokens, results, the program itself.
  const auto fitting = static_cast<int64_t>(free / 2 / static_cast<double>(plan.workspace_token_bytes));
  const int64_t most = options.pass_tokens > 0 ? options.pass_tokens
                       : plan.streamed         ? kStreamedPassTokens
                                               : kPassTokens;
  plan.pass_tokens = std::max<int64_t>(1, std::min(most, std::max(fitting, kSmallestPass)));
  plan.kept_tokens = std::min<int64_t>(
      kMostSlots, static_cast<int64_t>(free / 4 / static_cast<double>(plan.kv_token_bytes)));
  if (plan.streamed) plan.resident_bytes = static_cast<size_t>(free / 8);
  return plan;
}

Numerics resolve_numerics(Numerics asked, Numerics natural) {
  if (asked == Numerics::automatic) return natural;
  if ((asked == Numerics::fp8 || asked == Numerics::fp8_weights) && natural != Numerics::fp8_weights) {
    throw_usage("--numerics " + std::string(numerics_name(asked)) +
                    " needs a checkpoint with FP8 weights",
                "use bf16 or fp32 for this checkpoint");
  }
  return asked;
}

}  // namespace assay::engine

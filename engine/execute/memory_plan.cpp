#include "engine/execute/memory_plan.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/error.h"
#include "engine/execute/work.h"
#include "engine/model/decoder.h"
#include "engine/model/kv_pool.h"

namespace assay::engine {

namespace {

constexpr int64_t kPassTokens = 4096;  // resident weights: enough rows for every expert
constexpr int64_t kGpuPassTokens = 32768;  // hundreds for each of 256 experts
// Sequences that advance together, at most. Beyond this, a step's products are as fast per row as
// they get, and memory is better spent on longer prompts.
constexpr int64_t kSequences = 128, kGpuSequences = 512;
// Streamed: rows of a pass for which computing takes several times as long as moving the weights, at
// assumed_rates() (eight times from disk, twice over a link whose rate varies less). More rows would hide
// nothing more; memory is better spent on resident weights.
constexpr double kTimesBreakEven = 8, kGpuTimesBreakEven = 2;
constexpr int64_t kMostStreamedTokens = 65536, kMostGpuStreamedTokens = 1 << 19;
// Of a GPU's host memory, for what is streamed; the rest is for pages of the files and the program.
constexpr double kHostShare = 3.0 / 4;
constexpr int64_t kSmallestPass = 64;
constexpr int64_t kUsualPrompt = 2048;  // tokens
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
  double fixed = 0;    // head; embedding rows, read from the mapped file
  double layers = 0;   // all layers, routed experts included
  double experts = 0;  // of all layers
  double largest_layer = 0, largest_experts = 0;  // of one layer
  double largest_stack = 0;  // of the file, mapped while it is prepared
  std::vector<StreamedLayer> each;          // layer, whole
  std::vector<StreamedLayer> each_experts;  // layer, its routed experts alone
  double element = 0, stored = 0;           // bytes, prepared and in the file
};

WeightSizes weight_sizes(const ModelConfig& c, Numerics numerics, bool absorbed, const ModelShare& share) {
  const double matrix = weight_element_bytes(numerics);
  const double head = numerics == Numerics::fp32 ? 4 : 2;
  const double stored = c.fp8_weights ? 1 : 2;
  WeightSizes sizes;
  sizes.element = matrix;
  sizes.stored = stored;
  const LayerRange range = share.layers;
  sizes.fixed = ((range.end == c.layers ? head : 0) + (range.begin == 0 ? 2 : 0)) *
                static_cast<double>(c.vocabulary * c.hidden);
  const int64_t kept_experts = (c.moe.routed_experts + share.expert_ranks - 1) / share.expert_ranks;
  for (int64_t layer = range.begin; layer < range.end; ++layer) {
    double elements = 0, extra = 0, experts = 0, chosen = 0;
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
    int64_t width = c.dense_hidden;
    if (c.is_moe_layer(layer)) {
      width = std::max(c.moe.shared_experts, int64_t{1}) * c.moe.expert_hidden;
      elements += 3.0 * static_cast<double>(c.moe.shared_experts * c.moe.expert_hidden * c.hidden);
      experts = matrix * 3.0 *
                static_cast<double>(kept_experts * c.moe.expert_hidden * c.hidden);
      chosen = 3.0 * static_cast<double>(c.moe.experts_per_token * c.moe.expert_hidden * c.hidden);
      extra += 4.0 * static_cast<double>(c.moe.routed_experts * c.hidden);
    } else {
      elements += 3.0 * static_cast<double>(c.dense_hidden * c.hidden);
    }
    const double bytes = elements * matrix + extra + experts;
    sizes.layers += bytes;
    sizes.experts += experts;
    const double row_flops = 2 * (elements + chosen);
    sizes.each.push_back({bytes, row_flops});
    sizes.each_experts.push_back({experts, row_flops});
    sizes.largest_layer = std::max(sizes.largest_layer, bytes);
    sizes.largest_experts = std::max(sizes.largest_experts, experts);
    const int64_t widest = std::max(2 * width, c.heads * c.head_dim);
    sizes.largest_stack = std::max(sizes.largest_stack, stored * static_cast<double>(widest * c.hidden));
  }
  return sizes;
}

// Rows that ranks with experts of their own exchange: every output that comes back for `rows` rows, and
// what is on its way.
size_t exchange_memory(const ModelConfig& c, int64_t rows, int ranks) {
  const int64_t entries = rows * c.moe.experts_per_token, row = c.hidden * static_cast<int64_t>(sizeof(float));
  return static_cast<size_t>(entries * row + 2 * std::min(kExchangedBytes, 3 * entries * ranks * row));
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
                       bool absorbed, const ModelShare& given) {
  ModelShare share = given;
  if (share.layers.end == 0) share.layers.end = static_cast<int>(config.layers);
  MemoryPlan plan;
  plan.expert_ranks = share.expert_ranks;
  const bool gpu = options.device().kind == DeviceKind::cuda;
  const size_t host = options.memory_bytes > 0 ? options.memory_bytes : available_memory();
  plan.budget = gpu && options.gpu_memory_bytes > 0 ? options.gpu_memory_bytes : host;
  plan.sequences = gpu ? kGpuSequences : kSequences;
  plan.device = options.device().kind;
  plan.numerics = numerics;
  plan.kv_type = ops::kv_type_of(numerics, options.device().kind);
  const WeightSizes sizes = weight_sizes(config, numerics, absorbed, share);
  plan.weight_bytes = static_cast<size_t>(sizes.fixed + sizes.layers);
  plan.kv_token_bytes =
      static_cast<size_t>(model::kv_width(config) *
                          model::kv_type_bytes(plan.kv_type) *
                          (share.layers.end - share.layers.begin));
  const auto pass_bytes = [&](int64_t rows, int64_t ancestors = 0) {
    return pass_memory(config, plan.device, plan.kv_type, rows, ancestors, share.expert_ranks);
  };
  const double budget = static_cast<double>(plan.budget);
  const auto smallest = static_cast<double>(pass_bytes(kSmallestPass));
  // Weights stay only if a few-shot prompt has room beside them, too.
  const int64_t prompt = std::min(config.context_length, kUsualPrompt);
  const auto behind_prompt = static_cast<double>(pass_bytes(kSmallestPass, prompt) +
                                                 static_cast<size_t>(prompt) * plan.kv_token_bytes);
  plan.streamed = static_cast<double>(plan.weight_bytes) + behind_prompt > budget;
  double least = static_cast<double>(plan.weight_bytes);
  if (plan.streamed) {
    const double rest = sizes.layers - sizes.experts;
    least = sizes.fixed + sizes.largest_stack;
    const double experts_alone = least + rest + 2 * sizes.largest_experts;
    // An eighth of the budget is left for what a pass holds and what is not counted.
    plan.residency.all_but_experts = sizes.experts > 0 && experts_alone + smallest < budget / 8 * 7;
    least = plan.residency.all_but_experts ? experts_alone : least + 2 * sizes.largest_layer;
  }
  if (least + smallest > budget) {
    throw_resource("the memory budget of " + std::to_string(plan.budget >> 20) +
                       " MiB is too small: two layers, the head and a small pass need " +
                       std::to_string((static_cast<size_t>(least + smallest) >> 20) + 1) + " MiB",
                   config.source, gpu ? "give a larger --gpu-memory" : "give a larger --memory");
  }
  const double free = budget - least;
  // Of what is left, half at most is for the rows of a pass (five eighths where weights are streamed: more
  // rows make fewer passes, resident weights only shorter ones) and a quarter for kept KV (generation: the
  // KV of all sequences); an eighth covers what is not counted: tokens, results, the program.
  int64_t most = gpu ? kGpuPassTokens : kPassTokens;
  const std::vector<StreamedLayer>& layers = plan.residency.all_but_experts ? sizes.each_experts : sizes.each;
  const double in_file = sizes.stored / sizes.element;  // the router's fp32 copy does not matter here
  if (plan.streamed) {
    if (gpu) {
      const double left = static_cast<double>(host) * kHostShare - sizes.fixed - sizes.largest_stack;
      plan.residency.host_bytes = static_cast<size_t>(std::max(0.0, left));
    }
    const StreamingPlan all = plan_streaming(layers, 0, static_cast<double>(plan.residency.host_bytes), in_file);
    most = std::clamp(
        static_cast<int64_t>((gpu ? kGpuTimesBreakEven : kTimesBreakEven) *
                             break_even_rows(all, assumed_rates(plan.device, numerics))),
        most, gpu ? kMostGpuStreamedTokens : kMostStreamedTokens);
  }
  if (options.pass_tokens > 0) most = options.pass_tokens;
  const double rows_share = free * (plan.streamed ? 5.0 / 8 : 1.0 / 2);
  int64_t low = 1, high = most;  // the largest pass that fits
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    const bool fits = middle <= kSmallestPass || static_cast<double>(pass_bytes(middle)) <= rows_share;
    (fits ? low : high) = fits ? middle : middle - 1;
  }
  plan.pass_tokens = low;
  plan.kept_tokens = std::min<int64_t>(
      kMostSlots, static_cast<int64_t>(free / 4 / static_cast<double>(plan.kv_token_bytes)));
  // Kept positions share the rows' part with the rows.
  const auto pass = static_cast<double>(pass_bytes(plan.pass_tokens));
  const auto ancestor = static_cast<double>(pass_bytes(plan.pass_tokens, 1)) - pass;
  const auto path = static_cast<double>(std::min<int64_t>(config.context_length, plan.kept_tokens));
  const double ancestors = std::clamp(rows_share - pass, 0.0, path * ancestor);
  plan.free_ancestors = static_cast<int64_t>(ancestors / ancestor);
  const int64_t half = plan.pass_tokens / 2;
  if (half > 0) {
    const double row = (pass - static_cast<double>(pass_bytes(half))) / static_cast<double>(plan.pass_tokens - half);
    plan.row_ancestors = std::max<int64_t>(1, static_cast<int64_t>(row / ancestor));
  }
  if (plan.streamed) {
    // Kept KV rarely takes its quarter when scoring: one path's tokens.
    const double kv = absorbed ? free / 4 : path * static_cast<double>(plan.kv_token_bytes);
    const double left = free * 7 / 8 - pass - ancestors - kv;
    plan.residency.bytes = static_cast<size_t>(std::max(0.0, left));
    plan.streaming = plan_streaming(layers, static_cast<double>(plan.residency.bytes),
                                    static_cast<double>(plan.residency.host_bytes), in_file);
    plan.kept_on_host = static_cast<size_t>(
        std::max(0.0, gpu ? plan.streaming.copied_bytes - plan.streaming.read_bytes / in_file : 0));
    const double stays = (plan.residency.all_but_experts ? sizes.experts : sizes.layers) - plan.streaming.copied_bytes;
    plan.held_bytes = static_cast<size_t>(least - (gpu ? sizes.largest_stack : 0) + stays);
  } else {
    plan.held_bytes = plan.weight_bytes;
  }
  return plan;
}

std::vector<LayerRange> cut_layers(const ModelConfig& config, Numerics numerics, int stages) {
  const auto layers = static_cast<int>(config.layers);
  std::vector<double> bytes;
  double all = 0;
  for (int layer = 0; layer < layers; ++layer) {
    const WeightSizes sizes = weight_sizes(config, numerics, true, {{layer, layer + 1}, 1});
    bytes.push_back(sizes.layers + sizes.fixed);
    all += bytes.back();
  }
  std::vector<LayerRange> out;
  double before = 0;
  for (int stage = 0, layer = 0; stage < stages; ++stage) {
    LayerRange range{layer, layer};
    const int most = layers - (stages - stage - 1);
    // A layer belongs here if at least half of it does.
    while (range.end < most &&
           (range.end == range.begin || stage + 1 == stages ||
            before + bytes[static_cast<size_t>(range.end)] / 2 <= all * (stage + 1) / stages)) {
      before += bytes[static_cast<size_t>(range.end++)];
    }
    layer = range.end;
    out.push_back(range);
  }
  return out;
}

size_t pass_memory(const ModelConfig& config, DeviceKind device, ops::KvType kv_type, int64_t rows,
                   int64_t ancestors, int expert_ranks) {
  // Beside the decoder's workspace: the residual stream, its normed copy for the head, slot lists.
  size_t bytes = model::workspace_bytes(config, device, kv_type, rows, ancestors) +
                 static_cast<size_t>(rows * (config.hidden * 2 * static_cast<int64_t>(sizeof(float)) + 64));
  if (expert_ranks > 1) bytes += exchange_memory(config, rows, expert_ranks);
  return bytes;
}

int64_t MemoryPlan::prompt_pass_tokens(int64_t longest) const { return fresh_rows(limits(), longest, 0); }

size_t schedule_memory(const MemoryPlan& memory, const ModelConfig& config, std::span<const PassPlan> passes) {
  size_t pass_bytes = 0;
  uint32_t kept = 0;
  for (const PassPlan& pass : passes) {
    kept = std::max(kept, pass.keep);
    pass_bytes = std::max(pass_bytes, pass_memory(config, memory.device, memory.kv_type, static_cast<int64_t>(pass.rows),
                                                  pass.kept, memory.expert_ranks));
  }
  return pass_bytes + kept * memory.kv_token_bytes;
}

GenerationMemory generation_memory(const MemoryPlan& memory, const ModelConfig& config, int64_t prompt_rows,
                                   int64_t tokens, int64_t longest) {
  const int64_t pass = memory.prompt_pass_tokens(longest);
  return {static_cast<size_t>(std::min(memory.kept_tokens, tokens)) * memory.kv_token_bytes,
          pass_memory(config, memory.device, memory.kv_type, std::min(pass, prompt_rows),
                      prompt_rows > pass ? longest : 0, memory.expert_ranks)};
}

void check_budget(const MemoryPlan& memory, const ModelConfig& config, size_t bytes) {
  const size_t needed = memory.held_bytes + bytes;
  if (needed <= memory.budget) return;
  throw_resource("the memory budget of " + std::to_string(memory.budget >> 20) +
                     " MiB is too small for prompts of this length: weights need " +
                     std::to_string((memory.held_bytes >> 20) + 1) + " MiB, a pass and all that it looks back to " +
                     std::to_string((bytes >> 20) + 1) + " MiB",
                 config.source,
                 std::string("give a larger ") + (memory.device == DeviceKind::cuda ? "--gpu-memory" : "--memory") +
                     ", or shorten the prompts (fewer shots)");
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

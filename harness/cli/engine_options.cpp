#include "harness/cli/engine_options.h"

#include <CLI/CLI.hpp>
#include <filesystem>

#include "base/error.h"
#include "harness/cli/verbs.h"

namespace assay::harness {

engine::EngineOptions EngineFlags::options(const std::string& model) const {
  engine::EngineOptions out;
  out.model = model;
  out.numerics = engine::parse_numerics(numerics);
  out.kernels = engine::parse_kernels(kernels);
  out.devices = engine::parse_devices(device);
  out.parallel = engine::parse_parallel(parallel);
  out.threads = threads;
  out.pass_tokens = pass_tokens;
  if (!memory.empty()) out.memory_bytes = parse_bytes(memory);
  if (!gpu_memory.empty()) {
    if (out.device().kind != engine::DeviceKind::cuda) {
      throw_usage("--gpu-memory without a GPU", "add --device cuda, or use --memory");
    }
    out.gpu_memory_bytes = parse_bytes(gpu_memory);
  }
  if (!speculate_with.empty()) {
    if (speculate_with != "mtp") throw_usage("--speculate knows \"mtp\" only");
    out.speculate_mtp = true;
  }
  out.graphs = !no_graphs;
  return out;
}

bool has_tokenizer(const std::string& model) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::path(model) / "tokenizer.json", ignored);
}

void add_engine_flags(CLI::App& verb, EngineFlags& flags, bool generates) {
  verb.add_option("--numerics", flags.numerics,
                  "auto, fp32, bf16, fp8 or fp8-weights; auto is what the\n"
                  "checkpoint was trained for")
      ->capture_default_str();
  verb.add_option("--kernels", flags.kernels,
                  "auto, reference, portable, avx2, avx512 or amx; auto is the\n"
                  "fastest this processor has. With --device cuda: auto or\n"
                  "portable (without the kernels tuned for one architecture)")
      ->capture_default_str();
  verb.add_option("--device", flags.device,
                  "Where the model runs: cpu, cuda or cuda:N (see assay doctor).\n"
                  "Several compute together, a rank each, with the same bits:\n"
                  "cuda:0,1 or cuda:all; cpu,cpu shares out the threads")
      ->capture_default_str();
  verb.add_option("--parallel", flags.parallel,
                  "How several ranks divide the work: data (requests), expert\n"
                  "(requests and routed experts) or pipeline (layers). auto:\n"
                  "data where the model fits one rank, else expert or pipeline")
      ->capture_default_str();
  verb.add_option("--gpu-memory", flags.gpu_memory,
                  "With --device cuda: budget on each GPU for weights, KV and\n"
                  "workspace, e.g. 70G; default: what is free. A larger model\n"
                  "streams through it")
      ->type_name("SIZE");
  verb.add_option("--threads", flags.threads, "Worker threads; 0: all processors")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  verb.add_option("--memory", flags.memory,
                  "Budget for weights, KV and workspace, e.g. 8G; default:\n"
                  "what the machine has. With --device cuda: what may hold the\n"
                  "weights that a GPU has no room for")
      ->type_name("SIZE");
  verb.add_option("--pass-tokens", flags.pass_tokens,
                  "Most tokens computed together; 0: chosen from the budget")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  if (generates) {
    verb.add_option("--speculate", flags.speculate_with,
                    "mtp: draft with the MTP layer (same text, same bits)");
    verb.add_flag("--no-graphs", flags.no_graphs,
                  "With --device cuda: the kernels of decoding steps are\n"
                  "launched one by one (same text, same bits)");
  }
}

}  // namespace assay::harness

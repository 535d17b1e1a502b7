// assay bench: how fast this machine is, and which part of it a model's shapes reach.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "harness/bench/shapes.h"
#include "harness/bench/speed.h"
#include "harness/cli/engine_options.h"
#include "harness/cli/verbs.h"

namespace assay::harness {

namespace {

struct Options {
  std::string model, shape, dtype;
  EngineFlags engine;
  std::vector<std::string> what;  // empty lists: what suits the device
  std::vector<int64_t> rows, prompts{512, 2048}, batches;
  int64_t layers = 0;
  bool quick = false, json = false;

  bool measures(std::string_view name) const {
    return std::find(what.begin(), what.end(), name) != what.end();
  }
};

void print_json(const Measurement& m) {
  json::Writer out;
  out.begin_object().member("what", m.what).member("shape", m.shape).member("dtype", m.dtype);
  out.member("tokens", m.tokens)
      .member("batch", m.batch)
      .member("threads", m.threads)
      .member("tok_s", m.tok_s)
      .member("gflops", m.gflops)
      .member("gb_s", m.gb_s)
      .member("fraction_of_peak", m.fraction_of_peak);
  if (m.of_peer) out.member("of_cublaslt", *m.of_peer);
  if (m.full_tok_s) out.member("full_model_tok_s", *m.full_tok_s);
  out.end_object();
  std::cout << out.take() << std::endl;
}

// One line a measurement under headings that change with what is measured.
class Table {
 public:
  void print(const Measurement& m) {
    const bool products = m.what == "gemm" || m.what == "op";
    if (m.what == "peak") {
      const bool read = m.bound == Bound::memory;
      line("%-22s %10.1f %s\n", ("peak " + m.dtype).c_str(), read ? *m.gb_s : *m.gflops,
           read                ? "GB/s"
           : m.dtype == "int8" ? "Gop/s"
                               : "GFLOP/s");
    } else {
      if (heading_ != (products ? 1 : 2)) {
        heading_ = products ? 1 : 2;
        line("\n%-26s %7s %6s %9s %9s %7s %8s\n", products ? "matrix product or op" : "model",
             products ? "rows" : "tokens", products ? "" : "batch", "tok/s", "GFLOP/s", "GB/s",
             "of peak");
      }
      std::string name = m.what + " " + m.dtype;
      if (products) name = m.shape.substr(m.shape.find(' ') + 1);
      line("%-26s %7s %6s %9.1f %9.1f %7.1f %5.0f %% %s\n", name.c_str(), count(m.tokens).c_str(),
           count(m.batch).c_str(), m.tok_s.value_or(0), m.gflops.value_or(0), m.gb_s.value_or(0),
           100 * m.fraction_of_peak.value_or(0), m.bound == Bound::memory ? "r" : "");
      if (m.of_peer) line("%27s %.2f of cuBLASLt's best\n", "", *m.of_peer);
      if (m.full_tok_s) line("%27s the whole model at this rate: %.0f tok/s\n", "", *m.full_tok_s);
    }
    std::cout << std::flush;
  }

 private:
  static std::string count(const std::optional<int64_t>& n) { return n ? std::to_string(*n) : ""; }
  template <class... Values>
  static void line(const char* format, Values... values) {
    char text[160];
    std::snprintf(text, sizeof text, format, values...);
    std::cout << text;
  }
  int heading_ = 0;
};

void set_defaults(Options& options, bool gpu) {
  if (options.what.empty()) {
    options.what = {"peak", "gemm", "prefill", "decode", "score"};
    if (gpu) options.what.insert(options.what.begin() + 2, "op");
  }
  if (options.rows.empty())
    options.rows = gpu ? std::vector<int64_t>{4096, 64} : std::vector<int64_t>{512, 64, 1};
  if (options.batches.empty()) {
    options.batches = gpu ? std::vector<int64_t>{64, 256, 512} : std::vector<int64_t>{1, 8, 64};
  }
}

void bench(Options& options) {
  for (const std::string& name : options.what) {
    constexpr std::string_view kAll[] = {"peak", "gemm", "op", "prefill", "decode", "score"};
    if (std::find(std::begin(kAll), std::end(kAll), name) == std::end(kAll)) {
      throw_usage("--what knows no \"" + name + "\"", "peak, gemm, op, prefill, decode and score");
    }
  }
  if (options.layers > 0 && options.shape.empty()) {
    throw_usage("--layers goes with --shape: a checkpoint has all of its own");
  }
  if (!options.model.empty() && !options.shape.empty()) {
    throw_usage("--model and --shape exclude each other");
  }
  engine::EngineOptions engine_options = options.engine.options(options.model);
  engine_options.require_tokenizer = false;
  engine_options.expert_load = false;
  engine_options.prepare_ahead = false;

  const bool gpu = engine_options.device().kind == engine::DeviceKind::cuda;
  set_defaults(options, gpu);
  const engine::MachineLimits limits(engine_options);  // refuses a device that is not there

  SpeedOptions speed;
  speed.quick = options.quick;
  if (gpu) speed.pass_tokens = 32768;
  engine::ModelShape shape;
  std::unique_ptr<engine::Engine> engine;
  if (!options.shape.empty()) {
    shape = find_shape(options.shape);
    if (!options.dtype.empty()) {
      shape.weights = options.dtype == "fp8" ? engine::WeightType::fp8 : engine::WeightType::bf16;
    }
    speed.shape = std::filesystem::path(options.shape).filename().string();
    if (options.layers > 0) {
      shape.layers = options.layers;
      speed.full_model =
          static_cast<double>(options.layers) / static_cast<double>(engine::all_layers(shape));
      speed.shape += " x" + std::to_string(options.layers);
    }
    engine = engine::open_random_engine(shape, engine_options);
  } else if (!options.model.empty()) {
    if (!options.dtype.empty()) throw_usage("--dtype goes with --shape: a checkpoint has its own");
    engine = engine::open_engine(engine_options);
    const auto config = std::filesystem::path(options.model) / "config.json";
    shape.config = read_file(config);
    shape.source = config.string();
    speed.shape = std::filesystem::absolute(options.model).lexically_normal().filename().string();
    if (speed.shape.empty()) speed.shape = options.model;
  }
  speed.shape = utf8::printable(speed.shape);

  Table table;
  const MeasurementSink sink = [&](const Measurement& m) {
    if (options.json) {
      print_json(m);
    } else {
      table.print(m);
    }
  };
  if (!options.json) {
    if (gpu) std::cout << limits.device() << ", ";
    std::cout << limits.threads() << (limits.threads() == 1 ? " thread" : " threads");
    if (engine) {
      std::cout << ", " << engine->capabilities().profile << ", " << speed.shape << " ("
                << engine->capabilities().architecture << ')';
    }
    std::cout << '\n';
  }
  if (options.measures("peak")) {
    measure_limits(
        limits, gpu ? limits.device() : std::string(engine::kernels_name(engine_options.kernels)),
        sink);
  }
  if (!engine) {
    std::cerr << "for the speed of a model, give --shape NAME or --model DIR\n";
    return;
  }
  if (options.measures("gemm") || options.measures("op")) {
    const bool fp8 = engine->capabilities().numerics == engine::Numerics::fp8 ||
                     engine->capabilities().numerics == engine::Numerics::fp8_weights;
    engine::ModelShape products = shape;
    if (!products.weights) {
      products.weights = fp8 ? engine::WeightType::fp8 : engine::WeightType::bf16;
    }
    engine_options.numerics = engine->capabilities().numerics;
    engine::OpTimer timer(products, engine_options);
    if (options.measures("gemm")) {
      if (!timer.no_peer().empty()) {
        std::cerr << "no comparison with cuBLASLt: " << timer.no_peer() << '\n';
      }
      measure_products(timer, limits, options.rows, speed, sink);
    }
    if (options.measures("op")) measure_ops(timer, limits, options.rows, speed, sink);
  }
  const bool scores = options.measures("prefill") || options.measures("score");
  if (scores || options.measures("decode")) warm_up(*engine, options.measures("decode"));
  const int64_t context = engine->capabilities().context_length;
  if (options.measures("prefill")) {
    for (const int64_t length : options.prompts) {
      if (length > context) {
        std::cerr << "prompts of " << length << " tokens exceed the context of " << context << '\n';
        continue;
      }
      sink(measure_prefill(*engine, limits, length, speed));
    }
  }
  if (options.measures("decode")) {
    for (const int64_t batch : options.batches) {
      sink(measure_decode(*engine, limits, batch, speed));
    }
  }
  if (options.measures("score")) sink(measure_scoring(*engine, limits, speed));
}

}  // namespace

void add_bench(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(
      "bench",
      "Measure speed against the machine's own limits\n\n"
      "Limits are measured in turn with the work (a GPU's are those of its highest\n"
      "clocks); \"of peak\" is the larger of the fractions of arithmetic and of read\n"
      "bandwidth (marked r where that binds).\n"
      "GFLOP/s count what the result depends on: per token 2 x the elements of the\n"
      "matrices it meets (chosen experts only), per query and visible position\n"
      "2 x heads x (key + value width) a layer, per scored position 2 x vocabulary\n"
      "x hidden. GB/s count used weights and keys and values once a pass.");
  std::string names;
  for (const std::string& name : shape_names()) names += (names.empty() ? "" : ",\n") + name;
  verb->add_option("--model", options->model, "Measure this checkpoint directory")
      ->type_name("DIR");
  verb->add_option("--shape", options->shape,
                   "Random weights in the shape of a config.json, or of\n" + names)
      ->type_name("NAME|FILE");
  verb->add_option("--dtype", options->dtype,
                   "With --shape: weights of bf16 or fp8 (default: as the\nconfiguration says)")
      ->check(CLI::IsMember({"bf16", "fp8"}));
  verb->add_option("--what", options->what,
                   "Only these: peak,gemm,op,prefill,decode,score. op: experts,\nattention, "
                   "router, norm, head by themselves")
      ->delimiter(',')
      ->type_name("LIST");
  verb->add_option("--layers", options->layers,
                   "With --shape: so many layers of the kind of its last one\n"
                   "(V3: MoE layers), e.g. what fits one GPU")
      ->check(CLI::Range(1, 1000));
  verb->add_option("--rows", options->rows,
                   "Rows of matrix products and ops (default 512,64,1; on a\nGPU 4096,64)")
      ->delimiter(',')
      ->check(CLI::Range(1, 65536));
  verb->add_option("--prompts", options->prompts, "Tokens of prefill's prompts")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb->add_option("--batches", options->batches,
                   "Sequences that decode together (default 1,8,64; on a GPU\n64,256,512)")
      ->delimiter(',')
      ->check(CLI::Range(1, 512));
  add_engine_flags(*verb, options->engine, false);
  verb->add_flag("--quick", options->quick, "A quarter of the work: rough figures soon");
  verb->add_flag("--json", options->json, "One JSON object a line and measurement");
  set_examples(*verb, {"assay bench --shape qwen2.5-0.5b --quick",
                       "assay bench --shape deepseek-v3-1b --dtype fp8 --threads 2",
                       "assay bench --shape deepseek-v3 --layers 3 --numerics fp8 --device cuda",
                       "assay bench --model DIR --what prefill --prompts 512,2048 --json"});
  verb->callback([options] { bench(*options); });
}

}  // namespace assay::harness

// assay generate: text from prompts, JSON lines in, JSON lines out.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "harness/cli/engine_options.h"
#include "harness/cli/id_lists.h"
#include "harness/cli/ordered_lines.h"
#include "harness/cli/verbs.h"

namespace assay::harness {

namespace {

struct Options {
  std::string model;
  EngineFlags engine;
};

struct Line {
  std::string id;  // as JSON
  std::vector<engine::TokenId> prompt;
  engine::GenerateRequest request;
};

Line parse_line(const json::Value& in, size_t number, const engine::Engine& engine) {
  Line line;
  if (const auto id = in.find("id"); id.exists()) line.id = id.dump();
  const json::Value prompt = in.at("prompt");
  line.prompt = prompt.is_string() ? engine::encode_prompt(engine.tokenizer(), prompt.string())
                                   : read_ids(prompt, engine.capabilities().vocabulary_size);
  if (line.prompt.empty()) prompt.fail("has no tokens", "the tokenizer adds no begin token");
  engine::GenerateRequest& request = line.request;
  request.max_tokens = static_cast<int>(in.integer_or("max_tokens", 256));
  if (request.max_tokens < 1) in.at("max_tokens").fail("must be at least 1");
  if (const auto stop = in.find("stop"); stop.exists() && !stop.is_null()) {
    if (stop.is_string()) {
      request.stop = {std::string(stop.string())};
    } else {
      request.stop = stop.strings();
    }
  }
  request.sampling.temperature = in.number_or("temperature", 0);
  if (request.sampling.temperature < 0) in.at("temperature").fail("must not be negative");
  request.sampling.top_p = in.number_or("top_p", 1);
  if (!(request.sampling.top_p > 0 && request.sampling.top_p <= 1)) {
    in.at("top_p").fail("must be above 0 and at most 1");
  }
  request.sampling.seed = static_cast<uint64_t>(in.integer_or("seed", 0));
  request.sampling.stream = number;
  request.stop_at_eos = in.boolean_or("stop_at_eos", true);
  return line;
}

class Printer final : public engine::GenerateSink {
 public:
  explicit Printer(const std::vector<Line>& lines) : lines_(lines), out_(lines.size()) {}

  void on_generate(engine::GenerateResult&& result) override {
    json::Writer out;
    out.begin_object();
    if (const std::string& id = lines_[result.index].id; !id.empty()) {
      const auto document = json::Document::parse(id, "id");
      out.member("id", document.root());
    }
    out.member("text", result.text);
    out.key("tokens").begin_array();
    for (const auto token : result.tokens) out.value(token);
    out.end_array();
    out.member("finish", engine::finish_reason_name(result.finish))
        .member("logprob", result.logprob)
        .end_object();
    out_.put(result.index, out.take());
  }

 private:
  const std::vector<Line>& lines_;
  OrderedLines out_;
};

void generate(const Options& options) {
  engine::EngineOptions engine_options = options.engine.options(options.model);
  engine_options.expert_load = false;
  const auto engine = engine::open_engine(engine_options);
  std::vector<Line> lines;
  for_each_stdin_line([&](std::string_view text, size_t number) {
    const auto document = json::Document::parse(text, "<stdin>:" + std::to_string(number));
    lines.push_back(parse_line(document.root(), number, *engine));
  });
  std::vector<engine::GenerateRequest> requests;
  for (const Line& line : lines) {
    requests.push_back(line.request);
    requests.back().prompt = line.prompt;
  }
  Printer printer(lines);
  engine->generate(requests, printer);
  if (engine_options.speculate_mtp) {
    const engine::EngineStatistics statistics = engine->statistics();
    std::cerr << "drafted " << statistics.drafted << " tokens, accepted " << statistics.accepted
              << '\n';
  }
}

}  // namespace

void add_generate(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("generate", "Text from prompts, as JSON lines");
  verb->add_option("--model", options->model, "Checkpoint directory (Hugging Face layout)")
      ->required()
      ->type_name("DIR");
  add_engine_flags(*verb, options->engine, true);
  set_examples(
      *verb,
      {R"(echo '{"prompt":"Q: 2+2?\nA:","max_tokens":8,"stop":["\n"]}' | assay generate --model DIR)",
       R"(echo '{"prompt":"Once","temperature":0.8,"seed":7}' | assay generate --model DIR)"});
  verb->callback([options] { generate(*options); });
}

}  // namespace assay::harness

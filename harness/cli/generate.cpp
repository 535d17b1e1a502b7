// assay generate: text from prompts, JSON lines in, JSON lines out.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "harness/cli/engine_options.h"
#include "harness/cli/input_lines.h"
#include "harness/cli/ordered_lines.h"
#include "harness/cli/verbs.h"
#include "harness/evaluation/tokens.h"
#include "harness/terminal/summary.h"

namespace assay::harness {

namespace {

constexpr int64_t kMostTokens = 1 << 30;

struct Options {
  std::string model;
  EngineFlags engine;
  bool token_healing = false;
};

struct Line {
  std::string id;     // as JSON
  std::string where;  // "<stdin>:3"
  std::vector<engine::TokenId> prompt;
  engine::GenerateRequest request;
};

Line parse_line(const json::Value& in, size_t number, const engine::Engine& engine, bool text,
                bool token_healing) {
  demand_keys(in, {"id", "prompt", "suffix", "max_tokens", "stop", "temperature", "top_p", "seed",
                   "stop_at_eos"});
  Line line;
  line.where = in.where();
  if (const auto id = in.find("id"); id.exists()) line.id = id.dump();
  const json::Value prompt = in.at("prompt");
  if (!text && prompt.is_string()) {
    prompt.fail("is text, but the checkpoint has no tokenizer.json", "give a list of token ids");
  }
  if (const auto suffix = in.find("suffix"); suffix.exists() && !suffix.is_null()) {
    line.prompt = encode_middle(engine.tokenizer(), prompt.string(), suffix.string());
  } else {
    line.prompt = prompt.is_string() ? engine::encode_prompt(engine.tokenizer(), prompt.string())
                                     : read_ids(prompt, engine.capabilities().vocabulary_size);
  }
  if (line.prompt.empty()) prompt.fail("has no tokens", "the tokenizer adds no begin token");
  demand_context(in, line.prompt.size() + 1, engine.capabilities().context_length);
  engine::GenerateRequest& request = line.request;
  const int64_t max_tokens = in.integer_or("max_tokens", 256);
  if (max_tokens < 1 || max_tokens > kMostTokens) {
    in.at("max_tokens").fail("must lie between 1 and " + std::to_string(kMostTokens));
  }
  request.max_tokens = static_cast<int>(max_tokens);
  if (token_healing) {
    engine::HealedPrompt healed = engine::heal_prompt(engine.tokenizer(), line.prompt);
    request.max_tokens += static_cast<int>(line.prompt.size() - healed.ids.size());
    request.required = std::move(healed.bytes);
    line.prompt = std::move(healed.ids);
  }
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
  engine_options.require_tokenizer = has_tokenizer(options.model);
  if (options.token_healing && !engine_options.require_tokenizer) {
    throw_usage("--token-healing needs a checkpoint with a tokenizer.json");
  }
  const auto engine = engine::open_engine(engine_options);
  std::vector<Line> lines;
  for_each_stdin_line([&](std::string_view text, size_t number) {
    const auto document = json::Document::parse(text, "<stdin>:" + std::to_string(number));
    lines.push_back(parse_line(document.root(), number, *engine,
                               engine_options.require_tokenizer, options.token_healing));
  });
  std::vector<engine::GenerateRequest> requests;
  for (const Line& line : lines) {
    requests.push_back(line.request);
    requests.back().prompt = line.prompt;
    requests.back().name = line.where;
  }
  Printer printer(lines);
  engine->generate(requests, printer);
  if (engine_options.speculate_mtp) {
    std::cerr << drafting_text(engine->statistics()) << '\n';
  }
}

}  // namespace

void add_generate(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(
      "generate",
      "Text from prompts, as JSON lines\n\n"
      "Reads {\"prompt\": text or token ids, \"max_tokens\", \"stop\", \"temperature\",\n"
      "\"top_p\", \"seed\", \"stop_at_eos\", \"id\"}; with \"suffix\" the text between prompt\n"
      "and suffix (fill-in-the-middle). Other keys are refused. Token ids alone where\n"
      "the checkpoint has no tokenizer.");
  verb->add_option("--model", options->model, "Checkpoint directory (Hugging Face layout)")
      ->required()
      ->type_name("DIR");
  verb->add_flag("--token-healing", options->token_healing,
                 "May replace the last token of a prompt by one that begins\n"
                 "with its text");
  add_engine_flags(*verb, options->engine, true);
  set_examples(
      *verb,
      {R"(echo '{"prompt":"Q: 2+2?\nA:","stop":["\n"]}' | assay generate --model DIR)",
       R"(echo '{"prompt":"Once","temperature":0.8}' | assay generate --model DIR)",
       R"(echo '{"prompt":"def f(a):","suffix":"return b"}' | assay generate --model DIR)",
       "assay generate --model DIR --device cuda:0,1 < prompts.jsonl",
       "mpirun -n 2 --bind-to numa assay generate --model DIR < prompts.jsonl"});
  verb->callback([options] { generate(*options); });
}

}  // namespace assay::harness

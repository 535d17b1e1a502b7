// assay score: log-probabilities of continuations, JSON lines in, JSON lines out.
#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "harness/cli/engine_options.h"
#include "harness/cli/input_lines.h"
#include "harness/cli/ordered_lines.h"
#include "harness/cli/verbs.h"

namespace assay::harness {

namespace {

using engine::TokenId;

struct Options {
  std::string model, boundary = "joint";
  EngineFlags engine;
};

struct Line {
  std::string id;     // as JSON
  std::string where;  // "<stdin>:3"
  std::vector<TokenId> context, continuation;
};

Line parse_line(const json::Value& in, engine::Engine& engine, bool has_tokenizer,
                engine::BoundaryPolicy policy) {
  demand_keys(in, {"id", "context", "continuation"});
  Line line;
  line.where = in.where();
  if (const auto id = in.find("id"); id.exists()) line.id = id.dump();
  const json::Value context = in.at("context"), continuation = in.at("continuation");
  const int64_t vocabulary = engine.capabilities().vocabulary_size;
  if (!has_tokenizer && (context.is_string() || continuation.is_string())) {
    in.fail("has text, but the checkpoint has no tokenizer.json", "give lists of token ids");
  }
  if (context.is_string() && continuation.is_string()) {
    auto pair =
        engine::encode_pair(engine.tokenizer(), context.string(), continuation.string(), policy);
    line.context = std::move(pair.context_ids);
    line.continuation = std::move(pair.continuation_ids);
  } else {
    line.context = context.is_string() ? engine::encode_prompt(engine.tokenizer(), context.string())
                                    : read_ids(context, vocabulary);
    line.continuation = continuation.is_string() ? engine.tokenizer().encode(continuation.string())
                                              : read_ids(continuation, vocabulary);
  }
  // An empty context scores the ids from the second one on.
  if (line.context.empty() && !line.continuation.empty()) {
    line.context.push_back(line.continuation.front());
    line.continuation.erase(line.continuation.begin());
  }
  if (!line.continuation.empty()) {  // the last token is only predicted
    demand_context(in, line.context.size() + line.continuation.size() - 1,
                   engine.capabilities().context_length);
  }
  return line;
}

std::string render(const Line& line, const engine::ScoreResult& result) {
  json::Writer out;
  out.begin_object();
  if (!line.id.empty()) {
    const auto id = json::Document::parse(line.id, "id");
    out.member("id", id.root());
  }
  out.member("logprob", result.logprob);
  out.key("token_logprobs").begin_array();
  for (const float logprob : result.token_logprobs) out.value(static_cast<double>(logprob));
  out.end_array();
  out.key("tokens").begin_array();
  for (const TokenId id : line.continuation) out.value(id);
  out.end_array();
  out.member("greedy", result.greedy).end_object();
  return out.take();
}

class Printer final : public engine::ScoreSink {
 public:
  Printer(const std::vector<Line>& lines, const std::vector<size_t>& scored, OrderedLines& out)
      : lines_(lines), scored_(scored), out_(out) {}

  void on_score(engine::ScoreResult&& result) override {
    const size_t number = scored_[result.index];
    out_.put(number, render(lines_[number], result));
  }

 private:
  const std::vector<Line>& lines_;
  const std::vector<size_t>& scored_;
  OrderedLines& out_;
};

void score(const Options& options) {
  const auto policy = engine::parse_boundary_policy(options.boundary);
  engine::EngineOptions engine_options = options.engine.options(options.model);
  engine_options.require_tokenizer = has_tokenizer(options.model);
  engine_options.expert_load = false;
  const auto engine = engine::open_engine(engine_options);
  std::vector<Line> lines;
  for_each_stdin_line([&](std::string_view text, size_t number) {
    const auto document = json::Document::parse(text, "<stdin>:" + std::to_string(number));
    lines.push_back(parse_line(document.root(), *engine, engine_options.require_tokenizer, policy));
  });
  std::vector<engine::ScoreRequest> requests;
  std::vector<size_t> scored;
  OrderedLines out(lines.size());
  for (size_t k = 0; k < lines.size(); ++k) {
    if (lines[k].continuation.empty()) {
      engine::ScoreResult nothing;
      nothing.greedy = true;
      out.put(k, render(lines[k], nothing));
      continue;
    }
    engine::ScoreRequest request;
    request.context = lines[k].context;
    request.continuation = lines[k].continuation;
    request.name = lines[k].where;
    requests.push_back(request);
    scored.push_back(k);
  }
  Printer printer(lines, scored, out);
  engine->score(requests, printer);
}

}  // namespace

void add_score(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(
      "score",
      "Log-probabilities of continuations, as JSON lines\n\n"
      "Reads {\"context\", \"continuation\", \"id\"}: texts or lists of token ids. Other keys\n"
      "are refused.");
  verb->add_option("--model", options->model, "Checkpoint directory (Hugging Face layout)")
      ->required()
      ->type_name("DIR");
  verb->add_option("--boundary", options->boundary,
                   "joint: text tokenised as a whole; split: context and\n"
                   "continuation apart")
      ->capture_default_str();
  add_engine_flags(*verb, options->engine, false);
  set_examples(*verb,
               {R"(echo '{"context":"2 + 2 =","continuation":" 4"}' | assay score --model DIR)",
                R"(echo '{"id":2,"context":[],"continuation":[5,17,3]}' | assay score --model DIR)",
                "assay score --model DIR --device cuda:0,1 < requests.jsonl",
                "mpirun -n 2 --bind-to numa assay score --model DIR < requests.jsonl"});
  verb->callback([options] { score(*options); });
}

}  // namespace assay::harness

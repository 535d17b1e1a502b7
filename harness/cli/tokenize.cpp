// assay tokenize: text to ids and back, one JSON object a line.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "engine/engine.h"
#include "harness/cli/verbs.h"

namespace assay::harness {

namespace {

struct Options {
  std::string tokenizer;
  bool special = false, decode = false, bos = false;
};

void tokenize(const Options& options) {
  const auto tokenizer = engine::Tokenizer::load(options.tokenizer);
  std::ios::sync_with_stdio(false);
  for_each_stdin_line([&](std::string_view line, size_t number) {
    const auto document = json::Document::parse(line, "<stdin>:" + std::to_string(number));
    const json::Value in = document.root();
    json::Writer out;
    out.begin_object();
    if (const auto id = in.find("id"); id.exists()) out.member("id", id);
    if (options.decode) {
      std::vector<engine::TokenId> ids;
      in.at("ids").for_each_element([&](json::Value v) {
        const int64_t id = v.integer();
        if (id < 0 || id >= tokenizer->size()) {
          v.fail("token id " + std::to_string(id) + " is outside 0.." +
                 std::to_string(tokenizer->size() - 1));
        }
        ids.push_back(static_cast<engine::TokenId>(id));
      });
      out.member("text", tokenizer->decode(ids, !options.special));
    } else {
      out.key("ids").begin_array();
      if (options.bos && tokenizer->bos()) out.value(*tokenizer->bos());
      for (const auto id : tokenizer->encode(in.at("text").string(), options.special)) out.value(id);
      out.end_array();
    }
    out.end_object();
    std::cout << out.take() << '\n';
  });
}

}  // namespace

void add_tokenize(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("tokenize", "Text to token ids, or back, as JSON lines");
  verb->add_option("--tokenizer", options->tokenizer,
                   "tokenizer.json, or a directory that holds one")
      ->required()
      ->type_name("FILE|DIR");
  verb->add_flag("--special", options->special,
                 "Recognise special tokens in the text; keep them when decoding");
  verb->add_flag("--bos", options->bos, "Put the begin-of-sequence token first");
  verb->add_flag("--decode", options->decode, "Read {\"ids\":[..]}, write {\"text\":..}");
  set_examples(*verb, {R"(echo '{"text":"Hello"}' | assay tokenize --tokenizer MODEL_DIR)",
                       R"(echo '{"ids":[19923]}' | assay tokenize --tokenizer MODEL_DIR --decode)"});
  verb->callback([options] { tokenize(*options); });
}

}  // namespace assay::harness

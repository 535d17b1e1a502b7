// Encoding speed in bytes of text a second, one thread, on real English, Chinese and code, for the
// published tokenizers; and the time to load a tokenizer.json. Needs ../shared.
//
// The texts are encoded document by document (a paragraph, a passage, a function), as an evaluation
// does, into one reused vector.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "engine/text/tokenizer.h"
#include "tests/support/paths.h"

namespace assay::engine {
namespace {

std::filesystem::path shared() { return test_paths::shared(); }

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
    end = std::min(text.find('\n', begin), text.size());
    if (end > begin) lines.push_back(text.substr(begin, end - begin) + '\n');
  }
  return lines;
}

std::vector<std::string> fields(const std::filesystem::path& jsonl,
                                std::initializer_list<const char*> names) {
  std::vector<std::string> texts;
  json::for_each_line(read_file(jsonl), jsonl.string(), [&](json::Value line, size_t) {
    for (const char* name : names) texts.emplace_back(line.at(name).string());
  });
  return texts;
}

const std::vector<std::string>& documents(const std::string& kind) {
  static std::map<std::string, std::vector<std::string>> cache;
  auto& texts = cache[kind];
  if (!texts.empty()) return texts;
  const auto datasets = shared() / "datasets";
  if (kind == "english") texts = lines_of(read_file(datasets / "wikitext2/wiki.test.raw"));
  if (kind == "code") {
    texts = fields(datasets / "mbpp/mbpp.jsonl", {"code"});
    for (auto& text :
         fields(datasets / "humaneval/HumanEval.jsonl", {"prompt", "canonical_solution", "test"})) {
      texts.push_back(std::move(text));
    }
  }
  if (kind == "chinese") {
    const auto file = datasets / "cmrc2018/squad-style-data/cmrc2018_dev.json";
    const json::Document document = json::Document::load(file);
    document.root().at("data").for_each_element([&](json::Value article) {
      article.at("paragraphs").for_each_element([&](json::Value paragraph) {
        texts.emplace_back(paragraph.at("context").string());
      });
    });
  }
  return texts;
}

void encode(benchmark::State& state, const std::string& name, const std::string& kind) {
  const auto tokenizer = Tokenizer::load(shared() / "tokenizers" / name);
  const auto& texts = documents(kind);
  size_t bytes = 0, tokens = 0;
  for (const auto& text : texts) bytes += text.size();
  std::vector<TokenId> ids;
  for (auto _ : state) {
    tokens = 0;
    for (const auto& text : texts) {
      ids.clear();
      tokenizer->encode_append(text, false, ids);
      tokens += ids.size();
    }
    benchmark::DoNotOptimize(tokens);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
  state.counters["bytes_per_token"] = static_cast<double>(bytes) / static_cast<double>(tokens);
}

// A megabyte of one character: merging must stay near-linear.
void encode_run(benchmark::State& state, const std::string& name, const std::string& unit) {
  const auto tokenizer = Tokenizer::load(shared() / "tokenizers" / name);
  std::string text;
  while (text.size() < (1 << 20)) text += unit;
  std::vector<TokenId> ids;
  for (auto _ : state) {
    ids.clear();
    tokenizer->encode_append(text, false, ids);
    benchmark::DoNotOptimize(ids.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void load(benchmark::State& state, const std::string& name) {
  const TemporaryDirectory folder;
  const auto file = folder.path() / "tokenizer.json";
  const std::string text = read_file(shared() / "tokenizers" / name / "tokenizer.json.gz");
  write_file_atomically(file, text);
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::load(file));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

const bool registered = [] {
  if (!std::filesystem::exists(shared() / "tokenizers")) return false;
  for (const char* name : {"deepseek-v3", "llama-3.1", "qwen2.5", "gpt-2", "deepseek-llm"}) {
    for (const char* kind : {"english", "chinese", "code"}) {
      benchmark::RegisterBenchmark((std::string(name) + "/" + kind).c_str(), encode, name, kind);
    }
  }
  benchmark::RegisterBenchmark("deepseek-v3/run of a", encode_run, "deepseek-v3", "a");
  benchmark::RegisterBenchmark("deepseek-v3/run of 一", encode_run, "deepseek-v3", "一");
  benchmark::RegisterBenchmark("deepseek-v3/run of spaces", encode_run, "deepseek-v3", " ");
  for (const char* name : {"deepseek-v3", "llama-3.1", "qwen3"}) {
    benchmark::RegisterBenchmark((std::string("load/") + name).c_str(), load, name)
        ->Unit(benchmark::kMillisecond);
  }
  return true;
}();

}  // namespace
}  // namespace assay::engine

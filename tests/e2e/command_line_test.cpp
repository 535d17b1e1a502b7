// The command line as a new user meets it: help, typos, wrong paths, bad input.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

void expect_error(const Outcome& outcome, int code, const std::vector<std::string>& parts) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  for (const auto& part : parts) {
    EXPECT_NE(outcome.err.find(part), std::string::npos) << "no \"" << part << "\" in " << outcome.err;
  }
}

TEST(CommandLine, HelpFitsATerminalAndHasExamples) {
  for (const char* verb : {"run", "score", "generate", "tokenize", "inspect", "show-prompt", "list",
                           "show", "compare", "table", "report", "doctor", "bench", "watch",
                           "rescore", "gate"}) {
    const Outcome help = assay({verb, "--help"});
    EXPECT_EQ(help.code, 0) << verb;
    EXPECT_NE(help.out.find("Examples:"), std::string::npos) << verb;
    for (size_t begin = 0; begin < help.out.size();) {
      const size_t end = std::min(help.out.find('\n', begin), help.out.size());
      const std::string line = help.out.substr(begin, end - begin);
      // Examples are meant to be copied and may be longer.
      if (!line.starts_with("  echo") && !line.starts_with("  assay")) {
        EXPECT_LE(utf8::display_width(line), 90u) << verb << ": " << line;
      }
      begin = end + 1;
    }
  }
}

TEST(CommandLine, TyposGetSuggestions) {
  expect_error(assay({"rnu"}), 2, {"rnu", "did you mean \"run\""});
  expect_error(assay({"run", "--model", sample_checkpoint(), "--tasks", "helaswag", "--data", "sample",
                      "--store", "/nonexistent/x.sqlite"}),
               2, {"helaswag", "hellaswag"});
  expect_error(assay({"score", "--model", sample_checkpoint(), "--numerics", "fp7"}), 2, {"fp7"});
  expect_error(assay({"run", "--tasks", "mmlu"}), 2, {"--model"});
  expect_error(assay({"run", "--modle", "x", "--tasks", "mmlu"}), 2, {"--modle", "did you mean --model?"});
  expect_error(assay({"sandbox", "run", "--wrokers=2", "x.jsonl"}), 2, {"--wrokers", "--workers"});
}

TEST(CommandLine, DevicesThatAreNotThereAreRefused) {
  expect_error(assay({"score", "--model", sample_checkpoint(), "--device", "tpu"}), 2, {"tpu", "cuda:N"});
  expect_error(assay({"score", "--model", sample_checkpoint(), "--device", "cuda:x"}), 2, {"cuda:x"});
  expect_error(assay({"score", "--model", sample_checkpoint(), "--gpu-memory", "1G"}), 2,
               {"--device cuda"});
  expect_error(assay({"score", "--model", sample_checkpoint(), "--device", "cuda:4096"},
                     "{\"context\":[1],\"continuation\":[2]}\n"),
               4, {"CUDA", "--device cpu"});
  expect_error(assay({"bench", "--shape", "qwen2.5-0.5b", "--device", "cuda:4096"}), 4,
               {"CUDA", "--device cpu"});
}

// Every op of a small model by itself, and a stack of its layers.
TEST(CommandLine, BenchMeasuresOps) {
  const TemporaryDirectory dir;
  const std::string config = (dir.path() / "small.json").string();
  std::ofstream(config)
      << R"({"model_type": "deepseek_v3", "hidden_size": 128, "intermediate_size": 128,
    "moe_intermediate_size": 64, "num_hidden_layers": 4, "first_k_dense_replace": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "q_lora_rank": 64, "kv_lora_rank": 64,
    "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32, "n_routed_experts": 8,
    "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
    "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": true,
    "routed_scaling_factor": 1.0, "vocab_size": 300, "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-6, "rope_theta": 10000, "tie_word_embeddings": false,
    "num_nextn_predict_layers": 0, "torch_dtype": "bfloat16"})";
  const Outcome ops = assay({"bench", "--shape", config, "--what", "op", "--rows", "3,40",
                             "--quick", "--threads", "1", "--json"});
  ASSERT_EQ(ops.code, 0) << ops.err;
  for (const char* op : {"experts", "router", "attention", "decode attention", "norm", "head"}) {
    EXPECT_NE(ops.out.find("small.json " + std::string(op) + "\""), std::string::npos)
        << op << ops.out;
  }
  EXPECT_EQ(std::count(ops.out.begin(), ops.out.end(), '\n'), 12);
  const Outcome stack = assay({"bench", "--shape", config, "--layers", "3", "--what", "prefill",
                               "--prompts", "8", "--quick", "--threads", "1", "--json"});
  ASSERT_EQ(stack.code, 0) << stack.err;
  const json::Document line = json::Document::parse(stack.out, "bench");
  const double rate = line.root().number_or("tok_s", -1);
  EXPECT_GT(rate, 0);
  EXPECT_NEAR(line.root().number_or("full_model_tok_s", 0), rate * 3 / 4, 1e-6 * rate);
  expect_error(assay({"bench", "--shape", config, "--layers", "5"}), 2, {"4 layers"});
}

TEST(CommandLine, HelpFitsEightyColumns) {
  const auto expect_narrow = [](const std::string& help, const std::string& verb) {
    std::istringstream lines(help);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << verb << ": " << line;
  };
  const Outcome all = assay({"--help"});
  expect_narrow(all.out, "assay");
  std::istringstream lines(all.out.substr(all.out.find("Subcommands:\n") + 13));
  size_t verbs = 0;
  for (std::string line; std::getline(lines, line) && line.starts_with("  ");) {
    const std::string verb = line.substr(2, line.find(' ', 2) - 2);
    if (verb.empty()) continue;  // the rest of a description
    expect_narrow(assay({verb, "--help"}).out, verb);
    ++verbs;
  }
  EXPECT_GT(verbs, 20u);
}

TEST(CommandLine, WrongPathsAreNamed) {
  expect_error(assay({"inspect", "/nonexistent/model"}), 3, {"/nonexistent/model"});
  expect_error(assay({"tokenize", "--tokenizer", "/nonexistent/t"}), 3, {"/nonexistent/t"});
  expect_error(assay({"run", "--model", sample_checkpoint(), "--tasks", "mmlu", "--data",
                      "/nonexistent/data", "--quiet"}),
               3, {"/nonexistent/data"});
}

TEST(CommandLine, MissingDataNameTheFileAndTheFetch) {
  const TemporaryDirectory empty;
  const Outcome outcome = assay({"run", "--model", sample_checkpoint(), "--tasks", "mmlu", "--data",
                                 empty.path().string(), "--quiet", "--store",
                                 (empty.path() / "s.sqlite").string()});
  expect_error(outcome, 3, {"mmlu", ".csv", "assay data fetch mmlu"});
  EXPECT_FALSE(fs::exists(empty.path() / "s.sqlite"));
}

TEST(CommandLine, UnwritableAndForeignStores) {
  expect_error(assay({"run", "--model", sample_checkpoint(), "--tasks", "mmlu", "--data", "sample",
                      "--quiet", "--store", "/nonexistent/dir/s.sqlite"}),
               4, {"/nonexistent/dir/s.sqlite"});
  const TemporaryDirectory dir;
  std::ofstream(dir.path() / "notes.txt") << "dear diary, this is no database at all\n";
  expect_error(assay({"run", "--model", sample_checkpoint(), "--tasks", "mmlu", "--data", "sample",
                      "--quiet", "--store", (dir.path() / "notes.txt").string()}),
               3, {"notes.txt"});
  EXPECT_EQ(read_file(dir.path() / "notes.txt"), "dear diary, this is no database at all\n");
}

// A copy of a bundled checkpoint whose files a test may damage.
class DamagedCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::copy(sample_checkpoint("base-step-000040"), model_, fs::copy_options::recursive);
  }
  void expect_score_error(int code, const std::vector<std::string>& parts) {
    expect_error(assay({"score", "--model", model_.string()},
                       R"({"context":[1],"continuation":[2]})"),
                 code, parts);
  }
  void replace_in_config(const std::string& from, const std::string& to) {
    std::string text = read_file(model_ / "config.json");
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write_file_atomically(model_ / "config.json", text.replace(at, from.size(), to));
  }
  const TemporaryDirectory dir_;
  const fs::path model_ = dir_.path() / "model";
};

TEST_F(DamagedCheckpoint, TruncatedShard) {
  fs::resize_file(model_ / "model.safetensors", fs::file_size(model_ / "model.safetensors") - 1000);
  expect_score_error(3, {"model.safetensors"});
}

TEST_F(DamagedCheckpoint, MissingShard) {
  fs::remove(model_ / "model.safetensors");
  expect_score_error(3, {"model.safetensors"});
}

TEST_F(DamagedCheckpoint, UnknownArchitecture) {
  replace_in_config("\"deepseek_v3\"", "\"mamba\"");
  expect_score_error(3, {"config.json", "mamba"});
}

TEST_F(DamagedCheckpoint, ShapeThatDoesNotFit) {
  replace_in_config("\"moe_intermediate_size\": 64", "\"moe_intermediate_size\": 96");
  expect_score_error(3, {"mlp.experts", "96"});
}

TEST_F(DamagedCheckpoint, MalformedTokenizer) {
  write_file_atomically(model_ / "tokenizer.json", "{\"model\": {\"type\": \"WordPiece\"");
  expect_error(assay({"tokenize", "--tokenizer", model_.string()}, R"({"text":"a"})"), 3,
               {"tokenizer.json"});
}

TEST(Tokenize, RoundTrip) {
  const Outcome ids = assay({"tokenize", "--tokenizer", sample_checkpoint()},
                            "{\"id\":7,\"text\":\"Mia has 3 apples.\\n\xe4\xb8\xad\"}\n");
  ASSERT_EQ(ids.code, 0) << ids.err;
  const Outcome text = assay({"tokenize", "--tokenizer", sample_checkpoint(), "--decode"}, ids.out);
  EXPECT_EQ(text.out, "{\"id\":7,\"text\":\"Mia has 3 apples.\\n\xe4\xb8\xad\"}\n") << text.err;
}

TEST(Score, BadRequestsNameTheLine) {
  expect_error(assay({"score", "--model", sample_checkpoint()}, "{\"context\":[1],\"continuation\":[99999]}\n"),
               3, {"<stdin>:1", "99999"});
  expect_error(assay({"score", "--model", sample_checkpoint()}, "\n{\"context\":[1]}\n"), 3,
               {"<stdin>:2", "continuation"});
  std::string ids = "1";  // beyond the context, which only the engine sees
  for (int i = 0; i < 2048; ++i) ids += ",1";
  expect_error(assay({"score", "--model", sample_checkpoint()},
                     "{\"context\":[1],\"continuation\":[2]}\n\n{\"context\":[" + ids + "],\"continuation\":[2]}\n"),
               3, {"<stdin>:3: takes 2049 positions", "context"});
  expect_error(assay({"generate", "--model", sample_checkpoint()},
                     "{\"prompt\":[1]}\n{\"prompt\":[" + ids + "]}\n"),
               3, {"<stdin>:2: takes 2050 positions", "context"});
}

TEST(Score, UnknownKeysAreNamed) {
  const auto score = [](const std::string& line) {
    return assay({"score", "--model", sample_checkpoint()}, line);
  };
  expect_error(score(R"({"context":[1],"continuation":[2],"normalise":true})"), 3,
               {"<stdin>:1", "normalise", "unknown key", "continuation"});
  expect_error(score(R"({"context":[1],"context":[3],"continuation":[2]})"), 3,
               {"<stdin>:1", "context", "twice"});
  const auto generate = [](const std::string& line) {
    return assay({"generate", "--model", sample_checkpoint()}, line);
  };
  expect_error(generate("{\"prompt\":[1]}\n{\"prompt\":[1],\"max_new_tokens\":3}"), 3,
               {"<stdin>:2", "max_new_tokens", "unknown key", "max_tokens"});
}

TEST(ShowPrompt, JsonNeedsNoWeights) {
  const Outcome outcome =
      assay({"show-prompt", "mmlu", "--doc", "0-1", "--data", "sample", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  size_t lines = 0;
  json::for_each_line(outcome.out, "out", [&](json::Value line, size_t) {
    ++lines;
    EXPECT_TRUE(line.at("task").string().starts_with("mmlu")) << line.dump();
    EXPECT_EQ(line.at("shots").integer(), 5);
    EXPECT_EQ(line.at("continuations").size(), 4u);
    EXPECT_EQ(line.at("exemplars").size(), 5u);
  });
  EXPECT_EQ(lines, 2u);
}

TEST(CommandLine, TokenIdsNeedNoTokenizer) {
  const TemporaryDirectory bare;
  for (const char* file : {"config.json", "model.safetensors"}) {
    fs::create_symlink(fs::path(sample_checkpoint()) / file, bare.path() / file);
  }
  const std::string ids = R"({"prompt":[1,2,3],"max_tokens":4,"stop_at_eos":false})";
  const Outcome with = assay({"generate", "--model", sample_checkpoint()}, ids);
  const Outcome without = assay({"generate", "--model", bare.path().string()}, ids);
  ASSERT_EQ(without.code, 0) << without.err;
  const auto a = json::Document::parse(with.out, "a"), b = json::Document::parse(without.out, "b");
  EXPECT_EQ(a.root().at("tokens").dump(), b.root().at("tokens").dump());
  EXPECT_EQ(a.root().at("logprob").number(), b.root().at("logprob").number());
  expect_error(assay({"generate", "--model", bare.path().string()}, R"({"prompt":"text"})"), 3,
               {"<stdin>:1", "prompt", "tokenizer.json"});
  // What only the engine can tell names the line, too.
  expect_error(assay({"generate", "--model", bare.path().string()}, ids + "\n" + R"({"prompt":[1],"stop":"x"})"),
               3, {"<stdin>:2: stop strings", "tokenizer"});
  expect_error(assay({"generate", "--model", bare.path().string(), "--token-healing"}, ids), 2,
               {"--token-healing", "tokenizer.json"});
}

TEST(CommandLine, InspectsAConfigurationAlone) {
  const std::string config = (fs::path(sample_checkpoint()) / "config.json").string();
  const Outcome outcome = assay({"inspect", config, "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto info = json::Document::parse(outcome.out, "inspect");
  const Outcome whole = assay({"inspect", sample_checkpoint(), "--json"});
  const auto all = json::Document::parse(whole.out, "inspect");
  for (const char* key : {"architecture", "parameters", "active_parameters", "mtp_parameters", "mtp",
                          "context_length", "config_digest"}) {
    EXPECT_EQ(info.root().at(key).dump(), all.root().at(key).dump()) << key;
  }
  EXPECT_EQ(info.root().at("problems").size(), 0u);
}

TEST(CommandLine, AuditCountsPromptsThatMerge) {
  const auto audit = [](const std::string& task) {
    const Outcome outcome = assay({"show-prompt", task, "--data", "sample", "--tokenizer",
                                   sample_checkpoint(), "--audit", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::Document::parse(outcome.out, "audit");
  };
  // A stripped HumanEval prompt ends in quotes, which this tokenizer joins with the newline behind
  // them; the letters of MMLU follow a colon and a space of their own.
  const auto humaneval = audit("humaneval"), mmlu = audit("mmlu");
  const int64_t documents = humaneval.root().at("documents").integer();
  EXPECT_GT(documents, 0);
  EXPECT_EQ(humaneval.root().at("prompts").integer(), documents);
  EXPECT_EQ(humaneval.root().at("merging_prompts").integer(), documents);
  EXPECT_EQ(humaneval.root().at("first").size(), 3u);
  EXPECT_EQ(mmlu.root().at("merging_prompts").integer(), 0);
  EXPECT_EQ(mmlu.root().at("continuations").integer(), 4 * mmlu.root().at("prompts").integer());
  expect_error(assay({"show-prompt", "mmlu", "--data", "sample", "--audit"}), 2, {"--tokenizer"});
}

}  // namespace
}  // namespace assay::e2e

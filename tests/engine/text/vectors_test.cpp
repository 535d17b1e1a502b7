// Every published tokenizer against the vectors of ../shared/tokenizers.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "engine/text/boundary.h"
#include "engine/text/tokenizer.h"
#include "tests/engine/text/shared_files.h"

namespace assay::engine {
namespace {

using Ids = std::vector<TokenId>;

std::filesystem::path vectors() { return shared_tokenizers() / "test-vectors"; }

Ids ids_of(json::Value list) {
  Ids ids;
  list.for_each_element([&](json::Value id) { ids.push_back(static_cast<TokenId>(id.integer())); });
  return ids;
}

const std::string& reference_text() {
  static const std::string text = read_file(vectors() / "reference.jsonl.gz");
  return text;
}

// What the library gives with add_special_tokens: the template's BOS, nothing else.
Ids with_template(const std::string& name, Ids ids) {
  if (name.starts_with("llama")) ids.insert(ids.begin(), *shared_tokenizer(name).bos());
  return ids;
}

TEST(Vectors, ReferenceTexts) {
  ASSAY_NEEDS(vectors() / "reference.jsonl.gz");
  size_t texts = 0, encodings = 0, failures = 0;
  json::for_each_line(reference_text(), "reference", [&](json::Value line, size_t) {
    if (line.at("kind").string() != "text") return;
    ++texts;
    const std::string text(line.at("text").string());
    line.at("ids").for_each_member([&](std::string_view name, json::Value expected_ids) {
      const Tokenizer& tokenizer = shared_tokenizer(std::string(name));
      const Ids expected = ids_of(expected_ids);
      ++encodings;
      Ids ids;
      std::vector<size_t> ends;
      tokenizer.encode_with_ends(text, true, ids, ends);
      bool ok = ids == expected && tokenizer.encode(text, true) == expected;
      ok = ok && ends.size() == ids.size() && (ends.empty() || ends.back() == text.size());
      std::string decoded = text;
      if (const json::Value d = line.find("decoded"); d.exists()) {
        decoded = d.string_or(name, text);
      }
      const std::string actual = tokenizer.decode(expected, false);
      if ((!ok || actual != decoded) && ++failures <= 20) {
        EXPECT_EQ(ids, expected) << line.where() << ' ' << name << ' ' << line.dump();
        EXPECT_EQ(actual, decoded) << line.where() << ' ' << name;
        EXPECT_TRUE(ok) << line.where();
      }
      if (const json::Value special = line.find("ids_add_special"); special.exists()) {
        if (const json::Value list = special.find(name); list.exists()) {
          EXPECT_EQ(with_template(std::string(name), ids), ids_of(list)) << line.where();
        }
      }
    });
  });
  EXPECT_EQ(failures, 0u);
  EXPECT_EQ(texts, 1402u);
  EXPECT_EQ(encodings, 5u * 1402u + 3u * 211u);
}

TEST(Vectors, ReferencePairs) {
  ASSAY_NEEDS(vectors() / "reference.jsonl.gz");
  size_t pairs = 0, counted = 0;
  json::for_each_line(reference_text(), "reference", [&](json::Value line, size_t) {
    if (line.at("kind").string() != "pair") return;
    ++pairs;
    const std::string context(line.at("context").string());
    const std::string continuation(line.at("continuation").string());
    const auto merging = line.at("merge").strings();
    line.at("context_ids").for_each_member([&](std::string_view name, json::Value list) {
      const Tokenizer& tokenizer = shared_tokenizer(std::string(name));
      const Ids context_ids = ids_of(list);
      const Ids continuation_ids = ids_of(line.at("continuation_ids").at(name));
      const bool merges = std::find(merging.begin(), merging.end(), name) != merging.end();
      Ids whole = context_ids;
      whole.insert(whole.end(), continuation_ids.begin(), continuation_ids.end());
      if (merges) whole = ids_of(line.at("joined_ids").at(name));

      const size_t bos = tokenizer.adds_bos() ? 1 : 0;
      const auto without_bos = [&](const Ids& ids) {
        return Ids(ids.begin() + static_cast<std::ptrdiff_t>(bos), ids.end());
      };
      const EncodedPair split =
          encode_pair(tokenizer, context, continuation, BoundaryPolicy::split);
      EXPECT_EQ(without_bos(split.context_ids), context_ids) << line.where();
      EXPECT_EQ(split.continuation_ids, continuation_ids) << line.where();
      EXPECT_EQ(split.boundary_merge, merges) << line.where() << ' ' << name;

      const EncodedPair joint =
          encode_pair(tokenizer, context, continuation, BoundaryPolicy::joint);
      Ids joined = without_bos(joint.context_ids);
      const Ids before = joined;
      joined.insert(joined.end(), joint.continuation_ids.begin(), joint.continuation_ids.end());
      EXPECT_EQ(joined, whole) << line.where() << ' ' << name;
      EXPECT_EQ(joint.boundary_merge, merges) << line.where() << ' ' << name;
      // Scored are exactly the tokens that end behind the boundary (counted in the tokens' bytes,
      // which needs a text that decodes to itself).
      if (tokenizer.decode_bytes(whole, false) != context + continuation) return;
      ++counted;
      const std::string prefix = tokenizer.decode_bytes(before, false);
      EXPECT_TRUE(joint.first_unscored || prefix.size() <= context.size()) << line.where();
      if (!joint.continuation_ids.empty()) {
        EXPECT_GT(prefix.size() + tokenizer.token_bytes(joint.continuation_ids[0]).size(),
                  context.size());
      }
      if (!merges) {
        EXPECT_EQ(before, context_ids);
      }
    });
  });
  EXPECT_EQ(pairs, 300u);
  EXPECT_GT(counted, 5u * 290u);
}

TEST(Vectors, ReferenceDecoding) {
  ASSAY_NEEDS(vectors() / "reference.jsonl.gz");
  size_t lines = 0;
  json::for_each_line(reference_text(), "reference", [&](json::Value line, size_t) {
    if (line.at("kind").string() != "decode") return;
    ++lines;
    const Tokenizer& tokenizer = shared_tokenizer(std::string(line.at("tokenizer").string()));
    const Ids ids = ids_of(line.at("ids"));
    const std::string text(line.at("text").string());
    EXPECT_EQ(tokenizer.decode(ids, false), text) << line.dump();
    EXPECT_EQ(tokenizer.decode(ids, true), line.string_or("text_skip_special", text))
        << line.dump();
  });
  EXPECT_EQ(lines, 376u + 374 + 379 + 361 + 376 + 13 + 14 + 10);
}

std::vector<std::string> split_at(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t at; (at = text.find(separator, begin)) != std::string::npos;) {
    parts.push_back(text.substr(begin, at - begin));
    begin = at + separator.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

void check_inp_out(const std::string& inp, const std::string& out, const std::string& name) {
  const auto texts = split_at(read_file(vectors() / inp), "\n__ggml_vocab_test__\n");
  const auto lines = split_at(read_file(vectors() / out), "\n");
  ASSERT_EQ(texts.size(), 47u);
  ASSERT_EQ(lines.size(), 47u);
  for (size_t i = 0; i < texts.size(); ++i) {
    std::istringstream stream(lines[i]);
    Ids expected;
    for (TokenId id; stream >> id;) expected.push_back(id);
    EXPECT_EQ(shared_tokenizer(name).encode(texts[i], true), expected) << name << ' ' << i;
  }
}

TEST(Vectors, InpOut) {
  ASSAY_NEEDS(vectors());
  const std::pair<const char*, const char*> uses[] = {{"gpt-2", "gpt-2"},
                                                      {"qwen2", "qwen2.5"},
                                                      {"qwen2", "qwen3"},
                                                      {"deepseek-r1-qwen", "qwen2.5"},
                                                      {"llama-bpe", "llama-3"},
                                                      {"llama-bpe", "llama-3.1"},
                                                      {"deepseek-llm", "deepseek-llm"}};
  for (const auto& [vector, name] : uses) {
    const std::string stem = std::string("ggml-vocab-") + vector + ".gguf";
    check_inp_out(stem + ".inp", stem + ".out", name);
  }
  check_inp_out("ggml-vocab-gpt-2.gguf.inp", "deepseek-v3.derived.out", "deepseek-v3");
  check_inp_out("ggml-vocab-gpt-2.gguf.inp", "deepseek-v3.derived.out", "deepseek-r1");
}

TEST(Vectors, DeepSeekV3Published) {
  ASSAY_NEEDS(vectors() / "deepseek-v3.published.jsonl");
  size_t count = 0;
  json::for_each_line(read_file(vectors() / "deepseek-v3.published.jsonl"), "published",
                      [&](json::Value line, size_t) {
                        ++count;
                        for (const char* name : {"deepseek-v3", "deepseek-r1"}) {
                          EXPECT_EQ(shared_tokenizer(name).encode(line.at("text").string(), true),
                                    ids_of(line.at("ids")))
                              << line.dump();
                        }
                      });
  EXPECT_EQ(count, 5u);
}

}  // namespace
}  // namespace assay::engine

// Files that are malformed, and features that are not supported: each an error that names the
// place.
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "base/random.h"
#include "tests/engine/text/small_tokenizer.h"

namespace assay::engine {
namespace {

// Expects bad_input whose line contains `what`.
void expect_refused(const std::string& json, const std::string& what) {
  try {
    load_text(json);
    ADD_FAILURE() << "accepted, expected: " << what;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input) << error.what();
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("tokenizer.json"), std::string::npos) << error.what();
  }
}
void expect_refused(const SmallTokenizer& small, const std::string& what) {
  expect_refused(small.json(), what);
}

TEST(Refusal, TheSmallTokenizerItselfIsFine) {
  SmallTokenizer small;
  small.merges = {{"a", "b"}, {"ab", "c"}};
  EXPECT_EQ(load(small)->encode("abcab"), (std::vector<TokenId>{257, 256}));
  small.merges_as_arrays = true;
  EXPECT_EQ(load(small)->encode("abcab"), (std::vector<TokenId>{257, 256}));
}

TEST(Refusal, UnknownTypesByName) {
  SmallTokenizer small;
  small.normalizer = R"({"type":"Lowercase"})";
  expect_refused(small, "normaliser Lowercase");
  small.normalizer = R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"NFKC"}]})";
  expect_refused(small, "normalizers[1].type: the normaliser NFKC");

  small = {};
  small.pre_tokenizer = R"({"type":"Metaspace"})";
  expect_refused(small, "pre-tokeniser Metaspace");
  small.pre_tokenizer = R"({"type":"Sequence","pretokenizers":[{"type":"Whitespace"}]})";
  expect_refused(small, "pretokenizers[0].type: the pre-tokeniser Whitespace");
  small.pre_tokenizer = "null";
  expect_refused(small, "no pre-tokeniser");
  small.pre_tokenizer = R"({"type":"Digits","individual_digits":true})";
  expect_refused(small, "no ByteLevel");
  small.pre_tokenizer =
      R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]})";
  expect_refused(small, "behind ByteLevel");

  small = {};
  small.decoder = R"({"type":"WordPiece"})";
  expect_refused(small, "decoder WordPiece");
  small.decoder = "null";
  expect_refused(small, "no decoder");

  small = {};
  small.post_processor = R"({"type":"RobertaProcessing"})";
  expect_refused(small, "post-processor RobertaProcessing");

  std::string json = SmallTokenizer{}.json();
  json.replace(json.find(R"("type":"BPE")"), 12, R"("type":"WordLevel")");
  expect_refused(json, "model WordLevel");
}

TEST(Refusal, OptionsThatChangeIds) {
  const std::pair<const char*, const char*> options[] = {
      {R"("dropout":0.1,)", "model.dropout: dropout"},
      {R"("unk_token":"<unk>",)", "unk_token"},
      {R"("byte_fallback":true,)", "byte_fallback"},
      {R"("continuing_subword_prefix":"##",)", "continuing_subword_prefix"},
      {R"("end_of_word_suffix":"</w>",)", "end_of_word_suffix"}};
  for (const auto& [option, what] : options) {
    SmallTokenizer small;
    small.model_options = option;
    expect_refused(small, what);
  }
  for (const char* option : {"lstrip", "rstrip", "single_word"}) {
    SmallTokenizer small;
    small.added_tokens =
        std::string(R"([{"id":256,"content":"<x>","special":true,")") + option + "\":true}]";
    expect_refused(small, std::string("added_tokens[0].") + option);
  }
  SmallTokenizer small;
  const auto split = [](const std::string& rest) {
    return R"({"type":"Sequence","pretokenizers":[{"type":"Split",)" + rest +
           R"(},{"type":"ByteLevel","use_regex":false}]})";
  };
  small.pre_tokenizer = split(R"("pattern":{"Regex":"a"},"behavior":"Removed")");
  expect_refused(small, "behavior: only the behaviour Isolated");
  small.pre_tokenizer = split(R"("pattern":{"Regex":"a"},"behavior":"Isolated","invert":true)");
  expect_refused(small, "invert");
  for (const char* pattern :
       {"a*",   "(?<=a)b", "a|",      "^a",     "a+?",          "[a&&b]", "[[:alpha:]]",
        "(a)+", "\\\\b",   "a{2}{3}", "(?>a)",  "\\\\p{Greek}", "(a",     "a)",
        "[a",   "a\\\\",   "\\\\1",   "(?i:é)", "[b-a]",        "\\\\w",  "a{5000}"}) {
    small.pre_tokenizer =
        split(std::string(R"("pattern":{"Regex":")") + pattern + R"("},"behavior":"Isolated")");
    expect_refused(small, "pre_tokenizer.pretokenizers[0].pattern.Regex: the regular expression");
  }
}

TEST(Refusal, PostProcessors) {
  SmallTokenizer small;
  small.added_tokens = R"([{"id":256,"content":"<s>","special":true}])";
  const auto with = [&](const std::string& single, const std::string& tokens) {
    small.post_processor = R"({"type":"TemplateProcessing","single":[)" + single +
                           R"(],"special_tokens":)" + tokens + "}";
    return small;
  };
  const std::string bos = R"({"SpecialToken":{"id":"<s>","type_id":0}})";
  const std::string text = R"({"Sequence":{"id":"A","type_id":0}})";
  const std::string tokens = R"({"<s>":{"id":"<s>","ids":[256],"tokens":["<s>"]}})";
  const auto tokenizer = load(with(bos + "," + text, tokens));
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->bos(), 256);
  EXPECT_FALSE(load(with(text, tokens))->adds_bos());
  expect_refused(with(text + "," + bos, tokens), "behind the text");
  expect_refused(with(bos + "," + bos + "," + text, tokens), "several tokens before");
  expect_refused(with(bos, tokens), "leaves the text out");
  expect_refused(with(bos + "," + text, R"({"<s>":{"ids":[256,1]}})"), "several ids");
  expect_refused(with(bos + "," + text, R"({"<s>":{"ids":[99999]}})"), "out of range");
  expect_refused(with(bos + "," + text, "{}"), "<s>");
}

TEST(Refusal, MalformedModels) {
  SmallTokenizer small;
  small.merges = {{"a", "b"}};
  const std::string good = small.json();
  for (size_t size : {size_t{0}, size_t{1}, good.size() / 3, good.size() / 2, good.size() - 1}) {
    expect_refused(good.substr(0, size), "not JSON");
  }
  expect_refused(good + std::string(1, '\0') + "x", "not JSON");
  expect_refused(std::string(100000, '['), "nested too deeply");
  expect_refused("[]", "object");
  expect_refused("{}", "model");

  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string json = good;
    const size_t at = json.find(from);
    EXPECT_NE(at, std::string::npos);
    return json.replace(at, from.size(), to);
  };
  expect_refused(edited(R"("a b")", R"("a q")"), "model.merges[0]");
  expect_refused(edited(R"("a b")", R"("a zz")"), "\"zz\" is not in the vocabulary");
  expect_refused(edited(R"("a b")", R"("ab")"), "model.merges[0]: a merge must be");
  expect_refused(edited(R"("a b")", R"("a b c")"), "model.merges[0]: a merge must be");
  expect_refused(edited(R"("a b")", R"(["a"])"), "model.merges[0]: a merge must be");
  expect_refused(edited(R"("a b")", R"(["a","b","c"])"), "model.merges[0]: a merge must be");
  expect_refused(edited(R"("a b")", "7"), "model.merges[0]: a merge must be");
  expect_refused(edited(R"("a b")", R"("a  ")"), "model.merges[0]");
  expect_refused(edited(R"("a b")", R"("a 中")"), "not written in the byte alphabet");
  expect_refused(edited(R"("ab":256)", R"("ab":97)"), "the same id 97");
  expect_refused(edited(R"("ab":256)", R"("ab":-1)"), "model.vocab.ab: an id must be");
  expect_refused(edited(R"("ab":256)", R"("ab":1.5)"), "model.vocab.ab: an id must be");
  expect_refused(edited(R"("ab":256)", R"("ab":"x")"), "model.vocab.ab: an id must be");
  expect_refused(edited(R"("ab":256)", R"("ab":4000000000)"), "out of range");
  expect_refused(edited(R"("ab":256)", R"("ab":{"x":1})"), "model.vocab.ab: an id must be");
  expect_refused(edited(R"("a":97)", R"("aaaa":97)"), "byte 97 has no entry");
  expect_refused(edited(R"("ab":256)", "\"\xff\":256"), "not JSON");
}

TEST(Refusal, AddedTokens) {
  SmallTokenizer small;
  const auto with = [&](const std::string& list) {
    small.added_tokens = list;
    return small;
  };
  expect_refused(with(R"([{"id":300,"content":"<x>"}])"),
                 "the id is 300, but in this order it would be 256");
  expect_refused(with(R"([{"id":5,"content":"<x>"}])"), "the id is 5");
  expect_refused(with(R"([{"id":256,"content":"a"}])"), "the vocabulary says 97");
  expect_refused(with(R"([{"id":256,"content":""}])"), "without content");
  expect_refused(with(R"([{"id":256,"content":"<x>"},{"id":256,"content":"<x>"}])"),
                 "listed twice");
  expect_refused(with(R"([{"id":-1,"content":"<x>"}])"), "added_tokens[0].id");
  expect_refused(with(R"([{"content":"<x>"}])"), "id");
  EXPECT_EQ(load(with(R"([{"id":256,"content":"<x>"},{"id":97,"content":"a"}])"))->find("<x>"),
            256);
}

TEST(Refusal, ConfigurationFiles) {
  const TemporaryDirectory folder;
  SmallTokenizer small;
  small.added_tokens =
      R"([{"id":256,"content":"<s>","special":true},{"id":257,"content":"</s>","special":true}])";
  write_file_atomically(folder.path() / "tokenizer.json", small.json());
  const auto with = [&](const std::string& file, const std::string& text) {
    write_file_atomically(folder.path() / file, text);
    return Tokenizer::load(folder.path());
  };
  const auto refused = [&](const std::string& file, const std::string& text,
                           const std::string& what) {
    try {
      with(file, text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_input);
      EXPECT_NE(std::string(error.what()).find(file), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
    fs::remove(folder.path() / file);
  };
  refused("tokenizer_config.json", R"({"bos_token":"<q>"})", "<q>");
  refused("tokenizer_config.json", R"({"add_bos_token":true})", "no bos_token");
  refused("tokenizer_config.json", R"({"add_eos_token":true})", "add_eos_token");
  refused("tokenizer_config.json", R"({"added_tokens_decoder":{"256":{"content":"<q>"}}})",
          "under this id");
  refused("generation_config.json", R"({"eos_token_id":258})", "out of range");
  refused("config.json", R"({"eos_token_id":[1,"x"]})", "eos_token_id");

  const auto plain =
      with("tokenizer_config.json", R"({"bos_token":{"content":"<s>"},"eos_token":"</s>"})");
  EXPECT_EQ(plain->bos(), 256);
  EXPECT_FALSE(plain->adds_bos());
  EXPECT_EQ(plain->eos(), std::vector<TokenId>{257});
  with("generation_config.json", R"({"eos_token_id":[257,7]})");
  const auto all = with("config.json", R"({"eos_token_id":9,"bos_token_id":1})");
  EXPECT_EQ(all->eos(), (std::vector<TokenId>{257, 7, 9}));
  EXPECT_EQ(all->bos(), 256);
  EXPECT_TRUE(
      with("tokenizer_config.json", R"({"bos_token":"<s>","add_bos_token":true})")->adds_bos());
}

TEST(Refusal, MissingFile) {
  const TemporaryDirectory folder;
  try {
    Tokenizer::load(folder.path());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_NE(std::string(error.what()).find("tokenizer.json"), std::string::npos);
  }
}

// A file with bytes changed, removed or repeated at random is either refused or read; the address
// sanitizer watches in the asan-ubsan build.
TEST(Refusal, DamagedFilesNeverCrash) {
  SmallTokenizer small;
  small.merges = {{"a", "b"}, {"ab", "c"}, {"c", "ab"}};
  small.added_tokens = R"([{"id":259,"content":"<x>","special":true}])";
  const std::string good = small.json();
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    std::string json = good;
    for (int edits = 1 + static_cast<int>(random.below(3)); edits > 0; --edits) {
      // Half of the edits where the structure is, outside the long vocabulary.
      const size_t tail = std::min<size_t>(json.size(), 200);
      const size_t at =
          random.below(2) ? json.size() - 1 - random.below(tail) : random.below(json.size());
      const size_t size = std::min<size_t>(1 + random.below(8), json.size() - at);
      switch (random.below(3)) {
        case 0:
          json[at] = static_cast<char>(random.below(256));
          break;
        case 1:
          json.erase(at, size);
          break;
        default:
          json.insert(at, json.substr(random.below(json.size() - size), size));
      }
    }
    try {
      const auto tokenizer = load_text(json);
      tokenizer->decode(tokenizer->encode("abcab<x>\xE4\xB8\xAD", true), false);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_input) << error.what();
    }
  }
}

}  // namespace
}  // namespace assay::engine

// Behaviour beyond the published vectors: hostile text, the BOS policy, added tokens, prefix
// spaces, offsets, boundaries and healing.
#include "engine/text/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "base/utf8.h"
#include "engine/text/boundary.h"
#include "tests/engine/text/random_text.h"
#include "tests/engine/text/shared_files.h"
#include "tests/engine/text/small_tokenizer.h"

namespace assay::engine {
namespace {

using Ids = std::vector<TokenId>;

TEST(Tokenizer, DecodeInvertsEncode) {
  ASSAY_NEEDS(shared_tokenizers());
  for (const char* name : {"deepseek-v3", "llama-3.1", "gpt-2"}) {  // no NFC, all bytes
    const Tokenizer& tokenizer = shared_tokenizer(name);
    Random random(7);
    for (int i = 0; i < 5000; ++i) {
      const std::string text = random_text(random, random.below(40));
      const bool special = random.below(2) != 0;
      Ids ids;
      std::vector<size_t> ends;
      tokenizer.encode_with_ends(text, special, ids, ends);
      ASSERT_EQ(tokenizer.decode(ids, false), text) << name;
      // Every token's bytes are the text between its neighbours' ends.
      size_t begin = 0;
      ASSERT_EQ(ends.size(), ids.size());
      for (size_t t = 0; t < ids.size(); ++t) {
        ASSERT_EQ(tokenizer.token_bytes(ids[t]), text.substr(begin, ends[t] - begin));
        begin = ends[t];
      }
      if (!special) {
        ASSERT_TRUE(std::none_of(ids.begin(), ids.end(),
                                 [&](TokenId id) { return tokenizer.is_special(id); }));
      }
    }
  }
}

TEST(Tokenizer, MalformedUtf8BecomesReplacementCharacters) {
  ASSAY_NEEDS(shared_tokenizers());
  for (const char* name : {"deepseek-v3", "qwen2.5", "deepseek-llm"}) {
    const Tokenizer& tokenizer = shared_tokenizer(name);
    Random random(8);
    for (int i = 0; i < 3000; ++i) {
      std::string text = random_text(random, 6);
      for (size_t edits = 1 + random.below(4); edits > 0; --edits) {
        text.insert(random.below(text.size() + 1), 1, static_cast<char>(random.below(256)));
      }
      Ids ids;
      std::vector<size_t> ends;
      tokenizer.encode_with_ends(text, true, ids, ends);
      ASSERT_EQ(ids, tokenizer.encode(utf8::sanitized(text), true)) << utf8::printable(text);
      ASSERT_TRUE(std::is_sorted(ends.begin(), ends.end()));
      ASSERT_TRUE(ends.empty() || ends.back() == text.size());
      tokenizer.restart_point(text, true);
    }
  }
  EXPECT_EQ(shared_tokenizer("deepseek-v3")
                .decode(shared_tokenizer("deepseek-v3").encode("a\xFF\xE4\xB8z"), false),
            "a\uFFFD\uFFFD\uFFFDz");
}

TEST(Tokenizer, HostileText) {
  ASSAY_NEEDS(shared_tokenizers());
  for (const char* name : {"deepseek-v3", "llama-3.1", "qwen2.5", "gpt-2", "deepseek-llm"}) {
    const Tokenizer& tokenizer = shared_tokenizer(name);
    EXPECT_TRUE(tokenizer.encode("").empty());
    EXPECT_TRUE(tokenizer.encode("", true).empty());
    for (const std::string unit : {"a", " ", "\n", "\0", "<", "é", "中", "1", "!", "\u0301"}) {
      const std::string byte = unit.empty() ? std::string(1, '\0') : unit;
      std::string text;
      while (text.size() < (1 << 20)) text += byte;
      const Ids ids = tokenizer.encode(text, true);
      ASSERT_EQ(tokenizer.decode(ids, false).size(), text.size()) << name;
    }
  }
}

TEST(Tokenizer, SpecialTokensInTextOnlyWhenAsked) {
  ASSAY_NEEDS(shared_tokenizers());
  const Tokenizer& tokenizer = shared_tokenizer("deepseek-v3");
  const std::string bos = "<｜begin▁of▁sentence｜>";
  EXPECT_EQ(tokenizer.find(bos), 0);
  EXPECT_EQ(tokenizer.encode(bos, true), Ids{0});
  EXPECT_GT(tokenizer.encode(bos, false).size(), 1u);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(bos, false), true), bos);
  EXPECT_EQ(tokenizer.decode(Ids{0, 19923}, true), "Hello");
  // Ordinary added tokens are always found.
  EXPECT_EQ(tokenizer.encode("<｜User｜>", false), Ids{128803});
  EXPECT_FALSE(tokenizer.find("no such entry"));
  EXPECT_EQ(tokenizer.decode(Ids{-1, 1 << 30, 19923}, false), "Hello");
}

TEST(Tokenizer, BosAndEosOfPublishedFiles) {
  ASSAY_NEEDS(shared_tokenizers());
  const Tokenizer& v3 = shared_tokenizer("deepseek-v3");  // tokenizer_config.json lies beside it
  EXPECT_TRUE(v3.adds_bos());
  EXPECT_EQ(v3.bos(), 0);
  EXPECT_EQ(v3.eos(), Ids{1});
  EXPECT_EQ(v3.size(), 128815);
  EXPECT_TRUE(shared_tokenizer("llama-3.1").adds_bos());
  EXPECT_EQ(shared_tokenizer("llama-3.1").bos(), 128000);
  EXPECT_FALSE(shared_tokenizer("qwen2.5").adds_bos());
  EXPECT_FALSE(shared_tokenizer("gpt-2").adds_bos());
  EXPECT_EQ(shared_tokenizer("gpt-2").eos(), Ids{50256});  // config.json
  EXPECT_EQ(v3.digest(), "621ac2e32d0dba658404412318818aaa8ce8cda492e59830109d8da6b517fb41");
  EXPECT_NE(v3.description().find("deepseek-v3"), std::string::npos) << v3.description();
}

TEST(Tokenizer, AddedTokens) {
  SmallTokenizer small;
  small.merges = {{"a", "b"}};
  small.normalizer = R"({"type":"NFC"})";
  small.added_tokens = R"([{"id":257,"content":"<x>","special":true,"normalized":false},
    {"id":258,"content":"<x>y","special":true,"normalized":false},
    {"id":259,"content":"e\u0301","special":false,"normalized":true}])";
  const auto tokenizer = load(small);
  EXPECT_EQ(tokenizer->encode("<x>ab<x>y", true), (Ids{257, 256, 258}));  // the longest
  EXPECT_EQ(tokenizer->encode("<<x>", true), (Ids{'<', 257}));
  EXPECT_EQ(tokenizer->encode("e\u0301", false), Ids{259});  // both are normalised
  EXPECT_EQ(tokenizer->encode("\u00e9", false), Ids{259});
  EXPECT_EQ(tokenizer->encode("<x>\u0301", true).size(), 3u);  // NFC does not cross a raw token
  Ids ids;
  std::vector<size_t> ends;
  tokenizer->encode_with_ends("a<x>e\u0301b", true, ids, ends);
  EXPECT_EQ(ids, (Ids{'a', 257, 259, 'b'}));
  EXPECT_EQ(ends, (std::vector<size_t>{1, 4, 7, 8}));
}

TEST(Tokenizer, PrefixSpace) {
  SmallTokenizer small;
  small.pre_tokenizer = R"({"type":"ByteLevel","add_prefix_space":true})";
  const auto tokenizer = load(small);
  EXPECT_EQ(tokenizer->encode("a b"), (Ids{' ', 'a', ' ', 'b'}));
  EXPECT_EQ(tokenizer->encode(" a"), (Ids{' ', 'a'}));
  EXPECT_TRUE(tokenizer->encode("").empty());
  Ids ids;
  std::vector<size_t> ends;
  tokenizer->encode_with_ends("ab", false, ids, ends);
  EXPECT_EQ(ends, (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(tokenizer->restart_point("a b c d e f g", false), 0u);
}

TEST(Tokenizer, GeneralStages) {
  SmallTokenizer small;
  small.merges = {{"1", "2"}, {"a", "-"}, {"x", "y"}};
  small.pre_tokenizer = R"({"type":"Sequence","pretokenizers":[
    {"type":"Split","pattern":{"String":"-"},"behavior":"Isolated"},
    {"type":"Digits","individual_digits":false},
    {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";
  EXPECT_EQ(load(small)->encode("a-12xy"), (Ids{'a', '-', 256, 258}));
  small.pre_tokenizer.replace(small.pre_tokenizer.find("\"individual_digits\":false"), 25,
                              "\"individual_digits\":true");
  EXPECT_EQ(load(small)->encode("a-12xy"), (Ids{'a', '-', '1', '2', 258}));
}

TEST(Tokenizer, ManyThreads) {
  ASSAY_NEEDS(shared_tokenizers());
  const Tokenizer& tokenizer = shared_tokenizer("llama-3.1");
  Random random(9);
  const std::string text = random_text(random, 3000);
  const Ids expected = tokenizer.encode(text);
  std::vector<Ids> results(4);
  {
    std::vector<std::jthread> threads;
    for (Ids& result : results) threads.emplace_back([&] { result = tokenizer.encode(text); });
  }
  for (const Ids& result : results) EXPECT_EQ(result, expected);
}

// A tokenizer whose tokens straddle: "ab" is one token, BOS <s> is added.
SmallTokenizer straddling(bool bos) {
  SmallTokenizer small;
  small.merges = {{"a", "b"}, {"Ġ", "A"}, {"ab", "c"}};
  small.added_tokens = R"([{"id":259,"content":"<s>","special":true}])";
  if (bos) {
    small.post_processor = R"({"type":"TemplateProcessing","single":[
      {"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
      "special_tokens":{"<s>":{"id":"<s>","ids":[259],"tokens":["<s>"]}}})";
  }
  return small;
}

TEST(Boundary, JointAndSplit) {
  const auto tokenizer = load(straddling(true));
  EncodedPair pair = encode_pair(*tokenizer, "xa", "b", BoundaryPolicy::joint);
  EXPECT_EQ(pair.context_ids, (Ids{259, 'x'}));
  EXPECT_EQ(pair.continuation_ids, Ids{256});  // straddles, scored as a whole
  EXPECT_TRUE(pair.boundary_merge);
  pair = encode_pair(*tokenizer, "xa", "b", BoundaryPolicy::split);
  EXPECT_EQ(pair.context_ids, (Ids{259, 'x', 'a'}));
  EXPECT_EQ(pair.continuation_ids, Ids{'b'});
  EXPECT_TRUE(pair.boundary_merge);
  pair = encode_pair(*tokenizer, "Q:", " A", BoundaryPolicy::joint);
  EXPECT_EQ(pair.context_ids, (Ids{259, 'Q', ':'}));
  EXPECT_EQ(pair.continuation_ids, Ids{257});
  EXPECT_FALSE(pair.boundary_merge);
  EXPECT_FALSE(pair.first_unscored);
  EXPECT_EQ(parse_boundary_policy("split"), BoundaryPolicy::split);
  EXPECT_THROW(parse_boundary_policy("both"), Error);
}

TEST(Boundary, BosExactlyOnce) {
  const auto with = load(straddling(true));
  const auto without = load(straddling(false));
  EncodedPair pair = encode_pair(*with, "", "xy", BoundaryPolicy::joint);
  EXPECT_EQ(pair.context_ids, Ids{259});
  EXPECT_EQ(pair.continuation_ids, (Ids{'x', 'y'}));
  pair = encode_pair(*without, "", "xy", BoundaryPolicy::joint);
  EXPECT_EQ(pair.context_ids, Ids{'x'});  // nothing to condition it on
  EXPECT_EQ(pair.continuation_ids, Ids{'y'});
  EXPECT_TRUE(pair.first_unscored);
  pair = encode_pair(*with, "<s>x", "y", BoundaryPolicy::joint);
  EXPECT_EQ(pair.context_ids, (Ids{259, 'x'}));
  EXPECT_TRUE(pair.literal_bos);
  EXPECT_EQ(encode_prompt(*with, "<s>x"), (Ids{259, 'x'}));
  EXPECT_EQ(encode_prompt(*with, "x<s>").size(), 5u);  // text, not a token
}

TEST(Boundary, ManyContinuationsOfOneContext) {
  ASSAY_NEEDS(shared_tokenizers());
  for (const char* name : {"deepseek-v3", "llama-3.1", "qwen2.5", "gpt-2", "deepseek-llm"}) {
    const Tokenizer& tokenizer = shared_tokenizer(name);
    Random random(10);
    for (int i = 0; i < 500; ++i) {
      const std::string context = random_text(random, random.below(60));
      const ContextEncoder encoder(tokenizer, context, BoundaryPolicy::joint);
      for (int j = 0; j < 4; ++j) {
        const std::string continuation = random_text(random, 1 + random.below(5));
        const EncodedPair pair = encoder.with(continuation);
        Ids whole;
        if (tokenizer.adds_bos()) whole.push_back(*tokenizer.bos());
        std::vector<size_t> ends;
        const size_t bos = whole.size();
        tokenizer.encode_with_ends(context + continuation, false, whole, ends);
        Ids joined = pair.context_ids;
        joined.insert(joined.end(), pair.continuation_ids.begin(), pair.continuation_ids.end());
        ASSERT_EQ(joined, whole) << name << ' ' << utf8::printable(context);
        // By the definition: scored is what ends behind the boundary.
        size_t before = bos;
        while (before - bos < ends.size() && ends[before - bos] <= context.size()) ++before;
        if (!pair.first_unscored) {
          ASSERT_EQ(pair.context_ids.size(), before);
        }
        Ids alone;
        tokenizer.encode_append(context, false, alone);
        const bool prefix = alone.size() + bos == before &&
                            std::equal(alone.begin(), alone.end(),
                                       whole.begin() + static_cast<std::ptrdiff_t>(bos));
        ASSERT_EQ(pair.boundary_merge, !prefix) << name << ' ' << utf8::printable(context);
      }
    }
  }
}

TEST(Healing, AllowedFirstTokens) {
  const auto tokenizer = load(straddling(true));
  const Ids prompt = encode_prompt(*tokenizer, "xab");
  const HealedPrompt healed = heal_prompt(*tokenizer, prompt);
  EXPECT_EQ(healed.ids, (Ids{259, 'x'}));
  EXPECT_EQ(healed.bytes, "ab");
  const TokenPrefixIndex index(*tokenizer);
  EXPECT_EQ(index.allowed("ab"), (Ids{'a', 256, 258}));  // "a", "ab", "abc"
  EXPECT_EQ(index.allowed("abc"), (Ids{'a', 256, 258}));
  EXPECT_EQ(index.allowed("<s"), (Ids{'<'}));  // never a special token
  EXPECT_EQ(heal_prompt(*tokenizer, Ids{259}).ids, Ids{259});
  EXPECT_EQ(heal_prompt(*tokenizer, Ids{259, 'x', 'y'}, 5).ids, Ids{259});
}

}  // namespace
}  // namespace assay::engine

// Fast paths against their referees: hand-written splitters against the general stages, the linear
// search of BPE against merging, on the vectors' texts, on random text and on long runs.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/utf8.h"
#include "engine/text/bpe.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/tokenizer_file.h"
#include "tests/engine/text/random_text.h"
#include "tests/engine/text/shared_files.h"
#include "tests/engine/text/small_tokenizer.h"

namespace assay::engine {
namespace {

constexpr const char* kFast[] = {"deepseek-v3", "llama-3.1", "qwen2.5", "gpt-2"};

TokenizerFile shared_file(const std::string& name) {
  return read_tokenizer_file(shared_tokenizers() / name / "tokenizer.json.gz");
}

std::vector<size_t> fast_ends(const PreTokenizer& pre, std::string_view text) {
  std::vector<size_t> ends;
  for (size_t pos = 0; pos < text.size();) {
    ends.push_back(pos = pre.fast()(text.data(), pos, text.size()));
  }
  return ends;
}

const std::vector<std::string>& reference_texts() {
  static const std::vector<std::string> texts = [] {
    std::vector<std::string> list;
    const auto path = shared_tokenizers() / "test-vectors/reference.jsonl.gz";
    json::for_each_line(read_file(path), "reference", [&](json::Value line, size_t) {
      if (line.at("kind").string() == "text") list.emplace_back(line.at("text").string());
    });
    return list;
  }();
  return texts;
}

TEST(Splitters, EqualTheGeneralStages) {
  ASSAY_NEEDS(shared_tokenizers());
  for (const char* name : kFast) {
    const TokenizerFile file = shared_file(name);
    const PreTokenizer pre(file.rest.root().at("pre_tokenizer"));
    ASSERT_NE(pre.fast(), nullptr) << name;
    PreTokenizer::Pieces pieces;
    const auto check = [&](const std::string& text) {
      pre.general(text, pieces);
      EXPECT_EQ(fast_ends(pre, text), pieces.ends) << name << ' ' << utf8::printable(text);
    };
    for (const std::string& text : reference_texts()) check(text);
    Random random(3);
    for (int i = 0; i < 20000; ++i) check(random_text(random, 1 + random.below(10)));
    // Every code point between two letters, behind a space and before a word.
    for (char32_t c = 0; c < 0x30000; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      std::string point;
      utf8::append(point, c);
      const std::string text = "a" + point + "b " + point + " " + point + point + "\n";
      pre.general(text, pieces);
      ASSERT_EQ(fast_ends(pre, text), pieces.ends) << name << ' ' << utf8::printable(text);
    }
  }
}

// What restart_point promises, for any continuation.
TEST(RestartPoint, EncodingGoesOnFromThere) {
  ASSAY_NEEDS(shared_tokenizers());
  for (const char* name : {"deepseek-v3", "llama-3.1", "qwen2.5", "gpt-2", "deepseek-llm"}) {
    const Tokenizer& tokenizer = shared_tokenizer(name);
    Random random(4);
    size_t kept = 0, total = 0;
    for (int i = 0; i < 4000; ++i) {
      const std::string text = random_text(random, random.below(30));
      const bool special = random.below(2) != 0;
      const size_t point = tokenizer.restart_point(text, special);
      ASSERT_LE(point, text.size());
      kept += point, total += text.size();
      std::vector<TokenId> ids;
      std::vector<size_t> ends;
      tokenizer.encode_with_ends(text, special, ids, ends);
      size_t before = 0;
      while (before < ends.size() && ends[before] <= point) ++before;
      for (int j = 0; j < 3; ++j) {
        const std::string more = random_text(random, 1 + random.below(4));
        std::vector<TokenId> expected(ids.begin(),
                                      ids.begin() + static_cast<std::ptrdiff_t>(before));
        tokenizer.encode_append(text.substr(point) + more, special, expected);
        ASSERT_EQ(tokenizer.encode(text + more, special), expected)
            << name << ' ' << utf8::printable(text) << " + " << utf8::printable(more) << " at "
            << point;
      }
    }
    // It is of use.
    if (name == std::string("deepseek-v3")) {
      EXPECT_GT(kept * 6, total);
    }
  }
}

void expect_equal_encodings(const Bpe& bpe, std::string_view piece, const std::string& name) {
  Bpe::Scratch scratch;
  std::vector<TokenId> fast, slow;
  bpe.encode(piece, piece.data() + piece.size(), scratch, fast);
  bpe.encode_by_merging(piece, scratch, slow);
  ASSERT_EQ(fast, slow) << name << ' ' << utf8::printable(piece);
}

TEST(Bpe, SearchEqualsMerging) {
  ASSAY_NEEDS(shared_tokenizers());
  for (const char* name : {"deepseek-v3", "deepseek-llm", "llama-3.1", "qwen2.5", "gpt-2"}) {
    const Bpe bpe(shared_file(name).model, name);
    for (const std::string& text : reference_texts()) {
      if (!text.empty()) expect_equal_encodings(bpe, text.substr(0, 300), name);
    }
    Random random(5);
    for (int i = 0; i < 10000; ++i) {
      expect_equal_encodings(bpe, random_text(random, 1 + random.below(10)), name);
    }
    // Entries side by side, cut anywhere: the places where merges compete.
    const auto entry = [&] {
      while (true) {
        const auto id = static_cast<TokenId>(random.below(static_cast<uint64_t>(bpe.size())));
        if (utf8::is_valid(bpe.bytes(id)) && !bpe.bytes(id).empty()) return bpe.bytes(id);
      }
    };
    for (int i = 0; i < 50000; ++i) {
      std::string text;
      for (size_t parts = 1 + random.below(4); parts > 0; --parts) text += entry();
      expect_equal_encodings(bpe, text, name);
    }
    for (const char* unit : {"a", " ", "ab", "一", "=", "\n", "é", "😀", "'"}) {
      std::string run;
      for (int i = 0; i < 3000; ++i) run += unit;
      expect_equal_encodings(bpe, run, name);
    }
  }
}

// Merge lists in random order, with parts made late or never: early merges everywhere.
TEST(Bpe, SearchEqualsMergingOnRandomMergeLists) {
  Random random(6);
  size_t differing_from_bytes = 0;
  for (int round = 0; round < 400; ++round) {
    std::vector<std::string> made = {"a", "b", "c"};
    SmallTokenizer small;
    for (int i = 0; i < 14; ++i) {
      const std::string left = made[random.below(made.size())];
      const std::string right = made[random.below(made.size())];
      const bool known = std::find(made.begin(), made.end(), left + right) != made.end();
      if (known || left.size() + right.size() > 8) continue;
      made.push_back(left + right);
      small.merges.emplace_back(left, right);
    }
    BpeSpec spec;
    const auto add = [&](const std::string& text) {
      const auto offset = static_cast<uint32_t>(spec.texts.size());
      spec.texts += text;
      spec.entries.push_back({offset, static_cast<uint32_t>(text.size()),
                              static_cast<TokenId>(spec.entries.size()), true});
    };
    for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
    for (size_t i = 3; i < made.size(); ++i) add(made[i]);
    // Every split of every entry may be a merge, in any order in some rounds.
    std::vector<std::pair<std::string, std::string>> merges = small.merges;
    if (round % 4 != 0) {
      for (size_t i = 3; i < made.size(); ++i) {
        for (size_t cut = 1; cut < made[i].size(); ++cut) {
          const std::string left = made[i].substr(0, cut), right = made[i].substr(cut);
          const auto is_made = [&](const std::string& s) {
            return std::find(made.begin(), made.end(), s) != made.end();
          };
          if (is_made(left) && is_made(right) && random.below(2)) merges.emplace_back(left, right);
        }
      }
    }
    if (round % 2 != 0) {
      for (size_t i = merges.size(); i > 1; --i) {
        std::swap(merges[i - 1], merges[random.below(i)]);
      }
    }
    for (const auto& [left, right] : merges) {
      spec.merges.push_back({static_cast<uint32_t>(spec.texts.size()),
                             static_cast<uint32_t>(left.size()),
                             static_cast<uint32_t>(right.size())});
      spec.texts += left + right;
    }
    spec.ignore_merges = round % 8 == 7;
    const Bpe bpe(spec, "random");
    for (int i = 0; i < 200; ++i) {
      std::string piece;
      for (size_t size = 1 + random.below(16); size > 0; --size) {
        piece += static_cast<char>('a' + random.below(3));
      }
      expect_equal_encodings(bpe, piece, "round " + std::to_string(round));
      if (HasFatalFailure()) return;
      Bpe::Scratch scratch;
      std::vector<TokenId> ids;
      bpe.encode(piece, piece.data() + piece.size(), scratch, ids);
      differing_from_bytes += ids.size() < piece.size();
    }
  }
  EXPECT_GT(differing_from_bytes, 10000u);
}

}  // namespace
}  // namespace assay::engine

#include "harness/evaluation/tokens.h"

#include "base/error.h"

namespace assay::harness {

engine::EncodedPair encode_scored(const engine::Tokenizer& tokenizer,
                                  const engine::ContextEncoder& context, bool context_is_empty,
                                  std::string_view continuation) {
  engine::EncodedPair pair = context.with(continuation);
  if (!context_is_empty || !pair.first_unscored) return pair;
  const std::vector<engine::TokenId> eos = tokenizer.eos();
  if (eos.empty()) return pair;
  pair.continuation_ids.insert(pair.continuation_ids.begin(), pair.context_ids.begin(),
                               pair.context_ids.end());
  pair.context_ids = {eos.front()};
  pair.first_unscored = false;
  return pair;
}

bool cut_left(std::vector<engine::TokenId>& context, size_t continuation, size_t limit) {
  if (context.size() + continuation <= limit) return true;
  if (continuation >= limit) return false;
  const size_t keep = limit - continuation;
  context.erase(context.begin(), context.end() - static_cast<ptrdiff_t>(keep));
  return true;
}

namespace {

struct MiddleTokens {
  const char *begin, *hole, *end;
};
constexpr MiddleTokens kMiddleTokens[] = {
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},        // DeepSeek
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},  // Qwen, CodeGemma
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},        // StarCoder
};

}  // namespace

std::vector<engine::TokenId> encode_middle(const engine::Tokenizer& tokenizer,
                                           std::string_view prefix, std::string_view suffix) {
  for (const MiddleTokens& known : kMiddleTokens) {
    const auto begin = tokenizer.find(known.begin), hole = tokenizer.find(known.hole),
               end = tokenizer.find(known.end);
    if (!begin || !hole || !end) continue;
    std::vector<engine::TokenId> ids;
    if (tokenizer.adds_bos() && tokenizer.bos()) ids.push_back(*tokenizer.bos());
    ids.push_back(*begin);
    tokenizer.encode_append(prefix, false, ids);
    ids.push_back(*hole);
    tokenizer.encode_append(suffix, false, ids);
    ids.push_back(*end);
    return ids;
  }
  throw_bad_input("has no tokens for fill-in-the-middle", "tokenizer",
                  "known are DeepSeek's, Qwen's and StarCoder's");
}

}  // namespace assay::harness

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

}  // namespace assay::harness

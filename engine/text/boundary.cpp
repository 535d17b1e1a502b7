#include "engine/text/boundary.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <numeric>

#include "base/error.h"

namespace assay::engine {

namespace {

constexpr std::array<std::string_view, 2> kPolicyNames = {"joint", "split"};

// The literal that would double the BOS; empty if the tokenizer has none.
std::string_view bos_literal(const Tokenizer& tokenizer) {
  return tokenizer.bos() ? tokenizer.token_bytes(*tokenizer.bos()) : std::string_view{};
}

size_t count_until(const std::vector<size_t>& ends, size_t offset) {
  return static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), offset) - ends.begin());
}

}  // namespace

std::string_view boundary_policy_name(BoundaryPolicy policy) {
  return kPolicyNames[static_cast<size_t>(policy)];
}

BoundaryPolicy parse_boundary_policy(std::string_view name) {
  for (const BoundaryPolicy policy : {BoundaryPolicy::joint, BoundaryPolicy::split}) {
    if (name == boundary_policy_name(policy)) return policy;
  }
  throw_usage("unknown boundary policy \"" + std::string(name) + '"', "use joint or split");
}

ContextEncoder::ContextEncoder(const Tokenizer& tokenizer, std::string_view context,
                               BoundaryPolicy policy)
    : tokenizer_(tokenizer), policy_(policy) {
  const std::string_view literal = bos_literal(tokenizer);
  literal_bos_ = !literal.empty() && context.starts_with(literal);
  if (tokenizer.adds_bos()) {
    if (literal_bos_) context.remove_prefix(literal.size());
    prompt_.push_back(*tokenizer.bos());
  }
  bos_ = prompt_.size();
  context_ = context;
  std::vector<size_t> ends;
  tokenizer.encode_with_ends(context_, false, prompt_, ends);
  restart_ = tokenizer.restart_point(context_, false);
  restart_ids_ = bos_ + count_until(ends, restart_);
}

EncodedPair ContextEncoder::with(std::string_view continuation) const {
  // The whole text is tokenised as the context up to restart_, followed by this.
  const std::string tail = context_.substr(restart_) + std::string(continuation);
  const size_t boundary = context_.size() - restart_;
  std::vector<TokenId> ids;
  std::vector<size_t> ends;
  tokenizer_.encode_with_ends(tail, false, ids, ends);
  const size_t before = count_until(ends, boundary);

  EncodedPair pair;
  pair.literal_bos = literal_bos_;
  const auto split_at = ids.begin() + static_cast<std::ptrdiff_t>(before);
  pair.boundary_merge = !std::equal(prompt_.begin() + static_cast<std::ptrdiff_t>(restart_ids_),
                                    prompt_.end(), ids.begin(), split_at);
  if (policy_ == BoundaryPolicy::joint) {
    pair.context_ids.assign(prompt_.begin(),
                            prompt_.begin() + static_cast<std::ptrdiff_t>(restart_ids_));
    pair.context_ids.insert(pair.context_ids.end(), ids.begin(), split_at);
    pair.continuation_ids.assign(split_at, ids.end());
  } else {
    pair.context_ids = prompt_;
    pair.continuation_ids = tokenizer_.encode(continuation, false);
  }
  if (pair.context_ids.empty() && !pair.continuation_ids.empty()) {
    pair.first_unscored = true;
    pair.context_ids.push_back(pair.continuation_ids.front());
    pair.continuation_ids.erase(pair.continuation_ids.begin());
  }
  return pair;
}

EncodedPair encode_pair(const Tokenizer& tokenizer, std::string_view context,
                        std::string_view continuation, BoundaryPolicy policy) {
  return ContextEncoder(tokenizer, context, policy).with(continuation);
}

std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<TokenId> ids;
  if (tokenizer.adds_bos()) {
    const std::string_view literal = bos_literal(tokenizer);
    if (!literal.empty() && text.starts_with(literal)) text.remove_prefix(literal.size());
    ids.push_back(*tokenizer.bos());
  }
  tokenizer.encode_append(text, false, ids);
  return ids;
}

HealedPrompt heal_prompt(const Tokenizer& tokenizer, std::span<const TokenId> prompt, int tokens) {
  size_t keep = prompt.size();
  for (int i = 0; i < tokens && keep > 1 && !tokenizer.is_special(prompt[keep - 1]); ++i) --keep;
  HealedPrompt healed;
  healed.ids.assign(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(keep));
  healed.bytes = tokenizer.decode_bytes(prompt.subspan(keep), false);
  return healed;
}

TokenPrefixIndex::TokenPrefixIndex(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  for (TokenId id = 0; id < tokenizer.size(); ++id) {
    if (!tokenizer.is_special(id) && !tokenizer.token_bytes(id).empty()) by_bytes_.push_back(id);
  }
  std::sort(by_bytes_.begin(), by_bytes_.end(), [&](TokenId a, TokenId b) {
    const std::string_view left = tokenizer.token_bytes(a), right = tokenizer.token_bytes(b);
    return left != right ? left < right : a < b;
  });
}

TokenPrefixIndex::Position TokenPrefixIndex::lower_bound(std::string_view bytes) const {
  return std::lower_bound(
      by_bytes_.begin(), by_bytes_.end(), bytes,
      [&](TokenId id, std::string_view b) { return tokenizer_.token_bytes(id) < b; });
}

bool TokenPrefixIndex::is_token(std::string_view bytes) const {
  const Position at = lower_bound(bytes);
  return at != by_bytes_.end() && bytes_at(at) == bytes;
}

std::vector<TokenId> TokenPrefixIndex::allowed(std::string_view required) const {
  // complete[i]: tokens can give required[i, end), the last one with any further bytes.
  std::vector<bool> complete(required.size() + 1, true);
  for (size_t i = required.size(); i-- > 0;) {
    const Position at = lower_bound(required.substr(i));
    bool possible = at != by_bytes_.end() && bytes_at(at).starts_with(required.substr(i));
    for (size_t j = i + 1; j < required.size() && !possible; ++j) {
      possible = complete[j] && is_token(required.substr(i, j - i));
    }
    complete[i] = possible;
  }
  std::vector<TokenId> ids;
  // Tokens that begin with all of `required` are neighbours in the order.
  for (Position at = lower_bound(required);
       at != by_bytes_.end() && bytes_at(at).starts_with(required); ++at) {
    ids.push_back(*at);
  }
  for (size_t size = 1; size < required.size(); ++size) {
    if (!complete[size]) continue;
    const std::string_view beginning = required.substr(0, size);
    for (Position at = lower_bound(beginning);
         at != by_bytes_.end() && bytes_at(at) == beginning; ++at) {
      ids.push_back(*at);
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace assay::engine

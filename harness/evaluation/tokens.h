// From prompt text to the token ids of engine requests: begin token, boundary, length.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"

namespace assay::harness {

struct ContextTokens {
  std::vector<engine::TokenId> context;       // never empty: begin token or stand-in first if needed
  std::vector<engine::TokenId> continuation;  // may be empty if the text is
  bool boundary_merge = false;                // a token straddles the boundary; it is scored
};

// Encodes context + continuation under a boundary policy ("joint" or "split", task-specs 0.5). The
// begin token comes first when the tokenizer's configuration adds one; an empty context without one
// gets the end token as a stand-in.
ContextTokens encode_pair(const engine::Tokenizer& tokenizer, std::string_view context,
                          std::string_view continuation, std::string_view policy);

// Encodes a prompt alone, begin token as above.
std::vector<engine::TokenId> encode_prompt(const engine::Tokenizer& tokenizer, std::string_view text);

// Drops tokens from the left of `context` so that both fit `limit`; false if the continuation alone
// does not. At least one context token is kept.
bool cut_left(std::vector<engine::TokenId>& context, size_t continuation, size_t limit);

}  // namespace assay::harness

// From prompt text to the token ids of engine requests: stand-ins and lengths.
#pragma once

#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace assay::harness {

// ContextEncoder::with, except that an empty context without a begin token gets the end token as a
// stand-in (task-specs 0.5), so that every token of the continuation is scored.
engine::EncodedPair encode_scored(const engine::Tokenizer& tokenizer,
                                  const engine::ContextEncoder& context, bool context_is_empty,
                                  std::string_view continuation);

// Drops tokens from the left of `context` so that context and `continuation` further tokens fit
// `limit`; false if the continuation leaves no room for one context token.
bool cut_left(std::vector<engine::TokenId>& context, size_t continuation, size_t limit);

// The ids of a fill-in-the-middle prompt, text before the hole first: begin token (if the tokenizer
// adds one), FIM begin, `prefix`, FIM hole, `suffix`, FIM end; what is generated goes into the hole.
// Prefix and suffix are ordinary text. Throws bad_input where the tokenizer has no such tokens.
std::vector<engine::TokenId> encode_middle(const engine::Tokenizer& tokenizer,
                                           std::string_view prefix, std::string_view suffix);

}  // namespace assay::harness

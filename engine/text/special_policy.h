// Which tokens begin and end a text, read from the files that say so.
//
// BOS is added where tokenizer_config.json's `add_bos_token` says true, is not where it says false,
// and else where tokenizer.json's TemplateProcessing puts it. EOS is every id that
// tokenizer_config.json, generation_config.json or config.json names.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "base/json.h"
#include "engine/text/tokenizer.h"

namespace assay::engine {

struct SpecialPolicy {
  std::optional<TokenId> bos;
  bool adds_bos = false;
  std::vector<TokenId> eos;  // in the order found, without repetition
};

// `root` is tokenizer.json, `folder` where the other files are (each may be missing); `tokenizer`
// needs to answer find() and size() only. Throws bad_input for a post-processor that is not
// supported, a token that does not exist, an id out of range.
SpecialPolicy read_special_policy(json::Value root, const std::filesystem::path& folder,
                                  const Tokenizer& tokenizer);

}  // namespace assay::engine

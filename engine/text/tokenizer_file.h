// Reads tokenizer.json: the large model part in one streaming pass, the rest as a small document.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/text/added_tokens.h"
#include "engine/text/bpe.h"

namespace assay::engine {

struct TokenizerFile {
  std::string path;    // for errors
  std::string digest;  // SHA-256 of the (uncompressed) bytes
  BpeSpec model;
  std::vector<AddedToken> added;  // in the file's order
  json::Document rest;            // everything but model.vocab and model.merges
};

// Throws bad_input: not JSON, a model other than BPE, options that would change ids and are not
// supported (dropout, unk_token, prefixes and suffixes, byte_fallback), contradicting added tokens.
TokenizerFile read_tokenizer_file(const std::filesystem::path& path);

}  // namespace assay::engine

// Text to token ids and back, exactly as the checkpoint's tokenizer.json says.
//
// Byte-level BPE in the Hugging Face `tokenizers` format: normaliser (none, NFC, Sequence),
// pre-tokenisers (Split with a regular expression, Digits, ByteLevel, Sequence), added and special
// tokens, merges in either spelling, ignore_merges, TemplateProcessing for the begin token. Any
// other type is refused by name when the file is loaded. Immutable after loading and thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace assay::engine {

using TokenId = int32_t;

class Tokenizer {
 public:
  // A tokenizer.json (or .json.gz), or a directory that holds tokenizer.json and, beside it,
  // tokenizer_config.json and generation_config.json for the BOS/EOS policy.
  // Beside a file, the same two and config.json are consulted too. Throws bad_input.
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& file_or_directory);
  virtual ~Tokenizer() = default;

  // Ids of `text`, nothing added. Added and special tokens that occur in the text are recognised
  // when `parse_special` is true; else special ones are ordinary text (prompts use false: hostile
  // text cannot inject control tokens). Malformed UTF-8 is replaced by U+FFFD first.
  virtual std::vector<TokenId> encode(std::string_view text, bool parse_special = false) const = 0;
  // The same, appended to `out`; no allocation per piece.
  virtual void encode_append(std::string_view text, bool parse_special,
                             std::vector<TokenId>& out) const = 0;
  // The same with ends[i], the offset in `text` one past the bytes that token i and the tokens
  // before it stand for (ascending; where NFC or the replacement of malformed bytes changed the
  // text, the end of the whole changed stretch). Both vectors are appended to.
  virtual void encode_with_ends(std::string_view text, bool parse_special,
                                std::vector<TokenId>& ids, std::vector<size_t>& ends) const = 0;
  // An offset p in `text` such that for EVERY continuation c, encode(text + c) is encode(text[0,
  // p)) followed by encode(text[p, end) + c). As late as is cheaply known; 0 is always right.
  virtual size_t restart_point(std::string_view text, bool parse_special) const = 0;

  // The bytes of the ids. Byte-level pieces may be cut inside a code point: decode_bytes returns
  // them raw, decode replaces malformed sequences by U+FFFD as the library does.
  virtual std::string decode_bytes(std::span<const TokenId> ids, bool skip_special) const = 0;
  virtual std::string decode(std::span<const TokenId> ids, bool skip_special) const = 0;
  // The bytes of one id; empty for an id that no entry has.
  virtual std::string_view token_bytes(TokenId id) const = 0;

  virtual std::optional<TokenId> bos() const = 0;
  virtual std::vector<TokenId> eos() const = 0;  // every id that ends generation
  virtual bool adds_bos() const = 0;             // what the configuration says, defaults applied
  virtual bool is_special(TokenId id) const = 0;
  virtual std::optional<TokenId> find(
      std::string_view content) const = 0;  // exact vocabulary entry
  virtual int64_t size() const = 0;         // ids 0 .. size-1 may occur

  virtual std::string description() const = 0;    // one line for `assay inspect`
  virtual const std::string& digest() const = 0;  // SHA-256 of the uncompressed tokenizer.json
};

// Decoded bytes as text: every maximal beginning of a well-formed sequence and every other bad byte
// becomes one U+FFFD (The Unicode Standard, section 3.9, "maximal subparts").
std::string lossy_utf8(std::string_view bytes);

// The Unicode version of the tables that pre-tokenisation and NFC use, e.g. "16.0".
std::string_view unicode_version();

}  // namespace assay::engine

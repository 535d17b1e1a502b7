#include "engine/text/tokenizer.h"

#include <algorithm>
#include <deque>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "engine/text/added_tokens.h"
#include "engine/text/bpe.h"
#include "engine/text/byte_level.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/special_policy.h"
#include "engine/text/tokenizer_file.h"
#include "engine/text/unicode/nfc.h"

namespace assay::engine {

namespace {

// Whether the normaliser is NFC or nothing; anything else is refused.
bool reads_nfc(json::Value normalizer) {
  if (!normalizer.exists() || normalizer.is_null()) return false;
  const std::string_view type = normalizer.at("type").string();
  if (type == "NFC") return true;
  if (type != "Sequence") {
    normalizer.at("type").fail("the normaliser " + std::string(type) + " is not supported",
                               "supported are NFC and Sequence");
  }
  bool nfc = false;
  normalizer.at("normalizers").for_each_element([&](json::Value inner) {
    nfc = reads_nfc(inner) || nfc;
  });
  return nfc;
}

void check_decoder(json::Value root) {
  const json::Value decoder = root.find("decoder");
  if (!decoder.exists() || decoder.is_null()) {
    root.fail("no decoder", "only byte-level tokenizers are supported");
  }
  const std::string_view type = decoder.at("type").string();
  if (type == "ByteLevel") return;
  decoder.at("type").fail("the decoder " + std::string(type) + " is not supported",
                          "supported is ByteLevel");
}

}  // namespace

std::string lossy_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t pos = 0; pos < bytes.size();) {
    size_t next = pos;
    bool valid = true;
    utf8::decode(bytes, next, &valid);
    if (valid) {
      out.append(bytes, pos, next - pos);
      pos = next;
      continue;
    }
    utf8::append(out, utf8::kReplacement);
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
    const uint8_t lead = byte(pos++);
    if (lead < 0xC2 || lead > 0xF4 || pos == bytes.size()) continue;
    // The second byte's range excludes overlong forms, surrogates and what is above U+10FFFF.
    const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (byte(pos) < low || byte(pos) > high) continue;
    const size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    const size_t begin = pos - 1;
    while (pos < bytes.size() && pos - begin < size && (byte(pos) & 0xC0) == 0x80) ++pos;
  }
  return out;
}

namespace {

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(const TokenizerFile& file, const std::filesystem::path& folder)
      : bpe_(file.model, file.path),
        pre_tokenizer_(file.rest.root().at("pre_tokenizer")),
        nfc_(reads_nfc(file.rest.root().find("normalizer"))),
        digest_(file.digest) {
    const json::Value root = file.rest.root();
    check_decoder(root);
    add_tokens(file);
    index_bytes();
    policy_ = read_special_policy(root, folder, *this);
    describe(file);
  }

  std::vector<TokenId> encode(std::string_view text, bool parse_special) const override {
    std::vector<TokenId> ids;
    encode_append(text, parse_special, ids);
    return ids;
  }
  void encode_append(std::string_view text, bool parse_special,
                     std::vector<TokenId>& out) const override {
    encode_into(text, parse_special, out, nullptr);
  }
  void encode_with_ends(std::string_view text, bool parse_special, std::vector<TokenId>& ids,
                        std::vector<size_t>& ends) const override {
    encode_into(text, parse_special, ids, &ends);
  }
  size_t restart_point(std::string_view text, bool parse_special) const override;

  std::string decode_bytes(std::span<const TokenId> ids, bool skip_special) const override {
    std::string out;
    for (const TokenId id : ids) {
      if (!skip_special || !is_special(id)) out += token_bytes(id);
    }
    return out;
  }
  std::string decode(std::span<const TokenId> ids, bool skip_special) const override {
    return lossy_utf8(decode_bytes(ids, skip_special));
  }
  std::string_view token_bytes(TokenId id) const override {
    if (id < 0 || static_cast<size_t>(id) >= bytes_.size()) return {};
    return bytes_[static_cast<size_t>(id)];
  }

  std::optional<TokenId> bos() const override { return policy_.bos; }
  std::vector<TokenId> eos() const override { return policy_.eos; }
  bool adds_bos() const override { return policy_.adds_bos; }
  bool is_special(TokenId id) const override {
    return id >= 0 && static_cast<size_t>(id) < special_.size() &&
           special_[static_cast<size_t>(id)] != 0;
  }
  std::optional<TokenId> find(std::string_view content) const override {
    if (const auto found = literal_.find(std::string(content)); found != literal_.end()) {
      return found->second;
    }
    std::string bytes;
    if (!byte_level::append_bytes(content, bytes)) return std::nullopt;
    return bpe_.find_bytes(bytes);
  }
  int64_t size() const override { return static_cast<int64_t>(bytes_.size()); }
  std::string description() const override { return description_; }
  const std::string& digest() const override { return digest_; }

 private:
  // A stretch of text and where its bytes came from in the caller's text.
  struct Stretch {
    std::string_view text;
    size_t base = 0;                 // offset of text[0], where origin is null
    const size_t* origin = nullptr;  // of every byte: one past what it came from
    size_t end_at(size_t pos) const {
      if (origin == nullptr) return base + pos;
      return pos == 0 ? base : origin[pos - 1];
    }
    Stretch part(size_t begin, size_t end) const {
      return {text.substr(begin, end - begin), end_at(begin),
              origin == nullptr ? nullptr : origin + begin};
    }
  };
  // Buffers and outputs of one call.
  struct Call {
    bool parse_special;
    std::vector<TokenId>& ids;
    std::vector<size_t>* ends;
    Bpe::Scratch scratch;
    PreTokenizer::Pieces pieces;
    std::string normalized;
    std::vector<size_t> origin;
  };

  void add_tokens(const TokenizerFile& file);
  void index_bytes();
  void describe(const TokenizerFile& file);
  void encode_into(std::string_view text, bool parse_special, std::vector<TokenId>& ids,
                   std::vector<size_t>* ends) const;
  void encode_raw(const Stretch& stretch, Call& call) const;
  void encode_normalized(const Stretch& stretch, Call& call) const;
  void encode_pieces(const Stretch& stretch, Call& call) const;
  // Calls `between` for what lies between added tokens and emits the tokens.
  template <class Between>
  void split_at_tokens(const TokenMatcher& matcher, const Stretch& stretch, Call& call,
                       Between between) const;

  Bpe bpe_;
  PreTokenizer pre_tokenizer_;
  bool nfc_;
  std::string digest_, description_;
  TokenMatcher raw_tokens_, normalized_tokens_;
  bool any_ordinary_token_ = false;  // an added token that is not special
  std::vector<AddedToken> added_;
  std::unordered_map<std::string, TokenId> literal_;  // added tokens, entries outside the alphabet
  std::vector<uint8_t> special_;                      // by id
  std::vector<std::string_view> bytes_;               // by id
  std::deque<std::string> added_bytes_;
  SpecialPolicy policy_;
};

// The library numbers added tokens itself: an entry of the vocabulary keeps its id, the others
// follow in order. A file that says otherwise would be read differently by different programs.
void BpeTokenizer::add_tokens(const TokenizerFile& file) {
  for (const auto& entry : file.model.entries) {
    if (entry.alphabet) continue;
    literal_.emplace(std::string(bpe_.bytes(entry.id)), entry.id);
  }
  const auto entries = static_cast<TokenId>(bpe_.entries());
  TokenId next = entries;
  special_.assign(static_cast<size_t>(bpe_.size()), 0);
  for (const AddedToken& token : file.added) {
    const std::string place =
        file.path + ": added_tokens: \"" + utf8::printable(token.content) + '"';
    if (token.content.empty()) throw_bad_input("an added token without content", place);
    const std::optional<TokenId> known = find(token.content);
    if (known && std::any_of(added_.begin(), added_.end(),
                             [&](const AddedToken& a) { return a.id == *known; })) {
      throw_bad_input("the token is listed twice", place);
    }
    const TokenId expected = known.value_or(next);
    if (token.id != expected) {
      throw_bad_input("the id is " + std::to_string(token.id) + ", but " +
                          (known ? "the vocabulary says " : "in this order it would be ") +
                          std::to_string(expected),
                      place);
    }
    if (!known && bpe_.has(token.id)) {
      throw_bad_input(
          "the id " + std::to_string(token.id) + " belongs to an entry of the vocabulary", place);
    }
    next = std::max(next, token.id + 1);
    literal_.emplace(token.content, token.id);
    if (static_cast<size_t>(token.id) >= special_.size()) {
      special_.resize(static_cast<size_t>(token.id) + 1, 0);
    }
    special_[static_cast<size_t>(token.id)] = token.special;
    any_ordinary_token_ = any_ordinary_token_ || !token.special;
    added_.push_back(token);
  }
  // Special tokens first: of two that are equal after normalisation the first one counts.
  for (const bool special : {true, false}) {
    for (const AddedToken& token : added_) {
      if (token.special != special) continue;
      if (!token.normalized) {
        raw_tokens_.add(token.content, token.id, special);
      } else if (nfc_) {
        std::string content;
        unicode::append_nfc(token.content, content);
        normalized_tokens_.add(content, token.id, special);
      } else {
        normalized_tokens_.add(token.content, token.id, special);
      }
    }
  }
}

void BpeTokenizer::index_bytes() {
  bytes_.resize(special_.size());
  for (TokenId id = 0; id < bpe_.size(); ++id) bytes_[static_cast<size_t>(id)] = bpe_.bytes(id);
  for (const AddedToken& token : added_) {
    std::string bytes;
    if (!byte_level::append_bytes(token.content, bytes)) bytes = token.content;
    bytes_[static_cast<size_t>(token.id)] = added_bytes_.emplace_back(std::move(bytes));
  }
}

void BpeTokenizer::describe(const TokenizerFile& file) {
  description_ = "byte-level BPE (" + pre_tokenizer_.description() + (nfc_ ? ", NFC" : "") + "), " +
                 std::to_string(bpe_.entries()) + " entries, " + std::to_string(bpe_.merges()) +
                 " merges" + (file.model.ignore_merges ? " (ignored for whole entries)" : "") +
                 ", " + std::to_string(added_.size()) + " added tokens, ";
  if (policy_.adds_bos) {
    description_ += "BOS " + utf8::printable(token_bytes(*policy_.bos)) + " added";
  } else {
    description_ += "no BOS added";
  }
}

void BpeTokenizer::encode_into(std::string_view text, bool parse_special, std::vector<TokenId>& ids,
                               std::vector<size_t>* ends) const {
  Call call{parse_special, ids, ends, {}, {}, {}, {}};
  if (utf8::is_valid(text)) return encode_raw({text}, call);
  std::string clean;
  std::vector<size_t> origin;
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    bool valid = true;
    utf8::append(clean, utf8::decode(text, pos, &valid));
    if (ends == nullptr) continue;
    // The bytes of a code point end one after the other, those of a replacement all together.
    for (size_t i = 1; origin.size() < clean.size(); ++i) origin.push_back(valid ? begin + i : pos);
  }
  encode_raw({clean, 0, ends == nullptr ? nullptr : origin.data()}, call);
}

template <class Between>
void BpeTokenizer::split_at_tokens(const TokenMatcher& matcher, const Stretch& stretch, Call& call,
                                   Between between) const {
  size_t done = 0;
  TokenMatcher::Match match;
  if (!matcher.empty() && (call.parse_special || any_ordinary_token_)) {
    while (matcher.next(stretch.text, done, call.parse_special, match)) {
      if (match.begin > done) between(stretch.part(done, match.begin), call);
      call.ids.push_back(match.id);
      if (call.ends != nullptr) call.ends->push_back(stretch.end_at(match.end));
      done = match.end;
    }
  }
  if (done < stretch.text.size()) between(stretch.part(done, stretch.text.size()), call);
}

void BpeTokenizer::encode_raw(const Stretch& stretch, Call& call) const {
  split_at_tokens(raw_tokens_, stretch, call, [this](const Stretch& between, Call& c) {
    if (!nfc_ || unicode::is_nfc_quick(between.text)) return encode_normalized(between, c);
    c.normalized.clear();
    c.origin.clear();
    unicode::append_nfc(between.text, c.normalized, c.ends != nullptr ? &c.origin : nullptr);
    if (c.ends == nullptr) return encode_normalized({c.normalized}, c);
    for (size_t& end : c.origin) end = between.end_at(end);
    encode_normalized({c.normalized, between.base, c.origin.data()}, c);
  });
}

void BpeTokenizer::encode_normalized(const Stretch& stretch, Call& call) const {
  split_at_tokens(normalized_tokens_, stretch, call,
                  [this](const Stretch& between, Call& c) { encode_pieces(between, c); });
}

void BpeTokenizer::encode_pieces(const Stretch& stretch, Call& call) const {
  const auto encode_piece = [&](const Stretch& in, size_t begin, size_t end) {
    const size_t first = call.ids.size();
    bpe_.encode(in.text.substr(begin, end - begin), in.text.data() + in.text.size(), call.scratch,
                call.ids);
    if (call.ends == nullptr) return;
    size_t pos = begin;
    for (size_t i = first; i < call.ids.size(); ++i) {
      pos += bpe_.bytes(call.ids[i]).size();
      call.ends->push_back(in.end_at(pos));
    }
  };
  if (const NextPiece next = pre_tokenizer_.fast()) {
    const char* text = stretch.text.data();
    const size_t size = stretch.text.size();
    for (size_t pos = 0; pos < size;) {
      const size_t end = next(text, pos, size);
      encode_piece(stretch, pos, end);
      pos = end;
    }
    return;
  }
  pre_tokenizer_.general(stretch.text, call.pieces);
  Stretch in = stretch;
  std::vector<size_t> origin;
  if (pre_tokenizer_.adds_prefix_space()) {
    origin = call.pieces.origin;
    for (size_t& end : origin) end = stretch.end_at(end);
    in = {call.pieces.changed, stretch.base, origin.data()};
  }
  size_t begin = 0;
  for (const size_t end : call.pieces.ends) {
    encode_piece(in, begin, end);
    begin = end;
  }
}

size_t BpeTokenizer::restart_point(std::string_view text, bool parse_special) const {
  if (pre_tokenizer_.adds_prefix_space() || !utf8::is_valid(text)) return 0;
  const auto code_point_begin = [&](size_t pos) {
    while (pos > 0 && (static_cast<uint8_t>(text[pos]) & 0xC0) == 0x80) --pos;
    return pos;
  };
  // Bytes before `known` stay what they are, whatever follows the text.
  size_t known = text.size();
  if (nfc_) {
    if (text.empty() || !unicode::is_nfc_quick(text)) return 0;
    known = code_point_begin(text.size() - 1);  // may compose with what follows
  }
  size_t segment = 0;  // the end of the last added token
  if (parse_special || any_ordinary_token_) {
    const size_t longest = std::max(raw_tokens_.longest(), normalized_tokens_.longest());
    if (longest > text.size()) return 0;
    if (longest > 0) known = std::min(known, code_point_begin(text.size() - (longest - 1)));
    TokenMatcher::Match match;
    while (!raw_tokens_.empty() && raw_tokens_.next(text, segment, parse_special, match) &&
           match.begin < known) {
      segment = match.end;
    }
    while (!normalized_tokens_.empty() && segment < known &&
           normalized_tokens_.next(text, segment, parse_special, match) && match.begin < known) {
      // A raw token that is still to come would go before it.
      if (match.end > known) {
        known = match.begin;
        break;
      }
      segment = match.end;
    }
  }
  if (segment >= known) return segment;
  return segment + pre_tokenizer_.restart_point(text.substr(segment), known - segment);
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::load(const std::filesystem::path& file_or_directory) {
  std::filesystem::path file = file_or_directory;
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) {
    file /= "tokenizer.json";
    if (!std::filesystem::exists(file, error)) {
      if (std::filesystem::exists(file.string() + ".gz", error)) {
        file += ".gz";
      } else {
        throw_bad_input("the file is missing", file.string(),
                        "only Hugging Face tokenizer.json files are supported");
      }
    }
  }
  return std::make_unique<BpeTokenizer>(read_tokenizer_file(file), file.parent_path());
}

std::string_view unicode_version() { return "16.0 (numeric characters 17.0, NFC 9.0)"; }

}  // namespace assay::engine

#include "engine/text/tokenizer_file.h"

#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstring>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "engine/text/byte_level.h"

namespace assay::engine {

namespace {

// Receives the parser's events. Inside model.vocab and model.merges it fills the BpeSpec; every
// other event is written on, so that `rest` is the file without these two (an empty object and an
// empty array stand for them).
class Reader {
 public:
  using Ch = char;
  using SizeType = rapidjson::SizeType;

  Reader(BpeSpec& spec, const std::string& path) : spec_(spec), path_(path), writer_(rest_) {}

  std::string_view rest() const { return {rest_.GetString(), rest_.GetSize()}; }

  bool Null() { return state_ == kRest ? forward(writer_.Null()) : unexpected(); }
  bool Bool(bool b) { return state_ == kRest ? forward(writer_.Bool(b)) : unexpected(); }
  bool Int(int i) { return state_ == kRest ? forward(writer_.Int(i)) : unexpected(); }
  bool Uint(unsigned u) {
    if (state_ == kRest) return forward(writer_.Uint(u));
    if (state_ != kVocab) return unexpected();
    if (u > static_cast<unsigned>(kMaxTokenId)) {
      throw_bad_input("id " + std::to_string(u) + " is out of range (at most " +
                          std::to_string(kMaxTokenId) + ")",
                      vocab_place());
    }
    entry_.id = static_cast<TokenId>(u);
    spec_.entries.push_back(entry_);
    return true;
  }
  bool Int64(int64_t i) { return state_ == kRest ? forward(writer_.Int64(i)) : unexpected(); }
  bool Uint64(uint64_t u) { return state_ == kRest ? forward(writer_.Uint64(u)) : unexpected(); }
  bool Double(double d) { return state_ == kRest ? forward(writer_.Double(d)) : unexpected(); }
  bool RawNumber(const char*, SizeType, bool) { return unexpected(); }

  bool String(const char* text, SizeType size, bool) {
    switch (state_) {
      case kRest:
        return forward(writer_.String(text, size));
      case kMerges:
        return merge_line({text, size});
      case kMergePair:
        return merge_part({text, size});
      default:
        return unexpected();
    }
  }
  bool Key(const char* text, SizeType size, bool) {
    const std::string_view key(text, size);
    if (state_ == kVocab) {
      entry_ = {static_cast<uint32_t>(spec_.texts.size()), 0, 0, true};
      entry_.alphabet = byte_level::append_bytes(key, spec_.texts);
      if (!entry_.alphabet) spec_.texts.append(key);
      entry_.size = static_cast<uint32_t>(spec_.texts.size()) - entry_.offset;
      return true;
    }
    if (state_ != kRest) return unexpected();
    if (depth_ == 1) in_model_ = key == "model";
    pending_ = depth_ == 2 && in_model_ && key == "vocab"    ? kVocab
               : depth_ == 2 && in_model_ && key == "merges" ? kMerges
                                                             : kRest;
    return writer_.Key(text, size);
  }
  bool StartObject() {
    if (state_ != kRest) return unexpected();
    deeper();
    if (pending_ == kVocab) enter(kVocab, seen_vocab_);
    pending_ = kRest;
    return writer_.StartObject();
  }
  bool EndObject(SizeType) {
    if (state_ == kVocab) state_ = kRest;
    --depth_;
    return writer_.EndObject();
  }
  bool StartArray() {
    if (state_ == kMerges) {
      state_ = kMergePair;
      parts_ = 0;
      return true;
    }
    if (state_ != kRest) return unexpected();
    deeper();
    if (pending_ == kMerges) enter(kMerges, seen_merges_);
    pending_ = kRest;
    return writer_.StartArray();
  }
  bool EndArray(SizeType) {
    if (state_ == kMergePair) {
      if (parts_ != 2) bad_merge();
      spec_.merges.push_back(merge_);
      state_ = kMerges;
      return true;
    }
    if (state_ == kMerges) state_ = kRest;
    --depth_;
    return writer_.EndArray();
  }

 private:
  enum State { kRest, kVocab, kMerges, kMergePair };

  void deeper() {
    // The parser recurses; nothing in a tokenizer is nested deeper than a few levels.
    if (++depth_ > 100) throw_bad_input("nested too deeply", path_);
  }
  bool forward(bool written) {
    pending_ = kRest;
    return written;
  }
  void enter(State state, bool& seen) {
    if (seen) throw_bad_input("a second list of them", path_ + ": model");
    seen = true;
    state_ = state;
  }
  std::string vocab_place() const {
    return path_ + ": model.vocab." +
           utf8::printable({spec_.texts.data() + entry_.offset, entry_.size});
  }
  [[noreturn]] bool unexpected() const {
    if (state_ == kVocab) throw_bad_input("an id must be a whole number from 0", vocab_place());
    bad_merge();
  }
  [[noreturn]] void bad_merge() const {
    throw_bad_input("a merge must be \"left right\" or [\"left\", \"right\"]",
                    path_ + ": model.merges[" + std::to_string(spec_.merges.size()) + "]");
  }
  // "left right": the parts contain no space (byte level writes it as another character).
  bool merge_line(std::string_view line) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      bad_merge();
    }
    parts_ = 0;
    merge_part(line.substr(0, space));
    merge_part(line.substr(space + 1));
    spec_.merges.push_back(merge_);
    return true;
  }
  bool merge_part(std::string_view part) {
    if (parts_ == 2) bad_merge();
    const size_t offset = spec_.texts.size();
    if (!byte_level::append_bytes(part, spec_.texts)) {
      throw_bad_input("\"" + utf8::printable(part) + "\" is not written in the byte alphabet",
                      path_ + ": model.merges[" + std::to_string(spec_.merges.size()) + "]",
                      "only byte-level vocabularies are supported");
    }
    const auto size = static_cast<uint32_t>(spec_.texts.size() - offset);
    if (parts_++ == 0) {
      merge_ = {static_cast<uint32_t>(offset), size, 0};
    } else {
      merge_.right_size = size;
    }
    return true;
  }

  BpeSpec& spec_;
  const std::string& path_;
  rapidjson::StringBuffer rest_;
  rapidjson::Writer<rapidjson::StringBuffer> writer_;
  State state_ = kRest;
  State pending_ = kRest;  // what the value of the last key will be
  int depth_ = 0;
  bool in_model_ = false, seen_vocab_ = false, seen_merges_ = false;
  BpeSpec::Entry entry_{};
  BpeSpec::Merge merge_{};
  int parts_ = 0;
};

void check_model(json::Value root, BpeSpec& spec) {
  const json::Value model = root.at("model");
  // GPT-2's file has no type.
  const std::string type = model.string_or("type", "BPE");
  if (type != "BPE") {
    model.at("type").fail("the model " + type + " is not supported", "supported is BPE");
  }
  for (const char* name : {"dropout", "unk_token"}) {
    const json::Value option = model.find(name);
    if (option.exists() && !option.is_null()) {
      option.fail(std::string(name) + " is not supported");
    }
  }
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.string_or(name, "").empty()) {
      model.at(name).fail(std::string(name) + " is not supported");
    }
  }
  if (model.boolean_or("byte_fallback", false)) {
    model.at("byte_fallback").fail("byte_fallback is not supported");
  }
  if (!model.at("vocab").is_object()) model.at("vocab").fail("must be an object");
  if (!model.at("merges").is_array()) model.at("merges").fail("must be an array");
  spec.ignore_merges = model.boolean_or("ignore_merges", false);
  for (const char* name : {"truncation", "padding"}) {
    const json::Value option = root.find(name);
    if (option.exists() && !option.is_null()) {
      option.fail(std::string(name) + " is not supported", "set it to null");
    }
  }
}

std::vector<AddedToken> read_added(json::Value root) {
  std::vector<AddedToken> tokens;
  const json::Value list = root.find("added_tokens");
  if (!list.exists() || list.is_null()) return tokens;
  list.for_each_element([&](json::Value item) {
    AddedToken token;
    const int64_t id = item.at("id").integer();
    if (id < 0 || id > kMaxTokenId) item.at("id").fail("the id is out of range");
    token.id = static_cast<TokenId>(id);
    token.content = item.at("content").string();
    token.special = item.boolean_or("special", false);
    token.normalized = item.boolean_or("normalized", !token.special);
    for (const char* option : {"lstrip", "rstrip", "single_word"}) {
      if (item.boolean_or(option, false)) {
        item.at(option).fail(std::string(option) + " of an added token is not supported");
      }
    }
    tokens.push_back(std::move(token));
  });
  return tokens;
}

}  // namespace

TokenizerFile read_tokenizer_file(const std::filesystem::path& path) {
  std::string text = read_file(path);
  std::string digest = sha256_hex(text);
  const std::string place = path.string();
  BpeSpec model;
  model.texts.reserve(text.size() / 3);  // about what the entries' and merges' bytes take
  Reader reader(model, place);
  rapidjson::Reader parser;
  rapidjson::InsituStringStream stream(text.data());
  const auto result =
      parser.Parse<rapidjson::kParseInsituFlag | rapidjson::kParseValidateEncodingFlag>(stream,
                                                                                        reader);
  if (result.IsError() || stream.Tell() != text.size()) {
    throw_bad_input(std::string("not JSON: ") + rapidjson::GetParseError_En(result.Code()),
                    place + ": byte " + std::to_string(result.Offset()),
                    "the file may be cut off; fetch it again");
  }
  json::Document rest = json::Document::parse(reader.rest(), place);
  check_model(rest.root(), model);
  std::vector<AddedToken> added = read_added(rest.root());
  return {place, std::move(digest), std::move(model), std::move(added), std::move(rest)};
}

}  // namespace assay::engine

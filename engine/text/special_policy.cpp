#include "engine/text/special_policy.h"

#include <algorithm>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/utf8.h"

namespace assay::engine {

namespace {

TokenId checked_id(json::Value value, const Tokenizer& tokenizer) {
  const int64_t id = value.integer();
  if (id < 0 || id >= tokenizer.size()) {
    value.fail("token id " + std::to_string(id) + " is out of range (0 to " +
               std::to_string(tokenizer.size() - 1) + ")");
  }
  return static_cast<TokenId>(id);
}

// The token that TemplateProcessing puts in front of a text, if any.
std::optional<TokenId> template_bos(json::Value processor, const Tokenizer& tokenizer) {
  std::optional<TokenId> bos;
  bool after_text = false;
  processor.at("single").for_each_element([&](json::Value item) {
    if (const json::Value sequence = item.find("Sequence"); sequence.exists()) {
      if (after_text) item.fail("the text occurs twice in the template");
      after_text = true;
      return;
    }
    const json::Value name = item.at("SpecialToken").at("id");
    if (after_text) item.fail("a template with tokens behind the text is not supported");
    if (bos) item.fail("a template with several tokens before the text is not supported");
    const json::Value ids = processor.at("special_tokens").at(name.string()).at("ids");
    if (ids.size() != 1) ids.fail("a special token of several ids is not supported");
    bos = checked_id(ids[0], tokenizer);
  });
  if (!after_text) processor.at("single").fail("the template leaves the text out");
  return bos;
}

std::optional<TokenId> post_processor_bos(json::Value processor, const Tokenizer& tokenizer) {
  if (!processor.exists() || processor.is_null()) return std::nullopt;
  const std::string_view type = processor.at("type").string();
  if (type == "ByteLevel") return std::nullopt;  // changes offsets only
  if (type == "TemplateProcessing") return template_bos(processor, tokenizer);
  if (type != "Sequence") {
    processor.at("type").fail("the post-processor " + std::string(type) + " is not supported",
                              "supported are Sequence, ByteLevel and TemplateProcessing");
  }
  std::optional<TokenId> bos;
  processor.at("processors").for_each_element([&](json::Value inner) {
    const auto found = post_processor_bos(inner, tokenizer);
    if (found && bos) inner.fail("two post-processors that add tokens are not supported");
    if (found) bos = found;
  });
  return bos;
}

// A token given as "text" or as {"content": "text"}; nothing where the key is missing or null.
std::optional<TokenId> named_token(json::Value config, const char* key,
                                   const Tokenizer& tokenizer) {
  json::Value value = config.find(key);
  if (!value.exists() || value.is_null()) return std::nullopt;
  if (value.is_object()) value = value.at("content");
  const auto id = tokenizer.find(value.string());
  if (!id) value.fail("tokenizer.json has no token \"" + utf8::printable(value.string()) + '"');
  return id;
}

// An id or a list of ids under `key`.
void for_each_id(json::Value config, const char* key, const Tokenizer& tokenizer,
                 const std::function<void(TokenId)>& body) {
  const json::Value value = config.find(key);
  if (!value.exists() || value.is_null()) return;
  if (!value.is_array()) return body(checked_id(value, tokenizer));
  value.for_each_element([&](json::Value item) { body(checked_id(item, tokenizer)); });
}

}  // namespace

SpecialPolicy read_special_policy(json::Value root, const std::filesystem::path& folder,
                                  const Tokenizer& tokenizer) {
  SpecialPolicy policy;
  const auto from_template = post_processor_bos(root.find("post_processor"), tokenizer);
  policy.bos = from_template;
  policy.adds_bos = from_template.has_value();
  const auto add_eos = [&](TokenId id) {
    if (std::find(policy.eos.begin(), policy.eos.end(), id) == policy.eos.end()) {
      policy.eos.push_back(id);
    }
  };
  std::error_code error;
  if (const auto path = folder / "tokenizer_config.json"; std::filesystem::exists(path, error)) {
    const json::Document document = json::Document::load(path);
    const json::Value config = document.root();
    if (const auto bos = named_token(config, "bos_token", tokenizer)) policy.bos = bos;
    if (const auto eos = named_token(config, "eos_token", tokenizer)) add_eos(*eos);
    policy.adds_bos = config.boolean_or("add_bos_token", policy.adds_bos);
    if (policy.adds_bos && !policy.bos) {
      config.fail("add_bos_token is true, but there is no bos_token");
    }
    if (config.boolean_or("add_eos_token", false)) {
      config.at("add_eos_token").fail("add_eos_token is not supported", "set it to false");
    }
    // Further tokens that transformers would add to tokenizer.json's own.
    if (const json::Value more = config.find("added_tokens_decoder");
        more.exists() && !more.is_null()) {
      more.for_each_member([&](std::string_view id, json::Value token) {
        const auto known = tokenizer.find(token.at("content").string());
        if (!known || std::to_string(*known) != id) {
          token.fail("tokenizer.json does not have this token under this id",
                     "the two files belong to different tokenizers");
        }
      });
    }
  }
  for (const char* name : {"generation_config.json", "config.json"}) {
    const auto path = folder / name;
    if (!std::filesystem::exists(path, error)) continue;
    const json::Document document = json::Document::load(path);
    for_each_id(document.root(), "eos_token_id", tokenizer, add_eos);
    for_each_id(document.root(), "bos_token_id", tokenizer, [&](TokenId id) {
      if (!policy.bos) policy.bos = id;
    });
  }
  return policy;
}

}  // namespace assay::engine

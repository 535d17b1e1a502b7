#include "engine/checkpoint/config_reader.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/error.h"

namespace assay::engine {

namespace {

// Keys without influence on the log-probabilities of a token sequence, in byte order.
constexpr std::string_view kHarmless[] = {
    "add_cross_attention",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "aux_loss_alpha",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "ep_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "pruned_heads",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "sep_token_id",
    "seq_aux",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
};

// A false is no such value: it may switch off what is on by default (YaRN's `truncate`).
bool says_nothing(const json::Value& value) {
  if (value.is_null()) return true;
  if (value.is_string()) return value.string().empty();
  if (value.is_array() || value.is_object()) return value.size() == 0;
  return false;
}

}  // namespace

ConfigReader::ConfigReader(json::Value object, std::string file)
    : object_(object), file_(std::move(file)) {
  if (!object_.is_object()) object_.fail("expected an object");
  std::set<std::string, std::less<>> seen;
  object_.for_each_member([&](std::string_view key, json::Value value) {
    if (!seen.emplace(key).second) value.fail("the key is there twice");
  });
}

json::Value ConfigReader::optional(std::string_view key) {
  read_.emplace(key);
  const json::Value value = object_.find(key);
  return value.exists() && value.is_null() ? json::Value() : value;
}

json::Value ConfigReader::required(std::string_view key) {
  const json::Value value = optional(key);
  if (!value.exists()) fail_missing(key);
  return value;
}

json::Value ConfigReader::required_or_null(std::string_view key) {
  if (!object_.find(key).exists()) fail_missing(key);
  return optional(key);
}

void ConfigReader::fail_missing(std::string_view key) const {
  throw_bad_input("missing, and not guessed", where(key));
}

std::string ConfigReader::where(std::string_view key) const {
  const std::string base = object_.where();
  return base + (base == file_ ? ": " : ".") + std::string(key);
}

int64_t ConfigReader::count(std::string_view key, int64_t minimum, int64_t maximum) {
  const json::Value value = required(key);
  const int64_t n = value.integer();
  if (n < minimum || n > maximum)
    value.fail("must lie between " + std::to_string(minimum) + " and " + std::to_string(maximum) +
               ", not " + std::to_string(n));
  return n;
}

double ConfigReader::positive(std::string_view key) {
  const json::Value value = required(key);
  if (!(value.number() > 0) || !std::isfinite(value.number()))
    value.fail("must be positive, not " + value.dump());
  return value.number();
}

double ConfigReader::number_or(std::string_view key, double fallback) {
  const json::Value value = optional(key);
  if (value.exists() && !std::isfinite(value.number())) value.fail("must be finite");
  return value.exists() ? value.number() : fallback;
}

bool ConfigReader::boolean_or(std::string_view key, bool fallback) {
  const json::Value value = optional(key);
  return value.exists() ? value.boolean() : fallback;
}

void ConfigReader::demand(std::string_view key, std::string_view value, bool missing_is_fine) {
  const json::Value found = missing_is_fine ? optional(key) : required(key);
  if (found.exists() && found.string() != value)
    found.fail(found.dump() + " is not supported", "supported: " + std::string(value));
}

void ConfigReader::demand_if_there(std::string_view key, bool value) {
  const json::Value found = optional(key);
  if (found.exists() && found.boolean() != value)
    found.fail(found.dump() + " is not supported",
               std::string("supported: ") + (value ? "true" : "false"));
}

void ConfigReader::demand_if_there(std::string_view key, int64_t value) {
  const json::Value found = optional(key);
  if (found.exists() && found.integer() != value)
    found.fail(found.dump() + " is not supported", "supported: " + std::to_string(value));
}

void ConfigReader::ignore(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) read_.emplace(key);
}

void ConfigReader::ignore_harmless() {
  for (const std::string_view key : kHarmless) read_.emplace(key);
}

void ConfigReader::refuse_unread() const {
  object_.for_each_member([&](std::string_view key, json::Value value) {
    if (read_.contains(key) || key.starts_with('_') || says_nothing(value)) return;
    value.fail("unknown key; it might change what the model computes",
               "if it does not, take it out of a copy of the file");
  });
}

}  // namespace assay::engine

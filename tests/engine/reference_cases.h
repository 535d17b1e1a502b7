// The cases of ../shared/reference: checkpoints with expected values from an independent float64
// implementation. Shared by the tests of every implementation of the forward pass.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/text/tokenizer.h"
#include "tests/support/paths.h"

namespace assay::engine::test {

inline const std::filesystem::path kReference = test_paths::shared() / "reference";

// Put first into a test that needs the shared material.
#define ASSAY_NEED_SHARED(folder)                              \
  if (!std::filesystem::exists(test_paths::shared() / folder)) \
  GTEST_SKIP() << "MISSING TEST MATERIAL: " << (test_paths::shared() / folder).string()

struct ReferenceSequence {
  std::string id;
  std::vector<TokenId> tokens;
  std::vector<double> next_logprob;  // tokens - 1
  std::vector<TokenId> argmax;       // tokens
  std::vector<double> argmax_logprob, argmax_margin;
  std::vector<double> last_logits;  // vocabulary
  std::vector<TokenId> greedy;      // what greedy decoding appends
  std::vector<double> greedy_logprob, greedy_margin;
};

struct ReferenceCase {
  std::string name;                             // "dsv3-fp8"
  std::filesystem::path folder, model, config;  // expected values; checkpoint; its config file
  std::string reference;                        // "ref", "ref-dequant" or "ref-w8a8"
};

inline std::vector<double> numbers(json::Value array) {
  std::vector<double> out;
  array.for_each_element([&](json::Value v) { out.push_back(v.number()); });
  return out;
}
inline std::vector<TokenId> ids(json::Value array) {
  std::vector<TokenId> out;
  array.for_each_element([&](json::Value v) { out.push_back(static_cast<TokenId>(v.integer())); });
  return out;
}

inline void PrintTo(const ReferenceCase& c, std::ostream* out) {
  *out << c.name << " " << c.reference;
}

// Every case with every reference it has; empty without the shared material.
inline std::vector<ReferenceCase> reference_cases() {
  std::vector<ReferenceCase> out;
  if (!std::filesystem::exists(kReference)) return out;
  const auto index = json::Document::load(kReference / "expected/index.json");
  index.root().for_each_element([&](json::Value c) {
    ReferenceCase item;
    item.name = c.at("name").string();
    item.folder = kReference / c.at("expected").string();
    item.model = kReference / c.at("model").string();
    item.config = item.model / c.at("config").string();
    c.at("references").for_each_member([&](std::string_view reference, json::Value) {
      item.reference = reference;
      out.push_back(item);
    });
  });
  return out;
}

inline ReferenceCase reference_case(const std::string& name, const std::string& reference) {
  for (const ReferenceCase& c : reference_cases())
    if (c.name == name && c.reference == reference) return c;
  throw std::runtime_error("no reference case " + name + " " + reference);
}

inline json::Document reference_document(const ReferenceCase& c) {
  return json::Document::load(c.folder / (c.reference + ".json"));
}

inline std::vector<ReferenceSequence> reference_sequences(const ReferenceCase& c) {
  std::vector<ReferenceSequence> out;
  const auto document = reference_document(c);
  document.root().at("sequences").for_each_element([&](json::Value s) {
    ReferenceSequence q;
    q.id = s.at("id").string();
    q.tokens = ids(s.at("tokens"));
    q.next_logprob = numbers(s.at("next_logprob"));
    q.argmax = ids(s.at("argmax"));
    q.argmax_logprob = numbers(s.at("argmax_logprob"));
    q.argmax_margin = numbers(s.at("argmax_margin"));
    if (s.has("last_logits")) {
      const json::Value last = s.at("last_logits");
      const std::string bytes = read_file(c.folder / last.at("file").string());
      q.last_logits.resize(static_cast<size_t>(last.at("count").integer()));
      std::memcpy(q.last_logits.data(),
                  bytes.data() + static_cast<size_t>(last.at("offset_bytes").integer()),
                  q.last_logits.size() * sizeof(double));
    }
    if (s.has("greedy")) {
      q.greedy = ids(s.at("greedy").at("tokens"));
      q.greedy_logprob = numbers(s.at("greedy").at("logprob"));
      q.greedy_margin = numbers(s.at("greedy").at("margin"));
    }
    out.push_back(std::move(q));
  });
  return out;
}

}  // namespace assay::engine::test

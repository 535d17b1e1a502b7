// A small byte-level tokenizer.json, made by hand, with parts that a test replaces.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "engine/text/byte_level.h"
#include "engine/text/tokenizer.h"

namespace assay::engine {

struct SmallTokenizer {
  // Bytes 0..255 are ids 0..255; merges make 256, 257, ...
  std::vector<std::pair<std::string, std::string>> merges;  // in the byte alphabet
  bool merges_as_arrays = false;
  std::string model_options;     // e.g. R"("dropout":0.1,)"
  std::string extra_vocabulary;  // e.g. R"(,"x y":300)"
  std::string added_tokens = "[]";
  std::string normalizer = "null";
  std::string pre_tokenizer = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true})";
  std::string post_processor = "null";
  std::string decoder = R"({"type":"ByteLevel"})";

  std::string json() const {
    json::Writer vocabulary;
    vocabulary.begin_object();
    int64_t id = 0;
    for (int byte = 0; byte < 256; ++byte) {
      vocabulary.member(byte_level::character(static_cast<uint8_t>(byte)), id++);
    }
    for (const auto& [left, right] : merges) vocabulary.member(left + right, id++);
    std::string entries = vocabulary.end_object().take();
    entries.insert(entries.size() - 1, extra_vocabulary);
    json::Writer list;
    list.begin_array();
    for (const auto& [left, right] : merges) {
      if (merges_as_arrays) {
        list.begin_array().value(left).value(right).end_array();
      } else {
        list.value(left + " " + right);
      }
    }
    return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)" + added_tokens +
           R"(,"normalizer":)" + normalizer + R"(,"pre_tokenizer":)" + pre_tokenizer +
           R"(,"post_processor":)" + post_processor + R"(,"decoder":)" + decoder +
           R"(,"model":{"type":"BPE",)" + model_options + R"("vocab":)" + entries +
           R"(,"merges":)" + list.end_array().take() + "}}";
  }
};

inline std::unique_ptr<Tokenizer> load_text(const std::string& json) {
  const TemporaryDirectory folder;
  std::ofstream(folder.path() / "tokenizer.json", std::ios::binary) << json;
  return Tokenizer::load(folder.path());
}
inline std::unique_ptr<Tokenizer> load(const SmallTokenizer& small) {
  return load_text(small.json());
}

}  // namespace assay::engine

// Cuts text into the pieces that BPE encodes one by one, as tokenizer.json's pre_tokenizer says.
//
// A pipeline of stages; each cuts every piece of the one before: Split (a regular expression, both
// the matches and what lies between become pieces), Digits, and ByteLevel (optionally a space in
// front, optionally GPT-2's expression), which must come last. Published pipelines are recognised
// by their exact patterns and replaced by one hand-written splitter (splitters.h).
//
// Immutable; thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/text/regex.h"
#include "engine/text/splitters.h"

namespace assay::engine {

class PreTokenizer {
 public:
  // Throws bad_input naming the place of a type or option that is not supported.
  explicit PreTokenizer(json::Value pre_tokenizer);

  // Whether a space is put in front of every piece that does not begin with one, before the last
  // cut. Then pieces are not parts of the text, and only `general` below can be used.
  bool adds_prefix_space() const { return prefix_space_; }
  // The hand-written splitter, or null where there is none.
  NextPiece fast() const { return fast_; }

  // The ends of the pieces of `text`, by the general stages. With a prefix space the pieces are
  // those of `changed`, which receives the text with its spaces, and `origin` for each of its bytes
  // the end offset in `text`.
  struct Pieces {
    std::vector<size_t> ends, work;
    std::string changed;
    std::vector<size_t> origin;
  };
  void general(std::string_view text, Pieces& pieces) const;

  // An offset at which cutting may begin anew whatever follows `text`, given that only bytes before
  // `known` can be relied on (0 if none is found).
  size_t restart_point(std::string_view text, size_t known) const;

  const std::string& description() const { return description_; }

 private:
  struct Stage {
    enum Kind { split, each_digit, digit_runs } kind;
    std::vector<Regex> regex;  // split: one
  };
  void add(json::Value part);
  void cut(const Stage& stage, std::string_view text, Pieces& pieces) const;

  std::vector<Stage> stages_;
  std::vector<std::string> patterns_;  // of all stages, for recognising pipelines
  bool byte_level_ = false;
  bool prefix_space_ = false;
  size_t stages_before_space_ = 0;  // with prefix_space_: stages that run before it is added
  NextPiece fast_ = nullptr;
  std::string description_;
};

}  // namespace assay::engine

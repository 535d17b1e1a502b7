// The next token of every row of a pass: the most likely one, one drawn at random, or, for a prompt that
// is being healed, one that begins with the bytes it must begin with.
//
// DESCRIPTION
//
// In two steps, so that a pass that runs out of memory can be repeated: look() computes and changes no
// sequence; choice() is asked once for each row that counts, in order, and moves the sequence's random
// numbers on. Choices depend on the row's hidden state and its sequence alone. Not thread-safe.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/execute/runner.h"
#include "engine/execute/sampling.h"
#include "engine/execute/sequence.h"

namespace assay::engine {

class Chooser {
 public:
  // Both outlive this. `tokenizer` may be null where no prompt is to be healed.
  Chooser(Runner& runner, const Tokenizer* tokenizer) : runner_(runner), tokenizer_(tokenizer) {}

  // Row i of the choices: sequence `sequences[i]`, hidden state in row rows[i] of `hidden`. A sequence's
  // draft has the row behind its own. The spans must stay valid until the last choice().
  void look(ops::ConstRows hidden, std::span<const int32_t> rows, std::span<Sequence* const> sequences);
  // In place of look() where another rank has the hidden states: its choices are put into choices().
  void expect(std::span<const int32_t> rows, std::span<Sequence* const> sequences);
  // One a row; final for the rows that choice() has been asked for.
  std::span<ops::Choice> choices() { return choices_; }

  // Whether row i is that of a draft.
  bool behind_draft(size_t i) const { return i > 0 && sequences_[i - 1] == sequences_[i]; }
  // What comes after row i. Throws bad_input where no token can heal the prompt.
  const ops::Choice& choice(size_t i);

 private:
  void look_by_rows(ops::ConstRows hidden);
  void look_at_logits(ops::ConstRows hidden);
  // The rows that `which` names, to listed_ (index among the rows) and listed_rows_.
  template <class Which>
  void list_rows(const Which& which);
  std::vector<TokenId> healing_tokens(const Sequence& sequence, int64_t vocabulary);

  Runner& runner_;
  const Tokenizer* tokenizer_;
  std::span<const int32_t> rows_;
  std::span<Sequence* const> sequences_;
  std::vector<ops::Choice> choices_, drawn_;
  std::vector<size_t> listed_;
  std::vector<int32_t> listed_rows_, no_targets_, argmax_;
  std::vector<float> argmax_logprobs_;
  std::vector<ops::Draw> draws_;
  std::vector<float> logits_;  // of healed prompts, [listed_, vocabulary]
  std::vector<std::pair<uint64_t, TokenId>> scratch_;
  std::unique_ptr<TokenPrefixIndex> prefixes_;  // made when a prompt is to be healed
};

}  // namespace assay::engine

// Guesses of the tokens after the next, by the checkpoint's MTP layer (drafter.h), for the
// sequences of a generation. Internal to generation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/execute/admission.h"
#include "engine/execute/drafter.h"
#include "engine/execute/generation_rows.h"
#include "engine/execute/ranks.h"

namespace assay::engine {

class Drafting {
 public:
  // Where this rank has no results, it keeps the books alone and takes guesses from the one that
  // has.
  explicit Drafting(Runner& runner);

  // Slots are 0 .. slots()-1 of the pool, which needs pool_layers() layers behind the model's.
  int pool_layers() const { return drafter_ ? 1 : 0; }
  void resize(const model::KvPool& pool);
  // The slot has a new token.
  void forget(int32_t slot) {
    if (!has_entry_.empty()) has_entry_[static_cast<size_t>(slot)] = 0;
  }

  // Keeps what drafts need of a pass of the main model: its rows' hidden states.
  void keep_states(ops::ConstRows hidden, const GenerationRows& rows);

  // Guesses what follows the newest token of every sequence, after making the MTP entries of its
  // path that are not there yet, `pass_tokens` at most. `rows` is overwritten; `before_pass` is
  // called where a pass of the MTP layer comes. Throws ops::OutOfMemory; nothing is drafted then.
  void draft(std::span<const std::unique_ptr<Sequence>> sequences, Admission& slots,
             int64_t pass_tokens, model::KvPool& pool, GenerationRows& rows,
             const std::function<void()>& before_pass);
  // A pass without entries, beside ranks that have some.
  void run_idle() { drafter_->run_idle(); }

 private:
  void lay_out(std::span<const std::unique_ptr<Sequence>> sequences, Admission& slots,
               int64_t pass_tokens, GenerationRows& rows);
  void make(model::KvPool& pool, const GenerationRows& rows,
            const std::function<void()>& before_pass);
  ops::Rows states();

  Runner& runner_;
  std::unique_ptr<Drafter> drafter_;  // where this rank has the results
  int64_t slots_ = 0;
  model::Buffer<float> states_;  // by slot: normed hidden states of the main model
  model::Buffer<float> entry_states_;
  std::vector<uint8_t> has_entry_;  // by slot: the token's MTP entry is in memory
  std::vector<int32_t> entry_slots_;
  std::vector<std::pair<Sequence*, int64_t>>
      new_entries_;  // what a draft adds to Sequence::entries
  std::vector<int32_t> all_rows_;
  std::vector<int32_t> guesses_;
};

}  // namespace assay::engine

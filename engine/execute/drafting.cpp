#include "engine/execute/drafting.h"

#include <algorithm>
#include <numeric>

namespace assay::engine {

Drafting::Drafting(Runner& runner)
    : runner_(runner), states_(runner.backend()), entry_states_(runner.backend()) {
  if (runner.ranks().last()) drafter_ = std::make_unique<Drafter>(runner);
}

void Drafting::resize(const model::KvPool& pool) {
  slots_ = pool.slots();
  has_entry_.resize(static_cast<size_t>(slots_));
  if (drafter_) states_.ensure(slots_ * runner_.config().hidden);
}

ops::Rows Drafting::states() {
  const int64_t width = runner_.config().hidden;
  return {states_.data(), slots_, width, width};
}

void Drafting::keep_states(ops::ConstRows hidden, const GenerationRows& rows) {
  if (!drafter_) return;
  all_rows_.resize(rows.ids.size());
  std::iota(all_rows_.begin(), all_rows_.end(), 0);
  const ops::Rows normed = runner_.final_norm(hidden, all_rows_);
  model::scatter(runner_.backend(), normed, rows.store, states());
}

void Drafting::draft(std::span<const std::unique_ptr<Sequence>> sequences, Admission& slots,
                     int64_t pass_tokens, model::KvPool& pool, GenerationRows& rows,
                     const std::function<void()>& before_pass) {
  lay_out(sequences, slots, pass_tokens, rows);
  if (rows.ids.empty()) return;
  guesses_.resize(rows.next.size());
  if (drafter_) make(pool, rows, before_pass);
  for (const int32_t slot : rows.store) has_entry_[static_cast<size_t>(slot)] = 1;
  for (const auto& [sequence, entries] : new_entries_) sequence->entries = entries;
  if (rows.next.empty()) return;
  runner_.ranks().share(std::as_writable_bytes(std::span(guesses_)));
  for (size_t i = 0; i < rows.next.size(); ++i) rows.advancing[i]->draft = guesses_[i];
}

void Drafting::lay_out(std::span<const std::unique_ptr<Sequence>> sequences, Admission& slots,
                       int64_t pass_tokens, GenerationRows& rows) {
  rows.clear();
  new_entries_.clear();
  for (const auto& sequence : sequences) {
    // The newest token's entry needs the state of the token before, which has been fed.
    const int64_t last =
        sequence->prompt_size() + static_cast<int64_t>(sequence->tokens.size()) - 1;
    slots.extend(*sequence, last + 1);
    // Entries are made along paths, so those of a path are its first ones.
    int64_t first = std::max<int64_t>(1, sequence->entries + 1);
    while (first <= last &&
           has_entry_[static_cast<size_t>(sequence->slots[static_cast<size_t>(first)])]) {
      ++first;
    }
    const int64_t row = rows.count();
    // What does not fit a pass is made at the next steps.
    const int64_t end = std::min(last + 1, first + pass_tokens - row);
    if (first >= end) continue;
    for (int64_t j = first; j < end; ++j) {
      rows.ids.push_back(sequence->token(j));
      rows.positions.push_back(static_cast<int32_t>(j - 1));
      rows.store.push_back(sequence->slots[static_cast<size_t>(j)]);
    }
    rows.segments.push_back({row, end - first, first - 1, sequence->slots.data() + 1});
    new_entries_.push_back({sequence.get(), end - 1});
    if (end <= last) continue;
    rows.next.push_back(static_cast<int32_t>(rows.ids.size()) - 1);
    rows.advancing.push_back(sequence.get());
  }
}

// Entries of the rows, and guesses_ from those that advance.
void Drafting::make(model::KvPool& pool, const GenerationRows& rows,
                    const std::function<void()>& before_pass) {
  const ops::Rows before = model::matrix(entry_states_, rows.count(), runner_.config().hidden);
  entry_slots_.clear();
  for (const ops::Segment& segment : rows.segments) {
    for (int64_t i = 0; i < segment.count; ++i) {
      // slots[p] is that of position p + 1, whose state's predecessor is slots[p - 1].
      entry_slots_.push_back(segment.slots[segment.position + i - 1]);
    }
  }
  before_pass();
  Runner::Step step(runner_, true, 1);
  model::gather(runner_.backend(), states(), entry_slots_, before);
  const ops::Rows output = drafter_->run(rows.ids, before, rows.input(model::Form::absorbed), pool);
  if (!rows.next.empty()) std::ranges::copy(drafter_->guess(output, rows.next), guesses_.begin());
  step.finish();
}

}  // namespace assay::engine

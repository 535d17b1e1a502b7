#include "engine/execute/chooser.h"

#include <algorithm>

#include "base/error.h"
#include "engine/execute/request_name.h"

namespace assay::engine {

namespace {

constexpr size_t kLogitRows = 16;  // rows whose logits are asked for together: the head is read once for them

// Takes a number from `random`.
ops::Draw draw_of(const Sequence& sequence, Random& random) {
  const Sampling& sampling = sequence.request->sampling;
  return {sampling.temperature, sampling.top_p, static_cast<uint64_t>(random.uniform() * 0x1p53)};
}

}  // namespace

template <class Which>
void Chooser::list_rows(const Which& which) {
  listed_.clear();
  listed_rows_.clear();
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (!which(i)) continue;
    listed_.push_back(i);
    listed_rows_.push_back(rows_[i]);
  }
}

void Chooser::expect(std::span<const int32_t> rows, std::span<Sequence* const> sequences) {
  rows_ = rows;
  sequences_ = sequences;
  choices_.assign(rows.size(), {});
  listed_.clear();
}

void Chooser::look(ops::ConstRows hidden, std::span<const int32_t> rows,
                   std::span<Sequence* const> sequences) {
  expect(rows, sequences);
  look_by_rows(hidden);
  look_at_logits(hidden);
}

// What every row chooses by itself.
void Chooser::look_by_rows(ops::ConstRows hidden) {
  list_rows([&](size_t i) { return sequences_[i]->greedy(); });
  if (!listed_.empty()) {
    const ops::Rows normed = runner_.final_norm(hidden, listed_rows_);
    no_targets_.assign(listed_.size() + 1, 0);
    argmax_.resize(listed_.size());
    argmax_logprobs_.resize(listed_.size());
    runner_.backend().head_score(runner_.head(normed.rows), normed, {no_targets_, {}}, nullptr, argmax_.data(),
                                 argmax_logprobs_.data());
    for (size_t k = 0; k < listed_.size(); ++k) choices_[listed_[k]] = {argmax_[k], argmax_logprobs_[k]};
  }
  list_rows([&](size_t i) { return !sequences_[i]->greedy(); });
  if (listed_.empty()) return;
  draws_.clear();
  for (const size_t i : listed_) {
    Random random = sequences_[i]->random;  // moves on when the token is taken
    if (behind_draft(i)) random.uniform();
    draws_.push_back(draw_of(*sequences_[i], random));
  }
  const ops::Rows normed = runner_.final_norm(hidden, listed_rows_);
  drawn_.resize(listed_.size());
  runner_.backend().head_sample(runner_.head(normed.rows), normed, draws_, drawn_.data());
  for (size_t k = 0; k < listed_.size(); ++k) choices_[listed_[k]] = drawn_[k];
}

// Token healing chooses among the logits themselves.
void Chooser::look_at_logits(ops::ConstRows hidden) {
  list_rows([&](size_t i) { return !sequences_[i]->required.empty(); });
  logits_.clear();
  for (size_t at = 0; at < listed_.size(); at += kLogitRows) {
    const size_t count = std::min(kLogitRows, listed_.size() - at);
    const ops::Rows normed = runner_.final_norm(hidden, std::span(listed_rows_).subspan(at, count));
    const ops::Matrix& head = runner_.head(normed.rows);
    const size_t begin = logits_.size();
    logits_.resize(begin + count * static_cast<size_t>(head.n));
    runner_.backend().head_logits(head, normed, {&logits_[begin], normed.rows, head.n, head.n});
  }
}

const ops::Choice& Chooser::choice(size_t i) {
  Sequence& sequence = *sequences_[i];
  const ops::Draw draw = sequence.greedy() ? ops::Draw{0} : draw_of(sequence, sequence.random);
  const auto listed = std::lower_bound(listed_.begin(), listed_.end(), i);
  // (The row of a draft was listed, but the token before it may have healed the prompt.)
  if (listed != listed_.end() && *listed == i && !sequence.required.empty()) {
    const size_t vocabulary = logits_.size() / listed_.size();
    const auto place = static_cast<size_t>(listed - listed_.begin());
    choices_[i] = sample_among(std::span(logits_).subspan(place * vocabulary, vocabulary),
                               healing_tokens(sequence, static_cast<int64_t>(vocabulary)), draw, scratch_);
  }
  return choices_[i];
}

// The tokens of the model's vocabulary that go along with the bytes a sequence must begin with.
std::vector<TokenId> Chooser::healing_tokens(const Sequence& sequence, int64_t vocabulary) {
  if (!prefixes_) prefixes_ = std::make_unique<TokenPrefixIndex>(*tokenizer_);
  std::vector<TokenId> ids = prefixes_->allowed(sequence.required);
  std::erase_if(ids, [&](TokenId id) { return id >= vocabulary; });
  if (ids.empty()) {
    throw_bad_input("no token of the vocabulary continues the prompt's last bytes",
                    request_name(sequence.request->name, sequence.item->request), "leave token healing out");
  }
  return ids;
}

}  // namespace assay::engine

#include "engine/execute/admission.h"

#include <algorithm>

namespace assay::engine {

std::vector<Chunk> Admission::admit(std::vector<std::unique_ptr<Sequence>>& active) {
  std::vector<Chunk> chunks;
  int64_t rows = 0;
  while (waiting() && rows < limits_.pass_tokens &&
         static_cast<int64_t>(active.size()) < limits_.sequences) {
    const WorkItem& item = items_[next_];
    const GenerateRequest& request = requests_[item.request];
    const auto prompt = static_cast<int64_t>(request.prompt.size());
    const int64_t limit = generation_limit(request, config_);
    // Of the last admitted prompt, only what this one shares is still needed.
    while (frontier_.size() > item.shared) {
      slots_.release(frontier_.back());
      frontier_.pop_back();
    }
    if (slots_.available() - reserved_ < prompt - item.shared + limit) break;
    auto sequence = std::make_unique<Sequence>(item, request, limit);
    sequence->slots.reserve(static_cast<size_t>(prompt + limit));
    for (const int32_t slot : frontier_) {
      slots_.share(slot);
      sequence->slots.push_back(slot);
    }
    while (static_cast<int64_t>(frontier_.size()) < prompt) {
      const int32_t slot = take();
      slots_.share(slot);
      frontier_.push_back(slot);
      sequence->slots.push_back(slot);
    }
    reserved_ += limit;
    // The last position is needed for the first token even where the whole prompt is shared.
    const int64_t begin = std::min<int64_t>(item.shared, prompt - 1);
    chunks.push_back({sequence.get(), begin, prompt});
    rows += prompt - begin;
    active.push_back(std::move(sequence));
    ++next_;
  }
  return chunks;
}

void Admission::extend(Sequence& sequence, int64_t end) {
  while (static_cast<int64_t>(sequence.slots.size()) < end) {
    sequence.slots.push_back(take());
    --reserved_;
  }
}

void Admission::release(const Sequence& sequence) {
  reserved_ -= sequence.limit - sequence.text_slots();
  for (const int32_t slot : sequence.slots) slots_.release(slot);
}

int32_t Admission::take() {
  const int32_t slot = slots_.take();
  taken_(slot);
  return slot;
}

}  // namespace assay::engine

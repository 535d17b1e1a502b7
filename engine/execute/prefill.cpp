#include "engine/execute/prefill.h"

#include <algorithm>

namespace assay::engine {

std::vector<std::vector<Chunk>> cut_into_passes(std::span<const Chunk> chunks,
                                                int64_t pass_tokens) {
  std::vector<std::vector<Chunk>> passes;
  int64_t left = 0;
  for (Chunk chunk : chunks) {
    while (chunk.begin < chunk.end) {
      if (left == 0) {
        passes.emplace_back();
        left = pass_tokens;
      }
      const int64_t take = std::min(left, chunk.end - chunk.begin);
      passes.back().push_back({chunk.sequence, chunk.begin, chunk.begin + take});
      chunk.begin += take;
      left -= take;
    }
  }
  return passes;
}

std::array<std::vector<Chunk>, 2> halves(std::span<const Chunk> chunks) {
  std::array<std::vector<Chunk>, 2> out;
  int64_t left = 0;
  for (const Chunk& chunk : chunks) left += chunk.end - chunk.begin;
  left /= 2;
  for (const Chunk& chunk : chunks) {
    const int64_t middle = std::min(chunk.end, chunk.begin + left);
    left -= middle - chunk.begin;
    if (middle > chunk.begin) out[0].push_back({chunk.sequence, chunk.begin, middle});
    if (chunk.end > middle) out[1].push_back({chunk.sequence, middle, chunk.end});
  }
  return out;
}

void PromptRows::lay_out(std::span<const Chunk> chunks, bool expert_load, GenerationRows& out) {
  out.clear();
  ++stamp_;
  for (const Chunk& chunk : chunks) add_rows(chunk, expert_load, out);
  add_slot_lists(chunks, out);
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (chunks[i].end != chunks[i].sequence->prompt_size()) continue;
    out.next.push_back(static_cast<int32_t>(out.segments[i].row + out.segments[i].count - 1));
    out.advancing.push_back(chunks[i].sequence);
  }
}

void PromptRows::add_rows(const Chunk& chunk, bool expert_load, GenerationRows& out) {
  const Sequence& sequence = *chunk.sequence;
  const auto row = static_cast<int32_t>(out.ids.size());
  for (int64_t p = chunk.begin; p < chunk.end; ++p) {
    const bool own = p >= sequence.item->shared;
    const int32_t slot = sequence.slots[static_cast<size_t>(p)];
    if (own) place(slot) = {stamp_, static_cast<int32_t>(out.ids.size())};
    out.ids.push_back(sequence.request->prompt[static_cast<size_t>(p)]);
    out.positions.push_back(static_cast<int32_t>(p));
    out.store.push_back(own ? slot : -1);
  }
  out.segments.push_back({row, chunk.end - chunk.begin, chunk.begin, nullptr});
  if (!expert_load) return;
  for (const PromptLoad& load : sequence.item->load) {
    const int64_t begin = std::max<int64_t>(load.position, chunk.begin);
    const int64_t end = std::min<int64_t>(load.position + load.count, chunk.end);
    if (begin >= end) continue;
    out.pieces.push_back({static_cast<uint32_t>(row + begin - chunk.begin),
                          static_cast<uint32_t>(end - begin), load.group, load.owner, true});
  }
}

// Positions of earlier passes are ancestors, numbered below the rows.
void PromptRows::add_slot_lists(std::span<const Chunk> chunks, GenerationRows& out) {
  for (const Chunk& chunk : chunks) {
    for (int64_t p = 0; p < chunk.end; ++p) {
      const int32_t slot = chunk.sequence->slots[static_cast<size_t>(p)];
      if (place(slot).stamp == stamp_) continue;
      place(slot) = {stamp_, -1 - static_cast<int32_t>(out.ancestors.size())};
      out.ancestors.push_back(slot);
    }
  }
  slot_lists_.clear();
  const auto known = static_cast<int32_t>(out.ancestors.size());
  for (const Chunk& chunk : chunks) {
    for (int64_t p = 0; p < chunk.end; ++p) {
      const int32_t row = place(chunk.sequence->slots[static_cast<size_t>(p)]).row;
      slot_lists_.push_back(row < 0 ? -1 - row : known + row);
    }
  }
  const int32_t* list = slot_lists_.data();
  for (size_t i = 0; i < chunks.size(); ++i) {
    out.segments[i].slots = list;
    list += chunks[i].end;
  }
}

}  // namespace assay::engine

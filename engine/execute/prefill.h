// Prompts as the rows of passes: a position shared by prompts of a pass is one row. Internal to
// generation.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/execute/generation_rows.h"
#include "engine/execute/sequence.h"

namespace assay::engine {

// Passes of at most `pass_tokens` rows; a long prompt may take several.
std::vector<std::vector<Chunk>> cut_into_passes(std::span<const Chunk> chunks, int64_t pass_tokens);

// The rows of a pass in two passes; needs two rows at least.
std::array<std::vector<Chunk>, 2> halves(std::span<const Chunk> chunks);

class PromptRows {
 public:
  // Slots are 0 .. slots-1.
  void resize(int64_t slots) { row_of_slot_.resize(static_cast<size_t>(slots)); }

  // The rows of a pass; with the pieces that count where `expert_load`. Their segments point into
  // this object, until the next call.
  void lay_out(std::span<const Chunk> chunks, bool expert_load, GenerationRows& out);

 private:
  struct RowOfSlot {
    uint64_t stamp = 0;
    int32_t row = 0;  // of the pass, or -1 - index of the ancestor
  };
  RowOfSlot& place(int32_t slot) { return row_of_slot_[static_cast<size_t>(slot)]; }
  void add_rows(const Chunk& chunk, bool expert_load, GenerationRows& out);
  void add_slot_lists(std::span<const Chunk> chunks, GenerationRows& out);

  std::vector<RowOfSlot> row_of_slot_;
  uint64_t stamp_ = 0;  // of the current pass
  std::vector<int32_t> slot_lists_;
};

}  // namespace assay::engine

// Which requests run together: they are admitted in their order as KV memory allows, and give their
// slots back when they have finished. Internal to generation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/execute/generate.h"
#include "engine/execute/sequence.h"
#include "engine/execute/slots.h"

namespace assay::engine {

class Admission {
 public:
  // The spans and the configuration outlive this. `taken` is told each slot that gets a new token:
  // what is known of its last one is void.
  Admission(std::span<const GenerateRequest> requests, std::span<const WorkItem> items,
            const ModelConfig& config, const GenerateLimits& limits,
            std::function<void(int32_t slot)> taken)
      : requests_(requests),
        items_(items),
        config_(config),
        limits_(limits),
        slots_(limits.kv_slots),
        taken_(std::move(taken)) {}

  // Whether items wait for admission.
  bool waiting() const { return next_ < items_.size(); }

  // Moves items to `active`, a pass of prompts or so at a time, and gives the rows that have to be
  // computed for them. A sequence gets the slots of its prompt; those of its text are reserved.
  std::vector<Chunk> admit(std::vector<std::unique_ptr<Sequence>>& active);

  // Takes the slots reserved for positions below `end`.
  void extend(Sequence& sequence, int64_t end);

  // Gives back what a sequence has taken and reserved.
  void release(const Sequence& sequence);

 private:
  int32_t take();

  const std::span<const GenerateRequest> requests_;
  const std::span<const WorkItem> items_;
  const ModelConfig& config_;
  const GenerateLimits limits_;
  size_t next_ = 0;
  Slots slots_;
  int64_t reserved_ = 0;           // slots that active sequences may still take
  std::vector<int32_t> frontier_;  // slots of the last admitted prompt
  std::function<void(int32_t)> taken_;
};

}  // namespace assay::engine

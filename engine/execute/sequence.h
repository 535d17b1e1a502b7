// The state of one request while its text is generated. Internal to generation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "engine/engine.h"
#include "engine/execute/generate.h"
#include "engine/execute/stop_matcher.h"

namespace assay::engine {

// A sequence that is being generated.
struct Sequence {
  Sequence(const WorkItem& w, const GenerateRequest& r, int64_t limit_)
      : item(&w), request(&r), limit(limit_), stop(r.stop), required(r.required),
        random(r.sampling.seed, r.sampling.stream) {}

  const WorkItem* item;
  const GenerateRequest* request;
  int64_t limit;                // tokens it may generate
  std::vector<int32_t> slots;   // of every fed position; drafting: of tokens to be fed, too
  std::vector<TokenId> tokens;  // generated; the last one is not fed yet
  std::vector<float> logprobs;
  StopMatcher stop;
  std::string_view required;    // bytes that must come next (token healing)
  Random random;
  std::optional<FinishReason> finish;
  size_t text_end = std::string::npos;
  int64_t entries = 0;             // drafting: MTP entries 1 .. entries are known to be in memory
  std::optional<TokenId> draft;    // guess of the token after tokens.back()

  int64_t prompt_size() const { return static_cast<int64_t>(request->prompt.size()); }
  TokenId token(int64_t position) const {
    const auto p = static_cast<size_t>(position);
    return p < request->prompt.size() ? request->prompt[p] : tokens[p - request->prompt.size()];
  }
  // Slots behind the prompt's.
  int64_t text_slots() const { return static_cast<int64_t>(slots.size()) - prompt_size(); }
  bool greedy() const { return request->sampling.temperature == 0; }
};

// Rows of a sequence's prompt to be computed in a pass.
struct Chunk {
  Sequence* sequence;
  int64_t begin, end;
};

}  // namespace assay::engine

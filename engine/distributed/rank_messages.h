// Jobs, reports and options as bytes, where ranks are processes.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "engine/distributed/rank_link.h"
#include "engine/distributed/wire.h"

namespace assay::engine {

Bytes encode(const EngineOptions& options);
EngineOptions decode_options(const Bytes& bytes);

// A job with the memory of what it points to.
struct StoredJob {
  RankJob job;
  std::vector<std::vector<TokenId>> tokens;
  std::deque<std::string> names;
  std::vector<ScoreRequest> scores;
  std::vector<GenerateRequest> generations;
  std::vector<int> rank_of;
};
Bytes encode(const RankJob& job);
// Into `out`, whose job points to it.
void decode(const Bytes& bytes, StoredJob& out);

// An error other than assay::Error comes back as one with its text and the same exit code.
Bytes encode(const RankReport& report);
RankReport decode_report(const Bytes& bytes);

}  // namespace assay::engine

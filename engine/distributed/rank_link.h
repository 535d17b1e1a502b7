// What the thread that called an engine and the ranks that compute for it tell each other.
//
// DESCRIPTION
//
// The caller's thread gives jobs to all ranks and takes their reports: results, expert load and
// commits in order per rank, progress, and how the job ended. Every rank reports `Opened` once and then,
// for each job, one `Ended` or `Failed`; a rank that failed takes no more jobs. Two implementations:
// threads of one process (thread_ranks.h), processes (mpi_ranks.h).
//
// This is the way of requests and results; what ranks tell each other while they compute is the
// Collective's.
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "engine/engine.h"

namespace assay::engine {

struct RankJob {
  enum class Kind : uint8_t { score, generate, end };
  Kind kind = Kind::end;
  // Of the whole call. They must outlive the job.
  std::span<const ScoreRequest> scores;
  std::span<const GenerateRequest> generations;
  // The rank of each request (-1: none); empty: all ranks compute all.
  std::span<const int> rank_of;
};

struct RankReport {
  struct Opened {
    Capabilities capabilities;
  };
  // What lies between two commits. Indices are those of the job's requests.
  struct Batch {
    std::vector<ScoreResult> scores;
    std::vector<GenerateResult> texts;
    std::vector<ExpertLoad> load;
    EngineStatistics statistics;  // so far
  };
  struct Ended {
    Batch rest;  // results behind the last commit, of a job that was cancelled
  };
  struct Failed {
    std::exception_ptr error;
    bool other = false;  // because of another rank's failure
  };
  int rank = 0;
  std::variant<Opened, Batch, EngineProgress, Ended, Failed> what;
};

// A rank's end.
class RankLink {
 public:
  virtual ~RankLink() = default;
  virtual RankJob next_job() = 0;  // waits; valid until the next call
  virtual void report(RankReport report) = 0;
  // Whether the job at hand is to end early.
  virtual bool cancelled() = 0;
};

// The caller's end. Destroyed, it ends the ranks; none may have a job then.
class RankGroup {
 public:
  virtual ~RankGroup() = default;
  virtual int size() const = 0;
  virtual void give(const RankJob& job) = 0;  // to all
  virtual void cancel() = 0;                  // the job at hand
  // Waits at most that long.
  virtual std::optional<RankReport> next_report(std::chrono::milliseconds most) = 0;
};

}  // namespace assay::engine

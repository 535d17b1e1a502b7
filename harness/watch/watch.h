// `assay watch DIR`: scores checkpoints as they appear.
//
// Looks at the folder again and again; whatever has arrived (harness/watch/arrival.h) and is not in
// the journal is evaluated, oldest training step first. A checkpoint that cannot be read is tried
// again, later each time, since its files may still be on their way, and given up after `tries`
// attempts until its files change. Trouble of this machine (a full disk, a store in use) is waited out
// and not counted. Killed at any moment and started again, it goes on: finished checkpoints are known
// from the journal, a half-evaluated one from the store.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "harness/evaluation/evaluation.h"
#include "harness/watch/arrival.h"

namespace assay::harness {

struct WatchOptions {
  std::filesystem::path folder;
  std::filesystem::path journal;  // "": the store's name with .watch.jsonl
  ArrivalRule arrival;
  double interval = 30;     // seconds between two looks
  int tries = 5;            // attempts at a checkpoint that cannot be read
  bool once = false;        // score what is there, then return
  bool newest_first = false;
};

struct WatchReport {
  int scored = 0, known = 0;    // now; before
  int failed = 0, waiting = 0;  // of the last look: could not be scored; have not arrived
  int exit_code = 0;            // of the first error of a `once`
};

// `scored` is called after each checkpoint with its summary and the line that went to the journal;
// `note` with what a person should know meanwhile. Returns after one look with `once`, else when
// interrupted. Throws usage at once where the tasks or options are wrong.
WatchReport watch(const WatchOptions& options, const EvaluationOptions& evaluation,
                  ProgressDisplay& display,
                  const std::function<void(const RunSummary&, const std::string& line)>& scored,
                  const std::function<void(const std::string&)>& note);

}  // namespace assay::harness

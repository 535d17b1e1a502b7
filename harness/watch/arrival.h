// Which checkpoints lie in a folder, and whether each has arrived whole.
//
// A training job writes a checkpoint file by file, copies it over a network, or renames it into place.
// A checkpoint counts as arrived when
//   - its directory's name does not begin with "." nor end in .tmp, .part, .partial or .incomplete,
//     and no file in it does;
//   - config.json, tokenizer.json and the weights are there: model.safetensors, or every shard that
//     model.safetensors.index.json names;
//   - with a marker: the marker file is there; without: nothing in it has changed for `settle` seconds.
// What is inside the files is not looked at: that is the evaluation's work, and its errors are taken as
// "not yet" for a while (harness/watch/watch.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "harness/evaluation/training_progress.h"

namespace assay::harness {

struct ArrivalRule {
  std::string match = "*";  // shell pattern of directory names
  std::string marker;       // file that says "complete"; "": by time
  double settle = 30;       // seconds
};

struct Arrival {
  std::filesystem::path path;
  std::string name;
  TrainingProgress progress;  // as far as the name tells
  std::string fingerprint;    // changes with any file's name, size or time
  std::string missing;        // why it has not arrived; "": it has
};

// Directories of `folder` that look like checkpoints (they hold config.json or a weight file), by
// step, then by name. `now`: Unix seconds of file times. A directory that vanishes meanwhile is left
// out. Throws bad_input where the folder itself cannot be read.
std::vector<Arrival> look_for_checkpoints(const std::filesystem::path& folder,
                                          const ArrivalRule& rule, double now);

}  // namespace assay::harness

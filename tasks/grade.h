// One document's result: every metric the task defines, plus flags for the diagnostics.
#pragma once

#include <map>
#include <optional>
#include <string>

namespace assay::tasks {

struct Grade {
  // choice: acc.sum, acc.token, acc.char, acc.byte, and acc.uncond / acc.whole where enabled.
  // generate: em, f1, contains, pass@1 ... ; rolling: bits_per_byte. 0/1 metrics are exactly 0
  // or 1.
  std::map<std::string, double> metrics;
  // The name of the headline metric: a key of `metrics` unless there is an error or the text is empty.
  std::string primary;
  double weight = 1;    // in means: bytes for bits per byte, else 1
  std::map<std::string, double> weights;  // of metrics that have another: tokens for the loss

  std::optional<int> predicted;  // option index under the primary normaliser
  std::string extracted;         // generate: the answer as extracted
  bool correct = false;          // primary metric is 1 (for flips and McNemar)

  // Continuous companions (task-specs 0.6). For generate tasks, from the reference answer in the same
  // prompt: p_correct is the probability of all of it, margin its log-probability minus that of the
  // text the model preferred (greedy generation only), in nats.
  std::optional<double> p_correct, margin, gold_bpb;

  bool tie = false;             // the primary arg-max was not unique
  bool no_extract = false;      // no answer found in the generated text
  bool length_limited = false;  // generation ended at max_new_tokens
  bool boundary_merge = false;  // of any scored option
  std::string error;  // not empty: no result (NaN, sandbox failure); counted, never "wrong"
};

}  // namespace assay::tasks

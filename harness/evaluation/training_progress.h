// How far the training of a checkpoint had come, for curves: from flags, config.json, the trainer's
// state file, or the directory's name, in this order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace assay::harness {

struct TrainingProgress {
  std::optional<int64_t> step, tokens;
};

// "base-step-000600", "step1000-tokens4B", "global_step500", "iter_0001000", "checkpoint-2500",
// "ckpt_10k", "600": the number after such a word, or a name that is a number. Tokens only beside
// the word ("tokens-2T", "100B-tokens"), since "-8B" alone is a size.
TrainingProgress progress_of_name(std::string_view name);

// trainer_state.json of Hugging Face's Trainer: global_step, num_input_tokens_seen (0: not counted).
// Nothing where there is no such file or it cannot be read: it is never needed.
TrainingProgress progress_of_trainer_state(const std::filesystem::path& checkpoint);

// Each member from the first source that has it.
TrainingProgress first_known(std::initializer_list<TrainingProgress> sources);

// Tokens as step x tokens_per_step, where the tokens are not known otherwise.
TrainingProgress with_tokens_per_step(TrainingProgress progress,
                                      std::optional<int64_t> tokens_per_step);

}  // namespace assay::harness

// Where tests find the publishers' benchmark files; tests skip loudly without them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/file.h"
#include "tests/support/paths.h"

namespace assay::tasks {

// Folder of a task's files below shared/datasets; most are the task's own name.
inline std::string dataset_folder(const std::string& task) {
  if (task.starts_with("arc_")) return "arc";
  if (task.starts_with("race_")) return "race";
  if (task.starts_with("cruxeval_")) return "cruxeval";
  if (task == "nq") return "nq_open";
  if (task == "humaneval_fim") return "humaneval";
  if (task == "niah") return ".";  // made by the program
  if (task == "lcb_base") return "livecodebench";
  if (task == "clue_wsc") return "cluewsc2020";
  if (task == "pile_test") return "pile";
  return task;
}

inline std::optional<std::filesystem::path> shared_datasets(const std::string& task) {
  if (task == "text") return test_paths::source() / "datasets/sample";
  std::filesystem::path root = test_paths::shared() / "datasets";
  if (!std::filesystem::exists(root / dataset_folder(task))) return std::nullopt;
  return root;
}

inline std::string missing_shared(const std::string& task) {
  return "the shared benchmark files of " + task +
         " are not here: " + (test_paths::shared() / "datasets").string() + "/" +
         dataset_folder(task);
}

}  // namespace assay::tasks

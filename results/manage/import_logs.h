// Logs of other harnesses, one reader a layout. Private to this room.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "results/store.h"

namespace assay::results::detail {

struct ImportedSample {
  ItemRecord item;
  std::vector<OptionRecord> options;
  std::vector<GenerationRecord> generations;
  GradeRecord grade;
};

// The documents of one log by their number; positions are set when they are stored.
struct ImportedTask {
  std::string name;     // "hellaswag"
  std::string primary;  // metric; "": the first known of those there are
  std::map<int64_t, ImportedSample> samples;
};

struct LogLayout {
  const char* name;     // "lmeval": prefix of tasks and item ids, and the variant
  const char* harness;  // "lm-evaluation-harness"
  const char* files;    // what its logs are called, for messages
  const char* lacks;    // what the logs do not say, for the deviations
  bool (*is_log)(const std::filesystem::path& path);
  ImportedTask (*read)(const std::filesystem::path& path);  // throws bad_input naming file and line
};

extern const LogLayout kLmEvalLayout, kOlmesLayout, kOpenCompassLayout, kSimpleEvalsLayout,
    kHelmLayout;

}  // namespace assay::results::detail

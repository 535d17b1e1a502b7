// Published results of other models, compiled into the program (results/published/README.md names
// the sources), and a user's own baselines in the same form.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace assay::results::published {

// A row of the base-model table.
struct Benchmark {
  std::string name;      // "MMLU-Redux"
  std::string task;      // "mmlu_redux"
  std::string category;  // "English"
  std::string shots;     // "5-shot"; "" for a dash
  std::string metric;    // "EM", "Acc.", "BPB"
  bool higher_is_better = true;
};
// In the table's order. Built once; lives as long as the program.
const std::vector<Benchmark>& benchmarks();
// Index of a task's row, or benchmarks().size() for a task that has none: an order to sort by.
size_t row_of_task(std::string_view task);

struct Score {
  std::string benchmark, shots, metric;
  double value = 0;  // percent, or bits per byte
};

// A column of a table: one model's published scores.
struct Column {
  std::string name;  // "DeepSeek-V3-Base"
  std::string architecture, activated_parameters, total_parameters;
  std::string source;
  std::vector<Score> scores;
  const Score* find(std::string_view benchmark) const;
};
// DeepSeek-V2-Base, Qwen2.5-72B-Base, LLaMA-3.1-405B-Base, DeepSeek-V3-Base.
const std::vector<Column>& base_models();

// The ablations of the report (tables 4 and 5): two scales, baseline against variant.
struct Ablation {
  std::string name;  // "mtp", "aux-loss-free"
  std::string title, source;
  std::vector<Column> columns;  // named "Small MoE: Baseline", ...
};
const std::vector<Ablation>& ablations();

// A user's baselines: CSV with the header benchmark,metric,shots,model,score (extra columns are
// ignored); benchmark is a row's name or a task's. Errors name the file and the line.
std::vector<Column> load_baselines(const std::filesystem::path& path);

}  // namespace assay::results::published

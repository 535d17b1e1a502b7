// Official numbers of rows, from the publishers' papers and pages (task-specs; datasets/README.md).
#include "tests/datasets/specs.h"

namespace assay::datasets {
namespace {

struct Count {
  const char* task;
  const char* split;
  size_t rows;           // in the shared material
  size_t groups = 0;     // distinct groups among the rows
  bool complete = true;  // the shared material holds the official number of rows
};

// Where the shared material is a subset of the official file, its README states the number.
const Count kCounts[] = {
    {"mmlu", "dev", 285, 57},
    {"mmlu", "val", 1531, 57},
    {"mmlu", "test", 14042, 57},
    {"mmlu_redux", "test", 5700, 57},
    {"mmlu_pro", "validation", 70, 14},
    {"mmlu_pro", "test", 3008, 14, false},
    {"hellaswag", "val", 1000, 0, false},
    {"piqa", "valid", 1838},
    {"piqa", "tests", 3084},
    {"piqa", "train", 2015, 0, false},
    {"winogrande", "dev", 1267},
    {"winogrande", "test", 1767},
    {"winogrande", "train_xs", 160},
    {"winogrande", "train_s", 640},
    {"winogrande", "train_m", 2558},
    {"race_middle", "test", 1436},
    {"race_middle", "test_passages", 362},
    {"race_high", "test_passages", 1045},
    {"race_high", "test", 3498},
    {"arc_easy", "train", 2251},
    {"arc_easy", "dev", 570},
    {"arc_easy", "test", 2376},
    {"arc_challenge", "train", 1119},
    {"arc_challenge", "dev", 299},
    {"arc_challenge", "test", 1172},
    {"ceval", "dev", 260, 52},
    {"ceval", "val", 1346, 52},
    {"ceval", "test", 12342, 52},
    {"cmmlu", "dev", 335, 67},
    {"cmmlu", "test", 11582, 67},
    {"c3", "dev", 3816},
    {"c3", "test", 3892},
    {"ccpm", "train", 21778},
    {"ccpm", "valid", 2720},
    {"ccpm", "test_public", 2720},
    {"wikitext2", "test", 62},
    {"triviaqa", "test", 11313},
    {"triviaqa", "dev", 1105, 0, false},
    {"nq", "dev", 3610},
    {"nq", "train_dpr", 8757},
    {"drop", "contrast", 947},
    {"drop", "train", 19, 0, false},
    {"drop", "dev", 7, 0, false},
    {"math", "test", 5000, 7},
    {"math", "math500", 500, 7},
    {"math", "train", 921, 4, false},
    {"gsm8k", "train", 7473},
    {"gsm8k", "test", 1319},
    {"mgsm", "test", 2750, 11},
    {"mgsm", "exemplars", 88, 11},
    {"humaneval", "test", 164},
    {"mbpp", "prompt", 10},
    {"mbpp", "test", 500},
    {"mbpp", "validation", 90},
    {"mbpp", "train", 374},
    {"mbpp", "sanitized", 427},
    {"lcb_base", "sample", 1},
    {"lcb_base", "shots_func", 2},
    {"lcb_base", "shots_stdin", 2},
    {"cruxeval", "test", 800},
    {"bbh", "test", 6511, 27},
    {"bbh", "cot_prompts", 27, 27},
    {"agieval", "test", 4138, 21, false},
    {"agieval", "prompts", 86, 21},
    {"clue_wsc", "clue_dev", 304},
    {"clue_wsc", "clue_train", 1244},
    {"cmrc2018", "dev", 3219},
    {"cmrc2018", "trial", 1002},
    {"cmrc2018", "trial_plain", 1002},
    {"cmath", "test", 1098},
    {"cmath", "dev", 600},
    {"cmath", "distractor", 360},
};

TEST(Counts, OfficialSplitsAreReadWhole) {
  NEEDS_SHARED();
  for (const Count& count : kCounts) {
    SCOPED_TRACE(std::string(count.task) + " " + count.split);
    const Split split = load_split(spec_of(count.task), shared_root(), count.split);
    EXPECT_EQ(split.documents.size(), count.rows);
    std::set<std::string> groups, ids;
    for (const Document& d : split.documents) {
      if (!d.group.empty()) groups.insert(d.group);
      ids.insert(d.id);
    }
    EXPECT_EQ(groups.size(), count.groups);
    EXPECT_EQ(ids.size(), count.rows) << "ids are not unique";
    bool wrong_count = false;
    for (const std::string& w : split.warnings) {
      wrong_count |=
          w.find("expected") != std::string::npos || w.find("no rows") != std::string::npos;
    }
    EXPECT_EQ(wrong_count, !count.complete)
        << (split.warnings.empty() ? "" : split.warnings.front());
  }
}

TEST(Counts, BundledSampleMatchesItsOwnCounts) {
  const std::pair<const char*, std::map<std::string, size_t>> kSample[] = {
      {"mmlu", {{"dev", 25}, {"val", 40}, {"test", 120}}},
      {"ceval", {{"dev", 15}, {"val", 60}, {"test", 24}}},
      {"cmmlu", {{"dev", 15}, {"test", 60}}},
      {"hellaswag", {{"train", 40}, {"val", 80}}},
      {"gsm8k", {{"train", 60}, {"test", 80}}},
      {"humaneval", {{"test", 42}}}};
  for (const auto& [task, splits] : kSample) {
    for (const auto& [name, rows] : splits) {
      SCOPED_TRACE(std::string(task) + " " + name);
      const Split split = load_split(spec_of(task), sample_root(), name);
      EXPECT_EQ(split.documents.size(), rows);
      EXPECT_EQ(split.warnings, std::vector<std::string>{});
    }
  }
}

}  // namespace
}  // namespace assay::datasets

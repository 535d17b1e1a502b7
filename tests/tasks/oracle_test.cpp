// Degenerate models on the publishers' files, for every task and variant: one that prefers the gold
// option scores exactly 100, one that says the reference answer scores 100, a uniform one follows
// the tie rule (task-specs 6.5). Catches gold answers that prompts, extractors and scorers disagree
// on.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <set>

#include "base/error.h"
#include "tasks/task.h"
#include "tasks/task_file.h"
#include "tests/tasks/shared_data.h"

namespace assay::tasks {
namespace {

struct Case {
  std::string task, variant;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.task << "@" << c.variant; }

std::vector<Case> all_cases(bool with_options_only) {
  std::vector<Case> cases;
  Catalog catalog;
  for (const TaskInfo& task : catalog.tasks()) {
    for (const VariantInfo& variant : task.variants) {
      RequestKind kind = catalog.file(task.name, variant.name)->kind;
      bool options = kind == RequestKind::choice || kind == RequestKind::partial;
      if (options || !with_options_only) cases.push_back({task.name, variant.name});
    }
  }
  return cases;
}

// Where the variant's own rules make the reference answer wrong: documented ceilings, kept as they
// are.
std::string known_ceiling(const Case& c, const datasets::Document& document,
                          const std::string& reference) {
  if (c.task == "mgsm" && c.variant == "oc" && reference.find(',') != std::string::npos) {
    return "OpenCompass deletes commas from the output and not from the answer";
  }
  if (c.task == "agieval" && c.variant == "oc_gen" && reference.find('$') != std::string::npos) {
    return "OpenCompass parses the output and not the answer";
  }
  if (c.task == "triviaqa" && c.variant == "oc" && reference.find("a:") != std::string::npos) {
    return "OpenCompass cuts the output after \"a:\"";
  }
  if (c.task == "math" && c.variant == "lmeval_hendrycks" && reference.find('=') != std::string::npos) {
    return "lm-eval keeps the space before 'x = 4', so that its left side is one character too long to be cut";
  }
  if (c.task == "gsm8k" && c.variant == "oc" && reference.find("Question") != std::string::npos) {
    return "OpenCompass stops at the word Question";
  }
  if (c.variant != "lmeval") return {};
  if (c.task == "math" && reference.find(".$. I hope") != std::string::npos) {
    return "lm-eval drops a full stop before a dollar sign, which only the output has";
  }
  if (c.task == "mgsm" && document.group == "bn") {
    return "lm-eval looks for an English phrase in Bengali answers";
  }
  if (c.task == "bbh" && reference.find('Q') != std::string::npos) {
    return "lm-eval stops at the letter Q";
  }
  return {};
}

// Documents a case is run on: all, or in slow builds as many of a nested hash sample as
// ASSAY_ORACLE_DOCUMENTS says.
int64_t documents_asked() {
  const char* asked = std::getenv("ASSAY_ORACLE_DOCUMENTS");
  return asked ? std::stoll(asked) : 0;
}

// The text a model would have produced, were `text` what it goes on to say.
std::string until_stop(std::string text, const std::vector<std::string>& stops) {
  size_t end = text.size();
  for (const std::string& stop : stops) end = std::min(end, text.find(stop));
  text.resize(std::min(end, text.size()));
  return text;
}

Outputs preferring(const Prompt& prompt, const std::vector<int>& favourites) {
  Outputs outputs;
  for (size_t o = 0; o < prompt.options.size(); ++o) {
    bool favourite = std::count(favourites.begin(), favourites.end(), static_cast<int>(o)) > 0;
    // -1 for each unit of length under every normaliser, so that all agree.
    ContinuationScore score;
    score.logprob = favourite ? 0 : -1000;
    score.tokens = 1;
    if (prompt.uncond_context) score.uncond_logprob = 0;
    if (prompt.whole) score.whole_loss = favourite ? 0 : 1;
    outputs.options.push_back(score);
  }
  return outputs;
}

// Variants whose stop, cut or extraction rule cannot accept every reference answer; the cards and the
// specification's rows say so.
bool has_ceiling(const Case& c) {
  static const std::set<std::pair<std::string, std::string>> kCeilings = {
      {"triviaqa", "lmeval"},  // stops at "." and ","
      {"nq", "lmeval"},        // likewise
      {"cmrc2018", "oc"},      // cut at the first comma or period
      {"drop", "ds"},          // several gold spans against one predicted span
      {"drop", "no_type"},    {"drop", "preceding"}, {"drop", "lmeval"},  // stops at "."
      {"agieval", "ds"},  // several formulas in one answer; several letters where one is read
      {"agieval", "oc_gen"},  // its parser reads neither signs nor formulas without a "="
  };
  return kCeilings.contains({c.task, c.variant});
}

class Oracle : public testing::TestWithParam<Case> {
 protected:
  // The case on its data, or on made-up files in their layout, or nothing (with the reason printed).
  std::optional<Task> open(const Catalog& catalog) {
    if (auto root = shared_datasets(GetParam().task)) {
      if (auto task = open(catalog, *root)) return task;
    }
    const std::string reason = reason_;
    if (auto task = open(catalog, test_paths::source() / "tests/fixtures/layouts")) {
      std::cout << "on made-up files: " << reason << "\n";
      return task;
    }
    reason_ = reason;
    return std::nullopt;
  }

  std::optional<Task> open(const Catalog& catalog, const std::filesystem::path& root) {
    Selection selection{.task = GetParam().task,
                        .variant = GetParam().variant,
                        .data_root = root,
                        .limit = documents_asked()};
    try {
      try {
        return Task::open(catalog, selection);
      } catch (const Error& error) {
        // Grading needs no exemplars, so their files, or some types of MATH in them, may be missing.
        const std::string_view what = error.what();
        const auto says = [&](const char* text) { return what.find(text) != std::string_view::npos; };
        if (!says("assay data fetch") && !says("split train has 0 rows")) throw;
        selection.shots = 0;
        return Task::open(catalog, selection);
      }
    } catch (const Error& error) {
      reason_ = error.what();
      // Only missing files and unpublished answers excuse; a file that is there must be readable.
      bool excused = reason_.find("assay data fetch") != std::string::npos ||
                     reason_.find("lacks the key \"answer\"") != std::string::npos ||
                     // No text of the made-up file has two spans.
                     reason_.find("test_public of clue_wsc has no documents") != std::string::npos;
      EXPECT_TRUE(excused) << reason_;
      return std::nullopt;
    }
  }
  std::string reason_ = missing_shared(GetParam().task);
};

TEST_P(Oracle, GoldPreferred) {
  Catalog catalog;
  std::optional<Task> task = open(catalog);
  if (!task) GTEST_SKIP() << reason_;
  size_t right = 0, judged = 0, ungraded = 0;
  for (size_t i = 0; i < task->size(); ++i) {
    Prompt prompt = task->prompt(i);
    Outputs outputs;
    switch (prompt.kind) {
      case RequestKind::choice:
      case RequestKind::partial:
        outputs = preferring(prompt, prompt.gold_options);
        break;
      case RequestKind::generate: {
        std::string text = until_stop(prompt.gold_answer.continuation, prompt.generation.stop);
        outputs.generations.assign(static_cast<size_t>(prompt.generation.samples),
                                   {text, Finish::stop, 0});
        if (task->executes()) {
          for (const ProgramRequest& program : task->programs(i, outputs.generations)) {
            EXPECT_FALSE(program.refused) << program.refused_reason;
            outputs.executions.push_back({Verdict::pass, ""});
          }
        }
        outputs.gold_answer = ContinuationScore{.logprob = -1, .tokens = 1};
        break;
      }
      case RequestKind::rolling:
        outputs.rolling = RollingScore{1, 1};
        break;
    }
    Grade grade = task->grade(i, outputs);
    if (prompt.kind == RequestKind::rolling) {
      EXPECT_NE(grade.metrics.contains("bits_per_byte"), prompt.context.empty());
      continue;
    }
    if (!grade.error.empty()) {
      // Splits whose answers are not published.
      EXPECT_EQ(grade.error, "the split has no answer for this document");
      ++ungraded;
      continue;
    }
    if (!grade.correct &&
        !known_ceiling(GetParam(), task->document(i), prompt.gold_answer.continuation).empty()) {
      continue;
    }
    ++judged;
    right += grade.correct ? 1 : 0;
    if (!grade.correct && !has_ceiling(GetParam())) {
      ADD_FAILURE() << task->document(i).id << ": " << grade.primary << " = "
                    << grade.metrics[grade.primary] << ", extracted '" << grade.extracted
                    << "', gold '" << (prompt.gold_texts.empty() ? "" : prompt.gold_texts[0])
                    << "', reference '" << prompt.gold_answer.continuation << "'";
      if (judged - right > 3) break;
    }
    EXPECT_EQ(grade.metrics.size(), task->metrics().size());
  }
  if (has_ceiling(GetParam())) {
    EXPECT_GE(static_cast<double>(right), 0.85 * static_cast<double>(judged));
    std::cout << "reference answers score " << right << " of " << judged << "\n";
  } else {
    EXPECT_EQ(right, judged);
  }
  if (ungraded > 0) {
    std::cout << ungraded << " documents of " << task->name() << " have no published answer\n";
  }
}

class Uniform : public Oracle {};

TEST_P(Uniform, FollowsTheTieRule) {
  Catalog catalog;
  std::optional<Task> task = open(catalog);
  if (!task) GTEST_SKIP() << reason_;
  for (size_t i = 0; i < task->size(); ++i) {
    Prompt prompt = task->prompt(i);
    if (prompt.gold_options.empty()) GTEST_SKIP() << "no published answers";
    Outputs outputs = preferring(prompt, {});
    for (ContinuationScore& score : outputs.options) score.logprob = -1;
    Grade grade = task->grade(i, outputs);
    bool first = std::count(prompt.gold_options.begin(), prompt.gold_options.end(), 0) > 0;
    EXPECT_EQ(grade.metrics.at("acc.sum"), first ? 1 : 0) << task->document(i).id;
    EXPECT_NEAR(*grade.p_correct,
                static_cast<double>(prompt.gold_options.size()) /
                    static_cast<double>(prompt.options.size()),
                1e-12);
    if (task->primary_norm() == "sum") {
      EXPECT_TRUE(grade.tie);
      EXPECT_EQ(grade.predicted, 0);
    }
  }
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.task + "_" + info.param.variant;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(AllTasks, Oracle, testing::ValuesIn(all_cases(false)), case_name);
INSTANTIATE_TEST_SUITE_P(AllTasks, Uniform, testing::ValuesIn(all_cases(true)), case_name);

}  // namespace
}  // namespace assay::tasks

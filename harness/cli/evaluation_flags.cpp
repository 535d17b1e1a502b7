#include "harness/cli/evaluation_flags.h"

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "harness/cli/data_root.h"

namespace assay::harness {

EvaluationOptions EvaluationFlags::options() const {
  if (evaluation.tasks.empty() && evaluation.texts.empty()) {
    throw_usage("nothing to evaluate", "--tasks names benchmarks, --text your own text");
  }
  EvaluationOptions all = evaluation;
  all.data = data_root(data);
  all.store = store;
  if (shots >= 0) all.shots = shots;
  if (max_length > 0) all.max_length = max_length;
  all.gold_answers = !no_gold;
  all.engine = engine.options("");
  return all;
}

void add_evaluation_flags(CLI::App& verb, EvaluationFlags& flags) {
  verb.add_option("--tasks", flags.evaluation.tasks,
                  "Tasks and suites, comma-separated; TASK:SUBJECT for one\n"
                  "subject, TASK@VARIANT for one variant; FILE.json for a\n"
                  "task or suite of your own; suite:math is the suite where\n"
                  "a task has its name")
      ->type_name("LIST");
  verb.add_option("--text", flags.evaluation.texts,
                  "Bits per byte and loss of your own text: JSON lines with\n"
                  "\"text\" (and \"domain\"), a text file, or a folder of them;\n"
                  "each domain gets a row; repeat for several")
      ->type_name("PATH")
      ->allow_extra_args(false);
  verb.add_option("--variant", flags.evaluation.variants,
                  "ds, lmeval, ...; comma-separated for several (prompts\n"
                  "that variants share are computed once)")
      ->delimiter(',');
  verb.add_option("--data", flags.data, kDataHelp)->type_name("DIR");
  verb.add_option("--store", flags.store, "SQLite file with all results")
      ->capture_default_str()
      ->type_name("FILE");
  verb.add_option("--limit", flags.evaluation.limit,
                  "Documents a task, a fixed unbiased sample; 0: all")
      ->check(CLI::NonNegativeNumber);
  verb.add_flag("--limit-first", flags.evaluation.limit_first,
                "With --limit: the first documents in file order");
  verb.add_option("--shots", flags.shots, "Exemplars instead of the task's number")
      ->check(CLI::NonNegativeNumber);
  verb.add_option("--max-length", flags.max_length,
                  "Context budget in tokens instead of the task's")
      ->check(CLI::PositiveNumber);
  add_engine_flags(verb, flags.engine, true);
  verb.add_option("--boundary", flags.evaluation.boundary, "Token boundary policy: joint or split")
      ->capture_default_str();
  verb.add_flag("--token-healing", flags.evaluation.token_healing,
                "Generation may replace the last token of a prompt by one\n"
                "that begins with its text (part of the identity)");
  verb.add_option("--sandbox", flags.evaluation.sandbox,
                  "Least isolation for model-written code: A, B, C or auto")
      ->capture_default_str();
  verb.add_option("--sandbox-workers", flags.evaluation.sandbox_workers,
                  "Programs judged at once; 0: as many as the engine leaves\n"
                  "processors, and all when it is done");
  verb.add_option("--seed", flags.evaluation.seed, "Of hash order, sampling and samples");
  verb.add_option("--tasks-dir", flags.evaluation.task_directories,
                  "Folder with task files of your own")
      ->type_name("DIR");
  verb.add_flag("--strict", flags.evaluation.strict,
                "Data that differ from the official counts, and missing\n"
                "files of a suite's tasks, are errors");
  verb.add_flag("--skip-missing", flags.evaluation.skip_missing,
                "Leave out tasks whose files are missing (a suite's are\n"
                "left out, and named, in any case)");
  verb.add_flag("--no-gold-answers", flags.no_gold,
                "Do not score the reference answers of generative tasks");
  verb.add_option("--tokens-per-step", flags.evaluation.tokens_per_step,
                  "Training tokens of one step, where only steps are known")
      ->check(CLI::PositiveNumber);
}

}  // namespace assay::harness

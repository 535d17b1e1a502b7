// All benchmarks the program knows: task files embedded in the binary, and the user's directories.
//
// A task file is JSON (docs/adding-a-task.md): a base that is the variant `ds`, and `variants` that
// override it (JSON merge patch, RFC 7386). Reading a file checks every key; unknown keys,
// templates that name unknown fields and rules that do not exist are errors naming file and key.
// Immutable after the add_directory() calls; then thread-safe.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace assay::tasks {

// Where a rule comes from: published by DeepSeek or the authors, inferred from their examples, or
// this program's own default. Printed by `list tasks --verbose` and in reports.
struct DeviationCard {
  std::vector<std::string> published, inferred, defaults;
};

struct VariantInfo {
  std::string name;     // "ds", "lmeval", ...
  std::string summary;  // one line
  DeviationCard card;
};

// A name that stands for several variants: "olmes" for letters and cloze form.
struct VariantSet {
  std::string name;
  std::vector<std::string> variants;
  bool larger = false;  // the number people quote is the largest of theirs
  bool always = false;  // a run of the task without a variant computes all of them
};

struct TaskInfo {
  std::string name, title;
  std::string row;      // its name in the base-model table, "" if it is not one of the 32 rows
  std::string section;  // "English", "Code", "Math", "Chinese", "Multilingual", ...
  std::string origin;   // the file it was read from, "built in" for embedded ones
  std::vector<VariantInfo> variants;  // the first is the default
  std::vector<VariantSet> sets;
};

// A task to run: name, variant ("" = the default), group ("" = all), own shots (-1 = the task's).
struct TaskChoice {
  std::string task, variant, group;
  int shots = -1;
  std::string corpus = {};  // path of text of the user's own, for the task `text`
  std::string suite = {};  // whose member it is; "" where the user named the task
  bool operator==(const TaskChoice& other) const {  // whoever named it
    return task == other.task && variant == other.variant && group == other.group &&
           shots == other.shots && corpus == other.corpus;
  }
};

struct SuiteInfo {
  std::string name, title, origin;
  std::vector<std::string> members;  // as the file names them: tasks and other suites
  int64_t limit = 0;  // documents a task, sampled in hash order; 0 = all
};

class TaskFile;  // the checked content of a task file, used by Task::open

// The words of a list that commas separate, empty ones among them; they point into it.
std::vector<std::string_view> words_of(std::string_view list);

class Catalog {
 public:
  Catalog();  // the embedded task files and suites
  ~Catalog();
  Catalog(Catalog&&) noexcept;
  Catalog& operator=(Catalog&&) noexcept;

  // Adds every *.json below `directory`: objects with "task" are tasks, with "suite" suites. A name
  // that exists already replaces the built-in one; twice in one directory is an error.
  void add_directory(const std::filesystem::path& directory);

  // Adds the one task or suite file at `path` and returns its name.
  std::string add_file(const std::filesystem::path& path);

  std::vector<TaskInfo> tasks() const;  // in the order of the base-model table, then by name
  std::vector<SuiteInfo> suites() const;
  const TaskInfo& info(std::string_view task) const;  // unknown: usage, with the nearest name

  // "mmlu,core-en,gsm8k@lmeval,ceval:law" -> choices in that order, duplicates removed.
  // TASK[:GROUP][@VARIANT]; a suite's name stands for its tasks (and those of the suites it names), a
  // name under "together" for the variants it lists. `default_variant` fills the rest. Where no variant is
  // named at all, a task stands for its default, and `for_run` for the set that it always computes.
  std::vector<TaskChoice> expand(std::string_view list, std::string_view default_variant = {},
                                 bool for_run = false) const;
  // The words of `list` that name a task where a suite has the same name: "math", but not "suite:math".
  std::vector<std::string> names_shared_with_suites(std::string_view list) const;
  // A suite's limit for `list` if it is one suite's name, else 0.
  int64_t suite_limit(std::string_view list) const;

  std::shared_ptr<const TaskFile> file(std::string_view task, std::string_view variant) const;

 private:
  void check_added(const std::string& name) const;  // a user's task or suite: every rule of it
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace assay::tasks
